from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multi_loss_weighting import RatioSettings, Statistics, StatisticsSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from multi_loss_weighting import LossRecord


def fed(losses: Iterable[float], **settings: Any) -> LossRecord:
    statistics = Statistics(StatisticsSettings(ratio=RatioSettings(**settings)))
    for loss in losses:
        statistics.add(loss)
    return statistics.record


def noise(count: int, seed: int = 0) -> list[float]:
    losses: list[float] = np.random.default_rng(seed).lognormal(0, 0.5, count).tolist()
    return losses


def numbers(ratio: LossRecord) -> tuple[float, float, float, float]:
    return ratio.reference, ratio.ratio_mean, ratio.ratio_variance, ratio.ratio_count


def all_of(ratio: LossRecord) -> tuple[float, ...]:
    guards = ratio.spikes, ratio.restarts, ratio.rare.streak
    return (*numbers(ratio), ratio.ratio, ratio.cov_weight, *guards)


def decayed(values: NDArray[Any], decay: float) -> tuple[float, float]:
    """Mean and variance under weights that fall with age; before 1 / (1 - decay), under equal."""
    shares = np.maximum(1 / np.arange(1, len(values) + 1), 1 - decay)
    kept = np.concatenate([np.cumprod((1 - shares)[::-1])[::-1][1:], [1.0]])
    weights = shares * kept
    mean = float(weights @ values)
    return mean, float(weights @ (values - mean) ** 2)


def test_the_authors_numbers_are_untouched_by_the_guards(
    golden: Callable[[str], dict[str, Any]],
) -> None:
    numbers = golden("cov_full")
    for index in range(4):
        statistics = Statistics()

        for step, losses in enumerate(numbers["losses"]):
            statistics.add(losses[index])

            ratio = statistics.record
            assert ratio.reference == pytest.approx(numbers["mean_L"][step][index], rel=1e-12)
            assert ratio.ratio_mean == pytest.approx(numbers["mean_l"][step][index], rel=1e-12)
            assert ratio.ratio_std == pytest.approx(numbers["std_l"][step][index], rel=1e-12)
        assert (statistics.spikes, statistics.record.restarts) == (0, 0)


