from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from loss_loggers import CsvLogger, read_run
from multi_loss_weighting import LossGroup, TorchJDWeighting
from multi_loss_weighting.tensors._state import pack
from multi_loss_weighting.weighting.torchjd._method import seed_of_step

from .torchjd_methods import (
    AGGREGATORS,
    METHODS,
    NAMES,
    SCALARIZERS,
    Net,
    Run,
    aggregation,
    made,
    make,
    saved_and_loaded,
    scalarization,
    stacked,
)

if TYPE_CHECKING:
    from pathlib import Path

autojac = pytest.importorskip("torchjd.autojac", reason="torchjd is not installed")


# The numbers are TorchJD's.


@pytest.mark.parametrize("name", SCALARIZERS)
def test_a_scalarizer_gives_the_totals_and_gradients_that_it_gives_alone(name: str) -> None:
    ours = Run(make(SCALARIZERS, name))
    theirs, net = SCALARIZERS[name](), Net()
    learned = {"params": theirs.parameters(), "weight_decay": 0.0}
    optimizer = torch.optim.SGD([{"params": net.parameters()}, learned], lr=0.05, momentum=0.9)

    for number in range(6):
        ours.step(number)
        optimizer.zero_grad()
        torch.manual_seed(seed_of_step(0, number))
        total = theirs(stacked(net(number)))
        total.backward()
        optimizer.step()
        if name == "FAMO":
            theirs.update(stacked(net(number)))
        if name == "DWA" and number % 2:
            theirs.step()

        assert ours.memory.rows[-1][2]["loss/total"] == total.item()
        for own, other in zip(ours.net.parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", AGGREGATORS)
def test_an_aggregator_gives_the_weights_and_gradients_that_it_gives_alone(name: str) -> None:
    ours = Run(make(AGGREGATORS, name))
    theirs, net = AGGREGATORS[name](), Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)

    for number in range(6):
        ours.step(number)
        optimizer.zero_grad()
        autojac.backward(list(net(number).values()))
        torch.manual_seed(seed_of_step(0, number))
        weights = autojac.jac_to_grad(net.parameters(), theirs)
        optimizer.step()

        if name != "ConFIG":  # which does not tell its weights
            chosen = torch.tensor(list(ours.group.weights.values()))
            torch.testing.assert_close(chosen, weights, rtol=1e-4, atol=1e-5)
        for own, other in zip(ours.net.parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", SCALARIZERS)
def test_the_weight_of_a_loss_is_how_the_total_changes_with_it(name: str) -> None:
    run = Run(make(SCALARIZERS, name))
    losses = torch.tensor([0.5, 2.0, 1.0], requires_grad=True)

    run.group.update(dict(zip(NAMES, losses, strict=True)))

    assert losses.grad is not None
    assert list(run.group.weights.values()) == pytest.approx(losses.grad.tolist())


# What a group promises.


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_goes_on_to_the_last_bit(name: str) -> None:
    run = Run(made(name))
    for number in range(5):
        run.step(number)
    resumed = Run(made(name))
    torch.manual_seed(12345)  # the program's own random numbers do not matter

    resumed.load(saved_and_loaded(run.state()))
    for number in range(5, 10):
        run.step(number)
        resumed.step(number)

    assert resumed.memory.rows[-1][2] == run.memory.rows[-1][2]
    for own, other in zip(resumed.net.parameters(), run.net.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize("name", METHODS)
def test_the_two_halves_are_one_update(name: str) -> None:
    run, halves = Run(made(name)), Run(made(name))

    for number in range(4):
        run.step(number)
        halves.optimizer.zero_grad()
        losses = halves.net(number)
        halves.group.weigh(losses)  # a closure may ask more than once
        halves.group.weigh(losses).backward()  # type: ignore[no-untyped-call]
        torch.randn(7)
        halves.group.record(losses)
        halves.optimizer.step()
        if name == "FAMO":
            halves.weighting.update(halves.net(number))
        if name == "DWA" and number % 2:
            halves.method.step()

        assert halves.memory.rows[-1][2] == run.memory.rows[-1][2]


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
@pytest.mark.parametrize("name", [*SCALARIZERS, "UPGrad aggregator", "NashMTL aggregator"])
def test_a_loss_that_is_left_out_takes_no_part(name: str, value: float | None) -> None:
    is_aggregator = "aggregator" in name
    run = Run(made(name), report=["loss", "weight"])
    for number in range(3):
        run.step(number)
    learned = {key: one.detach().clone() for key, one in run.group.named_parameters()}
    before = run.group.weights

    losses = run.net(3)
    run.optimizer.zero_grad()
    if value is None:
        del losses["b"]
    else:
        losses["b"] = losses["b"] * value
    with pytest.warns(RuntimeWarning) if is_aggregator or value else nullcontext():
        run.group.update(losses)

    row = run.memory.rows[-1][2]
    assert math.isfinite(row["loss/total"])
    assert all(math.isfinite(weight) for weight in run.group.weights.values())
    assert run.net.heads[1].weight.grad is None or not run.net.heads[1].weight.grad.any()
    assert run.net.heads[0].weight.grad is not None
    assert run.net.heads[0].weight.grad.isfinite().all()
    if is_aggregator:
        assert run.group.weights == before
    for key, one in run.group.named_parameters():
        if name != "FAMO":
            assert one.grad is not None
            assert one.grad[1] == 0
            assert one.grad[0] != 0
        assert torch.equal(one, learned[key])


def test_a_loss_left_out_counts_as_its_mean_to_dwa() -> None:
    run = Run(scalarization.DWA())
    for _ in range(2):
        run.group.update({"a": 1.0, "b": 4.0, "c": 2.0}, do_backwards=False)
        run.method.step()

    with pytest.warns(RuntimeWarning, match="'b' is nan"):
        total = run.group.update({"a": 3.0, "b": math.nan, "c": 2.0}, do_backwards=False)
    run.method.step()
    run.group.update({"a": 1.0, "b": 4.0, "c": 2.0}, do_backwards=False)

    assert total.item() == pytest.approx(5.0)
    weights = run.group.weights
    assert weights["b"] == pytest.approx(weights["c"])
    assert weights["a"] > weights["b"]


@pytest.mark.parametrize("method", ["UPGrad", "MGDA"])
def test_a_loss_above_its_limit_is_clamped_before_it_is_weighed(method: str) -> None:
    run = Run(make(AGGREGATORS, method), max_loss={"b": 0.5})
    net = Net()
    losses = net(0)
    assert losses["b"].item() > 0.5
    losses["b"] = losses["b"] * (0.5 / losses["b"].item())
    autojac.backward(list(losses.values()))
    weights = autojac.jac_to_grad(net.parameters(), AGGREGATORS[method]())

    run.group.update(run.net(0))

    assert list(run.group.weights.values()) == pytest.approx(weights.tolist(), rel=1e-4)
    for own, other in zip(run.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_gradients_that_are_not_finite_keep_the_weights_and_show() -> None:
    run = Run(make(AGGREGATORS, "UPGrad"), nonfinite="keep")
    run.step(0)
    before = run.group.weights

    total = run.group.weigh({**run.net(1), "b": run.net(1)["b"] * math.nan})

    assert total.isnan()
    with pytest.warns(RuntimeWarning, match="'b' is nan"):
        run.group.record({**run.net(1), "b": math.nan})
    assert run.group.weights == before


def test_parameters_that_an_aggregator_does_not_look_at_learn_by_the_same_weights() -> None:
    net = Net()
    weighting = TorchJDWeighting(make(AGGREGATORS, "UPGrad"), net.shared.parameters())
    group = LossGroup(NAMES, weighting=weighting)
    losses = net(0)
    plain = torch.autograd.grad(losses["b"], net.heads[1].weight, retain_graph=True)[0]

    group.update(losses)

    assert net.heads[1].weight.grad is not None
    torch.testing.assert_close(net.heads[1].weight.grad, group.weights["b"] * plain)


def test_the_first_step_of_an_aggregator_without_gradients_weighs_all_alike() -> None:
    run = Run(make(AGGREGATORS, "UPGrad"))

    total = run.group.update({"a": 1.0, "b": 2.0, "c": 6.0}, do_backwards=False)

    assert total.item() == pytest.approx(3.0)
    assert run.group.weights == pytest.approx(dict.fromkeys(NAMES, 1 / 3))


def test_the_random_numbers_of_the_program_are_what_they_were() -> None:
    run = Run(scalarization.Random())
    torch.manual_seed(3)
    expected = torch.randn(2)

    torch.manual_seed(3)
    run.step(0)

    assert torch.equal(torch.randn(2), expected)


def test_another_seed_draws_other_weights() -> None:
    drawn = [
        LossGroup(NAMES, weighting=TorchJDWeighting(scalarization.Random(), seed=seed)).weights
        for seed in (0, 0, 1)
    ]

    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


@pytest.mark.parametrize("name", ["UW", "IMTLL"])
def test_learned_weights_are_for_the_optimizer(name: str) -> None:
    run = Run(SCALARIZERS[name]())
    (parameter,) = run.group.parameter_group()["params"]

    run.step(0)

    assert parameter.any()


@pytest.mark.parametrize(
    ("name", "advice"), [("UW", "give its parameters to the optimizer"), ("FAMO", "call update")]
)
def test_weights_that_nobody_moves_are_told_of(name: str, advice: str) -> None:
    group = LossGroup(NAMES, weighting=TorchJDWeighting(SCALARIZERS[name]()))
    losses = {name: torch.tensor(1.0, requires_grad=True) for name in NAMES}
    for _ in range(100):
        group.update(losses)

    with pytest.warns(RuntimeWarning, match=f"{name} have not moved in 100 steps: {advice}"):
        group.update(losses)


def test_the_network_is_no_part_of_the_group() -> None:
    run = Run(make(AGGREGATORS, "UPGrad"))

    assert list(run.group.parameters()) == []


def test_a_copy_watches_the_same_network_and_a_copy_of_both_the_copied() -> None:
    run = Run(make(AGGREGATORS, "MGDA"))

    alone = copy.deepcopy(run.group)
    net, both = copy.deepcopy((run.net, run.group))

    alone.update(run.net(0))
    both.update(net(0))
    assert alone.weights == both.weights
    assert len(set(alone.weights.values())) > 1


def test_the_weights_and_the_method_reach_the_record(tmp_path: Path) -> None:
    net = Net()
    weighting = TorchJDWeighting(make(AGGREGATORS, "UPGrad"), net.parameters())
    with CsvLogger(tmp_path / "run") as logger:
        group = LossGroup(NAMES, logger, weighting=weighting)
        for number in range(3):
            group.update(net(number))

    run = read_run(logger.path)
    assert [run[name]["weight"][-1] for name in NAMES] == list(group.weights.values())
    settings = group.hyperparams()["weighting"]
    assert settings["method"] == "TorchJDWeighting"
    assert settings["torchjd"].startswith("UPGrad(")


def test_a_scaler_scales_what_the_weights_made() -> None:
    run, scaled = Run(make(AGGREGATORS, "UPGrad")), Run(make(AGGREGATORS, "UPGrad"))
    scaled.group = LossGroup(
        NAMES,
        weighting=scaled.group.weighting,
        backward=lambda total: (8 * total).backward(),
    )

    run.step(0)
    scaled.optimizer.zero_grad()
    scaled.group.update(scaled.net(0))

    for own, other in zip(scaled.net.parameters(), run.net.parameters(), strict=True):
        assert own.grad is not None
        torch.testing.assert_close(own.grad / 8, other.grad)


@pytest.mark.parametrize("name", ["DWA", "FAMO", "IMTLL", "Mean", "Random", "STCH", "Sum", "UW"])
def test_on_an_accelerator_a_scalarizer_weighs_without_reading_a_value(name: str) -> None:
    weight = torch.ones(3, requires_grad=True, device="meta")
    weighting = TorchJDWeighting(SCALARIZERS[name]()).to("meta")
    group = LossGroup(NAMES, weighting=weighting)

    total = group.weigh({"a": weight.sum(), "b": weight.prod(), "c": weight[0]})
    total.backward()  # type: ignore[no-untyped-call]

    assert weight.grad is not None


def test_micro_batches_are_one_step_to_a_scalarizer() -> None:
    weighting = TorchJDWeighting(scalarization.FAMO(1))
    group = LossGroup(["a"], weighting=weighting)

    for value in (1.0, 3.0):
        group.accumulate({"a": value})
    group.record()
    weighting.update({"a": 1.0})

    alone = scalarization.FAMO(1)
    alone(torch.tensor([2.0]))
    alone.update(torch.tensor([1.0]))
    assert torch.equal(next(weighting.parameters()), next(alone.parameters()))


# FAMO.


def test_famo_takes_a_loss_that_did_not_come_as_unchanged() -> None:
    famo = scalarization.FAMO(2)
    weighting = TorchJDWeighting(famo)
    group = LossGroup(["a", "b"], weighting=weighting)
    for _ in range(2):
        group.update({"a": 1.0, "b": 2.0}, do_backwards=False)

    with pytest.warns(RuntimeWarning):
        group.update({"a": 1.0, "b": math.nan}, do_backwards=False)
    group.next_weights()  # a look at the weights is no step
    weighting.update({"a": 0.5, "b": 1.0})

    alone = scalarization.FAMO(2)
    alone(torch.tensor([1.0, 2.0]))
    alone.update(torch.tensor([0.5, 2.0]))
    assert torch.equal(next(famo.parameters()), next(alone.parameters()))


def test_only_famo_learns_after_a_step() -> None:
    weighting = TorchJDWeighting(scalarization.DWA())

    with pytest.raises(TypeError, match="as FAMO does, got DWA"):
        weighting.update({"a": 1.0})


def test_famo_learns_after_a_step_and_not_before() -> None:
    weighting = TorchJDWeighting(scalarization.FAMO(1))

    with pytest.raises(RuntimeError, match="needs a step of the group before it"):
        weighting.update({"a": 1.0})


# Bad input.


@pytest.mark.parametrize("name", ["GradDrop", "TrimmedMean"])
def test_an_aggregator_without_weights_says_what_to_call(name: str) -> None:
    method = aggregation.GradDrop() if name == "GradDrop" else aggregation.TrimmedMean(1)

    with pytest.raises(TypeError, match=rf"{name}: call torchjd.autojac.backward.*group.record"):
        TorchJDWeighting(method, [torch.ones(1, requires_grad=True)])


@pytest.mark.parametrize("method", [3, "UPGrad", nn.Linear(1, 1)])
def test_something_else_is_refused(method: Any) -> None:
    with pytest.raises(TypeError, match="must be a scalarizer or an aggregator of torchjd"):
        TorchJDWeighting(method)


def test_a_bare_weighting_of_torchjd_is_to_be_put_into_an_aggregator() -> None:
    with pytest.raises(TypeError, match=r"GramianWeightedAggregator\(MGDAWeighting"):
        TorchJDWeighting(aggregation.MGDAWeighting())


def test_parameters_go_with_an_aggregator_only() -> None:
    with pytest.raises(ValueError, match="MGDA looks at gradients: give it parameters"):
        TorchJDWeighting(aggregation.MGDA())
    with pytest.raises(ValueError, match="DWA looks at losses only"):
        TorchJDWeighting(scalarization.DWA(), [torch.ones(1, requires_grad=True)])
    with pytest.raises(ValueError, match="must require a gradient, got 1 without"):
        TorchJDWeighting(aggregation.MGDA(), [torch.ones(1)])
    with pytest.raises(TypeError, match="parameters must be tensors"):
        TorchJDWeighting(aggregation.MGDA(), [("weight", torch.ones(1))])  # type: ignore[list-item]


def test_losses_of_another_network_are_an_error_and_change_nothing() -> None:
    run = Run(aggregation.MGDA())
    run.step(0)
    before = saved_and_loaded(run.group.state_dict())

    with pytest.raises(RuntimeError, match="none depends on them"):
        run.group.update(Net()(1))

    assert str(run.group.state_dict()) == str(before)


@pytest.mark.parametrize("method", [scalarization.STCH(0.5), scalarization.FAMO(3)])
def test_the_state_of_another_method_is_refused_and_changes_nothing(method: Any) -> None:
    run, other = Run(scalarization.DWA()), Run(method)
    run.step(0)
    other.step(0)
    before = run.weighting.get_extra_state()

    with pytest.raises(ValueError, match=r"must be that of a DWA, got that of a (STCH|FAMO)"):
        run.weighting.set_extra_state(other.weighting.get_extra_state())

    assert torch.equal(run.weighting.get_extra_state(), before)


@pytest.mark.parametrize("state", [torch.zeros(3), 3, None, pack({"step": 3}), pack([1, 2])])
def test_something_else_is_no_state_and_changes_nothing(state: Any) -> None:
    run = Run(make(AGGREGATORS, "NashMTL"))
    run.step(0)
    before = run.weighting.get_extra_state()

    with pytest.raises(ValueError, match="state"):
        run.weighting.set_extra_state(state)

    assert torch.equal(run.weighting.get_extra_state(), before)


@pytest.mark.parametrize("name", sorted(set(SCALARIZERS) & set(AGGREGATORS)))
def test_a_scalarizer_takes_no_state_of_the_aggregator_of_its_name(name: str) -> None:
    scalarizer, aggregator = Run(made(name)), Run(made(f"{name} aggregator"))

    for one, other in ((scalarizer, aggregator), (aggregator, scalarizer)):
        with pytest.raises(ValueError, match="the state must be of such a TorchJDWeighting"):
            one.weighting.set_extra_state(other.weighting.get_extra_state())


def test_the_rest_of_a_model_is_loaded_where_the_method_is_another() -> None:
    def model(method: Any) -> nn.ModuleDict:
        first, last = nn.Linear(1, 1), nn.Linear(1, 1)
        return nn.ModuleDict({"first": first, "losses": TorchJDWeighting(method), "last": last})

    saved = model(scalarization.DWA()).state_dict()
    strict, lenient = model(scalarization.STCH(0.5)), model(scalarization.STCH(0.5))

    with pytest.raises(
        RuntimeError, match=r"losses\._extra_state .*must be that of a STCH, got that of a DWA"
    ):
        strict.load_state_dict(saved)
    left_out = lenient.load_state_dict(saved, strict=False).unexpected_keys

    assert [key.split()[0] for key in left_out] == ["losses._extra_state"]
    for loaded in (strict, lenient):
        assert torch.equal(loaded.state_dict()["last.weight"], saved["last.weight"])


def test_more_losses_than_a_method_was_made_for_are_an_error_and_change_nothing() -> None:
    group = LossGroup(["a", "b"], weighting=TorchJDWeighting(scalarization.UW(1)))

    with pytest.raises(ValueError, match=r"UW cannot weigh a, b together: .* shape \(1,\)"):
        group.update({"a": 1.0, "b": 2.0}, do_backwards=False)

    assert group.step == 0


def test_each_loss_has_one_backward_of_its_own_graph_only() -> None:
    calls: list[str] = []
    weights = [torch.ones(1, requires_grad=True) for _ in range(4)]

    def loss(name: str) -> Tensor:
        value = (weights[0] * weights[1 + NAMES.index(name)]).sum()
        value.register_hook(lambda _: calls.append(name))  # type: ignore[no-untyped-call]
        return value

    weighting = TorchJDWeighting(aggregation.MGDA(), weights)
    LossGroup(NAMES, weighting=weighting).update({name: loss(name) for name in NAMES})

    assert sorted(calls) == ["a", "a", "b", "b", "c", "c"]


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("name", SCALARIZERS)
def test_a_tangent_of_forward_mode_goes_through_a_scalarizer(
    name: str, log_every: int | None
) -> None:
    group = LossGroup(weighting=TorchJDWeighting(make(SCALARIZERS, name)), log_every=log_every)
    with forward_ad.dual_level():
        make_dual: Any = forward_ad.make_dual
        unpack_dual: Any = forward_ad.unpack_dual
        loss = make_dual(torch.tensor(2.0), torch.tensor(1.0))
        losses = {"a": loss, "b": 3 * loss, "c": 2 + loss}
        tangent = unpack_dual(group.weigh(losses)).tangent
        group.record(losses)

    used = group.weights
    expected = used["a"] + 3 * used["b"] + used["c"]
    assert tangent.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)
