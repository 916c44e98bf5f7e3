from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from loss_loggers.alerts._advice import AGAINST, FAR, MANY, NEAR, Measured, advise
from multi_loss_weighting import Diagnosis, LossGroup

from .weighting.networks import TwoHeads

AB = ("a", "b")


def measured(ratio: float, cosine: float = 0.2, sizes: tuple[float, float] = (1, 1)) -> Measured:
    losses = dict(zip(AB, sizes, strict=True))
    return Measured(losses, {"a": 1.0, "b": ratio}, {AB: cosine})


def diagnosed(
    strengths: Any, steps: int = 40, log_every: int | None = None, **settings: Any
) -> tuple[LossGroup, Diagnosis]:
    """Losses whose gradients have these sizes and directions."""
    parameter = torch.ones(2, requires_grad=True)
    group = LossGroup([*strengths], log_every=log_every)
    diagnosis = group.diagnose(parameter, steps=steps, **settings)
    for _ in range(steps + 5):
        group.update({name: own(parameter) for name, own in strengths.items()})
    return group, diagnosis


@pytest.mark.parametrize("log_every", [None, 2])
def test_losses_in_different_units_are_to_be_brought_to_one_size(log_every: int | None) -> None:
    _, diagnosis = diagnosed(
        {"meters": lambda p: p[0] + p[1], "grams": lambda p: 1000 * p[0]}, log_every=log_every
    )

    advice = diagnosis.advice
    assert (advice.finding, advice.advice, advice.is_sure) == ("sizes", "one size", True)
    assert advice.ratio == pytest.approx(1000 / math.sqrt(2))
    assert advice.ratio_of_one_size == pytest.approx(math.sqrt(2))
    assert advice.norms == pytest.approx({"meters": math.sqrt(2), "grams": 1000})
    assert sum(advice.shares.values()) == pytest.approx(1)
    assert advice.cosines == {("meters", "grams"): pytest.approx(math.sqrt(0.5))}
    assert str(diagnosis) == (
        "The losses differ in size: the gradient of 'grams' is 707 times that of 'meters' (sure: 20"
        " of 20 measurements). Try NormalizedWeighting() first: over their means the losses have"
        " gradients within a factor of 1.4."
    )


def test_gradients_that_losses_do_not_explain_are_to_be_shared() -> None:
    _, diagnosis = diagnosed({"flat": lambda p: p[0] + 1000, "steep": lambda p: 1000 * p[0]})

    assert diagnosis.advice.advice == "gradient shares"
    assert "Try GradientShareWeighting(parameters) first" in str(diagnosis)


def test_losses_that_pull_against_each_other_are_a_conflict() -> None:
    _, diagnosis = diagnosed({"up": lambda p: p[0], "down": lambda p: -2 * p[0] + p[1]})

    advice = diagnosis.advice
    assert (advice.finding, advice.advice) == ("conflict", "a conflict method")
    assert "'up' and 'down' pull against each other: the cosine of their gradients is -0.89" in str(
        diagnosis
    )


def test_losses_alike_are_left_alone() -> None:
    _, diagnosis = diagnosed({"one": lambda p: p[0], "other": lambda p: 2 * p[1] + p[0]})

    assert diagnosis.advice.finding == "neither"
    assert str(diagnosis).endswith("below such a ratio balancing has seldom helped.")


@pytest.mark.parametrize(
    ("ratio", "cosine", "finding"),
    [
        (FAR * 1.01, -0.9, "sizes"),
        (FAR * 0.99, AGAINST - 0.01, "conflict"),
        (FAR * 0.99, AGAINST + 0.01, "unclear"),
        (NEAR * 1.01, 0.0, "unclear"),
        (NEAR * 0.99, 0.0, "neither"),
    ],
)
def test_the_bounds_are_those_that_are_written_down(
    ratio: float, cosine: float, finding: str
) -> None:
    advice = advise([measured(ratio, cosine)] * 20)

    assert advice.finding == finding
    assert advice.is_sure


def test_it_is_sure_when_enough_measurements_agree() -> None:
    far, near = measured(100.0), measured(2.0)

    assert advise([far] * MANY).is_sure
    assert not advise([far] * (MANY - 1)).is_sure
    assert not advise([far] * 15 + [near] * 5).is_sure
    assert advise([far] * 15 + [near] * 5).agreement == 0.75
    assert "(not sure: 15 of 20 measurements)" in str(advise([far] * 15 + [near] * 5))


def test_what_is_not_finite_or_has_no_gradient_is_passed_over() -> None:
    odd = Measured({"a": math.nan, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": math.inf, "c": 0.0}, {})
    whole = Measured({"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 2.0, "c": 0.0}, {})

    advice = advise([odd, whole])

    assert (advice.ratio, advice.norms["c"], advice.shares["c"]) == (2.0, 0.0, 0.0)
    assert "nothing to weigh" in str(advise([Measured({"a": 1.0}, {"a": 1.0}, {})]))


def test_training_is_bit_identical_and_the_group_forgets_the_diagnosis() -> None:
    def trained(is_diagnosed: bool) -> tuple[TwoHeads, LossGroup]:
        net = TwoHeads()
        group = LossGroup(["small", "large"])
        if is_diagnosed:
            group.diagnose(net.parameters(), steps=6, every=2)
        optimizer = torch.optim.Adam(net.parameters())
        for step in range(10):
            optimizer.zero_grad()
            group.update(net(step))
            optimizer.step()
        return net, group

    (one, group), (other, plain) = trained(True), trained(False)

    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert group.state_dict().keys() == plain.state_dict().keys()
    assert "weigh" not in vars(group._step.weighing)


def test_it_measures_each_so_many_steps_and_once_a_step() -> None:
    net = TwoHeads()
    group = LossGroup(["small", "large"])
    diagnosis = group.diagnose(net.parameters(), steps=7, every=3)
    for step in range(12):
        with torch.no_grad():
            group.weigh(net(step))
        for _ in range(2):
            group.weigh(net(step))
        group.record(net(step))

    assert len(diagnosis.measured) == 3


def test_a_copy_is_not_diagnosed() -> None:
    group = LossGroup(["a"])
    group.diagnose(torch.ones(1, requires_grad=True))

    assert "weigh" not in vars(copy.deepcopy(group)._step.weighing)


def test_before_anything_was_measured_it_says_so() -> None:
    diagnosis = LossGroup(["a"]).diagnose(torch.ones(1, requires_grad=True))

    assert str(diagnosis).startswith("Nothing was measured yet. Train some steps")
    assert repr(diagnosis) == "Diagnosis(0 measurements, unclear)"


def test_wrong_arguments_are_errors() -> None:
    group, parameter = LossGroup(["a"]), torch.ones(1, requires_grad=True)

    with pytest.raises(ValueError, match="steps must be a whole number of steps, 1 or more, got 0"):
        group.diagnose(parameter, steps=0)
    with pytest.raises(ValueError, match="every must be a whole number of steps, 1 or more, got 0"):
        group.diagnose(parameter, every=0)
    with pytest.raises(ValueError, match="one or more of parameters must require a gradient"):
        group.diagnose(torch.ones(1))
    group.diagnose(torch.ones(1, requires_grad=True))
    with pytest.raises(RuntimeError, match="none depends on them: a"):
        group.update({"a": _loss()})


def _loss() -> Tensor:
    return torch.ones((), requires_grad=True) * 2
