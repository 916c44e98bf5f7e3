"""Groups of runs: which they are, their means and intervals, and how they ended."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loss_dashboard.curves.groups import (
    Member,
    form_groups,
    grouped,
    keys_to_group_by,
    member_of,
)
from loss_dashboard.curves.groups._interval import mean_over, student
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path

    from loss_dashboard.curves.groups import GroupedLoss

ALL = ""


def member(
    values: Any, steps: Any = None, settings: dict[str, Any] | None = None, loss: str = "kl"
) -> Member:
    at = np.array(range(len(values)) if steps is None else steps, dtype=np.float64)
    columns = {"step": at, "time": at, "loss": np.array(values, dtype=np.float64)}
    return Member("run", settings or {}, {}, {loss: columns})


def one_group(members: list[Member], **options: Any) -> GroupedLoss:
    groups = form_groups(["run"] * len(members), [one.settings for one in members], ALL)
    [loss] = grouped(members, groups, ViewOptions(**options))
    return loss


def test_the_interval_is_that_of_student() -> None:
    t = pytest.importorskip("scipy.stats").t

    for freedom in range(1, 120):
        assert student(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=1e-12)


@given(
    st.lists(
        st.lists(
            st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf]), min_size=3, max_size=3
        ),
        min_size=1,
        max_size=12,
    )
)
def test_a_mean_over_runs_is_that_of_its_finite_values(rows: list[list[float]]) -> None:
    told = mean_over(np.array(rows))

    for at, column in enumerate(np.array(rows).T):
        known = column[np.isfinite(column)]
        assert told.n[at] == len(known)
        expected = known.mean() if len(known) else math.nan
        assert told.mean[at] == pytest.approx(expected, rel=1e-9, abs=1e-6, nan_ok=True)
        error = known.std(ddof=1) / math.sqrt(len(known)) if len(known) > 1 else math.nan
        half = student(len(known) - 1) * error if len(known) > 1 else math.nan
        assert told.half[at] == pytest.approx(half, rel=1e-9, abs=1e-4, nan_ok=True)


def test_losses_as_large_as_floats_go_have_a_mean() -> None:
    told = mean_over(np.array([[1e308], [1.5e308], [1.25e308]]))

    assert told.mean[0] == pytest.approx(1.25e308)
    assert told.half[0] == pytest.approx(student(2) * 0.25e308 / math.sqrt(3))


def test_runs_that_end_early_count_as_long_as_they_last() -> None:
    loss = one_group([member([1, 2, 3, 4]), member([3, 4]), member([5, math.nan, 7])])

    [curve] = loss.curves
    assert loss.step.tolist() == [0, 1, 2, 3]
    assert loss.whole
    assert curve.mean.mean.tolist() == [3, 3, 5, 4]
    assert curve.mean.n.tolist() == [3, 2, 2, 1]
    assert math.isnan(curve.mean.half[3])
    assert curve.mean.half[0] == pytest.approx(student(2) * 2 / math.sqrt(3))


def test_a_final_value_is_that_of_the_last_row() -> None:
    runs = [member([9, 1.0], [0, 400]), member([9, 2.0]), member([9, 6.0]), member([1, math.nan])]

    final = one_group(runs).curves[0].final

    assert final is not None
    assert final.mean.mean[0] == 3.0
    assert final.mean.n[0] == 3
    assert (final.least, final.greatest, final.lost) == (1.0, 6.0, 1)
    assert final.steps == (1, 400)


def test_smoothing_is_of_each_run_and_of_its_final_value() -> None:
    loss = one_group([member([1, 3, 5, 7]), member([3, 5, 7, 9])], smoothing=2)

    assert loss.curves[0].mean.mean.tolist() == [2, 3, 5, 7]
    assert loss.curves[0].final is not None
    assert loss.curves[0].final.mean.mean[0] == 7


def test_runs_that_record_at_other_steps_have_a_row_in_every_cell() -> None:
    """A mean that jumped from run to run would be a curve that nobody trained."""
    low = member(np.zeros(700), 10 * np.arange(700))
    high = member(np.ones(1000), 7 * np.arange(1000))

    [curve] = one_group([low, high]).curves

    assert set(curve.mean.n.tolist()) == {2}
    assert set(curve.mean.mean.tolist()) == {0.5}


def test_irregular_steps_that_all_runs_share_are_kept() -> None:
    steps = [0, 1, 2, 5, 10, 100, 1000]

    loss = one_group([member(range(7), steps), member(range(4), steps[:4])])

    assert loss.step.tolist() == steps
    assert loss.curves[0].mean.n.tolist() == [2, 2, 2, 2, 1, 1, 1]


def test_of_many_steps_each_point_is_the_mean_of_its_rows() -> None:
    values = np.random.default_rng(0).random((3, 6000))

    loss = one_group([member(row) for row in values], points=60)

    assert not loss.whole
    assert len(loss.step) == 60
    means = values.reshape(3, 60, 100).mean(axis=2)
    np.testing.assert_allclose(loss.curves[0].runs, means)
    np.testing.assert_allclose(loss.curves[0].mean.mean, means.mean(axis=0))


def test_a_window_of_steps_leaves_the_final_value_as_it_is() -> None:
    loss = one_group([member(range(100)), member(range(100))], first=10.0, last=20.0)

    assert loss.step.tolist() == list(range(10, 21))
    assert loss.curves[0].final is not None
    assert loss.curves[0].final.mean.mean[0] == 99


@pytest.mark.parametrize("steps", [[0], [5, 5, 5], [3, 1, 2], [0, 2**63], [1e300, 2e300]])
def test_any_steps_have_cells(steps: list[float]) -> None:
    loss = one_group([member(np.ones(len(steps)), steps), member([1, 1], [1, 7])])

    assert len(loss.step) <= 600
    assert np.nanmax(loss.curves[0].mean.n) >= 1
    assert set(loss.curves[0].mean.mean[loss.curves[0].mean.n > 0]) == {1}


def test_a_window_without_rows_has_no_cells() -> None:
    loss = one_group([member([1, 2])], first=50.0)

    assert len(loss.step) == 0
    assert loss.curves[0].runs.shape == (1, 0)


def test_a_group_without_a_loss_has_none_of_its_values() -> None:
    members = [member([1, 2], settings={"a": 1}), member([1, 2], settings={"a": 2}, loss="D")]

    losses = grouped(members, form_groups("xy", [{"a": 1}, {"a": 2}], "a"), ViewOptions())

    assert [[curve.final is not None for curve in loss.curves] for loss in losses] == [
        [True, False],
        [False, True],
    ]
    assert losses[0].curves[1].mean.n.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("settings", "key", "names"),
    [
        ([{"lr": 0.1}, {"lr": 0.10}, {"lr": 1}, {"lr": 1.0}], "lr", ["0.1", "1"]),
        ([{"lr": 0.1, "seed": 1}, {"lr": 0.2, "seed": 2}], ALL, ["all runs"]),
        ([{"lr": 0.1, "seed": 1}, {"lr": 0.1, "seed": 2}], "seed", ["1", "2"]),
        (
            [{"o": {"on": "x", "seed": 1}}, {"o": {"on": "x", "seed": 2}}],
            "o",
            ["on x"],
        ),
        (
            [{"w": {"method": "CoV", "decay": 0.9}}, {"w": {"method": "CoV", "decay": None}}],
            "w",
            ["CoV, decay 0.9", "CoV, decay none"],
        ),
        ([{"w": "mine"}, {"w": {"method": "CoV"}}, {}], "w", ["CoV", "mine", "c"]),
        ([{"a.b": 1}, {"a": {"b": 1}}], "a.b", ["1"]),
        ([{"x": {}}, {}], "x", ["a", "b"]),
        ([{"x": "b"}, {}, {}], "x", ["b", "b (2)", "c"]),
    ],
)
def test_runs_with_the_same_value_of_a_setting_are_a_group(
    settings: list[dict[str, Any]], key: str, names: list[str]
) -> None:
    groups = form_groups("abcd"[: len(settings)], settings, key)

    assert [group.name for group in groups] == names
    assert sorted(run for group in groups for run in group.members) == list(range(len(settings)))


def test_the_settings_to_group_by_are_those_that_differ() -> None:
    each = [
        {"weighting": {"method": "CoV", "decay": 0.9}, "lr": 0.1, "seed": seed, "losses": [seed]}
        for seed in range(3)
    ]

    assert keys_to_group_by(each) == ["weighting.method"]
    assert keys_to_group_by([*each, {"lr": 0.2}]) == ["weighting.method", "weighting.decay", "lr"]


def test_a_run_is_compared_as_it_was_recorded(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"weighting": {"method": "CoV"}})
        logger.log_metrics({"loss/G": 0.5, "loss/total": 0.75, "lr": 0.1}, step=0)

    one = member_of(RunReader(tmp_path / "gan", (), always=("loss",)))

    assert list(one.losses) == ["G", "total"]
    assert one.settings["weighting"]["method"] == "CoV"


def test_ten_runs_of_a_hundred_thousand_steps_take_less_than_a_second() -> None:
    noise = np.random.default_rng(0).random((10, 100_000))
    members = [member(row[: len(row) - 100 * at]) for at, row in enumerate(noise)]
    begun = time.process_time()

    one_group(members, smoothing=100)

    assert time.process_time() - begun < 1
