from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from multi_loss_weighting import LossGroup, TorchJDWeighting

from .torchjd_methods import (
    AGGREGATORS,
    METHODS,
    NAMES,
    SCALARIZERS,
    Run,
    history,
    made,
    make,
    scalarization,
    stacked,
    torchjd,
    weighed,
)

# Several answers in a step.


@pytest.mark.parametrize("name", METHODS)
def test_a_step_may_be_weighed_more_than_once(name: str) -> None:
    once, often = Run(made(name)), Run(made(name))
    for number in range(4):
        for run, times in ((once, 1), (often, 3)):
            losses = run.net(number)
            known = history(*NAMES)
            for _ in range(times):
                weights = weighed(run.weighting, stacked(losses), known)
                run.weighting.weigh(torch.zeros(3), known)  # a look at the weights to come
            run.weighting.recorded(stacked(losses).detach(), weights, known)

        assert torch.equal(once.weighting.get_extra_state(), often.weighting.get_extra_state())


def test_dwa_takes_in_the_mean_of_micro_batches_as_one_batch() -> None:
    dwa = scalarization.DWA()
    weighting, known = TorchJDWeighting(dwa), history("a", "b")
    for epoch in range(2):
        for losses in ([1.0, 1.0], [3.0, 1.0 + 2 * epoch]):
            weights = weighed(weighting, torch.tensor(losses), known)
        weighting.recorded(torch.tensor([2.0, 1.0 + epoch]), weights, known)
        dwa.step()

    weights = weighed(weighting, torch.ones(2), known)

    assert torch.allclose(weights, 2 * torch.softmax(torch.tensor([1.0, 2.0]) / 2, 0))


def test_a_recorded_loss_that_is_nan_counts_as_its_mean() -> None:
    famo, alone = scalarization.FAMO(2), scalarization.FAMO(2)
    weighting, known = TorchJDWeighting(famo), history("a", "b", losses={"a": 1.0, "b": 4.0})
    weights = weighed(weighting, torch.tensor([1.0, 2.0]), known)

    weighting.recorded(torch.tensor([1.0, math.nan]), weights, known)
    weighting.update({"a": 0.5, "b": 1.0})

    alone(torch.tensor([1.0, 4.0]))
    alone.update(torch.tensor([0.5, 4.0]))
    assert torch.equal(next(famo.parameters()), next(alone.parameters()))


# A loss that comes later.


MADE_FOR_THREE = {"COSMOS", "Constant", "FAMO", "IMTLL", "PBI", "UW"}
MADE_FOR_THREE |= {"Constant aggregator", "NashMTL aggregator"}
REMEMBERS_EACH = {"DWA", "CRMOGM aggregator", "ExcessMTL aggregator", "GradVac aggregator"}
REMEMBERS_EACH |= {"PCD aggregator", "MoDo aggregator", "SDMGrad aggregator"}


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_that_comes_later_joins_or_is_named_in_an_error(name: str) -> None:
    run, late = Run(made(name)), (*NAMES, "late")
    for number in range(2):
        losses, known = stacked(run.net(number)), history(*NAMES)
        weights = weighed(run.weighting, losses, known)
        run.weighting.recorded(losses.detach(), weights, known)
    before = run.weighting.get_extra_state()
    losses = stacked(run.net(2))
    losses = torch.cat([losses, losses[:1] ** 2])

    if name in MADE_FOR_THREE | REMEMBERS_EACH:
        kind = type(run.method).__name__
        with pytest.raises(ValueError, match=f"{kind} cannot weigh .* with 'late' as new: "):
            run.weighting.weigh(losses, history(*late))
        assert torch.equal(run.weighting.get_extra_state(), before)
    else:
        weights = torch.as_tensor(weighed(run.weighting, losses, history(*late)))
        assert weights.shape == (4,)
        assert weights.isfinite().all()


@pytest.mark.parametrize("name", sorted(REMEMBERS_EACH))
def test_a_method_that_forgets_takes_a_loss_that_comes_later(name: str) -> None:
    run, known = Run(made(name)), history(*NAMES)
    losses = stacked(run.net(0))
    run.weighting.recorded(losses.detach(), weighed(run.weighting, losses, known), known)

    stateful = next(one for one in run.method.modules() if isinstance(one, torchjd.Stateful))
    stateful.reset()

    losses = torch.cat([losses, losses[:1] ** 2])
    assert len(weighed(run.weighting, losses, history(*NAMES, "late"))) == 4


def test_under_an_aggregator_a_new_loss_begins_with_its_part() -> None:
    run, known = Run(make(AGGREGATORS, "MGDA")), history(*NAMES)
    losses = stacked(run.net(0))
    chosen = weighed(run.weighting, losses, known)
    run.weighting.recorded(losses.detach(), chosen, known)

    weights = weighed(run.weighting, torch.ones(4), history("b", "late", "a", "c"))

    assert weights.tolist() == [chosen[1], 0.25, chosen[0], chosen[2]]


