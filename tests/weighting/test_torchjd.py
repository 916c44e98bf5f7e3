from __future__ import annotations

import copy
import io
import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import LossGroup, TorchJDWeighting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

aggregation = pytest.importorskip("torchjd.aggregation", reason="torchjd is not installed")
scalarization = pytest.importorskip("torchjd.scalarization", reason="torchjd is not installed")
autojac = pytest.importorskip("torchjd.autojac", reason="torchjd is not installed")

NAMES = ("a", "b", "c")
PREFERENCE = torch.tensor([0.5, 0.3, 0.2])

SCALARIZERS: dict[str, Callable[[], Any]] = {
    "COSMOS": lambda: scalarization.COSMOS(0.5, PREFERENCE),
    "Constant": lambda: scalarization.Constant(PREFERENCE),
    "DWA": lambda: scalarization.DWA(1.0),
    "FAMO": lambda: scalarization.FAMO(3),
    "GeometricMean": lambda: scalarization.GeometricMean(),
    "IMTLL": lambda: scalarization.IMTLL(3),
    "Mean": lambda: scalarization.Mean(),
    "PBI": lambda: scalarization.PBI(2.0, PREFERENCE),
    "Random": lambda: scalarization.Random(),
    "STCH": lambda: scalarization.STCH(0.5),
    "Sum": lambda: scalarization.Sum(),
    "UW": lambda: scalarization.UW(3),
}

AGGREGATORS: dict[str, Callable[[], Any]] = {
    "AlignedMTL": lambda: aggregation.AlignedMTL(),
    "CAGrad": lambda: aggregation.CAGrad(c=0.4),
    "CRMOGM": lambda: aggregation.GramianWeightedAggregator(
        aggregation.CRMOGMWeighting(aggregation.MGDAWeighting())
    ),
    "ConFIG": lambda: aggregation.ConFIG(),
    "Constant": lambda: aggregation.Constant(PREFERENCE),
    "DualProj": lambda: aggregation.DualProj(),
    "ExcessMTL": lambda: aggregation.ExcessMTL(),
    "FairGrad": lambda: aggregation.FairGrad(1.0),
    "GradVac": lambda: aggregation.GradVac(),
    "IMTLG": lambda: aggregation.IMTLG(),
    "Krum": lambda: aggregation.Krum(0),
    "MGDA": lambda: aggregation.MGDA(),
    "Mean": lambda: aggregation.Mean(),
    "NashMTL": lambda: aggregation.NashMTL(3, update_weights_every=2),
    "PCD": lambda: aggregation.PCD(),
    "PCGrad": lambda: aggregation.PCGrad(),
    "Random": lambda: aggregation.Random(),
    "Sum": lambda: aggregation.Sum(),
    "UPGrad": lambda: aggregation.UPGrad(),
}


def make(methods: dict[str, Callable[[], Any]], name: str) -> Any:
    """The method, or a skip where a solver that it needs is missing."""
    try:
        return methods[name]()
    except ImportError as error:
        pytest.skip(str(error))


