"""A row has the weights and the total that training used, whatever the weighting is like."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    StaticWeighting,
    UncertaintyWeighting,
    Weighted,
    weighted_sum,
)

from .methods import methods

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from multi_loss_weighting import History

NAMES = ("a", "b", "c")


class Counting:
    def __init__(self) -> None:
        self.asked = 0

    def weights(self, losses: torch.Tensor, _: History) -> torch.Tensor:
        return torch.arange(1.0, len(losses) + 1) * self.asked

    def weigh(self, losses: torch.Tensor, history: History, /) -> Weighted:
        self.asked += 1
        return weighted_sum(losses, self.weights(losses, history).to(losses))


class Drawing(Counting):
    def weights(self, losses: torch.Tensor, _: History) -> torch.Tensor:
        return torch.rand(len(losses), dtype=torch.float64)


class ByGradient(Counting):
    def weights(self, losses: torch.Tensor, _: History) -> torch.Tensor:
        ones = [torch.autograd.grad(loss, losses, retain_graph=True)[0].sum() for loss in losses]
        return torch.stack(ones) / (1 + losses.detach())


class OneTensor(Counting):
    """Writes its weights anew into one tensor, which it gives at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.own = torch.zeros(3, dtype=torch.float64)

    def weights(self, losses: torch.Tensor, _: History) -> torch.Tensor:
        return self.own.copy_(torch.arange(1, len(losses) + 1) / self.asked)


WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "sum": lambda: None,
    "CoV": CoVWeighting,
    "schedule": lambda: StaticWeighting(a=lambda step: 1 / (1 + step), c=2.0),
    "learned": lambda: AutomaticWeightedLoss(3),
    "uncertainty": lambda: UncertaintyWeighting(3),
    "counting": Counting,
    "drawing": Drawing,
    "by gradient": ByGradient,
    "one tensor": OneTensor,
    **methods("a b c"),
}


