"""A gradient scaler of torch.amp beside losses on an accelerator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import AutomaticWeightedLoss, CoVWeighting, LossGroup, LossTracker

from .cases import Dispatched, meta_losses

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:loss '.*' is (inf|nan) at step:RuntimeWarning")

NAMES = ["fit", "size", "calm"]
WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "plain": lambda: None,
    "cov": CoVWeighting,
    "automatic": lambda: AutomaticWeightedLoss(3),
}
BAD = (4, 9)
"""The steps with a loss that is not finite."""


class Training:
    """Mixed precision as the documentation of torch.amp shows it, on losses that go wrong.

    Args:
        log_every: Sends losses on the CPU the way of those on an accelerator.
        is_at_once: Whether `update` calls backward, and not the loop between the two halves.
        settings: Of the group.
    """

    def __init__(self, log_every: int | None, *, is_at_once: bool = False, **settings: Any) -> None:
        self.logger = MemoryLogger()
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = nn.Linear(4, 3)
        self.is_at_once = is_at_once
        self.group = LossGroup(
            NAMES,
            self.logger,
            log_every=log_every,
            backward=self.backward if is_at_once else None,
            **settings,
        )
        groups = [{"params": self.network.parameters()}, self.group.parameter_group()]
        self.optimizer = torch.optim.SGD([one for one in groups if one["params"]], lr=0.01)
        self.scales: list[float] = []

    def losses(self, step: int) -> dict[str, Tensor]:
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        with torch.autocast("cpu", torch.bfloat16):
            out = self.network(x)
        losses = dict(zip(NAMES, (out.float() - 1).square().mean(dim=0), strict=True))
        if step in BAD:
            losses["size"] = losses["size"] * (math.inf if step == BAD[0] else math.nan)
        return losses

    def backward(self, total: Tensor) -> None:
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]

    def run(self, steps: range) -> None:
        for step in steps:
            self.optimizer.zero_grad()
            losses = self.losses(step)
            if self.is_at_once:
                self.group.update(losses)
            else:
                self.backward(self.group.weigh(losses))
                self.group.record(losses)
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.scales.append(self.scaler.get_scale())
        self.group.flush()

    def values(self) -> list[float]:
        learned = [*self.network.parameters(), *self.group.parameters()]
        values: list[float] = torch.cat([one.detach().flatten() for one in learned]).tolist()
        return values


@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("is_at_once", [True, False])
def test_training_goes_as_on_the_cpu(kind: str, is_at_once: bool) -> None:
    device, host = (
        Training(n, is_at_once=is_at_once, weighting=WEIGHTINGS[kind](), nonfinite="keep")
        for n in (4, None)
    )

    for training in (device, host):
        training.run(range(14))

    assert device.scales == host.scales
    assert device.values() == pytest.approx(host.values(), rel=1e-5)
    for name in NAMES:
        ours, theirs = (one.logger.values(f"loss/{name}") for one in (device, host))
        assert ours == pytest.approx(theirs, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("nonfinite", ["keep", "skip"])
def test_a_step_with_a_loss_that_is_not_finite_is_skipped_and_counted(nonfinite: Any) -> None:
    training = Training(4, weighting=CoVWeighting(), nonfinite=nonfinite)
    training.run(range(BAD[0]))
    before, scale = training.values(), training.scales[-1]

    training.run(range(BAD[0], BAD[0] + 1))

    assert training.values() == before
    assert training.scales[-1] == scale / 2
    assert (training.group["size"].nonfinite, training.group["size"].count) == (1, 4)
    assert (training.group["fit"].nonfinite, training.group["fit"].count) == (0, 5)
    assert not training.group.finite


def test_no_statistic_and_no_row_knows_the_scale() -> None:
    training, plain = Training(4), Training(None)
    first = plain.losses(0)

    training.run(range(1))

    for name in NAMES:
        raw = first[name].item()
        assert training.group[name].value == raw
        assert training.logger.values(f"loss/{name}") == [raw]
    (total,) = training.logger.values("loss/total")
    assert total == pytest.approx(sum(loss.item() for loss in first.values()))


@pytest.mark.parametrize("log_every", [None, 4], ids=["cpu", "device"])
def test_a_tracker_goes_the_same_way(log_every: int | None) -> None:
    weight = torch.ones((), requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    tracker = LossTracker(
        "G",
        weight=0.5,
        log_every=log_every,
        backward=lambda loss: scaler.scale(loss).backward(),  # type: ignore[no-untyped-call]
    )

    for factor in (1.0, math.inf, 1.0):
        optimizer.zero_grad()
        tracker.update(weight * factor)
        scaler.step(optimizer)
        scaler.update()

    assert weight.item() == pytest.approx(0.9)
    assert scaler.get_scale() == 4.0
    assert (tracker.count, tracker.nonfinite) == (2, 1)


def test_a_scaled_step_waits_for_no_device() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    group = LossGroup(
        weighting=CoVWeighting(),
        backward=lambda total: scaler.scale(total).backward(),  # type: ignore[no-untyped-call]
        log_every=100,
    )

    with Dispatched() as dispatched:
        for _ in range(3):
            group.update(meta_losses(3))

    assert group.step == 3
    assert not {"aten._local_scalar_dense.default", "aten.item.default"} & set(dispatched.names)
