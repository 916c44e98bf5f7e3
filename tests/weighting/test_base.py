from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    CoVWeighting,
    GradientShareWeighting,
    GradNorm,
    History,
    LossGroup,
    ReLoBRaLo,
    SoftAdapt,
    StatisticsSettings,
    TargetWeighting,
    UncertaintySoftmax,
    Weighted,
    weighted_sum,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class InverseMean:
    """A weighting as a user would write it."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        return weighted_sum(losses, 1 / np.nan_to_num(history.mean, nan=1.0))


class Softmax(nn.Module):
    """Another, learned."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(count))

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        weights = self.logits.softmax(0)
        return Weighted(weights.dot(losses), weights.detach())


class Counting:
    """A third, with a memory and settings."""

    def __init__(self, gain: float) -> None:
        self.gain = gain
        self.asked = 0

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        return weighted_sum(losses, np.full(len(history.names), self.gain))

    def hyperparams(self) -> dict[str, Any]:
        return {"gain": self.gain}

    def state_dict(self) -> dict[str, Any]:
        return {"gain": self.gain}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.gain = state["gain"]


def test_a_weighting_of_ones_own_takes_a_few_lines() -> None:
    group = LossGroup(["a", "b"], weighting=InverseMean())

    totals = [group.update({"a": 2.0, "b": 4.0}, do_backwards=False).item() for _ in range(2)]

    assert totals == [6.0, 2.0]
    assert group.weights == {"a": 0.5, "b": 0.25}


@pytest.mark.parametrize(
    "weighting",
    [
        CoVWeighting(decay=0.9),
        GradientShareWeighting(None, reference="a"),
        GradNorm(None),
        ReLoBRaLo(),
        SoftAdapt(),
        TargetWeighting(a=1.0),
        UncertaintySoftmax(),
    ],
    ids=lambda weighting: type(weighting).__name__,
)
def test_loggers_record_every_option(weighting: Any) -> None:
    parameters = inspect.signature(type(weighting)).parameters.values()
    options = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD} - {"place"}

    assert weighting.hyperparams().keys() == options


def test_it_may_learn() -> None:
    group = LossGroup(["a", "b"], weighting=Softmax(2))

    losses = torch.tensor([2.0, 4.0], requires_grad=True)
    group.update({"a": losses[0], "b": losses[1]})

    (logits,) = group.parameter_group()["params"]
    assert logits.grad.tolist() == [-0.5, 0.5]
    assert group.weights == {"a": 0.5, "b": 0.5}
    assert "weighting.logits" in group.state_dict()


def test_it_may_have_settings_and_a_memory() -> None:
    group = LossGroup(["a"], memory := MemoryLogger(), weighting=Counting(3.0))
    group.update({"a": 1.0}, do_backwards=False)

    other = LossGroup(["a"], weighting=Counting(1.0))
    other.load_state_dict(group.state_dict())

    assert memory.hyperparameters["weighting"] == {"method": "Counting", "gain": 3.0}
    assert other.weigh({"a": 1.0}).item() == 3.0


def test_it_sees_the_steps_before_and_which_losses_take_part() -> None:
    seen: list[tuple[int, list[float], list[bool] | None]] = []

    class Curious:
        def weigh(self, losses: Tensor, history: History, /) -> Weighted:
            present = None if history.present is None else history.present.tolist()
            seen.append((history.step, history.count.tolist(), present))
            return weighted_sum(losses, np.ones(2))

    group = LossGroup(["a", "b"], weighting=Curious())
    group.update({"a": 1.0, "b": 2.0}, do_backwards=False)
    group.update({"b": 2.0}, do_backwards=False)
    group.update({"a": 1.0, "b": 2.0}, do_backwards=False, step=7)

    assert seen == [(0, [0, 0], None), (1, [1, 1], [False, True]), (7, [1, 2], None)]


