from __future__ import annotations

import copy
import math
import pickle
import warnings
from enum import Enum
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loss_loggers import CsvLogger, MemoryLogger, run_info
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    LossGroup,
    LossTracker,
    NormalizedWeighting,
    PlainSum,
    RatioSettings,
    StaticWeighting,
    StatisticsSettings,
    UncertaintySoftmax,
    UncertaintyWeighting,
    Weighted,
    Weighting,
)

from .methods import methods
from .states import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

ABC = ("a", "b", "c")
WEIGHTINGS: list[Callable[[], Weighting]] = [
    PlainSum,
    EqualWeighting,
    lambda: StaticWeighting(a=2.0, b=lambda step: 0.5**step),
    CoVWeighting,
    lambda: CoVWeighting(decay=0.9, sum_to="K"),
    lambda: AutomaticWeightedLoss(3),
    lambda: UncertaintyWeighting(3),
    *methods("a b c").values(),
]


class Network(nn.Module):
    """A trunk that all losses share, and a head for each."""

    def __init__(self, names: tuple[str, ...] = ABC, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.trunk = nn.Sequential(nn.Linear(6, 12), nn.Tanh())
            self.heads = nn.ModuleDict({name: nn.Linear(12, 3) for name in names})
            self.batch = torch.randn(10, 6).to(dtype)
        self.to(dtype)

    def forward(self) -> dict[str, Tensor]:
        shared = self.trunk(self.batch)
        return {
            name: (head(shared) ** 2).mean() * (index + 1)
            for index, (name, head) in enumerate(self.heads.items())
        }

    def gradients(self) -> list[Tensor]:
        return [
            torch.zeros_like(one) if one.grad is None else one.grad for one in self.parameters()
        ]


def backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def plain_sum(losses: Mapping[str, Tensor]) -> Tensor:
    return reduce(add, losses.values())


def gradients_of(objective: Callable[[dict[str, Tensor]], Tensor], **settings: Any) -> list[Tensor]:
    network = Network(**settings)
    backward(objective(network()))
    return network.gradients()


def assert_identical(gradients: list[Tensor], others: list[Tensor]) -> None:
    assert all(map(torch.equal, gradients, others))
    assert any(gradient.any() for gradient in gradients)


def numbers(seed: int, names: tuple[str, ...] = ABC) -> dict[str, float]:
    losses: list[float] = np.random.default_rng(seed).lognormal(size=len(names)).tolist()
    return dict(zip(names, losses, strict=True))


def feed(group: LossGroup, *steps: Mapping[str, Any]) -> list[float]:
    return [group.update(losses, do_backwards=False).item() for losses in steps]


def state(group: LossGroup) -> str:
    return repr(plain(group.state_dict()))


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'ranks'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


# One backward for the weighted sum.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 60])
@pytest.mark.parametrize("weighting", [EqualWeighting, CoVWeighting])
def test_equal_weights_give_the_gradients_of_the_mean_to_the_last_bit(
    weighting: Callable[[], Weighting], count: int, dtype: torch.dtype
) -> None:
    settings: dict[str, Any] = {"names": tuple(map(str, range(count))), "dtype": dtype}
    network = Network(**settings)

    LossGroup(weighting=weighting()).update(network())

    expected = gradients_of(lambda losses: plain_sum(losses) / count, **settings)
    assert_identical(network.gradients(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 3, 60])
def test_without_a_weighting_it_is_the_plain_sum_to_the_last_bit(
    count: int, dtype: torch.dtype
) -> None:
    settings: dict[str, Any] = {"names": tuple(map(str, range(count))), "dtype": dtype}
    network = Network(**settings)

    LossGroup().update(network())

    expected = gradients_of(lambda losses: plain_sum(losses), **settings)
    assert_identical(network.gradients(), expected)


@pytest.mark.parametrize("make", WEIGHTINGS)
def test_the_gradient_is_that_of_the_weighted_sum(make: Callable[[], Weighting]) -> None:
    network = Network()
    group = LossGroup(ABC, weighting=make())
    feed(group, *map(numbers, range(5)))

    group.update(network())

    weights = group.weights
    expected = gradients_of(
        lambda losses: plain_sum({name: weights[name] * losses[name] for name in ABC})
    )
    for gradient, other in zip(network.gradients(), expected, strict=True):
        torch.testing.assert_close(gradient, other)


def test_the_total_is_detached_after_backward_and_live_without() -> None:
    network, group = Network(), LossGroup()

    after = group.update(network())
    live = group.update(network(), do_backwards=False)

    assert not after.requires_grad
    assert after.item() == live.item() == pytest.approx(plain_sum(network()).item())
    network.zero_grad()
    backward(live)
    expected = gradients_of(lambda losses: losses["a"] + losses["b"] + losses["c"])
    assert_identical(network.gradients(), expected)


@pytest.mark.parametrize("make", WEIGHTINGS)
def test_weigh_and_record_are_the_two_halves_of_update(make: Callable[[], Weighting]) -> None:
    whole, halves = MemoryLogger(), MemoryLogger()
    one, other = LossGroup(ABC, whole, weighting=make()), LossGroup(ABC, halves, weighting=make())
    network, its_copy = Network(), Network()

    for step in range(4):
        scale = 1 + step % 2
        one.update({name: loss * scale for name, loss in network().items()})
        losses = {name: loss * scale for name, loss in its_copy().items()}
        backward(other.weigh(losses))
        other.record(losses)

    assert_identical(its_copy.gradients(), network.gradients())
    assert state(other) == state(one)
    assert [(step, repr(row)) for step, _, row in halves.rows] == [
        (step, repr(row)) for step, _, row in whole.rows
    ]


@pytest.mark.parametrize("make", WEIGHTINGS)
def test_weighing_changes_nothing(make: Callable[[], Weighting]) -> None:
    memory = MemoryLogger()
    group = LossGroup(ABC, memory, weighting=make(), max_loss=0.5)
    feed(group, numbers(0), numbers(1))
    before = state(group), repr(group.weights), repr(group)

    totals = [group.weigh(numbers(2)).item() for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group.weigh({"a": 1.0, "b": math.nan})

    assert len(set(totals)) == 1
    assert (state(group), repr(group.weights), repr(group)) == before
    assert len(memory.rows) == 2


def test_calling_the_group_weighs() -> None:
    group = LossGroup(ABC)

    assert group(numbers(0)).item() == pytest.approx(sum(numbers(0).values()))
    assert group.step == 0


def test_a_closure_may_weigh_as_often_as_it_likes() -> None:
    network = Network()
    group = LossGroup(ABC, weighting=CoVWeighting())
    feed(group, *map(numbers, range(4)))
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=5)
    calls = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = group.weigh(network())
        backward(total)
        calls.append(total.item())
        return total

    for _ in range(3):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        group.record(network())

    assert len(calls) > 6
    assert (group.step, group["a"].count) == (7, 7)
    assert calls[-1] < calls[0]


def test_backward_may_be_that_of_a_gradient_scaler() -> None:
    network = Network()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    group = LossGroup(backward=lambda total: backward(scaler.scale(total)))

    group.update(network())

    assert_identical(network.gradients(), gradients_of(lambda losses: plain_sum(losses) * 8))


def test_a_graph_can_be_kept_for_a_second_backward() -> None:
    network, group = Network(), LossGroup()
    losses = network()

    group.update(losses, retain_graph=True)
    group.update(losses)

    assert_identical(network.gradients(), gradients_of(lambda losses: plain_sum(losses) * 2))


def test_if_backward_raises_nothing_has_changed() -> None:
    def broken(_: Tensor) -> None:
        msg = "out of memory"
        raise RuntimeError(msg)

    group = LossGroup(
        ABC,
        memory := MemoryLogger(),
        max_loss=0.001,
        backward=broken,
        statistics=StatisticsSettings(decay=0.9),
    )
    feed(group, numbers(0))
    before = state(group)

    with pytest.raises(RuntimeError, match="out of memory"):
        group.update(Network()())

    assert state(group) == before
    assert len(memory.rows) == 1


# Names.


def test_names_are_those_of_the_first_step() -> None:
    group = LossGroup(weighting=CoVWeighting())
    assert (group.names, len(group), bool(group)) == ((), 0, True)

    feed(group, {"b": 1.0, "a": 2.0})

    assert group.names == tuple(group) == ("b", "a")
    assert "a" in group
    assert "c" not in group


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (LossGroup(ABC), "of a loss of this group \\(a, b, c\\), got 'd'"),
        (LossGroup(), "not known before the first step\\), got 'd'"),
    ],
)
def test_a_loss_that_there_is_not_is_an_error(group: LossGroup, message: str) -> None:
    with pytest.raises(KeyError, match=message):
        group["d"]


