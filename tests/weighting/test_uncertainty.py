from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import MemoryLogger
from multi_loss_weighting import LossGroup, UncertaintyWeighting

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("case", range(8))
@pytest.mark.parametrize("in_a_group", [True, False])
@pytest.mark.parametrize("form", ["full", "half"])
def test_it_gives_the_numbers_and_gradients_of_the_published_code(
    golden: Callable[[str], dict[str, Any]], case: int, in_a_group: bool, form: str
) -> None:
    theirs = golden("uncertainty")
    expected = theirs["cases"][case][form]
    losses = torch.tensor(theirs["losses"][case], dtype=torch.float64, requires_grad=True)
    weighting = UncertaintyWeighting(4, half=form == "half").double()
    with torch.no_grad():
        weighting.params.copy_(torch.tensor(theirs["params"][case], dtype=torch.float64))

    if in_a_group:
        group = LossGroup(tuple("abcd"), weighting=weighting)
        total = group.update(dict(zip("abcd", losses, strict=True)))
    else:
        total = weighting(*losses)
        total.backward()

    assert total.item() == pytest.approx(expected["loss"], rel=1e-12)
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx(expected["dlosses"], rel=1e-12)
    assert weighting.params.grad is not None
    assert weighting.params.grad.tolist() == pytest.approx(expected["dparams"], rel=1e-12)


def test_each_weight_goes_to_one_over_its_loss() -> None:
    weighting = UncertaintyWeighting(2)
    group = LossGroup(("a", "b"), weighting=weighting)
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.1)
    losses = torch.tensor([4.0, 0.5], requires_grad=True)

    for _ in range(300):
        optimizer.zero_grad()
        group.update({"a": losses[0], "b": losses[1]})
        optimizer.step()

    assert group.weights == pytest.approx({"a": 0.25, "b": 2.0}, rel=1e-3)


def test_the_total_may_go_below_zero() -> None:
    weighting = UncertaintyWeighting(1)
    with torch.no_grad():
        weighting.params.fill_(-2.0)

    assert weighting(0.01).item() < 0


@pytest.mark.parametrize(("half", "weight"), [(False, 1.0), (True, 0.5)])
def test_all_begin_with_the_same_weight(half: bool, weight: float) -> None:
    group = LossGroup(("a", "b"), weighting=UncertaintyWeighting(2, half=half))

    assert group.weights == {"a": weight, "b": weight}


def test_the_setting_reaches_the_loggers() -> None:
    memory = MemoryLogger()
    group = LossGroup(("a", "b"), memory, weighting=UncertaintyWeighting(2, half=True))

    group.update({"a": 1.0, "b": 2.0}, do_backwards=False)

    assert memory.hyperparameters["weighting"] == {"method": "UncertaintyWeighting", "half": True}


def test_the_loss_part_of_imtl_is_the_same_with_the_sign_of_its_parameters_turned() -> None:
    scalarization = pytest.importorskip("torchjd.scalarization", reason="needs the torchjd extra")
    params, losses = torch.randn(4, generator=torch.Generator().manual_seed(0)), torch.rand(4) + 0.1
    ours, theirs = UncertaintyWeighting(4), scalarization.IMTLL(4)
    with torch.no_grad():
        ours.params.copy_(params)
        next(theirs.parameters()).copy_(-params)
    total, their_total = ours(*losses), theirs(losses)
    total.backward()
    their_total.backward()

    assert total.item() == pytest.approx(their_total.item(), rel=1e-6)
    assert ours.params.grad is not None
    turned = -next(theirs.parameters()).grad
    assert ours.params.grad.tolist() == pytest.approx(turned.tolist(), rel=1e-5, abs=1e-6)