def losses_of(index: int, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    values = (1.0 + index, 2.0 + math.sin(index), 0.5)
    return {
        name: torch.tensor(value, dtype=dtype, requires_grad=True) * 1
        for name, value in zip(NAMES, values, strict=True)
    }


def used_by(total: torch.Tensor, losses: Mapping[str, torch.Tensor]) -> list[float]:
    """The total, and the weights that it has: its gradient by each loss."""
    weights = torch.autograd.grad(total, list(losses.values()), retain_graph=True)
    return [total.item(), *(weight.item() for weight in weights)]


def rows_of(group: LossGroup, logger: MemoryLogger) -> list[list[float]]:
    group.flush()
    keys = ("loss/total", *(f"weight/{name}" for name in NAMES))
    return [[row.get(key, math.nan) for key in keys] for _, _, row in logger.rows]


def group_of(kind: str, log_every: int | None, **settings: Any) -> tuple[LossGroup, MemoryLogger]:
    torch.manual_seed(0)
    logger = MemoryLogger()
    weighting = WEIGHTINGS[kind]()
    return LossGroup(NAMES, logger, weighting=weighting, log_every=log_every, **settings), logger


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("do_backwards", [True, False])
def test_update_tells_what_its_total_was(
    kind: str, log_every: int | None, do_backwards: bool
) -> None:
    group, logger = group_of(kind, log_every)
    used = []
    for index in range(7):
        losses = losses_of(index)
        for loss in losses.values():
            loss.retain_grad()
        total = group.update(losses, do_backwards)
        if do_backwards:
            gradients = [loss.grad for loss in losses.values() if loss.grad is not None]
            used.append([total.item(), *(gradient.item() for gradient in gradients)])
        else:
            used.append(used_by(total, losses))
        total.detach().mul_(0.25)  # the user's own to write to

    assert rows_of(group, logger) == [pytest.approx(row, rel=1e-6) for row in used]


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_a_backward_of_ones_own_may_write_to_the_total_and_step_the_optimizer(
    kind: str, log_every: int | None
) -> None:
    used: list[list[float]] = []
    now: dict[str, torch.Tensor] = {}

    def backward(total: torch.Tensor) -> None:
        used.append(used_by(total, now))
        total /= 4
        total.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter in group.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.1 * parameter.grad)

    group, logger = group_of(kind, log_every, backward=backward)
    for index in range(7):
        now = losses_of(index)
        group.update(now)

    assert rows_of(group, logger) == [pytest.approx(row, rel=1e-6) for row in used]


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_record_tells_what_weigh_used_and_asks_no_second_time(
    kind: str, log_every: int | None
) -> None:
    group, logger = group_of(kind, log_every)
    used = []
    for index in range(7):
        losses = losses_of(index)
        total = group.weigh(losses)
        used.append(used_by(total, losses))
        total /= 4
        total.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for parameter in group.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.1 * parameter.grad)
        group.record(losses)

    assert rows_of(group, logger) == [pytest.approx(row, rel=1e-6) for row in used]
    assert getattr(group.weighting, "asked", 7) == 7


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_of_several_calls_of_a_closure_the_last_counts(kind: str, log_every: int | None) -> None:
    group, logger = group_of(kind, log_every)
    used = []
    for index in range(5):
        for attempt in range(3):
            losses = losses_of(7 * index + attempt)
            total = group.weigh(losses)
        used.append(used_by(total, losses))
        if kind != "by gradient":
            with torch.no_grad():
                group.weigh(losses_of(100 + index))  # a look that training does not go by
        with pytest.raises((TypeError, ValueError)):
            group.weigh({"a": torch.ones(2), "b": 1.0, "c": 1.0})
        group.record(losses)

    assert rows_of(group, logger) == [pytest.approx(row, rel=1e-6) for row in used]


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_of_micro_batches_the_weights_are_those_of_the_last(
    kind: str, log_every: int | None
) -> None:
    group, logger = group_of(kind, log_every)
    used = []
    for index in range(5):
        for part in range(3):
            losses = losses_of(index + part)
            total = group.weigh(losses)
            weights = used_by(total, losses)[1:]
            group.accumulate(losses)
        group.record()
        used.append(weights)

    assert [row[1:] for row in rows_of(group, logger)] == [
        pytest.approx(weights, rel=1e-6) for weights in used
    ]
    means = [1 + index + 1 for index in range(5)]
    assert logger.values("loss/a") == pytest.approx(means)
    if kind not in ("learned", "uncertainty"):
        for step, total in logger["loss/total"]:
            row = logger.rows[step][2]
            terms = sum(row[f"weight/{name}"] * row[f"loss/{name}"] for name in NAMES)
            assert total == pytest.approx(terms, rel=1e-6)


@pytest.mark.parametrize("is_resumed", [False, True])
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("parts", [(20.0, 1.0, 4.0, 3.0), (1.0, 100.0, 20.0, 7.0), (1.0, 2.0, 3.0)])
def test_max_loss_acts_on_each_micro_batch_in_the_row_as_in_training(
    parts: tuple[float, ...], log_every: int | None, is_resumed: bool
) -> None:
    logger, totals = MemoryLogger(), []

    def made() -> LossGroup:
        weighting = StaticWeighting(a=3.0)
        return LossGroup(
            ["a", "b"], logger, weighting=weighting, max_loss={"a": 5.0}, log_every=log_every
        )

    group = made()
    for part in parts:
        losses = {"a": part, "b": 10.0}
        totals.append(group.weigh(losses).item())
        group.accumulate(losses)
        if is_resumed:
            state, group = group.state_dict(), made()
            group.load_state_dict(state)
    group.record()
    group.flush()

    (row,) = [numbers for _, _, numbers in logger.rows]
    assert row["loss/a"] == sum(parts) / len(parts)
    assert row["weighted/a"] == pytest.approx(
        3 * sum(min(part, 5.0) for part in parts) / len(parts)
    )
    assert row["loss/total"] == pytest.approx(sum(totals) / len(totals))
    assert group["a"].clamped == (max(parts) > 5.0)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("together", [True, False])
