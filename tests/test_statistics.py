from __future__ import annotations

import math
import pickle
import statistics as library
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_loss_weighting import LossRatio, RatioSettings, Statistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MILLION = 1_000_000
# Squares of smaller ones are subnormal, and have few digits to agree in.
SIZED = st.floats(-1e6, -1e-100) | st.just(0.0) | st.floats(1e-100, 1e6)
LOSSES = st.lists(SIZED, min_size=1, max_size=50)


def series(kind: str) -> NDArray[np.float64]:
    random = np.random.default_rng(0)
    if kind == "random":
        return random.lognormal(size=MILLION)
    if kind == "narrow":
        return random.normal(1000, 0.01, MILLION)
    return 5 * np.exp(-np.arange(MILLION) / 2e5) * random.uniform(0.5, 1.5, MILLION)


def fed(values: Iterable[float], **settings: Any) -> Statistics:
    statistics = Statistics(**settings)
    for value in values:
        statistics.add(value)
    return statistics


@pytest.mark.parametrize("kind", ["random", "narrow", "falling"])
def test_a_million_losses_agree_with_the_formula_on_the_whole_series(kind: str) -> None:
    losses = series(kind)
    exact = losses.astype(np.longdouble)
    means = np.cumsum(exact) / np.arange(1, MILLION + 1)
    ratios = np.concatenate([[1], exact[1:] / means[:-1]])

    statistics = fed(losses.tolist())

    assert statistics.count == MILLION
    assert statistics.mean == pytest.approx(float(exact.mean()), rel=1e-12)
    assert statistics.variance == pytest.approx(float(exact.var()), rel=1e-12)
    assert statistics.std == pytest.approx(float(exact.std()), rel=1e-12)
    assert statistics.cov == pytest.approx(float(exact.std() / exact.mean()), rel=1e-12)
    assert (statistics.minimum, statistics.maximum) == (losses.min(), losses.max())
    assert statistics.ratio == pytest.approx(float(ratios[-1]), rel=1e-12)
    assert statistics.ratio_mean == pytest.approx(float(ratios.mean()), rel=1e-12)
    assert statistics.ratio_std == pytest.approx(float(np.sqrt(ratios.var() + 1e-8)), rel=1e-12)


@given(LOSSES)
def test_agrees_with_the_standard_library(losses: list[float]) -> None:
    exact = [Fraction(loss) for loss in losses]
    variance = float(library.pvariance(exact))
    size = max(map(abs, losses))

    statistics = fed(losses)

    assert statistics.mean == pytest.approx(float(library.mean(exact)), abs=1e-14 * size)
    assert statistics.variance == pytest.approx(variance, abs=1e-13 * size**2)
    assert statistics.sum == pytest.approx(float(sum(exact)), abs=1e-12 * size)
    assert (statistics.minimum, statistics.maximum) == (min(losses), max(losses))
    assert (statistics.value, statistics.count) == (losses[-1], len(losses))


def test_the_ratio_is_that_of_the_paper() -> None:
    losses = [2.0, 1.0, 3.0, 6.0]
    ratios = [1.0, 1 / 2, 3 / 1.5, 6 / 2]

    statistics = fed(losses)

    assert statistics.ratio == ratios[-1]
    assert statistics.ratio_mean == pytest.approx(np.mean(ratios))
    assert statistics.ratio_std == pytest.approx(math.sqrt(np.var(ratios) + 1e-8))
    assert statistics.loss_ratio.cov == pytest.approx(statistics.ratio_std / statistics.ratio_mean)


def test_size_does_not_grow_with_the_losses() -> None:
    settings: dict[str, Any] = {"history": 100, "block_size": 7, "decay": 0.9}

    short, long = fed([0.1] * 1000, **settings), fed([0.1] * 50_000, **settings)

    assert len(long.recent.values()) == 100
    assert len(pickle.dumps(long)) < len(pickle.dumps(short)) + 100
    assert len(repr(long.state_dict())) < len(repr(short.state_dict())) + 100


@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(1, 9)), min_size=1, max_size=20))
def test_a_sample_count_weighs_as_the_loss_given_so_often(pairs: list[tuple[float, int]]) -> None:
    repeated = np.repeat([loss for loss, _ in pairs], [samples for _, samples in pairs])
    statistics = Statistics()

    for loss, samples in pairs:
        statistics.add(loss, samples)

    assert statistics.mean == pytest.approx(repeated.mean(), abs=1e-11)
    assert statistics.variance == pytest.approx(repeated.var(), abs=1e-9)
    assert statistics.sum == pytest.approx(repeated.sum(), abs=1e-9)
    assert (statistics.samples, statistics.count) == (len(repeated), len(pairs))


@given(st.floats(0.1, 1), st.integers(1, 9))
def test_one_loss_has_no_spread_whatever_its_sample_count(loss: float, samples: int) -> None:
    statistics = Statistics()

    statistics.add(loss, samples)

    assert statistics.mean == pytest.approx(loss, rel=1e-15)
    assert statistics.std < 1e-7


def test_the_ratio_counts_steps_and_not_samples() -> None:
    plain, weighed = Statistics(), Statistics()

    for loss in (1.0, 3.0, 2.0):
        plain.add(loss)
        weighed.add(loss, samples=loss)

    assert weighed.loss_ratio.state_dict() == plain.loss_ratio.state_dict()