def test_it_can_ask_for_every_statistic() -> None:
    group = LossGroup(
        ["a", "b"], weighting=InverseMean(), block_size=2, statistics=StatisticsSettings(decay=0.5)
    )
    for a, b in ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0)):
        group.update({"a": a, "b": b}, do_backwards=False)
    seen = group.history

    for name, expected in {
        "count": [3, 3],
        "value": [5.0, 6.0],
        "mean": [3.0, 4.0],
        "variance": [8 / 3, 8 / 3],
        "std": [np.sqrt(8 / 3)] * 2,
        "cov": [np.sqrt(8 / 3) / 3, np.sqrt(8 / 3) / 4],
        "minimum": [1.0, 2.0],
        "maximum": [5.0, 6.0],
        "exponential_mean": [3.5, 4.5],
        "block_mean": [2.0, 3.0],
        "ratio_count": [3, 3],
        "ratio_mean": [(1 + 3 + 2.5) / 3, (1 + 2 + 2) / 3],
    }.items():
        assert getattr(seen, name).tolist() == pytest.approx(expected), name


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_a_weighted_sum_has_the_precision_and_the_gradient_of_its_losses(
    dtype: torch.dtype,
) -> None:
    losses = torch.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)

    weighted = weighted_sum(losses, np.array([0.1, 0.25]))
    weighted.total.backward()  # type: ignore[no-untyped-call]

    assert weighted.total.dtype == dtype
    assert losses.grad is not None
    assert torch.equal(losses.grad, torch.tensor([0.1, 0.25], dtype=dtype))


