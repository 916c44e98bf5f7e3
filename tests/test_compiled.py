"""`weigh` inside torch.compile."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    History,
    LossGroup,
    NormalizedWeighting,
    StaticWeighting,
    UncertaintyWeighting,
    Weighted,
    weighted_sum,
)

from .methods import methods

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("recon", "kl", "adv")
pytestmark = pytest.mark.usefixtures("fresh_compiler")

WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "plain": lambda: None,
    "equal": EqualWeighting,
    "schedule": lambda: StaticWeighting(kl=lambda step: step / 100),
    "cov": CoVWeighting,
    "cov to K": lambda: CoVWeighting(sum_to="K", decay=0.9),
    "automatic": lambda: AutomaticWeightedLoss(3),
    "uncertainty": lambda: UncertaintyWeighting(3),
    **methods("recon kl adv"),
}


def losses_of(x: Tensor) -> dict[str, Tensor]:
    return {"recon": (x**2).sum(), "kl": x.exp().sum(), "adv": (3 * x).cos().sum() + 4}


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_compiled_step_is_one_graph_with_the_weights_of_each_step(name: str) -> None:
    compiled, plain = (
        LossGroup(NAMES, weighting=WEIGHTINGS[name](), max_loss={"kl": 4.0}) for _ in range(2)
    )
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    @torch.compile(fullgraph=True, backend=keep)
    def step(x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        losses = losses_of(x)
        return compiled.weigh(losses), losses

    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        values = torch.randn(4, generator=generator)
        x, y = (values.clone().requires_grad_() for _ in range(2))
        total, losses = step(x)
        expected = plain.weigh(losses_of(y))
        total.backward()  # type: ignore[no-untyped-call]
        expected.backward()  # type: ignore[no-untyped-call]
        compiled.record(losses)
        plain.record(losses_of(y))
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(x.grad, y.grad)

    assert len(graphs) == 1


def test_backward_is_compiled_with_it() -> None:
    group = LossGroup(NAMES, weighting=CoVWeighting())
    step = torch.compile(lambda x: group.weigh(losses_of(x)), fullgraph=True, backend="aot_eager")
    for seed in range(5):
        torch.manual_seed(seed)
        x = torch.randn(4, requires_grad=True)
        step(x).backward()  # type: ignore[no-untyped-call]
        y = x.detach().clone().requires_grad_()
        group.weigh(losses_of(y)).backward()  # type: ignore[no-untyped-call]
        torch.testing.assert_close(x.grad, y.grad)
        group.record(losses_of(y))


@pytest.mark.parametrize("weighting", [CoVWeighting(), UncertaintyWeighting(2)])
def test_a_missing_loss_and_one_that_is_not_finite_add_nothing(weighting: Any) -> None:
    group = LossGroup(["recon", "kl"], weighting=weighting)
    step = torch.compile(group.weigh, fullgraph=True, backend="eager")
    for losses in ({"recon": 2.0}, {"recon": 2.0, "kl": math.nan}, {"recon": 2.0, "kl": math.inf}):
        tensors = {name: torch.tensor(loss) for name, loss in losses.items()}
        assert step(tensors).item() == pytest.approx(group.weigh(tensors).item())


@pytest.mark.parametrize("number", [0, 1.25, np.float32(1.25)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_number_may_stand_beside_tensors(number: Any, dtype: torch.dtype) -> None:
    group = LossGroup(NAMES)
    step = torch.compile(group.weigh, fullgraph=True, backend="eager")
    losses = {"kl": number, "recon": torch.tensor(2.0, dtype=dtype)}

    assert step(losses).item() == group.weigh(losses).item()
    assert step(losses).dtype == group.weigh(losses).dtype


def test_a_number_that_changes_needs_no_graph_for_each_value() -> None:
    """fullgraph=True gives up after eight."""
    group = LossGroup(NAMES)
    step = torch.compile(group.weigh, fullgraph=True, backend="eager")
    loss = torch.tensor(2.0)

    totals = [step({"kl": beta / 16, "recon": loss}).item() for beta in range(1, 16)]

    assert totals == [2 + beta / 16 for beta in range(1, 16)]


class ByStep(nn.Module):
    """Weights of 1 / (step + 1), by a module, which is compiled itself."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        return weighted_sum(losses, torch.ones_like(losses) / (history.step + 1))


