from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    LearnedWeighting,
    LossGroup,
    UncertaintyWeighting,
)
from multi_loss_weighting.weighting._movement import MovementWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class OwnWeighting(LearnedWeighting):
    """As a user writes one."""

    def __init__(self, num: int) -> None:
        super().__init__(num, start=0.0)

    def terms_and_weights(self, params: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        weights = len(params) * params.softmax(0)
        return weights * losses + params.square(), weights.detach()


Method = AutomaticWeightedLoss | UncertaintyWeighting | OwnWeighting

METHODS = pytest.mark.parametrize(
    "method", [AutomaticWeightedLoss, UncertaintyWeighting, OwnWeighting]
)
HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


# Half precision.


@METHODS
@HALVES
def test_weights_keep_float32_where_a_model_goes_to_half_precision(
    method: type[Method], dtype: torch.dtype
) -> None:
    weighting = method(2)
    with torch.no_grad():
        weighting.params.copy_(torch.tensor([1 / 3, 2 / 3]))
    before = weighting.params.tolist()

    nn.Sequential(LossGroup(["a", "b"], weighting=weighting), nn.Linear(1, 1)).to(dtype)

    assert weighting.params.dtype is torch.float32
    assert weighting.params.tolist() == before


def test_weights_in_float64_keep_it_in_half_precision_and_go_to_float32_when_asked() -> None:
    awl = AutomaticWeightedLoss(2).double()

    assert awl.params.dtype is torch.float64
    assert awl.half().params.dtype is torch.float64
    assert awl.float().params.dtype is torch.float32


def test_weights_go_to_another_device_and_half_precision_at_once() -> None:
    awl = AutomaticWeightedLoss(2).to("meta", torch.bfloat16)

    assert (awl.params.device.type, awl.params.dtype) == ("meta", torch.float32)


@pytest.fixture
def _half_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.bfloat16)
    yield
    torch.set_default_dtype(torch.float32)


@METHODS
@pytest.mark.usefixtures("_half_by_default")
def test_weights_are_made_in_float32_where_half_precision_is_the_default(
    method: type[Method],
) -> None:
    assert method(2).params.dtype is torch.float32


@METHODS
@HALVES
def test_losses_in_half_precision_are_weighed_as_if_they_were_wider(
    method: type[Method], dtype: torch.dtype
) -> None:
    weighting = method(2)
    with torch.no_grad():
        weighting.params.fill_(0.3)
    half = [torch.tensor(value, dtype=dtype, requires_grad=True) for value in (1.5, 3.25)]

    total = weighting(*half)
    total.backward()

    assert total.dtype is torch.float32
    assert total.item() == weighting(1.5, 3.25).item()
    assert half[0].grad is not None
    assert half[0].grad.item() != 0


# Whether they move.


def train(
    weighting: Method, optimizer: torch.optim.Optimizer | None, steps: int = 300
) -> list[str]:
    """What was said in so many steps; losses of 1 and 2 in a group."""
    group = LossGroup(["a", "b"], weighting=weighting)
    loss = torch.ones((), requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(steps):
            if optimizer is not None:
                optimizer.zero_grad()
            group.update({"a": 3 * loss, "b": 2 * loss})
            if optimizer is not None:
                optimizer.step()
    return [str(one.message) for one in caught]


OPTIMIZERS: list[dict[str, Any]] = [{}, {"foreach": True}, {"fused": True}]


@METHODS
@pytest.mark.parametrize("options", OPTIMIZERS)
def test_weights_with_a_learning_rate_of_0_are_told_so_once(
    method: type[Method], options: dict[str, Any]
) -> None:
    weighting = method(2)

    (message,) = train(weighting, torch.optim.Adam(weighting.parameters(), lr=0.0, **options))

    assert message.startswith(f"the weights of {method.__name__} have not moved in 100 steps: ")
    assert "learning rate" in message


@METHODS
def test_weights_that_are_recorded_and_trained_by_no_total_are_told_so(
    method: type[Method],
) -> None:
    weighting = method(2)
    group, optimizer = LossGroup(weighting=weighting), torch.optim.Adam(weighting.parameters())

    def record_alone(steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            group.record({"a": 1.0, "b": 2.0})
            optimizer.step()

    with pytest.warns(RuntimeWarning, match="they get no gradient: call backward") as caught:
        record_alone(150)

    assert len(caught) == 1


def test_a_learning_rate_below_what_float32_can_tell_is_told_too() -> None:
    awl = AutomaticWeightedLoss(2)

    (message,) = train(awl, torch.optim.Adam(awl.parameters(), lr=1e-9))

    assert "learning rate (lr) that their optimizer has for them is 0 or too small" in message


@METHODS
def test_frozen_weights_are_told_so_once(method: type[Method]) -> None:
    weighting = method(2).requires_grad_(False)

    (message,) = train(weighting, torch.optim.SGD(weighting.parameters(), lr=0.1))

    assert "requires_grad" in message


def test_weights_that_are_frozen_in_some_steps_only_are_not_frozen() -> None:
    awl = AutomaticWeightedLoss(2)

    def thaw_and_freeze() -> None:
        for step in range(250):
            awl.requires_grad_(step % 2 == 0)(1.0, 2.0)

    with pytest.warns(RuntimeWarning, match="give its parameters to the optimizer") as caught:
        thaw_and_freeze()

    assert len(caught) == 1


@METHODS
def test_weights_in_no_optimizer_are_told_so_once(method: type[Method]) -> None:
    (message,) = train(method(2), None)

    assert "give its parameters to the optimizer" in message


def test_a_half_precision_of_the_users_own_is_named() -> None:
    awl = AutomaticWeightedLoss(2)
    awl.params = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))

    (message,) = train(awl, torch.optim.AdamW(awl.parameters(), lr=1e-3, weight_decay=0.0))

    assert "rounding in torch.bfloat16" in message


