"""A batch of no sample counts as nothing, also for weightings that remember what they measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from multi_loss_weighting import (
    GradientShareWeighting,
    GradNorm,
    LossGroup,
    NormalizedWeighting,
    TorchJDWeighting,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def by_torchjd(name: str) -> Callable[[Tensor], Any]:
    def make(network: Tensor) -> Any:
        pytest.importorskip("torchjd", reason="torchjd is not installed")
        from .torchjd_methods import AGGREGATORS, scalarization

        if name in AGGREGATORS:
            return TorchJDWeighting(AGGREGATORS[name](), [network])
        return TorchJDWeighting(getattr(scalarization, name)(2))

    return make


METHODS: dict[str, Callable[[Tensor], Any]] = {
    "share": lambda network: GradientShareWeighting([network], every=2),
    "gradnorm": lambda network: GradNorm([network], lr=0.1),
    "normalized gradnorm": lambda network: NormalizedWeighting(GradNorm([network], lr=0.1)),
    **{name: by_torchjd(name) for name in ("CRMOGM", "FAMO", "GradVac")},
}


class Run:
    """Two losses whose gradients change from step to step."""

    def __init__(self, method: str, log_every: int | None) -> None:
        self.network = torch.ones(2, requires_grad=True)
        self.weighting = METHODS[method](self.network)
        self.group = LossGroup(["a", "b"], weighting=self.weighting, log_every=log_every)

    def losses(self, size: float) -> dict[str, Tensor]:
        a, b = self.network
        return {"a": (a * size + b).square(), "b": (b * 3 - a).square()}

    def learn(self) -> None:
        """What FAMO asks for after the optimizer's step."""
        if hasattr(getattr(self.weighting, "method", None), "update"):
            self.weighting.update(self.losses(2.0))

    def train(self) -> None:
        for size in (8.0, 5.0, 3.0):
            self.group.update(self.losses(size))
            self.learn()


def by_update(run: Run) -> None:
    run.group.update(run.losses(1e-4), samples=0)


def by_record(run: Run) -> None:
    losses = run.losses(1e-4)
    run.group.weigh(losses).backward()  # type: ignore[no-untyped-call]
    run.group.record(losses, samples=0)


def by_accumulate(run: Run) -> None:
    for _ in range(2):
        losses = run.losses(1e-4)
        run.group.weigh(losses).backward()  # type: ignore[no-untyped-call]
        run.group.accumulate(losses, samples=0)
    run.group.record()


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("record", [by_update, by_record, by_accumulate])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_batch_of_no_sample_moves_no_weight(
    record: Callable[[Run], None], method: str, log_every: int | None, is_first: bool
) -> None:
    usual, masked = Run(method, log_every), Run(method, log_every)
    for run in (usual, masked):
        if not is_first:
            run.train()
        if run is masked:
            record(run)
            if not is_first:
                run.learn()
        run.train()

    assert masked.group.next_weights() == usual.group.next_weights()


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_micro_batch_of_no_sample_is_not_the_one_that_is_measured(
    method: str, log_every: int | None
) -> None:
    usual, masked = Run(method, log_every), Run(method, log_every)
    for run in (usual, masked):
        run.train()
        for size, samples in ((1e-4, 0), (4.0, 2)):
            if samples or run is masked:
                losses = run.losses(size)
                run.group.weigh(losses).backward()  # type: ignore[no-untyped-call]
                run.group.accumulate(losses, samples=samples)
        run.group.record()

    assert masked.group.next_weights() == usual.group.next_weights()


@pytest.mark.parametrize("method", ["share", "gradnorm", "CRMOGM", "GradVac"])
def test_a_batch_that_only_the_device_knows_to_be_of_no_sample_moves_no_weight(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `samples=mask.sum()` on an accelerator, which nobody reads at the step."""
    monkeypatch.setattr("multi_loss_weighting.step._step.checked_samples", lambda samples: samples)
    run = Run(method, 3)
    run.train()
    before = run.group.next_weights()

    run.group.update(run.losses(1e-4), samples=torch.zeros(()))  # type: ignore[arg-type]

    assert run.group.next_weights() == before


def test_a_state_that_ends_with_no_sample_goes_on_with_the_losses_in_another_order() -> None:
    saved = Run("FAMO", None)
    saved.train()
    by_update(saved)
    weighting = METHODS["FAMO"](saved.network)
    group = LossGroup(["b", "a"], weighting=weighting)
    group.load_state_dict(saved.group.state_dict())
    before = group.next_weights()

    weighting.update(saved.losses(2.0))

    assert group.next_weights() == before == saved.group.next_weights()