def test_losses_that_were_weighed_apart_are_recorded_as_they_were(
    kind: str, log_every: int | None, together: bool
) -> None:
    group, logger = group_of(kind, log_every)
    used: list[list[float]] = []
    for index in range(5):
        losses = losses_of(index)
        first = {"a": losses["a"]}
        rest = {name: losses[name] for name in ("b", "c")}
        one = group.weigh(first)
        before = used_by(one, first)
        if not together:
            group.record(first)
        two = group.weigh(rest)
        after = used_by(two, rest)
        if together:
            group.record(losses)
            used.append([before[0] + after[0], before[1], *after[1:]])
        else:
            group.record(rest)
            used += [[before[0], before[1], math.nan, math.nan], [after[0], math.nan, *after[1:]]]

    rows = rows_of(group, logger)
    assert len(rows) == len(used)
    for row, true in zip(rows, used, strict=True):
        assert row == pytest.approx(true, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("kind", ["learned", "uncertainty", "normalized, learned"])
@pytest.mark.parametrize("again", [True, False])
def test_the_penalty_of_a_loss_counts_once_if_it_is_weighed_again_and_else_not_at_all(
    kind: str, log_every: int | None, again: bool
) -> None:
    group, logger = group_of(kind, log_every)
    losses = losses_of(0)
    rest = {name: losses[name] for name in ("a", "c")}
    with torch.no_grad():
        [parameter] = group.parameters()
        parameter.copy_(torch.tensor([0.5, 2.0, 1.5]))  # so that each penalty is another
        total = group.weigh(rest).item()
    group.weigh(losses)
    with torch.no_grad():
        parameter.mul_(1.25)  # as the optimizer of one of two networks does
    if again:
        total += group.weigh({"b": losses["b"]}).item()
    group.record(losses if again else rest)

    assert rows_of(group, logger)[0][0] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.filterwarnings("ignore:loss 'b' is inf")
def test_an_infinity_that_is_kept_is_in_the_total_of_losses_weighed_apart(
    log_every: int | None,
) -> None:
    group, logger = group_of("CoV", log_every, nonfinite="keep")
    losses = losses_of(0) | {"b": torch.tensor(math.inf)}
    for name, loss in losses.items():
        group.weigh({name: loss})
    group.record(losses)

    assert rows_of(group, logger)[0][0] == math.inf


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("way", ["update", "record", "accumulate"])
def test_a_schedule_goes_by_the_users_own_step(way: str, log_every: int | None) -> None:
    group, logger = group_of("schedule", log_every)
    used = []
    for step in (64, 128, 1024, 1025):
        losses = losses_of(step)
        if way == "update":
            total = group.update(losses, do_backwards=False, step=step)
        else:
            total = group.weigh(losses, step=step)
        used.append((step, used_by(total, losses)[1]))
        if way == "accumulate":
            group.accumulate(losses)
            group.record(step=step)
        elif way == "record":
            group.record(losses, step=step)
    group.flush()

    assert [weight for _, weight in used] == pytest.approx([1 / (1 + step) for step, _ in used])
    assert [step for step, _ in logger["weight/a"]] == [step for step, _ in used]
    assert logger.values("weight/a") == pytest.approx([weight for _, weight in used])


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("kind", ["sum", "CoV", "schedule", "learned", "counting", "one tensor"])
def test_compiled_code_tells_what_it_used(kind: str, log_every: int | None) -> None:
    group, logger = group_of(kind, log_every)
    compiled = torch.compile(lambda losses: group.weigh(losses), backend="eager")
    used = []
    for index in range(5):
        losses = losses_of(index)
        total = compiled(losses)
        used.append(used_by(total, losses))
        total.backward()  # type: ignore[no-untyped-call]
        group.record({name: loss.detach() for name, loss in losses.items()})
        with torch.no_grad():
            for parameter in group.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.1 * parameter.grad)

    assert rows_of(group, logger) == [pytest.approx(row, rel=1e-6) for row in used]


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("way", ["update", "at once", "apart", "compiled"])
def test_a_weight_keeps_its_digits_where_losses_have_fewer(way: str, log_every: int | None) -> None:
    logger = MemoryLogger()
    weighting = StaticWeighting(a=0.1, b=lambda _: 0.2, c=1 / 3)
    group = LossGroup(NAMES, logger, weighting=weighting, log_every=log_every)
    losses = losses_of(0, torch.float32)
    if way == "update":
        group.update(losses)
    else:
        weigh = torch.compile(group.weigh, backend="eager") if way == "compiled" else group.weigh
        for names in [NAMES[:1], NAMES[1:]] if way == "apart" else [NAMES]:
            weigh({name: losses[name] for name in names})
        group.record(losses)

    assert rows_of(group, logger)[0][1:] == [0.1, 0.2, 1 / 3]