@METHODS
@pytest.mark.parametrize("options", OPTIMIZERS)
def test_weights_that_learn_are_told_nothing(method: type[Method], options: dict[str, Any]) -> None:
    weighting = method(2).bfloat16()
    start = weighting.params.tolist()

    said = train(weighting, torch.optim.Adam(weighting.parameters(), lr=1e-5, **options))

    assert said == []
    assert weighting.params.tolist() != start


def test_a_copy_counts_for_itself() -> None:
    awl = AutomaticWeightedLoss(2)
    train(awl, None, steps=60)

    for other in (copy.deepcopy(awl), pickle.loads(pickle.dumps(awl))):
        assert train(other, None, steps=60) == []


def test_a_copy_of_a_group_that_needs_to_hear_no_more_begins_to_hear() -> None:
    def update(group: LossGroup) -> None:
        for _ in range(101):
            group.update({"a": torch.ones((), requires_grad=True), "b": 2.0})

    group = LossGroup(["a", "b"], weighting=AutomaticWeightedLoss(2))

    for one in (group, copy.deepcopy(group)):
        with pytest.warns(RuntimeWarning, match="have not moved in 100 steps"):
            update(one)


def test_a_weighting_of_ones_own_that_learns_and_remembers_hears_of_each_step() -> None:
    class Remembers(AutomaticWeightedLoss):
        steps = 0

        def recorded(self, *step: object) -> None:
            super().recorded(*step)
            self.steps += 1

    weighting = Remembers(2)

    train(weighting, torch.optim.Adam(weighting.parameters(), lr=0.1), steps=150)

    assert weighting.steps == 150


def test_a_group_takes_parameters_that_are_no_leaves() -> None:
    """As those of a step of MAML, of which torch warns when their gradient is asked for."""
    group = LossGroup(["a", "b"], weighting=AutomaticWeightedLoss(2))
    moved = {name: 2 * parameter for name, parameter in group.named_parameters()}
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.func.functional_call(group, moved, (losses,))
        group.record(losses)


def test_weights_whose_gradients_are_gone_when_a_step_is_recorded_are_told_both_causes() -> None:
    group = LossGroup(["a", "b"], weighting=AutomaticWeightedLoss(2))
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}

    def train(steps: int) -> None:
        for _ in range(steps):
            group.weigh(losses).backward()  # type: ignore[no-untyped-call]
            group.zero_grad()
            group.record(losses)

    with pytest.warns(RuntimeWarning, match="if they get one .* give its parameters"):
        train(110)


def test_a_step_under_a_functional_transform_does_not_count() -> None:
    awl = AutomaticWeightedLoss(2)
    values: dict[str, torch.Tensor] = dict(awl.named_parameters())

    def total(values: dict[str, torch.Tensor]) -> Any:
        return torch.func.functional_call(awl, values, (1.0, 2.0))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(120):
            gradients = torch.func.grad(total)(values)

    assert gradients["params"].tolist() == [0.0, -1.0]


def test_any_shard_without_values_is_no_reason_to_warn() -> None:
    watch = MovementWatch()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(150):
            watch.step(nn.Parameter(torch.ones(0)), "it", is_after_backward=False)


# How many losses there are.


@METHODS
def test_losses_may_come_one_after_the_other(method: type[Method]) -> None:
    weighting = method(3)
    two = LossGroup(["a", "b"], weighting=weighting)
    losses = torch.tensor([2.0, 3.0], requires_grad=True)

    total = two.update({"a": losses[0], "b": losses[1]})

    assert total.item() == pytest.approx(method(2)(2.0, 3.0).item())
    assert weighting.params.grad is not None
    assert weighting.params.grad[2] == 0


