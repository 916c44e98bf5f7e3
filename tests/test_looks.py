"""Whoever looks at the weights in the middle of a step changes nothing of the training."""

from __future__ import annotations

import contextlib
import copy
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    GradientShareWeighting,
    GradNorm,
    History,
    LossGroup,
    NormalizedWeighting,
    TargetWeighting,
    Weighted,
    weighted_sum,
)

from .methods import methods

if TYPE_CHECKING:
    from collections.abc import Callable

WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "CoV": CoVWeighting,
    "normalized target": lambda: NormalizedWeighting(TargetWeighting(a=0.5, rate=0.1)),
    **methods("a b c"),
}


@torch.no_grad()
def validate(group: LossGroup) -> None:
    group.weigh({"a": 5.0, "b": 7.0})
    with contextlib.suppress(ValueError):  # a weighting that is made for three losses
        group.weigh({"a": 5.0, "b": 7.0, "of the validation": 3.0})


def look_at_views(group: LossGroup) -> None:
    for name in group:
        assert group[name].weight >= 0


LOOKS: dict[str, Callable[[LossGroup], Any]] = {
    "printed": str,
    "weights": lambda group: group.weights,
    "next weights": LossGroup.next_weights,
    "views": look_at_views,
    "weights of compiled code": lambda group: group.weights_for(torch.ones(len(group))),
    "validation": validate,
    "copied": copy.deepcopy,
}


def numbers(group: LossGroup) -> list[Any]:
    state = group.state_dict()
    return [group.next_weights(), *(tensor.tolist() for tensor in state.values())]


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("name", WEIGHTINGS)
@pytest.mark.parametrize("look", LOOKS)
def test_a_look_between_weigh_and_record_changes_nothing(
    look: str, name: str, log_every: int | None
) -> None:
    quiet, watched = (LossGroup(weighting=WEIGHTINGS[name](), log_every=log_every) for _ in "ab")
    for step in range(8):
        losses = {"a": 2000.0 / (step + 1), "b": 1.0 + step % 3}
        if step > 3:
            losses["c"] = 0.1 * step
        for group in (quiet, watched):
            group.weigh(losses)
            if group is watched:
                LOOKS[look](group)
            group.record(losses)

    assert repr(numbers(watched)) == repr(numbers(quiet))


@pytest.mark.parametrize("log_every", [None, 3])
def test_losses_of_a_validation_do_not_join(log_every: int | None) -> None:
    group = LossGroup(weighting=AutomaticWeightedLoss(2), log_every=log_every)
    with torch.no_grad():
        group.weigh({"of the validation": torch.tensor(1.0)})

    group.update({"a": 1.0, "b": 2.0}, do_backwards=False)
    before = group.next_weights()
    with torch.no_grad(), pytest.raises(ValueError, match="is made for 2 losses"):
        group.weigh({"a": 5.0, "of the validation": 3.0})

    assert group.names == ("a", "b")
    assert group.next_weights() == before


class Step:
    """One of a network, whose backward may run out of memory."""

    def __init__(self, weighting_of: Callable[[list[nn.Parameter]], Any]) -> None:
        torch.manual_seed(0)
        self.net = nn.Linear(2, 1)
        self.is_out_of_memory = False
        weighting = weighting_of(list(self.net.parameters()))
        self.group = LossGroup(["a", "b"], weighting=weighting, backward=self.backward)

    def backward(self, total: Tensor) -> None:
        if self.is_out_of_memory:
            raise torch.OutOfMemoryError
        total.backward()  # type: ignore[no-untyped-call]

    def losses(self, scale: float = 1.0) -> dict[str, Tensor]:
        out = self.net(torch.ones(2))
        return {"a": scale * (out - 1).square().mean(), "b": (out + 1).square().mean()}

    def fail(self) -> None:
        self.is_out_of_memory = True
        with pytest.raises(torch.OutOfMemoryError):
            self.group.update(self.losses(1000.0))
        self.is_out_of_memory = False

    def forget(self) -> None:
        self.group.weigh(self.losses(1000.0))
        self.group.forget_accumulated()


class Heard:
    """What a weighting is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        self.calls.append("weigh")
        return weighted_sum(losses, [1.0] * len(losses))

    def recorded(self, *_: Any) -> None:
        self.calls.append("recorded")

    def given_up(self) -> None:
        self.calls.append("given up")


def test_a_step_is_recorded_or_given_up_and_one_that_was_not_weighed_is_neither() -> None:
    weighting = Heard()
    group = LossGroup(["a"], weighting=weighting, nonfinite="raise")
    loss = torch.ones((), requires_grad=True)

    with pytest.raises(FloatingPointError):
        group.update({"a": loss * math.nan})
    group.weigh({"a": loss})
    with pytest.raises(ValueError, match="step must be"):
        group.update({"a": loss}, step="x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no loss has a gradient \(a\)"):
        group.update({"a": 1.0})
    group.record({"a": loss})
    group.update({"a": loss}, samples=0)

    assert weighting.calls == ["weigh", "recorded", "weigh", "recorded", "weigh", "given up"]


@pytest.mark.parametrize("given_up", [Step.fail, Step.forget])
@pytest.mark.parametrize("method", [GradNorm, GradientShareWeighting])
@pytest.mark.parametrize("is_normalized", [False, True])
def test_gradients_of_a_step_that_was_given_up_count_for_nothing(
    given_up: Callable[[Step], None], method: Any, is_normalized: bool
) -> None:
    def weighting_of(parameters: list[nn.Parameter]) -> Any:
        own = method(parameters)
        return NormalizedWeighting(own) if is_normalized else own

    usual, other = Step(weighting_of), Step(weighting_of)
    given_up(other)
    for one in (usual, other):
        one.group.update(one.losses())

    assert other.group.next_weights() == usual.group.next_weights()