# A loss that is not finite, and is kept: its mean over micro-batches is of nothing.


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.filterwarnings("ignore:loss 'a' is")
def test_a_total_that_was_not_finite_is_told_as_it_was(
    bad: float, log_every: int | None, is_compiled: bool
) -> None:
    group, logger = group_of("schedule", log_every, nonfinite="keep")
    weigh = torch.compile(group.weigh, backend="eager") if is_compiled else group.weigh
    losses = losses_of(1)
    losses["a"] = losses["a"] * bad

    total = weigh(losses)
    group.accumulate(losses)
    group.record()

    rows = rows_of(group, logger)
    assert repr(rows[0][0]) == repr(total.item()) == repr(bad)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.filterwarnings("ignore:loss 'a' is")
def test_the_total_of_micro_batches_is_not_finite_if_that_of_one_was_not(
    bad: float, log_every: int | None, is_compiled: bool, at: int
) -> None:
    group, logger = group_of("schedule", log_every, nonfinite="keep")
    weigh = torch.compile(group.weigh, backend="eager") if is_compiled else group.weigh
    for _ in range(2):
        for index in range(3):
            losses = losses_of(index)
            if index == at and group.step == 0:
                losses["a"] = losses["a"] * bad
            weigh(losses_of(3))  # as a closure that is called again
            weigh(losses)
            group.accumulate(losses)
        group.record()

    first, second = rows_of(group, logger)
    assert repr(first[0]) == repr(bad)
    assert math.isfinite(second[0])


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("way", ["another look", "no sample", "forgotten"])
def test_a_total_that_was_not_finite_and_does_not_count_is_in_no_row(
    way: str, log_every: int | None
) -> None:
    group, logger = group_of("schedule", log_every, nonfinite="keep")
    group.accumulate(losses_of(0))
    bad = losses_of(0) | {"a": torch.tensor(math.inf)}
    group.weigh(bad)
    if way != "another look":
        group.accumulate(bad, samples=0 if way == "no sample" else 1)
    if way == "forgotten":
        group.forget_accumulated()
    group.weigh(losses_of(1))
    group.accumulate(losses_of(1))
    group.record()

    assert math.isfinite(rows_of(group, logger)[0][0])


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.filterwarnings("ignore:loss 'a' is")
def test_a_total_of_several_calls_is_as_it_was_with_a_loss_that_was_not_finite(
    bad: float, log_every: int | None
) -> None:
    group, logger = group_of("schedule", log_every, nonfinite="keep")
    losses = losses_of(1)
    group.weigh(losses | {"a": losses["a"] * bad})
    group.weigh({"a": losses["a"]})

    group.record(losses)

    assert repr(rows_of(group, logger)[0][0]) == repr(bad)
