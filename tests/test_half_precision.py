"""Losses in half precision: weights, sums and what is recorded keep the digits of float32."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    GradientDiagnostics,
    GradientShareWeighting,
    GradNorm,
    LossGroup,
    LossTracker,
    StaticWeighting,
    TorchJDWeighting,
    Trackers,
    UncertaintyWeighting,
    Weighted,
)

from .methods import methods

if TYPE_CHECKING:
    from collections.abc import Callable

    from multi_loss_weighting import History

HALF = (torch.float16, torch.bfloat16)
EXACT = {"net": 1.5, "penalty": 70001.0, "small": 1e-9}


def by_update(group: LossGroup, losses: dict[str, Any]) -> torch.Tensor:
    return group.update(losses, do_backwards=False)


def by_record(group: LossGroup, losses: dict[str, Any]) -> torch.Tensor:
    total = group.weigh(losses)
    group.record(losses)
    return total


def by_accumulate(group: LossGroup, losses: dict[str, Any]) -> torch.Tensor:
    for _ in range(300):  # in bfloat16 a sum of ones stops at 256
        group.accumulate(losses)
    total = group.weigh(losses)
    group.record()
    return total


WAYS = {"update": by_update, "record": by_record, "accumulate": by_accumulate}


class Own:
    """Weights that somebody else's code makes in float32."""

    def weigh(self, losses: torch.Tensor, _: History, /) -> Weighted:
        assert losses.dtype in (torch.float32, torch.float64)
        weights = torch.full((len(losses),), 1 + 2.0**-12)
        return Weighted((losses * weights).sum(), weights)


WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "sum": lambda: None,
    "CoV": CoVWeighting,
    "learned": lambda: AutomaticWeightedLoss(3),
    "uncertainty": lambda: UncertaintyWeighting(3),
    "own": Own,
    **methods("net penalty small"),
}


# Each weighting in each way, read at once and late; either dtype comes with each of them.
CASES = [
    (HALF[(one + two + three) % 2], log_every, weighting, way)
    for one, way in enumerate(WAYS)
    for two, weighting in enumerate(WEIGHTINGS)
    for three, log_every in enumerate([None, 2])
]