class Returning:
    """A weighting that returns what it was told to."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        self.make = make

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        result: Weighted = self.make(losses)
        return result


TWO = "Returning must give a weight to each of the losses a, b, a vector [2], got the shape "
WRONG: dict[str, tuple[Callable[[Tensor], Any], type[Exception], str]] = {
    "a total alone": (
        lambda losses: losses.sum(),
        TypeError,
        "Returning.weigh must return Weighted(total, weights), got Tensor",
    ),
    "nothing": (lambda _: None, TypeError, "Weighted(total, weights), got NoneType"),
    "a plain total": (
        lambda _: Weighted(3.0, np.ones(2)),  # type: ignore[arg-type]
        TypeError,
        "the total of Returning must be a Tensor, got 3.0",
    ),
    "a total for each": (
        lambda losses: Weighted(losses, np.ones(2)),
        ValueError,
        "the total of Returning must have one element, got the shape (2,)",
    ),
    "words": (
        lambda losses: Weighted(losses.sum(), ["a", "b"]),  # type: ignore[list-item]
        TypeError,
        "the weights of Returning must be a tensor or an array of numbers, got ['a', 'b']",
    ),
    "none": (
        lambda losses: Weighted(losses.sum(), {"a": 1.0, "b": 1.0}),  # type: ignore[arg-type]
        TypeError,
        "an array of numbers, got {'a': 1.0, 'b': 1.0}",
    ),
    "one for all": (
        lambda losses: Weighted(losses.sum(), 1.0),  # type: ignore[arg-type]
        ValueError,
        f"{TWO}()",
    ),
    "too many": (lambda losses: Weighted(losses.sum(), np.ones(3)), ValueError, f"{TWO}(3,)"),
    "a row": (lambda losses: Weighted(losses.sum(), torch.ones(1, 2)), ValueError, f"{TWO}(1, 2)"),
}
NOT_FINITE: dict[str, Callable[[Tensor], Any]] = {
    "nan": lambda losses: weighted_sum(losses, np.array([0.5, np.nan])),
    "infinity": lambda losses: weighted_sum(losses, np.array([0.5, np.inf])),
    "a tensor with nan": lambda losses: weighted_sum(losses, torch.tensor([0.5, np.nan])),
}


def refused(make: Callable[[Tensor], Any], log_every: int | None) -> tuple[Exception, LossGroup]:
    group = LossGroup(["a", "b"], weighting=Returning(make), log_every=log_every)
    parameter = torch.ones((), requires_grad=True)
    losses = {"a": 2 * parameter, "b": 4 * parameter}

    with pytest.raises((TypeError, ValueError)) as caught:
        group.update(losses)

    assert parameter.grad is None
    return caught.value, group


@pytest.mark.parametrize("log_every", [None, 1], ids=["cpu", "device"])
@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_objective_and_its_weights_is_refused_before_backward(
    kind: str, log_every: int | None
) -> None:
    make, error, message = WRONG[kind]
    caught, group = refused(make, log_every)

    assert type(caught) is error
    assert message in str(caught)
    assert (group.step, group["a"].count) == (0, 0)


@pytest.mark.parametrize("kind", NOT_FINITE)
def test_weights_that_are_not_finite_are_refused_before_backward(kind: str) -> None:
    caught, group = refused(NOT_FINITE[kind], None)

    assert "the weights that Returning gives to finite losses must be finite, got {'a': 0.5" in str(
        caught
    )
    assert (group.step, group["a"].count) == (0, 0)


@pytest.mark.parametrize("log_every", [None, 1], ids=["cpu", "device"])
def test_what_was_accumulated_outlives_an_objective_that_is_refused(log_every: int | None) -> None:
    weighting = Returning(lambda losses: losses)
    group = LossGroup(["a"], weighting=weighting, log_every=log_every)
    group.accumulate({"a": 1.0})

    for losses in ({"a": 3.0}, None):
        with pytest.raises(TypeError, match="got Tensor"):
            group.record(losses)
    weighting.make = lambda losses: weighted_sum(losses, np.ones(1))
    group.record({"a": 3.0})

    assert (group.step, group["a"].value, group["a"].count) == (1, 2.0, 1)


def live(weights: list[float]) -> list[Any]:
    """A plain number, and one with a graph."""
    return [weights[0], torch.tensor(float(weights[1]), requires_grad=True) * 1]


@pytest.mark.parametrize("log_every", [None, 1], ids=["cpu", "device"])
@pytest.mark.parametrize("make_weights", [list, tuple, np.float32, torch.tensor, live])
def test_weights_may_be_any_sequence_of_numbers(
    make_weights: Callable[[Any], Any], log_every: int | None
) -> None:
    weighting = Returning(lambda losses: Weighted(losses.sum(), make_weights([0.5, 2])))
    group = LossGroup(["a", "b"], weighting=weighting, log_every=log_every)

    group.update({"a": 1.0, "b": 2.0}, do_backwards=False)

    assert group.weights == {"a": 0.5, "b": 2.0}
    assert not any(isinstance(weight, Tensor) for weight in group.weights.values())


def test_a_weight_may_be_nan_where_a_loss_is_that_stays_in() -> None:
    weighting = Returning(lambda losses: weighted_sum(losses, losses / losses.sum()))
    group = LossGroup(["a", "b"], weighting=weighting, nonfinite="keep")

    with pytest.warns(RuntimeWarning, match="loss 'a' is nan"):
        group.update({"a": np.nan, "b": 2.0}, do_backwards=False)

    assert np.isnan(group.weights["b"])
    assert (group.step, group["a"].nonfinite) == (1, 1)


class Watching(nn.Module):
    """A fourth, which wants to know when a step is over."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        self.heard.append("weigh")
        return weighted_sum(losses, np.ones(len(history.names)))

    def recorded(self, losses: Tensor, weights: Tensor, history: History) -> None:
        self.heard.append("recorded")

    def get_extra_state(self) -> dict[str, Any]:
        return {"heard": len(self.heard)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.heard = ["loaded"] * state["heard"]


def test_a_weighting_hears_when_a_step_is_over() -> None:
    weighting = Watching()
    group = LossGroup(("a",), weighting=weighting)

    group.update({"a": 1.0}, do_backwards=False)
    group.weigh({"a": 1.0})
    group.record({"a": 1.0})

    assert weighting.heard == ["weigh", "recorded", "weigh", "recorded"]


@pytest.mark.parametrize("log_every", [None, 2])
def test_it_hears_which_losses_took_part_in_any_of_the_micro_batches(log_every: int | None) -> None:
    class Seen(InverseMean):
        def recorded(self, losses: Tensor, weights: Tensor, history: History) -> None:
            is_all = history.present is None or bool(history.present.all())
            heard.append((losses.tolist(), is_all))

    heard: list[Any] = []
    group = LossGroup(["a", "b"], weighting=Seen(), log_every=log_every)

    for losses in ({"a": 1.0, "b": 2.0}, {"a": 3.0}):
        group.weigh(losses)
        group.accumulate(losses)
    group.record()

    assert heard == [([2.0, 2.0], True)]
