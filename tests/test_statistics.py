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

from multi_loss_weighting import LossTracker, RatioSettings, Statistics, StatisticsSettings

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


def ratios_of(statistics: Statistics) -> tuple[Any, ...]:
    """All that is known of the ratio, and no more."""
    record = statistics.record
    counts = record.ratio_count, record.spikes, record.restarts, record.rare.streak
    return (*counts, record.ratio, record.reference, record.ratio_mean, record.ratio_std)


def fed(values: Iterable[float], *, block_size: int | None = None, **settings: Any) -> Statistics:
    statistics = Statistics(StatisticsSettings(**settings), block_size=block_size)
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
    assert statistics.record.sum == pytest.approx(float(sum(exact)), abs=1e-12 * size)
    assert (statistics.minimum, statistics.maximum) == (min(losses), max(losses))
    assert (statistics.value, statistics.count) == (losses[-1], len(losses))


def test_the_ratio_is_that_of_the_paper() -> None:
    losses = [2.0, 1.0, 3.0, 6.0]
    ratios = [1.0, 1 / 2, 3 / 1.5, 6 / 2]

    statistics = fed(losses)

    assert statistics.ratio == ratios[-1]
    assert statistics.ratio_mean == pytest.approx(np.mean(ratios))
    assert statistics.ratio_std == pytest.approx(math.sqrt(np.var(ratios) + 1e-8))
    assert statistics.cov_weight == pytest.approx(statistics.ratio_std / statistics.ratio_mean)


def test_size_does_not_grow_with_the_losses() -> None:
    settings: dict[str, Any] = {"history": 100, "block_size": 7, "decay": 0.9}

    short, long = fed([0.1] * 1000, **settings), fed([0.1] * 50_000, **settings)

    assert len(long.recent.values()) == 100
    assert len(pickle.dumps(long)) < len(pickle.dumps(short)) + 100


@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(1, 9)), min_size=1, max_size=20))
def test_a_sample_count_weighs_as_the_loss_given_so_often(pairs: list[tuple[float, int]]) -> None:
    repeated = np.repeat([loss for loss, _ in pairs], [samples for _, samples in pairs])
    statistics = Statistics()

    for loss, samples in pairs:
        statistics.add(loss, samples)

    assert statistics.mean == pytest.approx(repeated.mean(), abs=1e-11)
    assert statistics.variance == pytest.approx(repeated.var(), abs=1e-9)
    assert statistics.record.sum == pytest.approx(repeated.sum(), abs=1e-9)
    assert (statistics.record.samples, statistics.count) == (len(repeated), len(pairs))


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

    assert ratios_of(weighed) == ratios_of(plain)


def test_what_is_not_finite_enters_no_statistic() -> None:
    losses = [1.0, 4.0, 2.0]
    clean, dirty = fed(losses, decay=0.5), fed([], decay=0.5)

    for loss in (math.nan, 1.0, math.inf, 4.0, -math.inf, 2.0, math.nan):
        dirty.add(loss)

    for name in ("mean", "variance", "minimum", "maximum", "exponential_mean"):
        assert getattr(dirty, name) == getattr(clean, name)
    assert ratios_of(dirty) == ratios_of(clean)
    assert dirty.recent.mean() == pytest.approx(clean.mean, rel=1e-15)
    assert dirty.recent.median() == 2.0
    assert (dirty.count, dirty.updates, dirty.nonfinite) == (3, 7, 4)
    assert math.isnan(dirty.value)


def test_the_first_and_the_last_step_that_was_not_finite_are_known() -> None:
    statistics = fed([1.0, math.nan, 2.0, math.inf, 3.0])

    record = statistics.record
    assert (record.first_nonfinite_step, record.last_nonfinite_step) == (1, 3)


def test_a_step_of_ones_own_is_remembered() -> None:
    statistics = Statistics()

    for step in (10, 20, 30):
        statistics.add(math.nan, step=step)

    record = statistics.record
    assert (record.first_nonfinite_step, record.last_nonfinite_step) == (10, 30)


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
    record = Statistics().record

    assert (record.count, record.updates, record.samples, record.sum) == (0, 0, 0, 0)
    assert (record.first_nonfinite_step, record.last_nonfinite_step) == (None, None)
    assert record.blocks_completed == 0
    assert math.isnan(record.block_mean)
    assert math.isnan(record.exponential_mean)


def test_a_loss_of_no_samples_counts_as_nothing() -> None:
    statistics = fed([1.0, 2.0])
    before = statistics.record

    statistics.add(math.nan, samples=0)
    statistics.add(5.0, samples=0)

    assert statistics.record == before


def test_cov_relates_to_the_size_of_the_mean() -> None:
    assert fed([-1.0, -3.0]).cov == fed([1.0, 3.0]).cov == 0.5
    assert fed([-1.0, 1.0]).cov == math.inf
    assert math.isnan(fed([0.0, 0.0]).cov)


def test_numpy_scalars_become_plain_numbers() -> None:
    statistics = fed(np.array([1.0, 2.0], dtype=np.float32))

    assert type(statistics.value) is type(statistics.mean) is type(statistics.minimum) is float


def test_a_tracker_that_is_resumed_has_the_same_record_bit_for_bit() -> None:
    losses = np.random.default_rng(1).lognormal(size=50).tolist()
    settings = StatisticsSettings(history=5, decay=0.9)
    whole = fed(losses, history=5, decay=0.9, block_size=7)

    first, resumed = (LossTracker("G", block_size=7, statistics=settings) for _ in range(2))
    for loss in losses[:20]:
        first.update(loss, do_backwards=False)
    resumed.load_state_dict(first.state_dict())
    for loss in losses[20:]:
        resumed.update(loss, do_backwards=False)

    assert resumed.record == whole.record


def test_the_ratio_can_be_kept_in_another_way() -> None:
    losses = [1.0, 2.0, 4.0]

    statistics = fed(losses, ratio=RatioSettings(decay=0.5))

    assert statistics.record.reference == pytest.approx(0.5 * 4 + 0.5 * (0.5 * 2 + 0.5 * 1))
    assert ratios_of(statistics) != ratios_of(fed(losses))


def test_an_average_meter_finds_its_numbers() -> None:
    batches = [(0.9, 32), (0.7, 32), (0.4, 8)]
    statistics = Statistics()

    for loss, n in batches:
        statistics.add(loss, n)

    val, total = batches[-1][0], sum(loss * n for loss, n in batches)
    count = sum(n for _, n in batches)
    assert statistics.value == val
    assert statistics.record.sum == pytest.approx(total)
    assert statistics.record.samples == count
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
