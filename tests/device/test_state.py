"""What survives a restart, a copy or a move to another device."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    LossRecord,
    LossTracker,
    RatioSettings,
    Trackers,
)
from multi_loss_weighting.accelerator._history import DEVICE_NUMBERS, DeviceHistory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


from tests.states import plain

from .cases import NAMES, NEVER, WEIGHTINGS, weights_from, wild


def test_what_a_device_knew_ends_with_the_first_loss_on_the_cpu() -> None:
    device, host, again = (LossTracker("a", warmup=3, log_every=n) for n in (5, None, 5))
    losses = [torch.tensor(value, dtype=torch.float64) for value in wild(60)[52:, 2].tolist()]
    for loss in losses[:4]:
        device.update(loss, do_backwards=False)
    host.load_state_dict(device.state_dict())
    for loss in losses[4:]:
        host.update(loss, do_backwards=False)
    again.load_state_dict(host.state_dict())

    weighted = again.update(torch.ones((), dtype=torch.float64), do_backwards=False)

    assert weighted.item() == pytest.approx(host.weight, rel=1e-12)


@pytest.mark.parametrize("kind", ["cov", "cov that forgets", "uncertainty"])
def test_resuming_gives_the_same_numbers_to_the_last_bit(kind: str, tmp_path: Path) -> None:
    losses = wild(120)[60:]
    whole, first, second = (
        LossGroup(NAMES, weighting=WEIGHTINGS[kind](), log_every=16) for _ in range(3)
    )

    weights_from(whole, losses[:30])
    weights_from(first, losses[:30])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))

    assert weights_from(second, losses[30:]) == weights_from(whole, losses[30:])


def test_micro_batches_go_on_from_a_state_on_another_device() -> None:
    group, resumed = LossGroup(["a"]), LossGroup(["a"], log_every=NEVER)
    group.accumulate({"a": 1.0})
    resumed.load_state_dict(group.state_dict())

    resumed.accumulate({"a": torch.ones((), device="meta")})
    resumed.record()

    assert resumed.step == 1


def test_a_state_goes_from_device_to_cpu_and_back() -> None:
    losses = wild(120)[60:]
    device, host, back = (
        LossGroup(NAMES, weighting=CoVWeighting(), log_every=n) for n in (16, None, 16)
    )
    weights_from(device, losses[:20])
    host.load_state_dict(device.state_dict())
    weights_from(host, losses[20:40])
    back.load_state_dict(host.state_dict())

    weights_from(device, losses[20:40])
    totals, _ = weights_from(back, losses[40:])
    its_totals, _ = weights_from(device, losses[40:])

    np.testing.assert_allclose(totals, its_totals, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_what_a_device_keeps_goes_to_another_by_name(dtype: torch.dtype) -> None:
    def history(names: tuple[str, ...]) -> DeviceHistory:
        records = [LossRecord() for _ in names]
        device = torch.device("cpu")
        return DeviceHistory(names, records, RatioSettings(), device, lambda: records, dtype)

    kept, other = history(("a", "b", "c")), history(("c", "d", "a"))
    kept.ratios()
    kept.moments()
    for row in wild(60):
        kept.use(kept.prepare(torch.tensor(row, dtype=dtype), 1))

    other.load_numbers(kept.names, kept.numbers())

    assert kept.numbers().shape == (3, DEVICE_NUMBERS)
    assert other.numbers()[[2, 0]].equal(kept.numbers()[[0, 2]])
    assert other.count.tolist() == [kept.count[2], 0, kept.count[0]]
    assert other.ratio_count.tolist() == [kept.ratio_count[2], 0, kept.ratio_count[0]]


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_goes_on_from_where_the_original_is(make_copy: Callable[[Any], Any]) -> None:
    group = LossGroup(NAMES, weighting=CoVWeighting(), log_every=16)
    tracker = LossTracker("a", warmup=3, log_every=16)
    trackers = Trackers(["a", "b"], log_every=16)
    losses = wild(120)[60:]
    weights_from(group, losses[:20])
    for loss in losses[:20, 0].tolist():
        tracker.update(torch.tensor(loss), do_backwards=False)
        trackers["a"].update(torch.tensor(loss), do_backwards=False)
        trackers.step()

    other, other_tracker, others = make_copy(group), make_copy(tracker), make_copy(trackers)

    assert weights_from(other, losses[20:])[0] == pytest.approx(
        weights_from(group, losses[20:])[0], rel=1e-12
    )
    assert plain(other_tracker.state_dict()) == plain(tracker.state_dict())
    assert plain(others.state_dict()) == plain(trackers.state_dict())


def test_a_copy_of_one_loss_knows_what_is_on_its_way() -> None:
    group = LossGroup(["a"], log_every=16)
    group.record({"a": torch.tensor(2.0)})

    assert copy.deepcopy(group["a"]).mean == 2.0


def test_a_copy_of_trackers_reports_before_its_logger_closes() -> None:
    with MemoryLogger() as logger:
        trackers = copy.deepcopy(Trackers(["a"], logger, log_every=16))
        trackers["a"].update(torch.tensor(2.0), do_backwards=False)
        trackers.step()

    assert logger.values("loss/a") == [2.0]


def test_learned_weights_move_with_the_group() -> None:
    weighting = AutomaticWeightedLoss(3)
    group = LossGroup(NAMES, weighting=weighting, log_every=NEVER).to("meta")
    x = torch.ones((), device="meta", requires_grad=True)

    group.update(dict.fromkeys(NAMES, x * 2))

    assert weighting.params.grad is not None
    assert weighting.params.grad.device.type == "meta"


def test_losses_move_from_the_cpu_to_a_device() -> None:
    group = LossGroup(NAMES, weighting=CoVWeighting())
    for _ in range(3):
        group.record(dict.fromkeys(NAMES, 1.0))

    group.record({name: torch.ones((), device="meta") for name in NAMES})

    assert group.step == 4