@given(
    st.lists(st.floats(0.1, 10), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_decay_is_an_exponentially_weighted_mean_and_variance(
    losses: list[float], decay: float
) -> None:
    means = [decayed(np.array(losses[: t + 1]), decay)[0] for t in range(len(losses))]
    ratios = np.array([1.0, *(loss / mean for loss, mean in zip(losses[1:], means, strict=False))])
    mean, variance = decayed(ratios, decay)

    ratio = fed(losses, decay=decay)

    assert ratio.reference == pytest.approx(means[-1], rel=1e-12)
    assert ratio.ratio_mean == pytest.approx(mean, rel=1e-12)
    assert ratio.ratio_variance == pytest.approx(variance, rel=1e-9, abs=1e-12)


def test_decay_forgets_a_wild_beginning() -> None:
    losses = [1.0, 9.0, 0.1] * 5 + [1.0, 1.1] * 200

    full, forgetful = fed(losses), fed(losses, decay=0.9)

    assert forgetful.cov_weight < 0.06 < full.cov_weight


@pytest.mark.parametrize("decay", [None, 0.99])
def test_a_spike_is_counted_and_kept_out(decay: float | None) -> None:
    losses = noise(200)

    clean = fed(losses, decay=decay)
    spiked = fed([*losses[:50], 1e6, *losses[50:]], decay=decay)

    assert numbers(spiked) == numbers(clean)
    assert (spiked.spikes, spiked.restarts, clean.spikes) == (1, 0, 0)


def test_when_forgetting_a_loss_far_below_its_mean_is_kept_out_too() -> None:
    losses = noise(200)

    clean = fed(losses, decay=0.99)
    dropped = fed([*losses[:50], 1e-6, *losses[50:]], decay=0.99)

    assert numbers(dropped) == numbers(clean)
    assert (dropped.spikes, dropped.restarts) == (1, 0)


def test_when_forgetting_a_loss_of_which_nothing_is_left_has_no_ratio() -> None:
    gone = [*noise(50), *[0.0] * 500]

    ratio = fed(gone, decay=0.9)
    again = fed([*gone, *noise(50, seed=1)], decay=0.9)

    assert (ratio.ratio_count, ratio.restarts) == (0, 0)
    assert numbers(again) == numbers(fed(noise(50, seed=1), decay=0.9))
    assert again.restarts == 1


def test_the_ratio_of_a_spike_can_be_read() -> None:
    ratio = fed([2.0, 2.0, 1e6])

    assert (ratio.ratio, ratio.ratio_mean) == (5e5, 1.0)


def test_a_loss_just_below_a_spike_is_taken_in() -> None:
    assert fed([1.0, 100.0]).spikes == 0
    assert fed([1.0, math.nextafter(100.0, math.inf)]).spikes == 1


def test_after_ten_spikes_in_a_row_the_next_loss_is_the_new_level() -> None:
    losses = [1.0, 1.2, 0.8] + [500.0] * 10

    ratio, new = fed(losses), fed([*losses, 1000.0])

    assert (ratio.ratio_count, ratio.restarts) == (0, 0)
    assert (new.reference, new.ratio_count, new.restarts) == (1000.0, 1, 1)
    assert (new.ratio, new.ratio_mean, new.ratio_variance) == (1.0, 1.0, 0.0)


def test_ten_spikes_with_a_usual_loss_between_are_no_new_level() -> None:
    ratio = fed([1.0, 1.0] + [1000.0] * 9 + [1.0] + [1000.0] * 9)

    assert (ratio.spikes, ratio.restarts, ratio.reference) == (18, 0, 1.0)


def test_after_a_restart_it_is_as_new() -> None:
    losses = [1000 * loss for loss in noise(50)]

    restarted = fed([1.0] * 5 + losses[:1] * 10 + losses)

    assert numbers(restarted) == numbers(fed(losses))
    assert restarted.restarts == 1


@pytest.mark.parametrize("first", [1e-30, 5e-324])
def test_a_first_loss_of_next_to_nothing_is_cured(first: float) -> None:
    losses = noise(300)

    ratio = fed([first, *losses])

    assert numbers(ratio) == numbers(fed(losses[10:]))
    assert ratio.restarts == 1
    assert ratio.cov_weight == pytest.approx(fed(losses).cov_weight, rel=0.2)


def test_a_loss_of_zero_measures_nothing_and_a_later_one_does() -> None:
    losses = noise(50)

    assert numbers(fed([0.0, 0.0, *losses])) == numbers(fed(losses))
    assert fed([0.0, 0.0]).ratio_count == 0


def test_a_loss_that_is_zero_now_and_then_is_taken_in() -> None:
    ratio = fed([0.0, 0.5, 0.0, 0.5] * 20)

    assert (ratio.spikes, ratio.restarts, ratio.ratio_count) == (0, 0, 79)
    assert ratio.cov_weight > 0.5


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=40))
def test_a_negative_loss_weighs_as_its_mirror_image(losses: list[float]) -> None:
    assert repr(all_of(fed([-loss for loss in losses]))) == repr(all_of(fed(losses)))


def test_a_loss_that_changes_its_sign_weighs_by_its_size() -> None:
    sizes = noise(100)
    signs = np.random.default_rng(1).choice([-1, 1], 100).tolist()

    mixed = fed(sign * size for sign, size in zip(signs, sizes, strict=True))

    assert all_of(mixed) == all_of(fed(sizes))


def test_a_mean_that_falls_to_zero_stays_in_bounds() -> None:
    falling = [2.0**-step for step in range(1074)]

    ratio = fed([*falling, *[0.0] * 100])

    own = ratio.ratio, ratio.ratio_mean, ratio.ratio_std, ratio.cov_weight
    assert all(map(math.isfinite, own))


def test_before_the_first_loss_there_is_no_ratio() -> None:
    ratio = Statistics().record

    assert math.isnan(ratio.ratio)
    assert math.isnan(ratio.cov_weight)
    assert ratio.ratio_count == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay": 1.0}, "between 0 and 1 .* got 1.0"),
        ({"spike": 1.0}, "spike must be above 1 .*got 1.0"),
        ({"spike": math.nan}, "spike must be above 1 .*got nan"),
        ({"patience": 0}, "1 or more.*got 0"),
    ],
)
def test_a_setting_without_sense_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RatioSettings(**settings)
