from __future__ import annotations

import copy
import math
import pickle
import statistics as library
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_loss_weighting.statistics._windows import Blocks, ExponentialMean, Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LOSSES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)


def fill(window: Blocks | Recent | ExponentialMean, values: Sequence[float]) -> None:
    for value in values:
        window.add(value)


@given(LOSSES, st.integers(1, 12))
def test_blocks_are_pieces_of_the_series(losses: list[float], size: int) -> None:
    blocks = Blocks(size)
    whole = len(losses) // size * size

    fill(blocks, losses)

    assert (blocks.position, blocks.current.count) == (len(losses) - whole, len(losses) - whole)
    if whole:
        last = losses[whole - size : whole]
        assert blocks.last.mean == pytest.approx(np.mean(last), abs=1e-11)
        assert blocks.last.std == pytest.approx(np.std(last), abs=1e-5)
        assert (blocks.last.minimum, blocks.last.maximum) == (min(last), max(last))
    else:
        assert math.isnan(blocks.last.mean)


def test_the_block_under_way_can_be_read() -> None:
    blocks = Blocks(3)

    fill(blocks, [1.0, 1.0, 1.0, 2.0, 4.0])

    assert (blocks.current.mean, blocks.current.std, blocks.last.mean) == (3.0, 1.0, 1.0)


def test_what_is_not_finite_takes_its_place_in_a_block() -> None:
    blocks = Blocks(3)

    fill(blocks, [1.0, math.nan, 3.0])

    assert (blocks.last.mean, blocks.last.count, blocks.position) == (2.0, 2, 0)


def test_a_block_without_a_finite_loss_has_no_mean() -> None:
    blocks = Blocks(2)

    fill(blocks, [1.0, 1.0, math.nan, math.inf])

    assert math.isnan(blocks.last.mean)
    assert blocks.last.count == 0


def test_blocks_weigh_by_sample_counts() -> None:
    blocks = Blocks(2)

    blocks.add(1.0, samples=3)
    blocks.add(5.0, samples=1)

    assert blocks.last.mean == 2.0


def test_a_state_from_longer_blocks_ends_its_block() -> None:
    long, short = Blocks(10), Blocks(4)
    fill(long, [1.0] * 7)

    short.load_state_dict(long.state_dict())
    fill(short, [1.0, 2.0, 2.0, 2.0, 2.0])

    assert (short.last.mean, short.position) == (2.0, 0)


@given(LOSSES, st.integers(1, 50))
def test_the_last_values_agree_with_the_standard_library(losses: list[float], count: int) -> None:
    recent = Recent(len(losses))
    last = losses[-count:]

    fill(recent, losses)

    assert recent.values(count) == last
    assert recent.mean(count) == pytest.approx(library.fmean(last), abs=1e-12)
    assert recent.median(count) == pytest.approx(library.median(last), abs=1e-12)
    assert recent.std(count) == pytest.approx(library.pstdev(last), abs=1e-9)
    assert (recent.minimum(count), recent.maximum(count)) == (min(last), max(last))


def test_only_so_many_values_are_kept() -> None:
    recent = Recent(3)

    fill(recent, [1.0, 2.0, 3.0, 4.0, 5.0])

    assert recent.values() == recent.values(100) == [3.0, 4.0, 5.0]


def test_none_at_all_may_be_kept() -> None:
    recent = Recent(0)

    fill(recent, [1.0, 2.0])

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
    clean, dirty, empty = Recent(9), Recent(9), Recent(9)
    fill(clean, [1.0, 4.0, 2.0])
    fill(dirty, [math.nan, 1.0, math.inf, 4.0, 2.0, -math.inf])
    fill(empty, [math.nan])

    assert question(dirty) == question(clean)
    assert math.isnan(question(empty))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_keeps_values_of_its_own(copied: Callable[[Recent], Recent]) -> None:
    recent = Recent(2)
    fill(recent, [1.0, 2.0])

    other = copied(recent)
    fill(other, [3.0])

    assert (recent.values(), other.values()) == ([1.0, 2.0], [2.0, 3.0])


def test_a_copy_of_nothing_keeps_values_too() -> None:
    other = copy.deepcopy(Recent(2))

    fill(other, [3.0])

    assert other.values() == [3.0]


def test_the_exponential_mean_begins_as_the_plain_mean() -> None:
    losses = np.random.default_rng(0).normal(size=10).tolist()
    mean = ExponentialMean(0.9)

    fill(mean, losses)

    assert mean.value == pytest.approx(np.mean(losses))


def test_the_exponential_mean_then_forgets() -> None:
    losses = np.random.default_rng(0).normal(size=60).tolist()
    expected = float(np.mean(losses[:10]))
    for loss in losses[10:]:
        expected = 0.9 * expected + 0.1 * loss
    mean = ExponentialMean(0.9)

    fill(mean, losses)

    assert mean.value == pytest.approx(expected, rel=1e-12)


def test_the_exponential_mean_is_nan_at_first_and_passes_over_nan() -> None:
    mean = ExponentialMean(0.9)

    fill(mean, [math.nan])
    assert math.isnan(mean.value)

    fill(mean, [2.0, math.inf])
    assert mean.value == 2.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Blocks(0), "block_size counts .* 1 or more; got 0"),
        (lambda: Blocks(2.5), "block_size counts .* a whole number, .* got 2.5"),  # type: ignore[arg-type]
        (lambda: Recent(-1), "history counts .* 0 or more; got -1"),
        (lambda: ExponentialMean(1.0), "between 0 and 1; got 1.0"),
        (lambda: ExponentialMean(0.0), "between 0 and 1; got 0.0"),
        (lambda: ExponentialMean(math.nan), "between 0 and 1; got nan"),
    ],
)
def test_a_setting_without_sense_is_an_error(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
