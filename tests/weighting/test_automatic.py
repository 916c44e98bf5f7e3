from __future__ import annotations

import copy
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from multi_loss_weighting import AutomaticWeightedLoss, LossGroup

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("case", range(8))
@pytest.mark.parametrize("in_a_group", [True, False])
def test_it_gives_the_numbers_and_gradients_of_the_published_code(
    golden: Callable[[str], dict[str, Any]], case: int, in_a_group: bool
) -> None:
    theirs = golden("automatic_weighted_loss")
    expected = theirs["cases"][case]
    losses = torch.tensor(theirs["losses"][case], dtype=torch.float64, requires_grad=True)
    awl = AutomaticWeightedLoss(4).double()
    with torch.no_grad():
        awl.params.copy_(torch.tensor(theirs["params"][case], dtype=torch.float64))

    if in_a_group:
        total = LossGroup(tuple("abcd"), weighting=awl).update(
            dict(zip("abcd", losses, strict=True))
        )
    else:
        total = awl(*losses)
        total.backward()

    assert total.item() == pytest.approx(expected["loss"], rel=1e-12)
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx(expected["dlosses"], rel=1e-12)
    assert awl.params.grad is not None
    assert awl.params.grad.tolist() == pytest.approx(expected["dparams"], rel=1e-12)


def test_plain_numbers_are_losses_too() -> None:
    awl = AutomaticWeightedLoss(2)

    total = awl(1, 2)
    total.backward()

    assert total.item() == pytest.approx(1.5 + 2 * 0.6931471805599453)
    assert awl.params.grad is not None
    assert awl.params.grad.tolist() == [0.0, -1.0]


def test_it_learns_beside_a_network() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, batch = nn.Linear(3, 2), torch.randn(8, 3)
    awl = AutomaticWeightedLoss(2)
    parts: list[dict[str, Any]] = [
        {"params": network.parameters()},
        {"params": awl.parameters(), "weight_decay": 0},
    ]
    optimizer = torch.optim.Adam(parts)

    for _ in range(10):
        out = network(batch)
        optimizer.zero_grad()
        awl((out[:, 0] ** 2).mean(), (out[:, 1] - 3).abs().mean()).backward()
        optimizer.step()

    assert (awl.params != 1).all()


def test_a_total_of_positive_losses_is_never_negative() -> None:
    awl = AutomaticWeightedLoss(2)
    optimizer = torch.optim.SGD(awl.parameters(), lr=0.1)

    for _ in range(200):
        optimizer.zero_grad()
        total = awl(1e-6, 1e-3)
        total.backward()
        optimizer.step()
        assert total.item() > 0


def test_its_parameter_keeps_its_old_name() -> None:
    awl = AutomaticWeightedLoss(2)

    awl.load_state_dict({"params": torch.tensor([2.0, 3.0])})

    assert list(awl.state_dict()) == ["params"]
    assert awl.params.tolist() == [2.0, 3.0]


def test_the_default_is_two_losses_of_weight_one_half() -> None:
    assert AutomaticWeightedLoss().params.tolist() == [1.0, 1.0]
    assert LossGroup(("a", "b"), weighting=AutomaticWeightedLoss()).weights == {"a": 0.5, "b": 0.5}


def test_losses_may_be_of_one_element_and_of_another_precision() -> None:
    awl = AutomaticWeightedLoss(3)

    total = awl(torch.ones(1), torch.ones(1, 1, dtype=torch.float64), torch.tensor(1.0).bfloat16())

    assert total.item() == pytest.approx(3 * (0.5 + 0.6931471805599453))


@pytest.mark.parametrize("losses", [(1.0,), (1.0, 2.0, 3.0), ()])
def test_another_number_of_losses_is_an_error(losses: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"was made for 2 losses, got {len(losses)}"):
        AutomaticWeightedLoss(2)(*losses)


def test_a_number_of_losses_below_1_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"num must be a whole number of losses, 1 or more, got 0"):
        AutomaticWeightedLoss(0)


def test_alone_it_warns_once_if_it_never_moves() -> None:
    awl = AutomaticWeightedLoss(2)

    with pytest.warns(RuntimeWarning, match="AutomaticWeightedLoss have not moved") as caught:
        call(awl, times=250)

    assert [warning.filename for warning in caught] == [__file__]


def test_it_does_not_warn_where_nothing_is_learned() -> None:
    awl = AutomaticWeightedLoss(2)

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        call(awl, times=150)

    assert awl.params.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("fused", [False, True])
def test_it_does_not_warn_where_they_moved(fused: bool) -> None:
    awl = AutomaticWeightedLoss(2)
    optimizer = torch.optim.Adam(awl.parameters(), fused=fused)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(150):
            optimizer.zero_grad()
            awl(1.0, 2.0).backward()
            optimizer.step()

    assert awl.params.tolist() != [1.0, 1.0]


def call(awl: AutomaticWeightedLoss, times: int) -> None:
    for _ in range(times):
        awl(1.0, 2.0)


def test_it_can_be_copied_and_pickled() -> None:
    awl = AutomaticWeightedLoss(2)
    awl(1, 2)

    for other in (copy.deepcopy(awl), pickle.loads(pickle.dumps(awl))):
        assert other(1, 2).item() == awl(1, 2).item()
        assert other.params is not awl.params
