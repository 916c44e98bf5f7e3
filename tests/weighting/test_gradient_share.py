from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from loss_loggers import MemoryLogger
from multi_loss_weighting import GradientShareWeighting, LossGroup

from .networks import Trivial, TwoHeads, norms

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("small", "large")
FREE: dict[str, Any] = {"max_weight": 1e12, "max_change": 1e12, "smoothing": 0.0, "every": 1}
"""Without guards, as the methods are published."""


def group_of(net: TwoHeads, place: Any = "all", log_every: int | None = None, **how: Any) -> Any:
    place = {"all": list(net.parameters()), "last": net.trunk.weight}.get(place)
    weighting = GradientShareWeighting(place, **how)
    return LossGroup(NAMES, weighting=weighting, log_every=log_every), weighting


def train(net: Any, group: LossGroup, steps: range, lr: float = 1e-3) -> Iterator[dict[str, Any]]:
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    for step in steps:
        losses = net(step)
        optimizer.zero_grad()
        yield losses
        group.update(losses)
        optimizer.step()


# What is published.


@pytest.mark.parametrize("log_every", [None, 1])
@pytest.mark.parametrize("place", ["all", "last"])
def test_with_a_reference_it_is_the_weight_of_vqgan_and_of_learning_rate_annealing(
    place: str, log_every: int | None
) -> None:
    net = TwoHeads()
    group, weighting = group_of(
        net, place, log_every, reference="small", shares={"small": 1, "large": 0.8}, **FREE
    )
    expected = [1.0]
    for losses in train(net, group, range(6)):
        sizes = norms(losses, weighting.place)
        expected.append(0.8 * sizes["small"] / sizes["large"])
        if len(expected) == 2:  # the first counts at once, and the others from the next step on
            assert group.weights["large"] == 1
            expected[0] = expected[1]

    # The weight of the last step is from the one before.
    assert group.weights == pytest.approx({"small": 1.0, "large": expected[-2]}, rel=1e-5)
    assert group.next_weights()["large"] == pytest.approx(expected[-1], rel=1e-5)


def test_with_a_tensor_it_is_the_balancer_of_encodec_up_to_its_total_norm() -> None:
    net, shares, averages = TwoHeads(), {"small": 1.0, "large": 3.0}, dict[str, Any]()
    group, weighting = group_of(net, None, shares=shares, **FREE | {"smoothing": 0.9})

    for step in range(20):
        losses = net(step)
        sizes = norms(losses, net.hidden)
        weighting.place = net.hidden
        group.update(losses)
        for name, norm in sizes.items():
            total, fix = averages.get(name, (0.0, 0.0))
            averages[name] = total * 0.9 + norm, fix * 0.9 + 1

    means = {name: total / fix for name, (total, fix) in averages.items()}
    theirs = {name: shares[name] / 4 / means[name] for name in NAMES}
    weights = group.next_weights()
    total_norm = sum(means.values())
    assert weights == pytest.approx({k: v * total_norm for k, v in theirs.items()}, rel=1e-5)


def test_by_weighted_losses_it_goes_to_the_root_as_the_code_of_annealing() -> None:
    weight, parameter = 1.0, torch.ones(2, requires_grad=True)
    weighting = GradientShareWeighting(
        parameter, reference="a", weighted=True, **FREE | {"smoothing": 0.9}
    )
    group = LossGroup(["a", "b"], weighting=weighting)

    for _ in range(300):
        group.update({"a": 16 * parameter[0], "b": parameter[1]})
        weight = 0.1 * 16 / (weight * 1) + 0.9 * weight  # their update of the weight itself

    assert group.weights["b"] == pytest.approx(weight, rel=1e-3) == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize("shares", [None, {"small": 1.0, "large": 4.0}])
def test_each_loss_has_its_share_and_the_sum_of_the_norms_stays(shares: Any) -> None:
    net = TwoHeads()
    group, weighting = group_of(net, shares=shares, **FREE)

    group.update(net(0))

    sizes = norms(net(0), weighting.place)
    weighted = {name: group.weights[name] * sizes[name] for name in NAMES}
    ratio = 1 if shares is None else 4
    assert weighted["large"] / weighted["small"] == pytest.approx(ratio, rel=1e-5)
    assert sum(weighted.values()) == pytest.approx(sum(sizes.values()), rel=1e-5)


# Guards.


def run_away(**how: Any) -> tuple[list[float], GradientShareWeighting, float]:
    """Train on the trivial problem; the course of the weight, and the size of what comes out."""
    net = Trivial()
    weighting = GradientShareWeighting(net.parameters(), reference="residual", **how)
    group = LossGroup(["residual", "boundary"], weighting=weighting)
    course = [group.weights["boundary"] for _ in train(net, group, range(250), lr=1e-2)]
    x = torch.linspace(-1, 1, 101)[:, None]
    return course, weighting, net.net(x).abs().max().item()