@pytest.mark.parametrize("name", ["FAMO", "IMTLL", "UW"])
def test_a_method_for_three_losses_begins_with_two(name: str) -> None:
    weighting = TorchJDWeighting(SCALARIZERS[name]())
    two, known = torch.tensor([1.0, 2.0], requires_grad=True), history("a", "b")

    total, weights = weighting.weigh(two, known)
    total.backward()  # type: ignore[no-untyped-call]
    weighting.recorded(two.detach(), torch.as_tensor(weights), known)

    assert two.grad is not None
    assert torch.equal(two.grad, torch.as_tensor(weights))
    learned = next(weighting.parameters())
    assert learned.grad is None or learned.grad[2] == 0
    assert len(weighed(weighting, torch.ones(3), history(*NAMES))) == 3


# One tensor of state.


@pytest.mark.parametrize("name", METHODS)
def test_the_state_is_one_tensor_whose_shape_stays(name: str) -> None:
    run = Run(made(name))
    shapes = [run.weighting.get_extra_state().shape]
    for number in range(6):
        run.step(number)
        shapes.append(run.weighting.get_extra_state().shape)

    assert len(set(shapes[1:])) == 1
    assert shapes[0] == shapes[1] or name == "ExcessMTL aggregator"
    assert all(isinstance(value, Tensor) for value in run.weighting.state_dict().values())


def test_a_state_shares_no_memory_with_the_method() -> None:
    run = Run(make(AGGREGATORS, "GradVac"))
    run.step(0)
    state = run.weighting.get_extra_state()
    before = state.clone()

    run.step(1)

    assert torch.equal(state, before)
    assert not torch.equal(run.weighting.get_extra_state(), before)


BY_PLACE = {"COSMOS", "Constant", "Constant aggregator", "PBI"}
"""Their preferences are the user's, by place."""
BY_ORDER = {"GradVac aggregator", "PCD aggregator"}
"""They look at one loss after the other, so another order gives other weights anyway."""


@pytest.mark.parametrize("name", sorted((MADE_FOR_THREE | REMEMBERS_EACH) - BY_PLACE))
def test_a_state_goes_on_with_the_losses_in_another_order(name: str) -> None:
    one, two = Run(made(name)), Run(made(name))
    for number in range(4):
        one.step(number)
    two.net.load_state_dict(one.net.state_dict())
    group = LossGroup(("c", "a", "b"), weighting=two.weighting)

    group.load_state_dict(one.group.state_dict())

    for number in range(4, 4 if name in BY_ORDER else 7):
        assert group.next_weights() == pytest.approx(one.group.next_weights(), rel=1e-3)
        for net, its_group, run in ((one.net, one.group, one), (two.net, group, two)):
            its_group.update(net(number), do_backwards=False)
            if name == "FAMO":
                run.weighting.update(net(number + 1))
        assert group.weights == pytest.approx(one.group.weights, rel=1e-3)
    group.update(two.net(7), do_backwards=False)
    assert all(map(math.isfinite, group.weights.values()))


@pytest.mark.parametrize("name", sorted(REMEMBERS_EACH))
def test_a_memory_of_other_losses_begins_anew_and_is_told(name: str) -> None:
    run = Run(made(name))
    run.step(0)
    group = LossGroup(("a", "b", "late"), weighting=(new := Run(made(name))).weighting)

    told = group.load_state_dict(run.group.state_dict(), strict=False)

    assert "weighting._extra_state" in told.missing_keys
    losses = new.net(1)
    group.update({"a": losses["a"], "b": losses["b"], "late": losses["c"]})
    assert group["a"].count == 2


@pytest.mark.parametrize(("saved", "own"), [(2, 3), (3, 2)])
@pytest.mark.parametrize("name", ["FAMO", "IMTLL", "UW"])
def test_what_it_learned_loads_where_it_is_made_for_more_or_fewer_losses(
    name: str, saved: int, own: int
) -> None:
    method = getattr(scalarization, name)
    weightings = [TorchJDWeighting(method(count)) for count in (saved, own)]
    old, new = (LossGroup(weighting=one) for one in weightings)
    losses = {"a": 1.0, "b": 2.0}
    old.record(losses)
    if name == "FAMO":
        weightings[0].update(losses)
    with torch.no_grad():
        next(old.parameters()).copy_(torch.arange(saved) + 0.5)

    told = new.load_state_dict(old.state_dict(), strict=False)

    assert f"for {saved} losses (here for {own}" in "".join(told.unexpected_keys)
    assert next(new.parameters()).tolist()[:2] == [0.5, 1.5]
    new.record(losses)
    if name == "FAMO":
        weightings[1].update(losses)
