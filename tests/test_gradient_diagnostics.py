from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointFunction, checkpoint, checkpoint_sequential

from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import GradientDiagnostics, LossGroup

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def net() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(6, 3)


def losses_of(net: nn.Module) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    out = net(torch.randn(5, 6, generator=generator))
    return {"a": out.square().mean(), "b": (out - 1).abs().sum(), "c": out.exp().mean()}


def gradients_of(net: nn.Module) -> dict[str, Tensor]:
    """Each by a forward and a backward of its own, in float64."""
    found = {}
    for name in losses_of(net):
        net.zero_grad()
        losses_of(net)[name].backward()  # type: ignore[no-untyped-call]
        parts = [p.grad.flatten().double() for p in net.parameters() if p.grad is not None]
        found[name] = torch.cat(parts)
    net.zero_grad()
    return found


def test_norms_shares_and_cosines_are_those_of_separate_backwards(net: nn.Linear) -> None:
    gradients = gradients_of(net)
    norms = {name: gradient.norm().item() for name, gradient in gradients.items()}

    measured = GradientDiagnostics(net.parameters()).measure(losses_of(net))

    expected = {f"gradient_norm/{name}": norm for name, norm in norms.items()}
    for name, norm in norms.items():
        expected[f"gradient_share/{name}"] = norm / sum(norms.values())
    for one, other in ("ab", "ac", "bc"):
        product = gradients[one].dot(gradients[other]).item()
        expected[f"gradient_cosine/{one}-{other}"] = product / norms[one] / norms[other]
    assert list(measured) == list(expected)
    assert measured == pytest.approx(expected, rel=1e-5)


def test_the_training_step_is_what_it_was(net: nn.Linear) -> None:
    plain = copy.deepcopy(net)
    LossGroup().update(losses_of(plain))
    losses = losses_of(net)

    LossGroup().update(losses, extra=GradientDiagnostics(net.parameters()).measure(losses))

    for own, other in zip(net.parameters(), plain.parameters(), strict=True):
        assert own.grad is not None
        assert other.grad is not None
        assert torch.equal(own.grad, other.grad)


def test_it_measures_at_every_nth_call_with_one_backward_a_loss_and_else_does_nothing() -> None:
    weight = torch.ones(2, requires_grad=True)
    gradients = GradientDiagnostics([weight], every=3)
    calls: list[str] = []

    for _ in range(7):
        losses = {"a": weight.sum(), "b": weight.prod()}
        for name, loss in losses.items():
            note = lambda _, name=name: calls.append(name)  # noqa: E731
            loss.register_hook(note)  # type: ignore[no-untyped-call]
        calls.append(str(len(gradients.measure(losses))))

    assert calls == ["a", "b", "5", "0", "0", "a", "b", "5", "0", "0", "a", "b", "5"]


def test_a_resumed_run_measures_at_the_same_steps() -> None:
    weight = torch.ones(2, requires_grad=True)
    first, second = (GradientDiagnostics([weight], every=3) for _ in range(2))
    first.measure({"a": weight.sum()})
    first.measure({"a": weight.sum()})

    second.load_state_dict(first.state_dict())

    assert second.measure({"a": weight.sum()}) == {}
    assert second.measure({"a": weight.sum()}) != {}


@pytest.mark.parametrize(
    "without",
    [2.0, torch.tensor(2.0), torch.tensor(2.0, requires_grad=True)],
    ids=["number", "detached", "of another network"],
)
def test_a_loss_without_gradient_has_norm_and_cosine_zero(without: Any) -> None:
    weight = torch.tensor([3.0, 4.0], requires_grad=True)

    measured = GradientDiagnostics(weight).measure({"a": (weight**2).sum() / 2, "b": without})

    assert measured == pytest.approx(
        {
            "gradient_norm/a": 5,
            "gradient_norm/b": 0,
            "gradient_share/a": 1,
            "gradient_share/b": 0,
            "gradient_cosine/a-b": 0,
        }
    )


def test_inference_mode_changes_nothing_but_that_losses_made_in_it_have_no_gradient() -> None:
    weight = torch.ones(3, requires_grad=True)
    losses = {"a": 4 * weight[0]}
    with torch.inference_mode():
        inside, made_inside = torch.ones(3, requires_grad=True), {"a": 4 * weight[0]}

        assert GradientDiagnostics(weight).measure(losses)["gradient_norm/a"] == 4
        assert GradientDiagnostics(weight).measure(made_inside)["gradient_norm/a"] == 0
        assert GradientDiagnostics(inside).measure(losses)["gradient_norm/a"] == 0