def test_the_weight_of_a_loss_with_a_trivial_solution_runs_away_without_guards() -> None:
    course, weighting, _ = run_away(**FREE)

    assert max(course) > 1e4
    assert weighting.capped == weighting.slowed == {"residual": 0, "boundary": 0}


def test_the_guards_catch_it_and_count_that() -> None:
    course, weighting, size = run_away(every=2)

    assert max(course) <= 100
    assert weighting.capped["boundary"] > 10
    assert weighting.guards()["capped/boundary"] == weighting.capped["boundary"]
    assert size > 0.1


def test_a_weight_changes_by_no_more_than_a_factor_at_a_measurement() -> None:
    parameter = torch.ones(2, requires_grad=True)
    weighting = GradientShareWeighting(parameter, reference="a", smoothing=0.0, every=1)
    group = LossGroup(["a", "b"], weighting=weighting)
    seen = []
    for strength in (1.0, 50.0, 50.0, 50.0, 0.1, 0.1):
        group.update({"a": strength * parameter[0], "b": parameter[1]})
        seen.append(group.weights["b"])

    assert seen == pytest.approx([1, 1, 2, 4, 8, 4])
    assert group.next_weights()["b"] == pytest.approx(2)
    assert weighting.slowed == {"a": 0, "b": 5}


def test_the_largest_weight_is_so_many_times_the_smallest() -> None:
    parameter = torch.ones(3, requires_grad=True)
    group = LossGroup(["a", "b", "c"], weighting=GradientShareWeighting(parameter, max_weight=10.0))
    losses = dict(zip("abc", parameter * torch.tensor([1.0, 5.0, 1000.0]), strict=True))

    group.update(losses)

    weights = group.weights
    assert weights["a"] / weights["c"] == weights["b"] / weights["c"] == pytest.approx(10)
    total = weights["a"] + 5 * weights["b"] + 1000 * weights["c"]
    assert total == pytest.approx(1006)


@pytest.mark.parametrize("log_every", [None, 1])
@pytest.mark.parametrize("strength", [0.0, math.nan, math.inf])
@pytest.mark.filterwarnings("ignore:loss 'b' is")
def test_a_loss_whose_gradient_vanishes_keeps_its_weight(
    strength: float, log_every: int | None
) -> None:
    parameter = torch.ones(2, requires_grad=True)
    weighting = GradientShareWeighting(parameter, reference="a", every=1)
    group = LossGroup(["a", "b"], weighting=weighting, log_every=log_every)
    group.update({"a": 3 * parameter[0], "b": parameter[1]})

    for _ in range(3):
        b = parameter[1] * strength + 5
        if not math.isfinite(strength):  # a gradient that is not finite, of a loss that is
            b = 5 + _odd(parameter[1], strength)
        group.update({"a": 3 * parameter[0], "b": b})

    assert group.next_weights()["b"] == pytest.approx(3)
    assert weighting.vanished == {"a": 0, "b": 3}


def _odd(value: Tensor, gradient: float) -> Tensor:
    value = value * 1
    value.register_hook(lambda _: torch.full((), gradient))  # type: ignore[no-untyped-call]
    return value


@pytest.mark.parametrize("log_every", [None, 2])
def test_missing_losses_and_those_that_are_not_finite_keep_their_weight(
    log_every: int | None,
) -> None:
    parameter = torch.ones(2, requires_grad=True)
    group = LossGroup(
        ["a", "b"],
        weighting=GradientShareWeighting(parameter, reference="a", every=1),
        log_every=log_every,
    )
    group.update({"a": 3 * parameter[0], "b": parameter[1]})

    group.update({"a": 9 * parameter[0]})
    with pytest.warns(RuntimeWarning, match="loss 'b' is nan"):
        _flushed(group, {"a": 9 * parameter[0], "b": parameter[1] * math.nan})

    assert group.next_weights()["b"] == pytest.approx(3)


# When it measures.


def _flushed(group: LossGroup, losses: dict[str, Tensor]) -> None:
    group.update(losses)
    group.flush()


