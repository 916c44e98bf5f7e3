from __future__ import annotations

import copy
import math
import pickle
import statistics as library
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_loss_weighting import (
    LossGroup,
    LossRecord,
    LossTracker,
    LossView,
    Statistics,
    StatisticsSettings,
)
from multi_loss_weighting.statistics._recent import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


LOSSES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)


def fed(values: Iterable[float], *, block_size: int | None = None, **settings: Any) -> Statistics:
    statistics = Statistics(StatisticsSettings(**settings), block_size=block_size)
    for value in values:
        statistics.add(value)
    return statistics


def block_of(statistics: Statistics, *, is_last: bool = True) -> LossRecord:
    """The last block, or the one under way."""
    rare = statistics.record.rare
    numbers = rare.last_block if is_last else rare.block
    assert numbers is not None
    return LossRecord._make(numbers)


@given(LOSSES, st.integers(1, 12))
def test_blocks_are_pieces_of_the_series(losses: list[float], size: int) -> None:
    whole = len(losses) // size * size

    blocks = fed(losses, block_size=size)

    position, under_way = len(losses) - whole, block_of(blocks, is_last=False)
    assert (blocks.record.rare.block_position, under_way.count) == (position, position)
    assert blocks.record.blocks_completed == len(losses) // size
    if whole:
        last = losses[whole - size : whole]
        assert blocks.block_mean == pytest.approx(np.mean(last), abs=1e-11)
        assert blocks.block_std == pytest.approx(np.std(last), abs=1e-5)
        assert (block_of(blocks).minimum, block_of(blocks).maximum) == (min(last), max(last))
    else:
        assert math.isnan(blocks.block_mean)


def test_the_block_under_way_is_known() -> None:
    blocks = fed([1.0, 1.0, 1.0, 2.0, 4.0], block_size=3)

    under_way = block_of(blocks, is_last=False)

    assert (under_way.mean, under_way.std, blocks.block_mean) == (3.0, 1.0, 1.0)


def test_what_is_not_finite_takes_its_place_in_a_block() -> None:
    blocks = fed([1.0, math.nan, 3.0], block_size=3)

    position = blocks.record.rare.block_position
    assert (blocks.block_mean, block_of(blocks).count, position) == (2.0, 2, 0)


def test_a_block_without_a_finite_loss_has_no_mean() -> None:
    blocks = fed([1.0, 1.0, math.nan, math.inf], block_size=2)

    assert math.isnan(blocks.block_mean)
    assert block_of(blocks).count == 0


def test_blocks_weigh_by_sample_counts() -> None:
    blocks = Statistics(block_size=2)

    blocks.add(1.0, samples=3)
    blocks.add(5.0, samples=1)

    assert blocks.block_mean == 2.0


def test_blocks_of_another_size_begin_anew_after_a_load() -> None:
    long, short = (LossGroup(["G"], block_size=size) for size in (10, 4))
    for _ in range(7):
        long.record({"G": 1.0})

    short.load_state_dict(long.state_dict(), strict=False)
    for loss in (1.0, 2.0, 2.0, 3.0, 9.0):
        short.record({"G": loss})

    assert (short["G"].block_mean, short["G"].record.rare.block_position) == (2.0, 1)


@given(LOSSES, st.integers(1, 50))
def test_the_last_values_agree_with_the_standard_library(losses: list[float], count: int) -> None:
    last = losses[-count:]

    recent = fed(losses, history=len(losses)).recent

    assert recent.values(count) == last
    assert recent.mean(count) == pytest.approx(library.fmean(last), abs=1e-12)
    assert recent.median(count) == pytest.approx(library.median(last), abs=1e-12)
    assert recent.std(count) == pytest.approx(library.pstdev(last), abs=1e-9)
    assert (recent.minimum(count), recent.maximum(count)) == (min(last), max(last))


def test_only_so_many_values_are_kept() -> None:
    recent = fed([1.0, 2.0, 3.0, 4.0, 5.0], history=3).recent

    assert recent.values() == recent.values(100) == [3.0, 4.0, 5.0]


