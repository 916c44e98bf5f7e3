"""Ratios to the plain sum, their intervals, and what counts as a win."""

from __future__ import annotations

import numpy as np
import pytest
from evidence.compare import at_equal_time, compare
from scipy import stats


def test_the_interval_is_that_of_a_paired_t_test_on_logarithms() -> None:
    random = np.random.default_rng(0)
    own, plain = random.normal(0, 1, 10), random.normal(0.5, 1, 10)

    ours = compare(own, plain)

    theirs = stats.ttest_rel(own, plain).confidence_interval(0.95)
    assert np.log(ours.low) == pytest.approx(theirs.low)
    assert np.log(ours.high) == pytest.approx(theirs.high)
    assert np.log(ours.ratio) == pytest.approx((own - plain).mean())


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((0.5, 0.52, 0.48), "win"),
        ((2.0, 2.1, 1.9), "loss"),
        ((0.985, 0.986, 0.985), "tie"),  # sure, and too small
        ((1.015, 1.016, 1.015), "tie"),
        ((0.2, 0.5, 3.0), "tie"),  # large, and not sure
        ((1.0, 1.0, 1.0), "tie"),
    ],
)
def test_a_win_is_sure_and_more_than_two_percent(ratios: tuple[float, ...], verdict: str) -> None:
    plain = np.log([1.0, 10.0, 100.0])

    assert compare(plain + np.log(ratios), plain).verdict == verdict


def test_at_equal_time_a_dear_method_is_read_earlier() -> None:
    plain = np.log([[8.0, 8.0], [4.0, 4.0], [2.0, 2.0], [1.0, 1.0]])
    twice_as_good = plain - np.log(2)

    at_its_own = at_equal_time(twice_as_good, plain, 1.0)
    at_half = at_equal_time(twice_as_good, plain, 2.0)
    between = at_equal_time(twice_as_good, plain, 4 / 2.5)
    before_the_first = at_equal_time(twice_as_good, plain, 100.0)

    assert at_its_own.ratio == pytest.approx(0.5)
    assert at_half.ratio == pytest.approx(2.0)
    assert between.ratio == pytest.approx(2**0.5)
    assert before_the_first.ratio == pytest.approx(4.0)


def test_a_cheaper_method_gets_no_more_steps() -> None:
    plain = np.log([[2.0, 2.0], [1.0, 1.0]])

    assert at_equal_time(plain, plain, 0.5) == compare(plain[-1], plain[-1])
