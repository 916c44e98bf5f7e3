"""A step on an accelerator looks at no value and launches little."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    LossTracker,
    StaticWeighting,
    Trackers,
)

from .cases import NAMES, NEVER, WEIGHTINGS, Dispatched, InverseMean, meta_losses, on_meta


@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("nonfinite", ["skip", "keep", "raise"])
def test_a_step_looks_at_no_value(kind: str, nonfinite: Any) -> None:
    group = LossGroup(
        NAMES,
        MemoryLogger(),
        weighting=on_meta(WEIGHTINGS[kind]()),
        max_loss={"a": 10.0},
        nonfinite=nonfinite,
        log_every=NEVER,
    )
    for step in range(4):
        parameter = torch.ones((), device="meta", requires_grad=True)
        losses = dict.fromkeys(NAMES, parameter * step)
        group.update(losses, extra={"norm": parameter * 2, "lr": 0.1}, retain_graph=True)
        group.weigh(losses).backward()  # type: ignore[no-untyped-call]
        group.record({"a": losses["a"]}, samples=3)
        group.accumulate(losses)
        group.record()
        assert parameter.grad is not None
        assert group.finite.device.type == "meta"

    assert group.step == 12
    with pytest.raises(NotImplementedError, match="meta"):
        group.flush()


def test_whether_learned_weights_move_is_known_without_a_look_at_them() -> None:
    weighting = AutomaticWeightedLoss(1).to("meta")
    group = LossGroup(["loss 0"], weighting=weighting, log_every=NEVER)

    def train() -> None:
        for _ in range(101):
            group.record(meta_losses(1))

    with pytest.warns(RuntimeWarning, match="have not moved in 100 steps"):
        train()


def test_a_weighting_of_the_users_own_looks_at_no_value_either() -> None:
    names = [f"loss {index}" for index in range(3)]
    group = LossGroup(names, weighting=InverseMean(), log_every=NEVER)

    for _ in range(3):
        group.update(meta_losses(3))

    assert group.step == 3


@pytest.mark.parametrize("warmup", [2, math.inf])
def test_an_update_of_a_tracker_looks_at_no_value(warmup: float) -> None:
    tracker = LossTracker("G", MemoryLogger(), weight=0.5, max_loss=3, warmup=warmup)

    for step in range(20):
        parameter = torch.ones((), device="meta", requires_grad=True)
        weighted = tracker.update(parameter * step)
        if step < warmup - 1:
            tracker.weight = 0.25

        assert parameter.grad is not None
        assert weighted.device.type == "meta"


def test_a_step_of_trackers_looks_at_no_value() -> None:
    trackers = Trackers(["G", "D"], MemoryLogger(), warmup=3)

    for _ in range(10):
        for tracker in trackers.values():
            tracker.update(torch.ones((), device="meta", requires_grad=True) * 2)
        trackers.step(extra={"norm": torch.ones((), device="meta")})

    assert trackers["G"].step == 10


@pytest.mark.parametrize("count", [1, 3, 32, 256])
@pytest.mark.parametrize(
    ("kind", "most"),
    [("plain", 3), ("equal", 3), ("schedule", 3), ("cov", 33), ("cov that forgets", 35)],
)
def test_a_step_is_a_few_operations_for_any_number_of_losses(
    kind: str, most: int, count: int
) -> None:
    losses = meta_losses(count)
    weighting = StaticWeighting() if kind == "schedule" else WEIGHTINGS[kind]()
    group = LossGroup(list(losses), weighting=weighting, log_every=NEVER)
    group.record(losses)

    with Dispatched() as dispatched:
        group.record(losses)

    assert len(dispatched.names) <= most, dispatched.names


def test_with_log_every_nothing_is_read_on_the_cpu_either() -> None:
    group = LossGroup(NAMES, MemoryLogger(), weighting=CoVWeighting(), log_every=NEVER)
    tracker = LossTracker("G", MemoryLogger(), warmup=2, log_every=NEVER)

    with Dispatched() as dispatched:
        for step in range(5):
            losses = {name: torch.tensor(1.0 + step) for name in NAMES}
            group.update(losses, do_backwards=False)
            tracker.update(losses["a"], do_backwards=False)

    assert not [name for name in dispatched.names if "_local_scalar_dense" in name]


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_a_recorded_graph_of_weigh_follows_the_weights_but_for_schedules(kind: str) -> None:
    """What a CUDA graph records are operations and the addresses of tensors: so does `make_fx`."""
    group = LossGroup(NAMES, weighting=WEIGHTINGS[kind](), max_loss=2.0, log_every=NEVER)
    data = np.random.default_rng(0).lognormal(0, 1, (30, 3))
    steps = [dict(zip(NAMES, torch.tensor(row).unbind(), strict=True)) for row in data]
    for losses in steps[:8]:
        group.record(losses)

    graph = make_fx(lambda *losses: group.weigh(dict(zip(NAMES, losses, strict=True))))(
        *steps[8].values()
    )
    is_same = []
    for losses in steps[8:]:
        is_same.append(torch.equal(graph(*losses.values()), group.weigh(losses)))
        group.record(losses)
        for parameter in group.parameters():
            parameter.data.mul_(0.9)

    assert all(is_same) == (kind != "schedule")