def test_no_loss_with_a_gradient_gives_zeros() -> None:
    weight = torch.ones(1, requires_grad=True)

    measured = GradientDiagnostics(weight).measure({"a": 1.0, "b": torch.tensor(2.0)})

    assert set(measured.values()) == {0.0}
    assert len(measured) == 5


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_shows_and_hides_no_other(value: float) -> None:
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    losses = {"a": weight[0], "b": value * weight[1], "c": weight.sum()}

    measured = GradientDiagnostics(weight).measure(losses)

    lost = {name for name, number in measured.items() if math.isnan(number)}
    assert lost == {
        "gradient_norm/b",
        "gradient_share/b",
        "gradient_cosine/a-b",
        "gradient_cosine/b-c",
    }
    assert measured["gradient_share/a"] + measured["gradient_share/c"] == pytest.approx(1)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_tiny_and_huge_gradients_keep_their_norm_and_direction(size: float) -> None:
    weight = torch.tensor([3.0, 4.0], requires_grad=True)

    measured = GradientDiagnostics(weight).measure(
        {"a": size * weight.sum(), "b": -size * weight[0]}
    )

    assert measured["gradient_norm/a"] == pytest.approx(size * math.sqrt(2))
    assert measured["gradient_cosine/a-b"] == pytest.approx(-math.sqrt(0.5))


def test_half_precision_is_measured_in_float32() -> None:
    weight = torch.full((100,), 1.0, dtype=torch.float16, requires_grad=True)

    measured = GradientDiagnostics(weight).measure({"a": (weight * 300).sum()})

    assert measured["gradient_norm/a"] == pytest.approx(3000)


def test_frozen_parameters_are_passed_over(net: nn.Linear) -> None:
    net.bias.requires_grad_(False)
    only_weight = GradientDiagnostics([net.weight]).measure(losses_of(net))

    assert GradientDiagnostics(net.parameters()).measure(losses_of(net)) == only_weight


def test_the_numbers_stand_in_the_record_and_are_no_losses(net: nn.Linear, tmp_path: Path) -> None:
    gradients = GradientDiagnostics(net.parameters(), every=2)
    with CsvLogger(tmp_path / "run") as logger:
        group = LossGroup(logger=logger)
        for _ in range(5):
            losses = losses_of(net)
            group.update(losses, extra=gradients.measure(losses))

    run = read_run(logger.path)
    assert len(run["a-b"]["gradient_cosine"]) == 3
    norms = run["a"]["gradient_norm"]
    assert [math.isnan(norm) for norm in norms] == [False, True, False, True, False]
    assert [part.name for part in logger.path.glob("*.csv")] == ["losses.csv"]
    reader = RunReader(logger.path)
    assert reader.losses == ["a", "b", "c"]
    assert "a-b" in reader.names


def test_a_scope_stands_before_the_loss(net: nn.Linear) -> None:
    memory = MemoryLogger()
    gradients = GradientDiagnostics(net.parameters(), scope="val")
    losses = losses_of(net)

    LossGroup(logger=memory, scope="val").update(losses, extra=gradients.measure(losses))

    row = memory.rows[0][2]
    assert {"loss/val/a", "gradient_norm/val/a", "gradient_cosine/val/a-b"} <= set(row)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_norm_beyond_half_precision_is_finite(dtype: torch.dtype) -> None:
    weight = torch.ones(2, dtype=dtype, requires_grad=True)
    other = torch.ones(2, requires_grad=True)
    losses = {"a": 60000 * weight.sum() + other.sum(), "b": 60000 * weight[0]}

    measured = GradientDiagnostics([weight, other]).measure(losses)

    size = float(torch.tensor(60000, dtype=dtype))
    assert measured["gradient_norm/a"] == pytest.approx(math.sqrt(2 * size**2 + 2))
    assert measured["gradient_cosine/a-b"] == pytest.approx(math.sqrt(0.5))


# Activation checkpoints.


class Renamed(CheckpointFunction):
    """A checkpoint of somebody's own, by inheritance."""


class Recompute(torch.autograd.Function):
    """A checkpoint of somebody's own, as in fairscale or Megatron."""

    @staticmethod
    def forward(ctx: Any, run: Any, inputs: Tensor) -> Tensor:
        ctx.run = run
        ctx.save_for_backward(inputs)
        with torch.no_grad():
            output: Tensor = run(inputs)
        return output

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> Any:
        inputs = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            output = ctx.run(inputs)
        torch.autograd.backward(output, gradient)
        return None, inputs.grad


class Doubled(torch.autograd.Function):
    """A function of one's own that hides nothing."""

    @staticmethod
    def forward(_: Any, inputs: Tensor) -> Tensor:
        return 2 * inputs

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


def nested(run: Any, inputs: Tensor) -> Any:
    inner = lambda x: checkpoint(run, x, use_reentrant=True)  # noqa: E731
    return checkpoint(inner, inputs, use_reentrant=True)