class Counted(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x * 1

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        Counted.calls += 1
        return gradient


def test_it_measures_once_in_so_many_steps_and_once_a_step() -> None:
    parameter = torch.ones(2, requires_grad=True)
    group = LossGroup(["a", "b"], weighting=GradientShareWeighting(parameter, every=3))
    measured = []
    for _ in range(7):
        Counted.calls = 0
        for _ in range(2):  # as LBFGS asks again
            loss = Counted.apply(parameter[0])  # type: ignore[no-untyped-call]
            group.weigh({"a": loss, "b": parameter[1]})
        group.record({"a": loss, "b": parameter[1]})
        measured.append(Counted.calls)

    assert measured == [1, 0, 0, 1, 0, 0, 1]


def test_the_objective_is_the_same_for_all_calls_in_a_step() -> None:
    net = TwoHeads()
    group, _ = group_of(net, **FREE)
    group.update(net(0))

    first = group.weigh(net(1))
    again = group.weigh(net(1))
    group.record(net(1))

    assert first == again
    assert group.weigh(net(1)) != first


def test_validation_measures_nothing() -> None:
    net = TwoHeads()
    group, weighting = group_of(net, **FREE)
    group.update(net(0))
    before = group.next_weights()

    with torch.no_grad():
        group.weigh(net(5, shift=3.0))

    assert group.next_weights() == before
    assert not weighting.to_average(NAMES, torch.device("cpu")).any()


@pytest.mark.parametrize("max_loss", [math.inf, 100.0, 3.0])
@pytest.mark.parametrize("log_every", [None, 1, 4])
@pytest.mark.parametrize("nonfinite", ["skip", "keep"])
def test_a_loss_of_a_given_name_is_not_measured_before_it_comes(
    nonfinite: Any, log_every: int | None, max_loss: float
) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    weighting = GradientShareWeighting([parameter], every=10)
    settings: dict[str, Any] = {"log_every": log_every, "max_loss": max_loss}
    group = LossGroup(["recon", "adv"], weighting=weighting, nonfinite=nonfinite, **settings)
    weights = []
    for step in range(15):
        losses = {"recon": parameter[0] * 2}
        if step >= 12:  # after the others were measured twice
            losses["adv"] = parameter[1] * 8
        group.update(losses)
        weights.append(group["adv"].last_weight)

    assert weighting.vanished == {"recon": 0, "adv": 0}
    assert all(weight != 1 for weight in weights[12:])


def test_a_loss_that_comes_late_is_measured_at_once() -> None:
    parameter = torch.ones(3, requires_grad=True)
    weighting = GradientShareWeighting(parameter, reference="a", every=100)
    group = LossGroup(weighting=weighting)
    for _ in range(3):
        group.update({"a": 8 * parameter[0], "b": parameter[1]})

    group.update({"a": 8 * parameter[0], "b": parameter[1], "late": 4 * parameter[2]})

    assert group.weights == pytest.approx({"a": 1, "b": 8, "late": 2})


def test_losses_that_take_turns_are_both_measured() -> None:
    parameter = torch.ones(2, requires_grad=True)
    weighting = GradientShareWeighting(parameter, reference="a", every=2, smoothing=0.0)
    group = LossGroup(["a", "b"], weighting=weighting)
    for step in range(8):
        group.update({"b": 4 * parameter[1]} if step % 2 else {"a": 8 * parameter[0]})

    assert group.next_weights()["b"] == pytest.approx(2)


def test_training_is_the_same_as_with_these_weights_given() -> None:
    net, other = TwoHeads(), TwoHeads()
    group, _ = group_of(net, every=2)
    course = [dict(group.weights) for _ in train(net, group, range(5)) if group.step]
    course.append(dict(group.weights))
    plain = LossGroup(NAMES)

    optimizer = torch.optim.Adam(other.parameters(), lr=1e-3)
    for step, weights in enumerate(course):
        optimizer.zero_grad()
        losses = other(step)
        sum(weights[name] * losses[name] for name in NAMES).backward()
        plain.record(losses)
        optimizer.step()

    for one, two in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-6)


# State, copies, names.


@pytest.mark.parametrize("log_every", [None, 2])
def test_a_resumed_run_goes_on_bit_for_bit(log_every: int | None) -> None:
    net = TwoHeads()
    group, weighting = group_of(net, log_every=log_every, every=3)
    empty = {key: len(value) for key, value in group.state_dict().items()}
    list(train(net, group, range(5)))
    state, weights = group.state_dict(), copy.deepcopy(net.state_dict())
    assert {key: len(value) for key, value in state.items()} == empty

    def ahead(group: LossGroup, net: TwoHeads) -> list[dict[str, float]]:
        return [group.next_weights() for _ in train(net, group, range(5, 12))]

    resumed_net = TwoHeads(seed=1)
    resumed_net.load_state_dict(weights)
    resumed, its_weighting = group_of(resumed_net, log_every=log_every, every=3)
    resumed.load_state_dict(state)

    assert ahead(resumed, resumed_net) == ahead(group, net)
    assert its_weighting.guards() == weighting.guards()
    assert its_weighting.state_dict() == weighting.state_dict()