def test_what_is_not_finite_enters_no_statistic() -> None:
    losses = [1.0, 4.0, 2.0]
    clean, dirty = fed(losses, decay=0.5), Statistics(decay=0.5)

    for loss in (math.nan, 1.0, math.inf, 4.0, -math.inf, 2.0, math.nan):
        dirty.add(loss)

    one, other = clean.state_dict(), dirty.state_dict()
    for part in ("moments", "exponential_mean", "loss_ratio"):
        assert other[part] == one[part]
    assert (dirty.recent.mean(), dirty.recent.median()) == (clean.mean, 2.0)
    assert (dirty.count, dirty.updates, dirty.nonfinite) == (3, 7, 4)
    assert math.isnan(dirty.value)


def test_the_first_and_the_last_step_that_was_not_finite_are_known() -> None:
    statistics = fed([1.0, math.nan, 2.0, math.inf, 3.0])

    assert (statistics.first_nonfinite_step, statistics.last_nonfinite_step) == (1, 3)


def test_a_step_of_ones_own_is_remembered() -> None:
    statistics = Statistics()

    for step in (10, 20, 30):
        statistics.add(math.nan, step=step)

    assert (statistics.first_nonfinite_step, statistics.last_nonfinite_step) == (10, 30)


NUMBERS = [
    "value",
    "mean",
    "variance",
    "std",
    "cov",
    "minimum",
    "maximum",
    "ratio",
    "ratio_mean",
    "ratio_std",
]


@pytest.mark.parametrize("name", NUMBERS)
def test_without_a_loss_every_number_is_nan(name: str) -> None:
    assert math.isnan(getattr(Statistics(), name))
    assert math.isnan(getattr(fed([math.nan]), name))


def test_without_a_loss_there_is_nothing_to_count() -> None:
    statistics = Statistics()

    assert (statistics.count, statistics.updates, statistics.samples, statistics.sum) == (
        0,
        0,
        0,
        0,
    )
    assert (statistics.first_nonfinite_step, statistics.last_nonfinite_step) == (None, None)
    assert (statistics.blocks, statistics.exponential_mean) == (None, None)


def test_cov_relates_to_the_size_of_the_mean() -> None:
    assert fed([-1.0, -3.0]).cov == fed([1.0, 3.0]).cov == 0.5
    assert fed([-1.0, 1.0]).cov == math.inf
    assert math.isnan(fed([0.0, 0.0]).cov)


def test_numpy_scalars_become_plain_numbers() -> None:
    statistics = fed(np.array([1.0, 2.0], dtype=np.float32))

    assert type(statistics.value) is type(statistics.mean) is type(statistics.minimum) is float


def test_a_state_continues_to_the_last_bit() -> None:
    losses = np.random.default_rng(1).lognormal(size=50).tolist()
    settings: dict[str, Any] = {"block_size": 7, "decay": 0.9, "history": 5}
    whole = fed(losses, **settings)

    resumed = Statistics(**settings)
    resumed.load_state_dict(fed(losses[:20], **settings).state_dict())
    for loss in losses[20:]:
        resumed.add(loss)

    assert resumed.state_dict() == whole.state_dict()


def test_the_ratio_can_be_kept_in_another_way() -> None:
    settings = RatioSettings(decay=0.5)

    statistics = fed([1.0, 2.0, 4.0], loss_ratio=LossRatio(settings))

    alone = LossRatio(settings)
    for loss in (1.0, 2.0, 4.0):
        alone.add(loss)
    assert statistics.loss_ratio.state_dict() == alone.state_dict()


def test_an_average_meter_finds_its_numbers() -> None:
    batches = [(0.9, 32), (0.7, 32), (0.4, 8)]
    statistics = Statistics()

    for loss, n in batches:
        statistics.add(loss, n)

    val, total = batches[-1][0], sum(loss * n for loss, n in batches)
    count = sum(n for _, n in batches)
    assert statistics.value == val
    assert statistics.sum == pytest.approx(total)
    assert statistics.samples == count
    assert statistics.mean == pytest.approx(total / count)


def test_a_smoothed_value_finds_its_numbers() -> None:
    losses = np.random.default_rng(2).normal(size=99).tolist()
    window = losses[-20:]

    statistics = fed(losses)

    assert statistics.recent.mean(20) == pytest.approx(np.mean(window))  # avg
    assert statistics.recent.median(20) == pytest.approx(np.median(window))
    assert statistics.recent.maximum(20) == max(window)
    assert statistics.mean == pytest.approx(np.mean(losses))  # global_avg
    assert statistics.value == losses[-1]


def test_a_history_buffer_finds_its_numbers() -> None:
    losses = np.random.default_rng(3).normal(size=99).tolist()

    statistics = fed(losses)

    assert statistics.recent.values() == losses  # data
    assert statistics.value == losses[-1]  # current
    assert statistics.recent.mean(10) == pytest.approx(np.mean(losses[-10:]))
    assert (statistics.recent.minimum(10), statistics.minimum) == (min(losses[-10:]), min(losses))
    assert (statistics.recent.maximum(10), statistics.maximum) == (max(losses[-10:]), max(losses))