def test_the_order_is_the_groups_and_never_the_dicts() -> None:
    one = LossGroup(ABC, weighting=CoVWeighting())
    other = LossGroup(ABC, weighting=CoVWeighting())

    for seed in range(5):
        losses = numbers(seed)
        total = one.update(losses, do_backwards=False)
        reversed_total = other.update(dict(reversed(losses.items())), do_backwards=False)

    assert total.item() == reversed_total.item()
    assert state(one) == state(other)


@pytest.mark.parametrize("loss", [torch.ones(3), [1.0], None])
def test_a_first_step_that_is_refused_gives_no_names(loss: Any) -> None:
    group = LossGroup()

    with pytest.raises((TypeError, ValueError), match="loss 'typo'"):
        group.update({"typo": loss}, do_backwards=False)
    feed(group, {"a": 1.0})

    assert group.names == ("a",)


def test_an_unknown_loss_is_an_error_that_changes_nothing() -> None:
    group = LossGroup(ABC)
    before = state(group)

    with pytest.raises(ValueError, match="losses must be among a, b, c, got d as well"):
        feed(group, {"a": 1.0, "d": 2.0})

    assert state(group) == before


def test_keys_can_be_passed_over() -> None:
    group = LossGroup(ignore=("loss", "total"))

    total = feed(group, {"loss": 9.0, "a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0, "total": [None]})

    assert total == [3.0, 3.0]
    assert group.names == ("a", "b")


def test_one_key_can_be_passed_over() -> None:
    assert feed(LossGroup(ignore="loss"), {"loss": 9.0, "a": 1.0}) == [1.0]


def test_total_is_the_groups_own_name() -> None:
    with pytest.raises(ValueError, match="must not have 'total', which is the objective"):
        LossGroup(["a", "total"])
    group = LossGroup()
    with pytest.raises(ValueError, match="must not have 'total', which is the objective"):
        feed(group, {"a": 1.0, "total": 1.0})
    assert group.names == ()


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["a", "a"], ValueError, "each different"),
        ([], ValueError, "one or more"),
        ("ab", TypeError, "a list of str, got the one str 'ab'"),
        (CoVWeighting(), TypeError, "got CoVWeighting: pass it as weighting=..."),
        (MemoryLogger(), TypeError, "got MemoryLogger: pass it as logger=..."),
        ([1], TypeError, "a loss must be a str, got 1"),
        (["a\n"], ValueError, "printable"),
    ],
)
def test_names_are_different_lines_of_text(
    names: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LossGroup(names)


# Losses of every kind.


def test_a_missing_loss_leaves_all_else_as_it_is() -> None:
    group = LossGroup(ABC, memory := MemoryLogger(), weighting=CoVWeighting())
    feed(group, *map(numbers, range(6)))
    before = group["b"].record[:15]
    weights = dict(zip(ABC, _next_weights(group), strict=True))
    losses = {"a": 2.0, "c": 4.0}

    total = group.update(losses, do_backwards=False).item()

    assert total == pytest.approx(2 * weights["a"] + 4 * weights["c"])
    assert group.weights == pytest.approx(weights)
    assert group["b"].record[:15] == before
    assert group["a"].count == 7
    assert not any(key.endswith("/b") for key in memory.rows[6][2])


def _next_weights(group: LossGroup) -> list[float]:
    ones = torch.eye(3, dtype=torch.float64)
    return [group.weigh(dict(zip(ABC, row, strict=True))).item() for row in ones]


def test_a_step_without_any_loss_is_an_error() -> None:
    group = LossGroup(ABC)

    with pytest.raises(ValueError, match="one or more of a, b, c, got none"):
        feed(group, {})
    assert group.step == 0


def test_a_loss_of_zero_is_a_loss() -> None:
    network = Network()
    group = LossGroup(ABC, weighting=CoVWeighting())

    for _ in range(20):
        group.update({**network(), "b": network()["b"] * 0.0})

    weights = group.weights
    assert all(map(math.isfinite, weights.values()))
    assert sum(weights.values()) == pytest.approx(1)
    assert all(gradient.isfinite().all() for gradient in network.gradients())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("make", WEIGHTINGS)
def test_a_loss_that_is_not_finite_is_left_out_as_if_it_were_missing(
    make: Callable[[], Weighting], bad: float
) -> None:
    with_bad, without = Network(), Network()
    group, other = LossGroup(ABC, weighting=make()), LossGroup(ABC, weighting=make())
    for one in (group, other):
        feed(one, *map(numbers, range(4)))
    losses, rest = with_bad(), without()

    with pytest.warns(RuntimeWarning, match="loss 'b' is .* at step 4"):
        total = group.update({**losses, "b": losses["b"] * bad})
    expected = other.update({"a": rest["a"], "c": rest["c"]})

    assert total.item() == expected.item()
    assert_identical(with_bad.gradients(), without.gradients())
    assert group.weights == other.weights
    assert (group["b"].nonfinite, group["b"].count, group["a"].count) == (1, 4, 5)
    for parameter, its in zip(group.parameters(), other.parameters(), strict=True):
        assert parameter.grad is not None
        assert its.grad is not None
        assert torch.equal(parameter.grad, its.grad)
        assert parameter.grad[1] == 0


def test_with_no_finite_loss_at_all_training_goes_on() -> None:
    network = Network()
    group = LossGroup(ABC, memory := MemoryLogger(), weighting=AutomaticWeightedLoss(3))

    with pytest.warns(RuntimeWarning, match="is nan at step 0"):
        total = group.update({name: loss * math.nan for name, loss in network().items()})

    assert total.item() == 0
    assert not any(gradient.any() for gradient in network.gradients())
    assert group.step == 1
    assert memory["nonfinite/a"] == [(0, 1)]
    assert memory["loss/total"] == [(0, 0.0)]


def test_each_loss_is_warned_about_once_at_the_line_of_the_user() -> None:
    group = LossGroup(["a", "b"])
    bad = {"a": math.nan, "b": math.inf}

    with pytest.warns(RuntimeWarning) as caught:
        feed(group, bad, bad, bad)

    assert [str(warning.message).partition(":")[0] for warning in caught] == [
        "loss 'a' is nan at step 0",
        "loss 'b' is inf at step 0",
    ]
    assert {warning.filename for warning in caught} == {__file__}
    assert group["a"].nonfinite == group["b"].nonfinite == 3


def test_it_may_raise_once_it_is_on_record() -> None:
    network = Network()
    group = LossGroup(ABC, memory := MemoryLogger(), nonfinite="raise")

    with pytest.raises(FloatingPointError, match="loss 'b' is nan at step 0"):
        group.update({**network(), "b": network()["b"] * math.nan})

    assert memory["nonfinite/b"] == [(0, 1)]
    assert group.step == 1


def test_a_gradient_scaler_finds_out_and_skips_the_step() -> None:
    network = Network()
    before = [weight.clone() for weight in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    group = LossGroup(
        weighting=CoVWeighting(), backward=lambda total: backward(scaler.scale(total))
    )

    with pytest.warns(RuntimeWarning, match="nan"):
        group.update({name: loss * math.nan for name, loss in network().items()})
    scaler.step(optimizer)
    scaler.update()

    assert scaler.get_scale() == 4.0
    assert all(map(torch.equal, network.parameters(), before))
    assert (group["a"].count, group["a"].nonfinite) == (0, 1)


@pytest.mark.usefixtures("process_group")
def test_among_ranks_backward_always_runs() -> None:
    network = Network()

    with pytest.warns(RuntimeWarning, match="nan"):
        LossGroup().update({**network(), "b": network()["b"] * math.nan})

    assert all(gradient.isnan().any() for gradient in network.gradients()[:2])


def test_plain_numbers_can_be_tracked() -> None:
    group = LossGroup(ABC, weighting=StaticWeighting(b=0.5))

    total = group.update({"a": 1, "b": np.float32(2), "c": 3.0}, do_backwards=False)

    assert total.item() == 5.0
    assert total.dtype == torch.float64


def test_plain_numbers_have_no_backward() -> None:
    group = LossGroup(ABC)

    with pytest.raises(
        ValueError, match=r"no loss has a gradient \(a, b, c\): pass do_backwards=False"
    ):
        group.update(numbers(0))

    assert (group.step, group["a"].count) == (0, 0)


def test_losses_whose_gradient_no_grad_hides_are_an_error_that_says_so() -> None:
    group, losses = LossGroup(ABC), Network()()

    with torch.no_grad(), pytest.raises(ValueError, match=r"is inside torch.no_grad\(\)"):
        group.update(losses)

    assert group.step == 0


def test_a_weighting_that_takes_the_gradient_away_is_an_error_that_says_so() -> None:
    class Detached:
        def weigh(self, losses: Any, history: Any, /) -> Weighted:
            return Weighted(losses.detach().sum(), np.ones(len(losses)))

    group = LossGroup(ABC, weighting=Detached())

    with pytest.raises(ValueError, match="what was weighed has no gradient any more"):
        group.update(Network()())

    assert (group.step, group["a"].count) == (0, 0)


def test_a_number_may_stand_beside_tensors() -> None:
    network = Network()

    LossGroup(ABC).update({**network(), "b": 3.0})

    assert_identical(network.gradients(), gradients_of(lambda losses: losses["a"] + losses["c"]))


def test_losses_may_differ_in_dtype_and_shape() -> None:
    network = Network()
    losses = network()
    group = LossGroup(ABC, weighting=StaticWeighting(a=0.5))

    total = group.update(
        {"a": losses["a"].double(), "b": losses["b"].reshape(1), "c": losses["c"].reshape(1, 1)}
    )

    assert total.shape == ()
    assert total.item() == pytest.approx(
        (losses["a"] / 2 + losses["b"] + losses["c"]).item(), rel=1e-6
    )
    expected = gradients_of(lambda losses: losses["a"] / 2 + losses["b"] + losses["c"])
    for gradient, other in zip(network.gradients(), expected, strict=True):
        torch.testing.assert_close(gradient, other)
    assert group["a"].value == losses["a"].item()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("make", WEIGHTINGS)
def test_losses_of_any_precision_are_weighed(
    make: Callable[[], Weighting], dtype: torch.dtype
) -> None:
    group = LossGroup(ABC, weighting=make())

    total = group.update({name: torch.tensor(2.0, dtype=dtype) for name in ABC}, False)

    exact = LossGroup(ABC, weighting=make()).update(dict.fromkeys(ABC, 2.0), False)
    assert total.item() == pytest.approx(exact.item(), rel=1e-2)


@pytest.mark.parametrize("losses", [[3, 4, 5], [3, 4.5, 5]], ids=repr)
@pytest.mark.parametrize("weighting", [CoVWeighting, EqualWeighting])
def test_losses_may_be_integers(weighting: Callable[[], Weighting], losses: list[float]) -> None:
    group = LossGroup(ABC, weighting=weighting())

    total = group.update(
        {
            name: torch.tensor(loss) if isinstance(loss, int) else loss
            for name, loss in zip(ABC, losses, strict=True)
        },
        do_backwards=False,
    )

    assert total.item() == pytest.approx(sum(losses) / 3)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (torch.ones(3), ValueError, r"loss 'b' .* call .mean\(\) or .sum\(\)"),
        ([1.0], TypeError, r"loss 'b' must be a number"),
        (None, TypeError, r"loss 'b' must be a number"),
        ("1.0", TypeError, r"loss 'b' must be a number"),
        (1j, TypeError, r"loss 'b' must be a number"),
        (torch.tensor(1j), TypeError, r"loss 'b' must be a number"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("step", ["update", "record", "weigh"])
def test_anything_else_is_an_error_that_changes_nothing(
    loss: Any, error: type[Exception], message: str, step: str
) -> None:
    group = LossGroup(ABC, memory := MemoryLogger(), weighting=CoVWeighting())
    feed(group, numbers(0))
    before = state(group)

    with pytest.raises(error, match=message):
        getattr(group, step)({"a": torch.ones((), requires_grad=True), "b": loss})

    assert state(group) == before
    assert len(memory.rows) == 1


def test_unreduced_losses_are_an_error_even_if_all_are() -> None:
    group = LossGroup(ABC)

    with pytest.raises(ValueError, match=r"loss 'a' .* call .mean\(\) or .sum\(\)"):
        group.update(dict.fromkeys(ABC, torch.ones(3, requires_grad=True)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"extra": {"lr": "fast"}}, TypeError, "extra 'lr' must be a number, .* got <class 'str'>"),
        ({"samples": -1}, ValueError, "samples must be .* 0 or more, got -1"),
        ({"samples": math.inf}, ValueError, "0 or more, got inf"),
        ({"step": "first"}, ValueError, "step must be a whole number, got 'first'"),
        ({"step": 0.5}, ValueError, "step must be a whole number, got 0.5"),
    ],
)
@pytest.mark.parametrize("step", ["update", "record"])
def test_a_bad_option_is_an_error_that_changes_nothing(
    step: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    group, network = LossGroup(ABC), Network()
    before = state(group)

    with pytest.raises(error, match=message):
        getattr(group, step)(network(), **options)

    assert state(group) == before
    assert all(parameter.grad is None for parameter in network.parameters())


# Clamps.


@pytest.mark.parametrize(
    ("max_loss", "expected"),
    [(2.0, [1.0, 2.0, 2.0]), ({"c": 3.0}, [1.0, 4.0, 3.0]), (math.inf, [1.0, 4.0, 9.0])],
)
def test_losses_are_clamped_together_or_each(max_loss: Any, expected: list[float]) -> None:
    group = LossGroup(ABC, max_loss=max_loss)

    assert feed(group, {"a": 1.0, "b": 4.0, "c": 9.0}) == [sum(expected)]
    assert [group[name].weighted for name in ABC] == expected
    assert [group[name].mean for name in ABC] == [1.0, 4.0, 9.0]
    assert [group[name].clamped for name in ABC] == [
        int(clamped != raw) for clamped, raw in zip(expected, [1.0, 4.0, 9.0], strict=True)
    ]


def test_infinity_is_left_out_and_not_clamped() -> None:
    group = LossGroup(ABC, max_loss=2.0)

    with pytest.warns(RuntimeWarning, match="loss 'b' is inf"):
        total = feed(group, {"a": 1.0, "b": math.inf, "c": 9.0})

    assert total == [3.0]
    assert [group[name].clamped for name in ABC] == [0, 0, 1]


def test_a_clamped_loss_keeps_the_direction_of_its_gradient() -> None:
    network = Network()
    limit = network()["b"].item() / 4

    LossGroup(ABC, max_loss={"b": limit}, weighting=StaticWeighting(a=0.0, c=0.0)).update(network())

    expected = gradients_of(lambda losses: losses["b"] / 4)
    for gradient, other in zip(network.gradients(), expected, strict=True):
        torch.testing.assert_close(gradient, other)


def test_a_clamp_for_an_unknown_loss_is_an_error() -> None:
    with pytest.raises(ValueError, match="max_loss must name losses among a, b, c, got d"):
        LossGroup(ABC, max_loss={"d": 1.0})


# Rows.


def test_one_row_a_step_for_all_losses() -> None:
    group = LossGroup(
        ["a", "b"],
        memory := MemoryLogger(),
        weighting=StaticWeighting(b=0.5),
        report=["loss", "weight", "weighted", "mean"],
    )

    feed(group, {"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0})

    assert [step for step, _, _ in memory.rows] == [0, 1]
    assert memory.rows[1][2] == {
        "loss/a": 3.0,
        "weight/a": 1.0,
        "weighted/a": 3.0,
        "mean/a": 2.0,
        "loss/b": 4.0,
        "weight/b": 0.5,
        "weighted/b": 2.0,
        "mean/b": 3.0,
        "loss/total": 5.0,
    }


def test_a_scope_stands_before_the_loss() -> None:
    group = LossGroup(["a"], memory := MemoryLogger(), scope="val", block_size=1)

    with pytest.warns(RuntimeWarning, match="nan"):
        feed(group, {"a": 1.0}, {"a": math.nan})

    assert {"loss/val/a", "weight/val/a", "block_mean/val/a"} <= memory.rows[0][2].keys()
    assert memory["loss/val/total"] == [(0, 1.0), (1, 0.0)]
    assert memory["nonfinite/val/a"] == [(1, 1)]
    assert group["a"].mean == 1.0


def test_the_step_is_the_groups_own_or_the_users() -> None:
    group = LossGroup(["a"], memory := MemoryLogger())

    for step in (None, 10, None):
        group.update({"a": 1.0}, do_backwards=False, step=step)
    group.record({"a": 1.0}, step=np.int64(20))

    assert [step for step, _ in memory["loss/a"]] == [0, 10, 11, 20]


def test_a_schedule_goes_by_the_step_of_the_user() -> None:
    group = LossGroup(["a"], weighting=StaticWeighting(a=lambda step: step / 10))

    assert group.update({"a": 1.0}, do_backwards=False, step=5).item() == 0.5
    assert group.weigh({"a": 1.0}).item() == pytest.approx(0.6)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("in_parts", [False, True])
def test_the_row_has_the_weight_that_weigh_used(in_parts: bool, log_every: int | None) -> None:
    memory = MemoryLogger()
    schedule = StaticWeighting(a=lambda step: step + 1)
    group = LossGroup(["a"], memory, weighting=schedule, log_every=log_every)

    totals = []
    for step in (100, 200, 300):
        totals.append(group.weigh({"a": 1.0}).item())
        if in_parts:
            group.accumulate({"a": 1.0})
        group.record(None if in_parts else {"a": 1.0}, step=step)
    group.flush()

    assert totals == [1.0, 102.0, 202.0]
    assert (
        memory["weight/a"]
        == memory["loss/total"]
        == list(zip((100, 200, 300), totals, strict=True))
    )


def test_numbers_of_ones_own_travel_in_the_row() -> None:
    group = LossGroup(["a"], memory := MemoryLogger())

    group.update({"a": 1.0}, do_backwards=False, extra={"lr": 0.1})
    group.record({"a": 1.0}, extra={"lr": torch.tensor(0.5)})

    assert memory["lr"] == [(0, 0.1), (1, 0.5)]


def test_sample_counts_weigh_the_statistics() -> None:
    group = LossGroup(["a"])

    group.update({"a": 1.0}, do_backwards=False, samples=3)
    group.record({"a": 5.0}, samples=torch.tensor(1))  # type: ignore[arg-type]

    assert group["a"].mean == 2.0


def test_blocks_and_exponential_means_are_for_every_loss() -> None:
    group = LossGroup(
        ["a", "b"],
        memory := MemoryLogger(),
        block_size=2,
        statistics=StatisticsSettings(history=2, decay=0.9),
    )

    feed(group, *({"a": step, "b": 2 * step} for step in (1.0, 3.0, 5.0)))

    assert memory["block_mean/b"] == [(1, 4.0)]
    assert (group["b"].exponential_mean, group["a"].block_std) == (6.0, 1.0)
    assert group["a"].get_history() == [3.0, 5.0]


def test_loggers_hear_of_the_losses_and_how_they_are_weighed() -> None:
    group = LossGroup(logger=(memory := MemoryLogger()), weighting=CoVWeighting(decay=0.9))

    feed(group, numbers(0))

    assert memory.hyperparameters["losses"] == ["a", "b", "c"]
    weighting = memory.hyperparameters["weighting"]
    assert (weighting["method"], weighting["decay"]) == ("CoVWeighting", 0.9)


def test_a_logger_that_raises_stops_neither_training_nor_the_others() -> None:
    class Broken:
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            raise ConnectionError

    group = LossGroup(ABC, [Broken(), memory := MemoryLogger()])

    with pytest.warns(RuntimeWarning, match="Broken failed") as caught:
        feed(group, *map(numbers, range(5)))

    assert len(caught) == 1
    assert len(memory.rows) == group.step == 5


# What there is to read.


@pytest.mark.parametrize("make", WEIGHTINGS)
def test_before_the_first_step_the_weights_are_those_that_it_will_have(
    make: Callable[[], Weighting],
) -> None:
    group = LossGroup(ABC, weighting=make())
    if isinstance(group.weighting, NormalizedWeighting | UncertaintySoftmax):
        pytest.skip("it goes by the losses of the step itself")
    before = group.weights

    feed(group, numbers(0))

    assert group.weights == before


def test_without_names_there_are_no_weights_and_no_history() -> None:
    group = LossGroup()

    assert group.weights == {}
    with pytest.raises(RuntimeError, match="names are unknown until the first step"):
        _ = group.history


@pytest.mark.parametrize("losses", [torch.ones(2), torch.ones(()), [1.0, 2.0, 3.0]])
def test_weights_are_for_one_loss_of_each_name(losses: Any) -> None:
    with pytest.raises(ValueError, match=r"losses must be a tensor \[3\], of a, b, c, got "):
        LossGroup(ABC).weights_for(losses)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.float32])
def test_weights_for_losses_in_half_precision_keep_their_size(dtype: torch.dtype) -> None:
    group = LossGroup(["a", "b"], weighting=StaticWeighting(a=1e-8, b=1e5))

    weights = group.weights_for(torch.ones(2, dtype=dtype))

    torch.testing.assert_close(weights, torch.tensor([1e-8, 1e5]), rtol=1e-6, atol=0.0)


def test_each_loss_can_be_asked() -> None:
    group = LossGroup(ABC)

    feed(group, {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 3.0, "b": 4.0, "c": 5.0})

    assert [group[name].mean for name in group] == [2.0, 3.0, 4.0]
    assert (group["b"].value, group["b"].weight, group["b"].count) == (4.0, 1.0, 2)
    with pytest.raises(KeyError, match="d"):
        group["d"]


def test_its_repr_is_one_line() -> None:
    group = LossGroup(weighting=EqualWeighting())
    new = repr(group)

    feed(group, {"a": 1.0, "b": 2.0})

    assert new == "LossGroup(names from the first step, EqualWeighting, step=0)"
    assert repr(group) == "LossGroup(a=1 (weight 0.5), b=2 (weight 0.5), EqualWeighting, step=1)"


def test_a_reset_forgets_every_loss_and_keeps_learned_weights_and_the_step() -> None:
    group = LossGroup(ABC, weighting=AutomaticWeightedLoss(3))
    feed(group, numbers(0), numbers(1))
    with torch.no_grad():
        next(group.parameters()).fill_(2.0)

    group.reset()
    feed(group, numbers(2))

    assert (group.step, group["a"].count, group["a"].mean) == (3, 1, numbers(2)["a"])
    assert next(group.parameters()).tolist() == [2.0] * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_loss": 0}, "must be positive, got 0"),
        ({"block_size": 0}, "1 or more.*got 0"),
        ({"nonfinite": "ignore"}, "got 'ignore'"),
        ({"report": ["variance"]}, "got 'variance'"),
    ],
)
def test_a_setting_without_sense_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossGroup(ABC, **settings)