@METHODS
def test_one_loss_more_than_it_was_made_for_is_an_error_that_says_the_way_out(
    method: type[Method],
) -> None:
    group = LossGroup(["a", "b", "adv"], weighting=method(2))

    with pytest.raises(
        ValueError,
        match=f"{method.__name__} was made for 2 losses, got 3 with 'adv': make it with num=3",
    ):
        group.weigh({"a": 1.0, "b": 2.0, "adv": 3.0})


@METHODS
def test_it_tells_how_many_losses_it_takes(method: type[Method]) -> None:
    assert method(5).num_losses == 5


# Made on the meta device.


@METHODS
def test_parameters_can_be_reset_after_they_were_made_on_the_meta_device(
    method: type[Method],
) -> None:
    with torch.device("meta"):
        weighting = method(3)
    assert weighting.params.is_meta

    weighting.to_empty(device="cpu")
    weighting.reset_parameters()

    assert weighting.params.tolist() == method(3).params.tolist()
    assert weighting.params.requires_grad


# Derivatives.


@METHODS
def test_it_can_be_derived_twice(method: type[Method]) -> None:
    weighting = method(3).double()
    losses = torch.tensor([0.5, 2.0, 7.0], dtype=torch.float64, requires_grad=True)

    def total(params: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
        return weighting.terms_and_weights(params, losses)[0].sum()

    assert torch.autograd.gradgradcheck(total, (weighting.params, losses))


def test_a_copy_that_was_made_in_inference_mode_is_recorded() -> None:
    group = LossGroup(["a", "b"], weighting=AutomaticWeightedLoss(2))
    with torch.inference_mode():
        mean = copy.deepcopy(group)

    mean.record({"a": 1.0, "b": 2.0})

    assert (mean.step, mean.weights) == (1, group.next_weights())


# One of the user's own.


class OtherTerms(OwnWeighting):
    """Gives something else than a term for each loss."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__(2)
        self.change = change

    def terms_and_weights(self, params: Tensor, losses: Tensor) -> Any:
        terms, weights = super().terms_and_weights(params, losses)
        return self.change(terms), weights


@pytest.mark.parametrize(
    ("change", "got"), [(torch.sum, r"the shape \(\)"), (Tensor.tolist, "<class 'list'>")]
)
def test_terms_that_are_not_one_for_each_loss_are_an_error(
    change: Callable[[Tensor], Any], got: str
) -> None:
    needed = r"OtherTerms.terms_and_weights must give a term to each of the losses, a tensor \[2\]"
    weighting = OtherTerms(change)
    group = LossGroup(["a", "b"], weighting=weighting)

    with pytest.raises(ValueError, match=f"{needed}, got {got}"):
        group.update({"a": 1.0, "b": 2.0}, do_backwards=False)
    with pytest.raises(ValueError, match=f"{needed}, got {got}"):
        weighting(1.0, 2.0)

    assert group["a"].count == 0


@METHODS
@pytest.mark.parametrize("loss", [torch.ones(3), [1.0, 2.0], torch.ones(0)])
def test_a_loss_of_several_elements_is_an_error_in_a_call_too(
    method: type[Method], loss: Any
) -> None:
    with pytest.raises(ValueError, match=r"loss 1 must be one number .* call .mean\(\) or .sum\("):
        method(2)(1.0, loss)


def test_a_loss_that_is_missing_has_no_term_in_the_total_of_ones_own() -> None:
    weighting = OwnWeighting(2)
    with torch.no_grad():
        weighting.params.fill_(1.0)
    group = LossGroup(["a", "b"], weighting=weighting)

    total = group.update({"a": 3.0}, do_backwards=False)

    assert total.item() == pytest.approx(3.0 + 1.0)


class Logarithms(OwnWeighting):
    """Has no slope at a loss of 0."""

    def terms_and_weights(self, params: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        factors = torch.exp(-params)
        return factors * losses.log() + params, (factors / losses).detach()


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("other", [{}, {"b": math.nan}, {"b": math.inf}])
@pytest.mark.filterwarnings("ignore:loss 'b'")
def test_a_loss_that_takes_no_part_moves_no_parameter_of_ones_own(
    other: dict[str, float], log_every: int | None
) -> None:
    weighting = Logarithms(2)
    group = LossGroup(["a", "b"], weighting=weighting, log_every=log_every)
    a, b = torch.tensor([2.0, 1.0], requires_grad=True)

    group.update({"a": a * 1} | {name: b * value for name, value in other.items()})

    assert weighting.params.grad is not None
    assert weighting.params.grad.tolist() == [pytest.approx(1 - math.log(2.0)), 0.0]