class OwnSchedule(StaticWeighting):
    """A user's, who says by himself what the weights are at a step."""

    def weights_at(self, step: int, names: tuple[str, ...]) -> list[float]:
        return [1 / (step + 1)] * len(names)


SCHEDULES: dict[str, Callable[[], Any]] = {
    "own schedule": OwnSchedule,
    "schedule": lambda: StaticWeighting(a=lambda step: 1 / (step + 1), b=0.0),
    "module": ByStep,
    "normalized module": lambda: NormalizedWeighting(ByStep(), by="first"),
}


@pytest.mark.parametrize("of_the_user", [None, 10])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_by_the_step_and_so_does_the_row(
    name: str, backend: str, of_the_user: int | None
) -> None:
    compiled, plain = (LossGroup(["a", "b"], weighting=SCHEDULES[name]()) for _ in range(2))
    step = torch.compile(compiled.weigh, fullgraph=True, backend=backend)
    for number in range(5):
        at = None if of_the_user is None else of_the_user * number
        losses = {"a": torch.tensor(2.0), "b": torch.tensor(2.0)}

        assert step(losses, step=at).item() == pytest.approx(plain.weigh(losses, step=at).item())

        for group in (compiled, plain):
            group.record(losses, step=at)
        assert compiled.weights == pytest.approx(plain.weights)


class Net(nn.Module):
    """A network whose own step is a constant to torch."""

    def __init__(self, weighting: Any) -> None:
        super().__init__()
        self.group = LossGroup(NAMES, weighting=weighting)
        self.step = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.group.weigh(losses_of(x), step=self.step)


@pytest.mark.parametrize("name", [name for name in WEIGHTINGS if name != "schedule"])
def test_a_step_that_no_weight_goes_by_is_no_part_of_the_graph(name: str) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    net = Net(WEIGHTINGS[name]())
    compiled = torch.compile(net, fullgraph=True, backend=keep)
    for net.step in (0, 1, 20, 300):
        compiled(torch.ones(2))

    assert len(graphs) == 1


def test_a_step_that_is_a_tensor_is_no_part_of_a_graph() -> None:
    group = LossGroup(["a", "b"], weighting=SCHEDULES["schedule"]())
    number: Any = torch.tensor(3)
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(1.0)}
    with pytest.raises(torch._dynamo.exc.Unsupported, match="step must be a Python int in compi"):
        torch.compile(group.weigh, backend="eager", fullgraph=True)(losses, step=number)

    torch.compiler.reset()
    assert torch.compile(group.weigh, backend="eager")(losses, step=number).item() == 0.25


@pytest.mark.parametrize("value", [2.0, 8.0, math.inf])
def test_a_loss_that_is_kept_is_kept_and_no_limit_acts_on_infinity(value: float) -> None:
    group = LossGroup(["recon", "kl"], max_loss=4.0, nonfinite="keep")
    step = torch.compile(group.weigh, fullgraph=True, backend="eager")
    losses = {"recon": torch.tensor(1.0), "kl": torch.tensor(value)}
    assert step(losses).item() == group.weigh(losses).item()


def test_an_unknown_loss_is_an_error() -> None:
    step = torch.compile(LossGroup(["recon"]).weigh, backend="eager")
    with pytest.raises(ValueError, match="losses must be among recon, got L1"):
        step({"L1": torch.tensor(1.0)})


def test_a_group_without_names_takes_those_of_the_first_step() -> None:
    group = LossGroup()
    step = torch.compile(group.weigh, backend="eager")
    assert [step({"recon": torch.tensor(2.0)}).item() for _ in range(2)] == [2.0, 2.0]
    assert group.names == ("recon",)


def test_automatic_weights_are_one_graph_by_themselves() -> None:
    awl = AutomaticWeightedLoss(2)
    step = torch.compile(awl, fullgraph=True, backend="eager")
    losses = torch.tensor(1.0), torch.tensor(2.0)
    assert step(*losses).item() == pytest.approx(awl(*losses).item())


def test_a_copy_of_a_group_has_weights_of_its_own() -> None:
    group = LossGroup(["recon", "kl"], weighting=StaticWeighting(kl=0.5))
    other = copy.deepcopy(group)
    assert isinstance(other.weighting, StaticWeighting)
    other.weighting["kl"] = 3.0
    losses = {"recon": torch.tensor(1.0), "kl": torch.tensor(1.0)}
    totals = [torch.compile(one.weigh, backend="eager")(losses).item() for one in (group, other)]
    assert totals == [1.5, 4.0]
