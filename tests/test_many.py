from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multi_loss_weighting import (
    CoVWeighting,
    History,
    LossGroup,
    LossRatio,
    RatioSettings,
    Statistics,
)
from multi_loss_weighting.statistics._many import MANY, ManyHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

NAMES = ("a", "b", "c", "d")
VECTORS = (
    *("count", "value", "mean", "variance", "std", "cov", "minimum", "maximum"),
    *("exponential_mean", "block_mean"),
    *("ratio_count", "youngest_ratio", "ratio_mean", "ratio_std", "ratio_cov"),
)
USUAL = st.floats(0.5, 2.0)
UNUSUAL = st.sampled_from([0.0, 1e-30, 1e-3, 1e3, 1e6, -1.0, -1e4, math.nan, math.inf, -math.inf])
MISSING = None
STEP = st.tuples(
    st.one_of(
        st.lists(USUAL, min_size=4, max_size=4),
        st.lists(st.one_of(USUAL, UNUSUAL, st.just(MISSING)), min_size=4, max_size=4),
    ),
    st.sampled_from([1, 1, 1, 3, 0.5]),
)
Step = tuple["Sequence[float | None]", float]


def few(ratio: RatioSettings, **options: Any) -> History:
    return History(NAMES, [Statistics(loss_ratio=LossRatio(ratio), **options) for _ in NAMES])


def many(ratio: RatioSettings) -> ManyHistory:
    return ManyHistory(NAMES, ratio, {})


def add(history: History, step: int, losses: Step) -> None:
    values, samples = losses
    is_given = [value is not MISSING for value in values]
    history.add(
        [math.nan if value is MISSING else value for value in values],
        None if all(is_given) else is_given,
        samples,
        step,
    )


def states(history: History) -> list[dict[str, Any]]:
    return [statistics.state_dict() for statistics in history.statistics]


def assert_same(one: Any, other: Any) -> None:
    """The same to the last bit; nan is the same as nan."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list):
        assert len(one) == len(other)
        for part, its_part in zip(one, other, strict=True):
            assert_same(part, its_part)
    else:
        assert one == other or (math.isnan(one) and math.isnan(other))


@settings(max_examples=200)
@given(
    st.lists(STEP, min_size=1, max_size=40),
    st.builds(
        RatioSettings,
        decay=st.sampled_from([None, 0.8]),
        spike=st.sampled_from([100.0, 3.0]),
        patience=st.sampled_from([1, 2, 10]),
    ),
    st.sampled_from([{}, {"block_size": 3, "decay": 0.9, "history": 5}]),
    st.integers(0, 40),
)
def test_many_losses_are_counted_as_one_after_the_other(
    stream: list[Step], ratio: RatioSettings, options: dict[str, Any], saved_at: int
) -> None:
    one_by_one, together = few(ratio, **options), ManyHistory(NAMES, ratio, options)

    for step, losses in enumerate(stream):
        if step == saved_at:
            resumed = ManyHistory(NAMES, ratio, options)
            for statistics, state in zip(resumed.statistics, states(together), strict=True):
                statistics.load_state_dict(state)
            together = resumed
        add(one_by_one, step, losses)
        add(together, step, losses)

        for name in VECTORS:
            ours, theirs = getattr(together, name), getattr(one_by_one, name)
            np.testing.assert_array_equal(ours, theirs, err_msg=name, strict=True)
        assert_same(states(together), states(one_by_one))


def test_the_numbers_of_one_of_many_are_plain_numbers() -> None:
    history = many(RatioSettings())

    add(history, 0, ([1.0, 2.0, 3.0, 4.0], 1))

    state = history.statistics[2].state_dict()
    assert type(state["value"]) is type(state["moments"]["_mean"]) is float
    assert type(state["updates"]) is type(state["loss_ratio"]["count"]) is int


def cov_weights(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The paper's formula on the whole series [steps, K]."""
    means = np.cumsum(losses, axis=0) / np.arange(1, len(losses) + 1)[:, None]
    ratios = np.vstack([np.ones(losses.shape[1]), losses[1:] / means[:-1]])
    cov = np.sqrt(ratios.var(axis=0) + 1e-8) / ratios.mean(axis=0)
    weights: NDArray[np.float64] = cov / cov.sum()
    return weights


@pytest.mark.parametrize("count", [MANY - 1, MANY, 3 * MANY])
def test_a_group_of_any_size_weighs_by_the_formula(count: int) -> None:
    losses = np.random.default_rng(0).lognormal(size=(31, count))
    names = [f"loss {index}" for index in range(count)]
    group = LossGroup(names, weighting=CoVWeighting())

    for row in losses:
        group.update(dict(zip(names, row.tolist(), strict=True)), do_backwards=False)

    expected = cov_weights(losses[:-1])
    np.testing.assert_allclose(list(group.weights.values()), expected, rtol=1e-12)
    np.testing.assert_allclose([group[n].mean for n in names], losses.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose([group[n].std for n in names], losses.std(axis=0), rtol=1e-12)
    assert group[names[-1]].get_history(3) == losses[-3:, -1].tolist()


@pytest.mark.parametrize(
    "kind",
    [few, many],
)
def test_a_guard_that_is_off_lets_no_infinity_in(kind: Callable[[RatioSettings], History]) -> None:
    history = kind(RatioSettings(spike=math.inf))

    for step, loss in enumerate([1.0, 2.0, math.inf, 3.0]):
        add(history, step, ([loss, 1.0, 1.0, 1.0], 1))

    assert history.mean.tolist() == [2.0, 1.0, 1.0, 1.0]
    assert history.statistics[0].nonfinite == 1


@pytest.mark.parametrize("kind", [few, many])
@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_that_was_kept_stays_as_it_was(
    kind: Callable[[RatioSettings], History], name: str
) -> None:
    history = kind(RatioSettings())
    add(history, 0, ([1.0, 2.0, 3.0, 4.0], 1))

    kept = np.asarray(getattr(history, name))
    before = kept.tolist()
    add(history, 1, ([5.0, 6.0, 7.0, 8.0], 1))

    assert_same(kept.tolist(), before)


def test_a_group_of_many_can_be_copied() -> None:
    names = [str(index) for index in range(MANY)]
    group = LossGroup(names)
    group.update(dict.fromkeys(names, 1.0), do_backwards=False)

    other = copy.deepcopy(group)
    other.update(dict.fromkeys(names, 3.0), do_backwards=False)

    assert (group["7"].mean, group["7"].get_history()) == (1.0, [1.0])
    assert (other["7"].mean, other["7"].get_history()) == (2.0, [1.0, 3.0])


@pytest.mark.parametrize("count", [3, MANY])
def test_means_over_micro_batches_are_taken_in_as_losses_are(count: int) -> None:
    names = [f"loss {index}" for index in range(count)]
    once, twice = (LossGroup(names, weighting=CoVWeighting(), max_loss=9.0) for _ in range(2))

    for step in range(20):
        values = np.random.default_rng(step).lognormal(0, 1, count).round(3) * (
            1 + 1e3 * (step == 9)
        )
        losses = dict(zip(names, values.tolist(), strict=True))
        if step % 4 == 3:
            del losses[names[1]]
        once.record(losses, samples=2)
        for _ in range(2):
            twice.accumulate(losses, samples=2)
        twice.record()

    assert twice.weights == once.weights
    for name in names:
        assert twice[name].state_dict() == once[name].state_dict()
