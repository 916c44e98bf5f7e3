"""What torch makes by default, e.g. inside `torch.device("meta")`, changes nothing of ours."""

from __future__ import annotations

import contextlib
import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    GradientDiagnostics,
    GradientShareWeighting,
    GradNorm,
    History,
    LossGroup,
    LossTracker,
    StaticWeighting,
    StatisticsSettings,
    Trackers,
    Weighted,
    weighted_sum,
)

from .methods import methods
from .states import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

pytestmark = pytest.mark.filterwarnings("ignore:loss 'b' is nan at step 3:RuntimeWarning")


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


CONTEXTS: dict[str, Callable[[], Any]] = {
    "on meta": lambda: torch.device("meta"),
    "on meta by default": default_device,
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
}


class InverseMean:
    """A weighting of a user's own, from the history."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        mean = torch.as_tensor(history.mean, device=losses.device).nan_to_num(1.0)
        return weighted_sum(losses, 1 / mean.clamp_min(0.1))

    def recorded(self, losses: Tensor, weights: Tensor, history: History, /) -> None:
        self.seen.append((losses.tolist(), weights.tolist()))


def rising(step: int) -> float:
    return step / 7


X = torch.tensor([1.0, 2.0], requires_grad=True)
WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "plain": lambda: None,
    "equal": EqualWeighting,
    "static": lambda: StaticWeighting(a=0.1, b=rising),
    "cov": CoVWeighting,
    **{kind: make for kind, make in methods("a b").items() if "learned" not in kind},
    "user's own": InverseMean,
}
NAN = torch.tensor(float("nan"))
HALF = torch.tensor(1.5, dtype=torch.float16)


def losses_of(step: int) -> dict[str, Any]:
    """Tensors, plain numbers and half precision, of which some are missing or not finite."""
    losses: dict[str, Any] = {"a": (X**2).sum() * (1 + step), "b": X.sum() * (1 + step % 3)}
    if step == 3:
        losses["b"] = losses["b"] * NAN
    if step == 4:
        losses = {"a": losses["a"], "b": 0.1}
    if step == 5:
        losses = {"b": HALF}
    return losses


def trained(kind: str, log_every: int | None) -> tuple[LossGroup, MemoryLogger, list[Any]]:
    logger = MemoryLogger()
    totals: list[Any] = []
    group = LossGroup(
        ["a", "b"],
        logger,
        weighting=WEIGHTINGS[kind](),
        max_loss={"a": 20.0},
        block_size=2,
        statistics=StatisticsSettings(history=3, decay=0.9),
        log_every=log_every,
    )
    for step in range(8):
        losses = losses_of(step)
        totals.append(group.update(losses, do_backwards=False).tolist())
        group.weigh(losses)
        group.record(losses)
        group.accumulate(losses, samples=2)
        group.accumulate(losses, samples=0)
        group.record(step=step)
        totals += [group.finite.tolist(), group.next_weights(), group.weights]
    group.end_epoch()
    group.flush()
    return group, logger, totals


def all_of(kind: str, log_every: int | None) -> Any:
    group, logger, totals = trained(kind, log_every)
    file = plain(group.state_dict())
    others = [copy.deepcopy(group), pickle.loads(pickle.dumps(group))]
    others.append(LossGroup(["a", "b"], weighting=WEIGHTINGS[kind](), log_every=log_every))
    others[-1].load_state_dict(group.state_dict(), strict=False)
    after = [one.update(losses_of(0), do_backwards=False).tolist() for one in others]
    seen = getattr(group.weighting, "seen", None)
    rows = [(step, row) for step, _, row in logger.rows]
    return repr((file, rows, totals, after, seen))


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_group_has_the_same_numbers(context: str, kind: str, log_every: int | None) -> None:
    expected = all_of(kind, log_every)

    with CONTEXTS[context]():
        inside = all_of(kind, log_every)

    assert inside == expected


def weights_by_gradients(make: Callable[[], Any], log_every: int | None) -> Any:
    group = LossGroup(weighting=make(), log_every=log_every)
    for step in range(5):
        losses = losses_of(0)
        group.update(losses | ({"late": (X * step).sum()} if step > 2 else {}))
    again = LossGroup(weighting=make(), log_every=log_every)
    again.load_state_dict(group.state_dict())
    again.update(losses_of(1))
    return group.weights, again.weights


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize(
    "make", [lambda: GradNorm([X]), lambda: GradientShareWeighting([X], every=2)]
)
@pytest.mark.parametrize("context", CONTEXTS)
def test_gradients_weigh_alike(
    context: str, make: Callable[[], Any], log_every: int | None
) -> None:
    expected = weights_by_gradients(make, log_every)

    with CONTEXTS[context]():
        inside = weights_by_gradients(make, log_every)

    assert inside == expected


def of_trackers(log_every: int | None) -> str:
    logger = MemoryLogger()
    tracker = LossTracker("a", logger, max_loss=9.0, warmup=3, log_every=log_every)
    trackers = Trackers(["a", "b"], logger, warmup=2, log_every=log_every)
    weighted = []
    for step in range(6):
        loss = X.detach().sum() * (1 + step % 4)
        weighted.append(tracker.update(loss, do_backwards=False).tolist())
        weighted.append(float(tracker.update(0.1 * step, do_backwards=False)))
        trackers["a"].update(loss, do_backwards=False)
        trackers["b"].update(HALF, do_backwards=False, samples=3)
        trackers.step(extra={"lr": 0.1})
        weighted += [tracker.finite.tolist(), tracker.weight]
    tracker.flush()
    trackers.flush()
    again = LossTracker("a", max_loss=9.0, warmup=3, log_every=log_every)
    again.load_state_dict(tracker.state_dict())
    weighted.append(again.update(X.detach().sum(), do_backwards=False).tolist())
    rows = [(step, row) for step, _, row in logger.rows]
    states = plain(tracker.state_dict()), plain(trackers.state_dict())
    return repr((weighted, rows, states))


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("context", CONTEXTS)
def test_trackers_have_the_same_numbers(context: str, log_every: int | None) -> None:
    expected = of_trackers(log_every)

    with CONTEXTS[context]():
        inside = of_trackers(log_every)

    assert inside == expected


@pytest.mark.parametrize("context", ["float16", "bfloat16"])
def test_learned_weights_train_alike(context: str) -> None:
    def run() -> str:
        group = LossGroup(["a", "b"], weighting=AutomaticWeightedLoss(2))
        optimizer = torch.optim.SGD(group.parameters(), 0.1)
        totals = []
        for step in range(5):
            optimizer.zero_grad()
            losses = {name: loss for name, loss in losses_of(step).items() if name == "a"}
            totals.append(group.update(losses).tolist())
            optimizer.step()
        return repr((totals, plain(group.state_dict())))

    expected = run()
    with CONTEXTS[context]():
        inside = run()

    assert inside == expected


@pytest.mark.parametrize("context", CONTEXTS)
def test_gradient_diagnostics_measure_alike(context: str) -> None:
    def run() -> Any:
        diagnostics = GradientDiagnostics([X])
        measured = diagnostics.measure({"a": (X**2).sum(), "b": X.sum()})
        return measured, diagnostics.state_dict()["calls"].tolist()

    expected = run()
    with CONTEXTS[context]():
        inside = run()

    assert inside == expected
