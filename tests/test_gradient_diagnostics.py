from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from loss_dashboard.reader import RunReader
from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import GradientDiagnostics, LossGroup

if TYPE_CHECKING:
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


def test_bad_input_is_an_error_that_counts_no_call(net: nn.Linear) -> None:
    with pytest.raises(ValueError, match="every counts calls, so it is 1 or more; got 0"):
        GradientDiagnostics(net.parameters(), every=0)
    with pytest.raises(ValueError, match="got 0, and none of them has one"):
        GradientDiagnostics([])
    gradients = GradientDiagnostics(net.parameters(), every=2)
    with pytest.raises(ValueError, match=r"loss 'a' is one number .* got the shape \(3,\)"):
        gradients.measure({"a": net(torch.ones(6))})
    assert gradients.measure(losses_of(net)) != {}
    with pytest.raises(ValueError, match="the state of GradientDiagnostics"):
        gradients.load_state_dict({"step": 1})