def test_a_state_of_something_else_is_an_error_and_changes_nothing() -> None:
    net = TwoHeads()
    group, weighting = group_of(net)
    new = weighting.state_dict()
    group.update(net(0))
    before = weighting.state_dict()

    for bad in ({"a": 1.0}, new | {"of_norms": {}}, new | {"of_norms": {"steps": 1}}):
        with pytest.raises(ValueError, match="the state must be that of a GradientShareWeighting"):
            weighting.load_state_dict(bad)

    assert weighting.state_dict() == before


def test_after_a_reset_it_is_as_new() -> None:
    net = TwoHeads()
    group, weighting = group_of(net, **FREE)
    group.update(net(0))

    group.reset()

    assert group.next_weights() == {"small": 1.0, "large": 1.0}
    assert weighting.state_dict()["of_norms"]["measured_at"] == {"small": -1, "large": -1} or (
        weighting.state_dict()["of_norms"]["measured_at"] == {}
    )


def test_a_copy_of_the_model_measures_its_own_parameters() -> None:
    net = TwoHeads()
    group, _ = group_of(net, **FREE)
    group.update(net(0))

    net.hidden = torch.zeros(())  # a copy takes no graph
    new_net, new_group = copy.deepcopy((net, group))
    new_group.update(new_net(1))
    group.update(net(1))

    assert new_group.next_weights() == group.next_weights()


def test_the_rows_have_the_weights_and_the_guards() -> None:
    memory, net = MemoryLogger(), Trivial()
    weighting = GradientShareWeighting(net.parameters(), reference="residual", max_weight=1.01)
    group = LossGroup(["residual", "boundary"], memory, weighting=weighting)
    for step in range(3):
        group.update(net(step), extra=weighting.guards())

    assert memory.values("weight/boundary") == pytest.approx([1.01] * 3)
    assert memory.values("capped/boundary") == [1, 1]
    assert memory.hyperparameters["weighting"] == {
        "method": "GradientShareWeighting",
        "shares": None,
        "every": 10,
        "smoothing": 0.9,
        "max_weight": 1.01,
        "max_change": 2.0,
        "reference": "residual",
        "weighted": False,
    }


# Errors and warnings.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": 0}, "every must be a whole number of steps, 1 or more, got 0"),
        ({"smoothing": 1.0}, "smoothing must be 0 to below 1, got 1.0"),
        ({"max_weight": 0.5}, "max_weight must be 1 or more, got 0.5"),
        ({"max_change": 1.0}, "max_change must be above 1, got 1.0"),
        ({"shares": {"a": -1.0}}, "the share of a must be 0 or more, got -1.0"),
        ({"shares": {"a": 0.0}}, "shares must have one above 0, got"),
        ({"shares": {"a": 1.0}, "reference": "b"}, "one above 0 for the reference 'b'"),
    ],
)
def test_a_setting_without_sense_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GradientShareWeighting(torch.ones(1, requires_grad=True), **settings)


def test_names_that_do_not_fit_are_errors() -> None:
    parameter = torch.ones(2, requires_grad=True)
    losses = {"a": parameter[0], "b": parameter[1]}

    with pytest.raises(ValueError, match="reference must be one of the losses a, b, got 'c'"):
        LossGroup(["a", "b"], weighting=GradientShareWeighting(parameter, reference="c")).update(
            losses
        )
    with pytest.raises(ValueError, match="shares must have each of the losses a, b, got none for"):
        LossGroup(["a", "b"], weighting=GradientShareWeighting(parameter, {"a": 1.0})).update(
            losses
        )


def test_a_place_that_no_loss_depends_on_is_an_error() -> None:
    parameter, other = torch.ones(2, requires_grad=True), torch.ones(1, requires_grad=True)
    group = LossGroup(["a", "b"], weighting=GradientShareWeighting(other))

    with pytest.raises(RuntimeError, match="none depends on them: a, b"):
        group.update({"a": parameter[0], "b": parameter[1]})
    assert group.step == 0


def test_a_place_that_was_not_set_is_an_error() -> None:
    net = TwoHeads()
    group, weighting = group_of(net, None)

    with pytest.raises(RuntimeError, match="place must be set before each step that measures"):
        group.update(net(0))
    losses = net(0)
    weighting.place = net.hidden
    group.update(losses)

    assert group.step == 1
    assert weighting.place is None


def test_if_it_never_sees_a_gradient_it_says_so_once() -> None:
    group, _ = group_of(TwoHeads())

    losses = {"small": 1.0, "large": 2.0}
    for _ in range(9):
        group.record(losses)

    with pytest.warns(RuntimeWarning, match="measured no gradient in 10 steps"):
        group.record(losses)
    group.record(losses)  # a second warning would be an error