def test_none_at_all_may_be_kept() -> None:
    recent = fed([1.0, 2.0], history=0).recent

    assert recent.values() == []
    assert math.isnan(recent.mean())


QUESTIONS: list[Callable[[Recent], float]] = [
    Recent.mean,
    Recent.median,
    Recent.std,
    Recent.minimum,
    Recent.maximum,
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_pass_over_what_is_not_finite(question: Callable[[Recent], float]) -> None:
    clean = fed([1.0, 4.0, 2.0]).recent
    dirty = fed([math.nan, 1.0, math.inf, 4.0, 2.0, -math.inf]).recent
    empty = fed([math.nan]).recent

    assert question(dirty) == question(clean)
    assert math.isnan(question(empty))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("values", [[1.0, 2.0], []])
def test_a_copy_keeps_values_of_its_own(
    copied: Callable[[Statistics], Statistics], values: list[float]
) -> None:
    statistics = fed(values, history=2)

    other = copied(statistics)
    other.add(3.0)

    assert statistics.get_history() == values
    assert other.get_history() == [*values, 3.0][-2:]


def test_the_exponential_mean_begins_as_the_plain_mean() -> None:
    losses = np.random.default_rng(0).normal(size=10).tolist()

    mean = fed(losses, decay=0.9).exponential_mean

    assert mean == pytest.approx(np.mean(losses))


def test_the_exponential_mean_then_forgets() -> None:
    losses = np.random.default_rng(0).normal(size=60).tolist()
    expected = float(np.mean(losses[:10]))
    for loss in losses[10:]:
        expected = 0.9 * expected + 0.1 * loss

    mean = fed(losses, decay=0.9).exponential_mean

    assert mean == pytest.approx(expected, rel=1e-12)


def test_the_exponential_mean_is_nan_at_first_and_passes_over_nan() -> None:
    assert math.isnan(fed([math.nan], decay=0.9).exponential_mean)
    assert fed([math.nan, 2.0, math.inf], decay=0.9).exponential_mean == 2.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Statistics(block_size=0), "block_size must be .* 1 or more, got 0"),
        (lambda: Statistics(block_size=2.5), "block_size must be a whole number .* got 2.5"),  # type: ignore[arg-type]
        (lambda: StatisticsSettings(history=-1), "history must be .* 0 or more, got -1"),
        (lambda: StatisticsSettings(decay=1.0), "between 0 and 1 .* got 1.0"),
        (lambda: StatisticsSettings(decay=0.0), "between 0 and 1 .* got 0.0"),
        (lambda: StatisticsSettings(decay=math.nan), "between 0 and 1 .* got nan"),
    ],
)
def test_a_setting_without_sense_is_an_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def held_by_statistics() -> tuple[LossView, Callable[[float], object]]:
    statistics = Statistics(StatisticsSettings(history=3))
    return statistics, statistics.add


def held_by_a_tracker() -> tuple[LossView, Callable[[float], object]]:
    tracker = LossTracker("G", statistics=StatisticsSettings(history=3))
    return tracker, lambda loss: tracker.update(loss, do_backwards=False)


def held_by_a_group() -> tuple[LossView, Callable[[float], object]]:
    group = LossGroup(["G"], statistics=StatisticsSettings(history=3))
    return group["G"], lambda loss: group.record({"G": loss})


@pytest.mark.parametrize("make", [held_by_statistics, held_by_a_tracker, held_by_a_group])
def test_a_record_that_is_held_stays_as_it_is(
    make: Callable[[], tuple[LossView, Callable[[float], object]]],
) -> None:
    view, add = make()
    for loss in (1.0, 2.0, 3.0, 4.0):
        add(loss)
    record, recent = view.record, view.recent

    for loss in range(5, 12):
        add(float(loss))

    assert record.recent.values() == recent.values() == [2.0, 3.0, 4.0]
    assert (record.value, record.mean) == (4.0, 2.5)
    assert view.record.recent.values() == [9.0, 10.0, 11.0]