@pytest.mark.parametrize(("dtype", "log_every", "weighting", "way"), CASES)
def test_recorded_numbers_are_never_rounded(
    dtype: torch.dtype, log_every: int | None, weighting: str, way: str
) -> None:
    logger = MemoryLogger()
    group = LossGroup(EXACT, logger, weighting=WEIGHTINGS[weighting](), log_every=log_every)
    totals = []
    for _ in range(3):
        net = torch.tensor(EXACT["net"], dtype=dtype, requires_grad=True)
        total = WAYS[way](group, EXACT | {"net": net * 1})
        totals.append(total.item())
        total.backward()  # type: ignore[no-untyped-call]
        assert net.grad is not None
    group.flush()

    for name, value in EXACT.items():
        assert logger.values(f"loss/{name}") == [pytest.approx(value, rel=1e-9)] * 3
        assert group[name].mean == pytest.approx(value, rel=1e-9)
    assert logger.values("loss/total") == pytest.approx(totals, rel=1e-6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("dtype", [*HALF, torch.float32, torch.float64])
@pytest.mark.parametrize("whole", [2051, 70001, 2**24 + 1])
def test_a_whole_number_beside_floats_is_not_rounded(
    way: str, log_every: int | None, dtype: torch.dtype, whole: int
) -> None:
    group = LossGroup(["net", "length"], log_every=log_every)
    net = torch.tensor(1.5, dtype=dtype, requires_grad=True)

    total = WAYS[way](group, {"net": net * 1, "length": torch.tensor(whole)})

    assert (group["net"].value, group["length"].value) == (1.5, whole)
    assert group["length"].mean == whole
    assert total.dtype == torch.promote_types(dtype, torch.float32)
    assert total.item() == pytest.approx(whole + 1.5, rel=1e-15 if dtype.itemsize == 8 else 1e-7)
    total.backward()  # type: ignore[no-untyped-call]
    assert net.grad is not None


def test_whole_numbers_that_cancel_are_not_rounded_either() -> None:
    group = LossGroup(["up", "down"])

    group.record({"up": torch.tensor(2**25 + 1), "down": torch.tensor(-3e7)})

    assert group["up"].value == 2**25 + 1


@pytest.mark.parametrize("dtype", [*HALF, torch.float32, torch.float64])
def test_a_weighting_that_is_called_rounds_no_whole_number(dtype: torch.dtype) -> None:
    loss, whole = torch.tensor(1.5, dtype=dtype), torch.tensor(70001)

    for weighting in (AutomaticWeightedLoss(2), UncertaintyWeighting(2)):
        assert weighting(loss, whole).item() == pytest.approx(
            weighting(1.5, 70001).item(), rel=1e-6
        )


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("weight", [1e-8, 1e5, 1.0009765625])
def test_a_weight_keeps_its_digits(
    dtype: torch.dtype, log_every: int | None, weight: float
) -> None:
    logger = MemoryLogger()
    group = LossGroup(["tv"], logger, weighting=StaticWeighting(tv=weight), log_every=log_every)
    tracker = LossTracker("tv", logger, weight=weight, log_every=log_every)
    trackers = Trackers(["tv"], logger, weight=weight, log_every=log_every)
    loss = torch.tensor(0.25, dtype=dtype, requires_grad=True)
    totals = [
        group.update({"tv": loss * 1}, do_backwards=False),
        group.weigh({"tv": loss * 1}),
        tracker.update(loss * 1, do_backwards=False),
        trackers["tv"].update(loss * 1, do_backwards=False),
    ]
    trackers.step()

    for total in totals:
        assert total.dtype == torch.float32
        assert total.item() == pytest.approx(0.25 * weight, rel=1e-6)
        loss.grad = None
        (total * 1024.0 if weight < 1e-3 else total / 1024.0).backward()
        scale = 1024.0 if weight < 1e-3 else 1 / 1024.0
        assert loss.grad is not None
        assert loss.grad.item() == pytest.approx(weight * scale, rel=1e-2)
    for one in (group, tracker, trackers):
        one.flush()
    assert logger.values("weight/tv") == [pytest.approx(weight)] * 3
    assert logger.values("weighted/tv") == [pytest.approx(0.25 * weight)] * 3


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("log_every", [None, 2])
def test_a_clamped_loss_is_clamped_to_its_limit(dtype: torch.dtype, log_every: int | None) -> None:
    logger = MemoryLogger()
    group = LossGroup(["a"], logger, max_loss=0.1, log_every=log_every)
    tracker = LossTracker("b", logger, max_loss=0.1, log_every=log_every)
    loss = torch.tensor(30000.0, dtype=dtype, requires_grad=True)
    total = group.update({"a": loss * 1}, do_backwards=False)
    weighted = tracker.update(loss * 1, do_backwards=False)

    for one in (total, weighted):
        assert one.item() == pytest.approx(0.1, rel=1e-6)
    (total * 4096).backward()  # type: ignore[no-untyped-call]
    assert loss.grad is not None
    assert loss.grad.item() == pytest.approx(4096 * 0.1 / loss.item(), rel=1e-2)
    group.flush()
    tracker.flush()
    assert (group["a"].clamped, tracker.clamped) == (1, 1)
    assert logger.values("weighted/a") == logger.values("weighted/b") == [0.1]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("way", WAYS)
def test_cov_weights_are_those_of_the_same_losses_in_float64(
    dtype: torch.dtype, log_every: int | None, way: str
) -> None:
    groups = [
        LossGroup(["a", "b"], weighting=CoVWeighting(), log_every=every)
        for every in (log_every, None)
    ]
    for step in range(8):
        losses = {
            "a": torch.tensor(1.0 + step % 3, dtype=dtype),
            "b": torch.tensor(100.0 + 7 * (step % 2), dtype=dtype),
        }
        WAYS[way](groups[0], losses)
        groups[1].record({name: loss.double() for name, loss in losses.items()})

    weights = [list(group.next_weights().values()) for group in groups]
    assert weights[0] == pytest.approx(weights[1], rel=1e-9)
    assert groups[0]["b"].std == pytest.approx(groups[1]["b"].std, rel=1e-9)


def by_aggregator(name: str, net: nn.Module) -> TorchJDWeighting:
    aggregation = pytest.importorskip("torchjd.aggregation", reason="needs the torchjd extra")
    return TorchJDWeighting(getattr(aggregation, name)(), net.parameters())


GRADIENTS: dict[str, Callable[[nn.Module], Any]] = {
    "share": lambda net: GradientShareWeighting(net.parameters(), every=1),
    "gradnorm": lambda net: GradNorm(net.parameters()),
    **{name: partial(by_aggregator, name) for name in ("MGDA", "AlignedMTL", "ConFIG")},
}


def measured(kind: str, log_every: int | None, *, under_autocast: bool) -> Any:
    """The weights of some steps, and what the diagnostics say of the last."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    group, used = LossGroup(["a", "b"], weighting=GRADIENTS[kind](net), log_every=log_every), []
    gradients = GradientDiagnostics(net.parameters(), every=1)
    for _ in range(4):
        out = net(torch.randn(8, 3))
        losses = {"a": out[:, 0].square().mean(), "b": 9 * (out[:, 1] - 1).abs().mean()}
        with torch.autocast("cpu", torch.bfloat16, enabled=under_autocast):
            diagnosed = gradients.measure(losses)
            group.update(losses)
        used.append(group.weights)
    return used, diagnosed


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("kind", GRADIENTS)
def test_autocast_takes_no_digit_from_what_goes_by_gradients(
    kind: str, log_every: int | None
) -> None:
    expected = measured(kind, log_every, under_autocast=False)

    assert measured(kind, log_every, under_autocast=True) == expected