class Net(nn.Module):
    """A shared layer and three heads, whose losses pull in different directions."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.shared = nn.Linear(4, 5)
        self.heads = [nn.Linear(5, 1) for _ in NAMES]
        self.all_heads = nn.ModuleList(self.heads)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))

    def forward(self, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(100 + step)
        hidden = self.shared(torch.randn(8, 4, generator=generator)).tanh()
        targets = torch.randn(3, 8, 1, generator=generator)
        return {
            name: (head(hidden) - size * target).square().mean()
            for name, head, target, size in zip(NAMES, self.heads, targets, (1, 3, -2), strict=True)
        }


class Run:
    """A network in training under a method."""

    def __init__(self, method: Any, **options: Any) -> None:
        self.net = Net()
        self.method = method
        is_aggregator = isinstance(method, aggregation.Aggregator)
        weighting = TorchJDWeighting(method, self.net.parameters() if is_aggregator else None)
        self.memory = MemoryLogger()
        self.weighting = weighting
        self.group = LossGroup(NAMES, self.memory, weighting=weighting, **options)
        groups = [{"params": self.net.parameters()}, self.group.parameter_group()]
        self.optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)

    def step(self, number: int, **replaced: Any) -> None:
        self.optimizer.zero_grad()
        self.group.update({**self.net(number), **replaced})
        self.optimizer.step()
        if isinstance(self.method, scalarization.FAMO):
            self.weighting.update(self.net(number))
        if isinstance(self.method, scalarization.DWA) and number % 2:
            self.method.step()

    def state(self) -> dict[str, Any]:
        return {
            "net": self.net.state_dict(),
            "group": self.group.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.group.load_state_dict(state["group"])
        self.optimizer.load_state_dict(state["optimizer"])


def saved_and_loaded(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def stacked(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values()))


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
        # Its random numbers follow each other from the seed 0.
        torch.manual_seed(0)
        for _ in range(number):
            torch.randn(3)
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
    draws = torch.Generator().manual_seed(0).get_state()

    for number in range(6):
        ours.step(number)
        optimizer.zero_grad()
        autojac.backward(list(net(number).values()))
        torch.set_rng_state(draws)
        weights = autojac.jac_to_grad(net.parameters(), theirs)
        draws = torch.get_rng_state()
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


@pytest.mark.parametrize("name", [*SCALARIZERS, *(f"{name} aggregator" for name in AGGREGATORS)])
def test_a_resumed_run_goes_on_to_the_last_bit(name: str) -> None:
    def method() -> Any:
        kind, _, is_aggregator = name.partition(" ")
        return make(AGGREGATORS if is_aggregator else SCALARIZERS, kind)

    run = Run(method())
    for number in range(5):
        run.step(number)
    resumed = Run(method())
    torch.manual_seed(12345)  # the program's own random numbers do not matter

    resumed.load(saved_and_loaded(run.state()))
    for number in range(5, 10):
        run.step(number)
        resumed.step(number)

    assert resumed.memory.rows[-1][2] == run.memory.rows[-1][2]
    for own, other in zip(resumed.net.parameters(), run.net.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize("name", [*SCALARIZERS, *(f"{name} aggregator" for name in AGGREGATORS)])
def test_the_two_halves_are_one_update(name: str) -> None:
    kind, _, is_aggregator = name.partition(" ")
    methods = AGGREGATORS if is_aggregator else SCALARIZERS
    run, halves = Run(make(methods, kind)), Run(make(methods, kind))

    for number in range(4):
        run.step(number)
        halves.optimizer.zero_grad()
        losses = halves.net(number)
        halves.group.weigh(losses)  # a closure may ask more than once
        halves.group.weigh(losses).backward()  # type: ignore[no-untyped-call]
        torch.randn(7)
        halves.group.record(losses)
        halves.optimizer.step()
        if kind == "FAMO":
            halves.weighting.update(halves.net(number))
        if kind == "DWA" and number % 2:
            halves.method.step()

        assert halves.memory.rows[-1][2] == run.memory.rows[-1][2]


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
@pytest.mark.parametrize("name", [*SCALARIZERS, "UPGrad aggregator", "NashMTL aggregator"])
def test_a_loss_that_is_left_out_takes_no_part(name: str, value: float | None) -> None:
    kind, _, is_aggregator = name.partition(" ")
    run = Run(make(AGGREGATORS if is_aggregator else SCALARIZERS, kind), report=["loss", "weight"])
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

    with pytest.raises(TypeError, match="FAMO, is needed; got DWA"):
        weighting.update({"a": 1.0})


def test_famo_learns_after_a_step_and_not_before() -> None:
    weighting = TorchJDWeighting(scalarization.FAMO(1))

    with pytest.raises(RuntimeError, match="got none before"):
        weighting.update({"a": 1.0})


# Bad input.


@pytest.mark.parametrize("name", ["GradDrop", "TrimmedMean"])
def test_an_aggregator_without_weights_says_what_to_call(name: str) -> None:
    method = aggregation.GradDrop() if name == "GradDrop" else aggregation.TrimmedMean(1)

    with pytest.raises(TypeError, match=rf"{name}: call torchjd.autojac.backward.*group.record"):
        TorchJDWeighting(method, [torch.ones(1, requires_grad=True)])


@pytest.mark.parametrize("method", [3, "UPGrad", nn.Linear(1, 1)])
def test_something_else_is_refused(method: Any) -> None:
    with pytest.raises(TypeError, match="a scalarizer or an aggregator of torchjd is needed"):
        TorchJDWeighting(method)


def test_a_bare_weighting_of_torchjd_is_to_be_put_into_an_aggregator() -> None:
    with pytest.raises(TypeError, match=r"GramianWeightedAggregator\(MGDAWeighting"):
        TorchJDWeighting(aggregation.MGDAWeighting())


def test_parameters_go_with_an_aggregator_only() -> None:
    with pytest.raises(ValueError, match="MGDA looks at gradients: give it parameters"):
        TorchJDWeighting(aggregation.MGDA())
    with pytest.raises(ValueError, match="DWA looks at losses only"):
        TorchJDWeighting(scalarization.DWA(), [torch.ones(1, requires_grad=True)])
    with pytest.raises(ValueError, match="got 1, and none of them has one"):
        TorchJDWeighting(aggregation.MGDA(), [torch.ones(1)])
    with pytest.raises(TypeError, match="parameters are tensors"):
        TorchJDWeighting(aggregation.MGDA(), [("weight", torch.ones(1))])  # type: ignore[list-item]


def test_losses_of_another_network_are_an_error_and_changenullcontext() -> None:
    run = Run(aggregation.MGDA())
    run.step(0)
    before = saved_and_loaded(run.group.state_dict())

    with pytest.raises(RuntimeError, match="none depends on them"):
        run.group.update(Net()(1))

    assert str(run.group.state_dict()) == str(before)


def test_the_state_of_another_method_is_refused_and_changesnullcontext() -> None:
    run, other = Run(scalarization.DWA()), Run(scalarization.STCH(0.5))
    run.step(0)
    other.step(0)
    other.step(1)

    with pytest.raises(ValueError, match="the state of a DWA is needed; got that of a STCH"):
        run.group.load_state_dict(other.group.state_dict())

    assert run.group.step == 1


def test_weights_for_another_number_of_losses_are_an_error_and_changenullcontext() -> None:
    group = LossGroup(["a", "b"], weighting=TorchJDWeighting(scalarization.UW(3)))

    with pytest.raises(ValueError, match="shape"):
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