def nested_in_another(run: Any, inputs: Tensor) -> Any:
    inner = lambda x: checkpoint(run, x, use_reentrant=True)  # noqa: E731
    return checkpoint(inner, inputs, use_reentrant=False)


VISIBLE: dict[str, Callable[[Any, Tensor], Any]] = {
    "not reentrant": lambda run, x: checkpoint(run, x, use_reentrant=False),
    "a function of one's own": lambda run, x: Doubled.apply(run(x)) / 2,  # type: ignore[no-untyped-call]
}
HIDDEN: dict[str, Callable[[Any, Tensor], Any]] = {
    "reentrant": lambda run, x: checkpoint(run, x, use_reentrant=True),
    "of a sequence": lambda run, x: checkpoint_sequential(run, 2, x, use_reentrant=True),  # type: ignore[no-untyped-call]
    "nested": nested,
    "in one that is not reentrant": nested_in_another,
    "inherited": lambda run, x: Renamed.apply(run, True, x),  # type: ignore[no-untyped-call]
    "under another name": lambda run, x: Recompute.apply(run, x),  # type: ignore[no-untyped-call]
}
PARTS = ("", "embed", "trunk", "head")


class Net(nn.Module):
    def __init__(self, run: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Linear(3, 16), nn.Linear(16, 2)
        self.trunk = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
        self.run = run
        self.hidden = torch.empty(0)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        self.hidden = self.run(self.trunk, self.embed(inputs))
        out = self.head(self.hidden)
        return {"a": out[:, 0].square().mean() * 100, "b": (out[:, 1] - 1).abs().mean()}


def measured_on(part: str, run: Callable[[Any, Tensor], Any]) -> dict[str, float]:
    net = Net(run)
    parameters = net.get_submodule(part).parameters()
    return GradientDiagnostics(parameters).measure(net(torch.ones(8, 3)))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", VISIBLE)
def test_a_checkpoint_that_hides_nothing_changes_no_number(kind: str, part: str) -> None:
    plain = measured_on(part, lambda run, x: run(x))

    assert measured_on(part, VISIBLE[kind]) == pytest.approx(plain)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", HIDDEN)
def test_a_checkpoint_that_hides_gradients_is_an_error(kind: str, part: str) -> None:
    with pytest.raises(RuntimeError, match=r"reentrant checkpoint .*use_reentrant=False"):
        measured_on(part, HIDDEN[kind])


@pytest.mark.parametrize("kind", HIDDEN)
def test_what_comes_after_a_checkpoint_is_measured(kind: str) -> None:
    plain, net = Net(lambda run, x: run(x)), Net(HIDDEN[kind])
    expected, losses = plain(torch.ones(8, 3)), net(torch.ones(8, 3))

    measured = GradientDiagnostics(net.hidden).measure(losses)

    assert measured == pytest.approx(GradientDiagnostics(plain.hidden).measure(expected))


def test_a_checkpoint_that_no_loss_depends_on_does_not_matter() -> None:
    net, weight = Net(HIDDEN["reentrant"]), torch.tensor([3.0, 4.0], requires_grad=True)
    net(torch.ones(8, 3))
    losses = {"a": (weight**2).sum() / 2, "b": net.hidden.detach().sum()}

    measured = GradientDiagnostics([weight, *net.parameters()]).measure(losses)

    assert measured["gradient_norm/a"] == pytest.approx(5)
    assert measured["gradient_norm/b"] == 0


def test_an_error_counts_no_call() -> None:
    net = Net(HIDDEN["reentrant"])
    gradients = GradientDiagnostics(net.parameters(), every=2)
    with pytest.raises(RuntimeError, match="reentrant"):
        gradients.measure(net(torch.ones(8, 3)))

    net.run = VISIBLE["not reentrant"]

    assert gradients.measure(net(torch.ones(8, 3))) != {}


# Bad input.


def test_bad_input_is_an_error_that_counts_no_call(net: nn.Linear) -> None:
    with pytest.raises(ValueError, match="every must be a whole number of calls, 1 or more, got 0"):
        GradientDiagnostics(net.parameters(), every=0)
    with pytest.raises(ValueError, match=r"must require a gradient, got none .*only once"):
        GradientDiagnostics([])
    gradients = GradientDiagnostics(net.parameters(), every=2)
    with pytest.raises(ValueError, match=r"loss 'a' must be one number .*, got the shape \(3,\)"):
        gradients.measure({"a": net(torch.ones(6))})
    assert gradients.measure(losses_of(net)) != {}
    for state in ({}, {"step": torch.tensor(1)}, {"calls": torch.ones(2)}, {"calls": "1"}):
        with pytest.raises(ValueError, match="the state of GradientDiagnostics"):
            gradients.load_state_dict(state)
    assert gradients.state_dict() == {"calls": torch.tensor(1)}