# Learned weights.


def test_learned_weights_move_in_the_users_optimizer_without_decay() -> None:
    network = Network()
    group = LossGroup(ABC, weighting=UncertaintyWeighting(3))
    optimizer = torch.optim.AdamW(
        [{"params": network.parameters()}, group.parameter_group()], lr=0.01, weight_decay=0.1
    )

    for _ in range(20):
        optimizer.zero_grad()
        group.update(network())
        optimizer.step()

    assert [part["weight_decay"] for part in optimizer.param_groups] == [0.1, 0.0]
    assert [part["lr"] for part in optimizer.param_groups] == [0.01, 0.01]
    (log_variances,) = group.parameters()
    assert (log_variances != 0).all()
    assert all(weight != 1 for weight in group.weights.values())


def test_where_nothing_is_learned_the_optimizer_takes_nothing() -> None:
    network, group = Network(), LossGroup(ABC, weighting=CoVWeighting())

    optimizer = torch.optim.SGD(
        [{"params": network.parameters()}, group.parameter_group()], lr=0.01
    )

    assert optimizer.param_groups[1]["params"] == []


LEARNED = [AutomaticWeightedLoss, UncertaintyWeighting]


@pytest.mark.parametrize("method", LEARNED)
def test_learned_weights_that_never_move_warn_once_and_name_the_cause(
    method: Callable[[int], Weighting],
) -> None:
    network = Network()
    group = LossGroup(ABC, weighting=method(3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)

    with pytest.warns(RuntimeWarning, match="give its parameters to the optimizer") as caught:
        train(network, group, optimizer, steps=250)

    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("method", LEARNED)
def test_learned_weights_that_move_warn_of_nothing(method: Callable[[int], Weighting]) -> None:
    network = Network()
    group = LossGroup(ABC, weighting=method(3))
    optimizer = torch.optim.SGD(
        [{"params": network.parameters()}, group.parameter_group()], lr=1e-4
    )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(network, group, optimizer, steps=150)

    assert group.step == 150


@pytest.mark.parametrize("lost", [["a"], ["a", "b"]])
def test_where_warnings_are_errors_a_step_has_its_row_first(lost: list[str]) -> None:
    group, told = LossGroup(["a", "b"], logger := MemoryLogger()), 0

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (1.0, math.nan, 2.0):
            parameter = torch.ones((), requires_grad=True)
            losses = {name: parameter * (value if name in lost else 1.0) for name in "ab"}
            try:
                group.update(losses)
            except RuntimeWarning:
                told += 1

    assert told == 1
    assert [step for step, _ in logger["loss/a"]] == [0, 1, 2]
    assert (group["a"].nonfinite, group["a"].mean) == (1, 1.5)


def train(network: Network, group: LossGroup, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        group.update(network())
        optimizer.step()


def test_a_weighting_for_another_number_of_losses_is_an_error() -> None:
    group = LossGroup(ABC, weighting=AutomaticWeightedLoss(2))

    with pytest.raises(ValueError, match="AutomaticWeightedLoss was made for 2 losses, got 3"):
        feed(group, numbers(0))

    assert group.step == 0


@pytest.mark.parametrize("log_every", [None, 3])
def test_a_weighting_that_is_set_later_is_made_for_as_many_losses_as_it_says(
    log_every: int | None,
) -> None:
    group = LossGroup(weighting=AutomaticWeightedLoss(2), log_every=log_every)
    group.record({"a": 1.0, "b": 2.0})

    group.weighting = AutomaticWeightedLoss(3)
    group.record({"a": 1.0, "b": 2.0, "c": 3.0})
    with pytest.raises(ValueError, match="made for 3 losses, got another, 'd'"):
        group.record({"a": 1.0, "d": 2.0})
    group.weighting = EqualWeighting()
    group.record({"a": 1.0, "d": 2.0})

    assert group.names == ("a", "b", "c", "d")
    assert group["a"].count == 3
    assert list(group.parameters()) == []


@pytest.mark.parametrize("before", [AutomaticWeightedLoss(3), EqualWeighting()])
def test_without_a_weighting_again_it_is_the_plain_sum(before: Weighting) -> None:
    group = LossGroup(ABC, weighting=before)

    group.weighting = None

    assert group.update(numbers(0), do_backwards=False).item() == sum(numbers(0).values())
    assert type(group.weighting) is PlainSum
    assert list(group.state_dict()) == ["_extra_state"]
    group.weighting = before
    assert group.weighting is before


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("weighting", [AutomaticWeightedLoss(2), AutomaticWeightedLoss])
def test_a_weighting_that_does_not_fit_changes_nothing(
    weighting: Any, log_every: int | None
) -> None:
    before = AutomaticWeightedLoss(3)
    group = LossGroup(weighting=before, log_every=log_every)
    group.record(dict.fromkeys(ABC, 1.0))
    state = group.get_extra_state()

    with pytest.raises((TypeError, ValueError)) as caught:
        group.weighting = weighting

    if not isinstance(weighting, type):
        assert str(caught.value) == (
            "weighting must be made for 3 losses or more (a, b, c), got AutomaticWeightedLoss for 2"
        )
    assert group.weighting is before
    assert group.get_extra_state().equal(state)
    group.update(dict.fromkeys(ABC, torch.ones((), requires_grad=True)))


@pytest.mark.parametrize("log_every", [None, 3])
def test_a_weighting_that_is_set_later_keeps_the_ratios_as_it_needs_them(
    log_every: int | None,
) -> None:
    later, early = (LossGroup(ABC, log_every=log_every) for _ in range(2))
    early.weighting = CoVWeighting(decay=0.5)
    for step in range(8):
        if step == 2:
            later.weighting = CoVWeighting(decay=0.5)
        for group in (later, early):
            group.record({name: 1.0 + (step * k) % 3 for k, name in enumerate(ABC)})

    # The first two steps have half of the say each, with decay and without.
    assert later["c"].record.reference == early["c"].record.reference
    assert later.next_weights() == early.next_weights()


@pytest.mark.parametrize("log_every", [None, 3])
def test_without_it_again_ratios_are_kept_as_the_user_has_them(log_every: int | None) -> None:
    settings = StatisticsSettings(ratio=RatioSettings(decay=0.7, spike=5.0))
    swapped, plain = (
        LossGroup(ABC, weighting=weighting, log_every=log_every, statistics=settings)
        for weighting in (CoVWeighting(decay=0.5), None)
    )
    swapped.weighting = None
    for step in range(6):
        for group in (swapped, plain):
            group.record({name: 1.0 + (step * k) % 3 for k, name in enumerate(ABC)})

    assert [swapped[name].record for name in ABC] == [plain[name].record for name in ABC]


# A batch of no sample.


def empty_by_update(group: LossGroup, losses: dict[str, Tensor]) -> Tensor:
    return group.update(losses, samples=0)


def empty_by_weigh_and_record(group: LossGroup, losses: dict[str, Tensor]) -> Tensor:
    total = group.weigh(losses)
    total.backward()  # type: ignore[no-untyped-call]
    group.record(losses, samples=0)
    return total


def empty_by_accumulate(group: LossGroup, losses: dict[str, Tensor]) -> Tensor:
    total = group.weigh(losses)
    total.backward()  # type: ignore[no-untyped-call]
    group.accumulate(losses, samples=0)
    group.record()
    return total


@pytest.mark.parametrize(
    "record_empty", [empty_by_update, empty_by_weigh_and_record, empty_by_accumulate]
)
@pytest.mark.parametrize(
    "weighting", [StaticWeighting(a=0.1), AutomaticWeightedLoss(2), UncertaintyWeighting(2)]
)
@pytest.mark.parametrize("log_every", [None, 3])
def test_a_batch_of_no_sample_counts_as_nothing_whichever_way_it_comes(
    record_empty: Callable[[LossGroup, dict[str, Tensor]], Tensor],
    weighting: Weighting,
    log_every: int | None,
) -> None:
    memory, network = MemoryLogger(), torch.ones((), requires_grad=True)
    group = LossGroup(["a", "b"], memory, weighting=weighting, log_every=log_every)
    group.record({"a": 1.0, "b": 1.0})
    losses = {"a": network * 0.3, "b": network * 0.7}
    objective = group.weigh(losses).item()

    total = record_empty(group, losses)
    group.flush()

    assert total.item() == objective
    assert memory.values("loss/total")[1] == 0
    assert list(memory.rows[1][2]) == ["loss/total"]
    assert (group.step, group["a"].count, group["a"].mean) == (2, 1, 1.0)
    assert network.grad


# As a module.


class Model(nn.Module):
    """A model that keeps its losses."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()
        self.losses = LossGroup(ABC, weighting=AutomaticWeightedLoss(3))


def test_a_group_is_a_part_of_a_model() -> None:
    model = Model()

    feed(model.losses, numbers(0))

    assert "losses.weighting.params" in dict(model.named_parameters())
    new = Model()
    new.load_state_dict(model.state_dict())
    assert new.losses["a"].mean == numbers(0)["a"]
    assert (new.losses.step, new.losses.weights) == (1, model.losses.weights)


def test_a_group_moves_with_its_model() -> None:
    model = Model().to(torch.float64)

    total = model.losses.weigh({name: torch.tensor(1.0, dtype=torch.float64) for name in ABC})

    assert next(model.losses.parameters()).dtype == torch.float64
    assert total.dtype == torch.float64


def copied_by_pickle(group: LossGroup) -> LossGroup:
    copied: LossGroup = pickle.loads(pickle.dumps(group))
    return copied


@pytest.mark.parametrize("copied", [copy.deepcopy, copied_by_pickle])
@pytest.mark.parametrize("make", [CoVWeighting, lambda: AutomaticWeightedLoss(3)])
def test_a_copy_goes_its_own_way(
    copied: Callable[[LossGroup], LossGroup], make: Callable[[], Weighting]
) -> None:
    group = LossGroup(ABC, weighting=make())
    group.update(Network()())
    before = state(group)

    other = copied(group)
    other.update(Network()())
    feed(other, dict.fromkeys(ABC, 1e3))

    assert state(group) == before
    assert (other.step, other["a"].count) == (3, 3)
    assert other["a"].get_history()[-1] == 1e3
    other.load_state_dict(group.state_dict())
    assert state(other) == before


def test_a_copy_of_a_model_writes_to_the_same_logger() -> None:
    group = LossGroup(ABC, memory := MemoryLogger())

    feed(copy.deepcopy(group), numbers(0))

    assert len(memory.rows) == 1
    assert group.step == 0


@pytest.mark.parametrize("weighting", [EqualWeighting, object()], ids=["a class", "no weigh"])
def test_what_cannot_weigh_is_refused_at_once(weighting: Any) -> None:
    with pytest.raises(
        TypeError, match=r"weighting must be an object with weigh\(losses, history\)"
    ):
        LossGroup(["a"], weighting=weighting)


def test_a_run_says_what_was_clamped() -> None:
    logger = MemoryLogger()
    group = LossGroup(["a", "b"], logger, max_loss={"a": 2.0})

    group.update({"a": 1.0, "b": 1.0}, do_backwards=False)

    assert logger.hyperparameters["max_loss"] == {"a": 2.0}


def test_a_resumed_run_says_what_is_used_now_and_nothing_of_before(tmp_path: Path) -> None:
    before: dict[str, Any] = {"weighting": CoVWeighting(decay=0.5), "max_loss": 2.0}
    for step, settings in enumerate((before, {"weighting": StaticWeighting(b=0.5)}, {})):
        with CsvLogger(tmp_path / "run", resume=True) as logger:
            group = LossGroup(["a", "b"], logger, **settings)
            group.record({"a": 1.0, "b": 1.0}, step=step)

    known = run_info(tmp_path / "run")["hyperparameters"]
    assert known == group.hyperparams()
    assert (known["weighting"], known["max_loss"]) == ({"method": "PlainSum"}, {})


@pytest.mark.parametrize("ignore", [(), "loss"])
@pytest.mark.parametrize("names", [None, ["a", "b"]])
@pytest.mark.parametrize("losses", [[torch.ones(())] * 2, torch.ones(()), torch.ones(2)])
def test_losses_without_names_are_an_error(losses: Any, names: Any, ignore: Any) -> None:
    group = LossGroup(names, ignore=ignore)

    with pytest.raises(TypeError, match=r"a dict from name to loss, .*, got (list|Tensor)"):
        group.update(losses, do_backwards=False)

    assert group.step == 0


@pytest.mark.parametrize("log_every", [None, 2])
def test_weights_are_those_of_the_last_step_whatever_number_it_had(log_every: int | None) -> None:
    group = LossGroup(["a", "b"], weighting=CoVWeighting(), log_every=log_every)
    group.step = 100
    assert group.weights == {"a": 0.5, "b": 0.5}  # of the step to come, since none was
    for step in range(4):
        group.record({"a": 1.0 + step % 2, "b": 5.0}, step=step - 4)

    assert group.step == 0
    assert group.weights == {name: group[name].last_weight for name in ("a", "b")}
    assert group.weights != group.next_weights()
    group.reset()
    assert group.weights == {"a": 0.5, "b": 0.5}


class Name(str, Enum):
    RECON = "recon"
    KL = "kl"


@pytest.mark.parametrize("names", [None, list(Name)])
def test_names_may_be_members_of_an_enum(names: Any) -> None:
    logger = MemoryLogger()
    group = LossGroup(names, logger, scope=Name.KL, max_loss={Name.KL: 1.5})
    group.record({Name.RECON: 1.0, Name.KL: 2.0})
    LossTracker(Name.RECON, logger).update(3.0, do_backwards=False)

    assert group.names == ("recon", "kl")
    assert (group[Name.KL].value, group["kl"].weighted) == (2.0, 1.5)
    assert logger.values("loss/kl/recon") == [1.0]
    assert logger.values("loss/recon") == [3.0]
    assert all(type(name) is str for name in group.names)
