"""The page as a file, in a real browser and without a server."""

from __future__ import annotations

import itertools
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.dashboard.browser import ODD, Tab, ready, wait, wait_for_text

from loss_dashboard.curves.report_curves import WINDOWS, plan
from loss_dashboard.web.report import write_report
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write(folder: Path, losses: dict[str, np.ndarray[Any, Any]]) -> Path:
    with CsvLogger(folder) as logger:
        for step in range(len(next(iter(losses.values())))):
            row = {f"loss/{name}": float(own[step]) for name, own in losses.items()}
            logger.log_metrics(row | {f"weight/{name}": 0.5 for name in losses}, step=step)
    return logger.path


def test_a_report_opens_from_the_disk(tmp_path: Path, record: Any, tab: Callable[..., Tab]) -> None:
    runs = [
        record(tmp_path / "odd", names=tuple(ODD), steps=3000),
        record(tmp_path / "gan", names=("G", "D")),
    ]
    path = write_report(runs, tmp_path / "r.html")
    one = tab()
    page = one.open(path.as_uri())
    ready(page, len(ODD) + 2)
    page.click("#table .loss >> nth=2")
    ready(page, 1)
    page.evaluate("change.zoom(1000, 2000)")
    steps = page.evaluate("plots.get('loss').chart.data[0]")

    assert steps[0] >= 1000
    assert steps[-1] <= 2000
    assert path.stat().st_size < 500_000
    assert all(asked.startswith(("file:", "data:")) for asked in one.asked)


def test_a_report_tells_who_made_it_and_no_place_on_the_disk(
    tmp_path: Path, record: Any, tab: Callable[..., Tab]
) -> None:
    CsvLogger(tmp_path / "a" / "gan").close()
    runs = [tmp_path / "a" / "gan", record(tmp_path / "b" / "gan")]

    page = tab().open(write_report(runs, tmp_path / "r.html").as_uri())

    wait_for_text(page, "#empty", "No row was recorded")
    assert "Watching" not in page.text_content("#empty")
    assert page.locator("#run option").all_text_contents() == ["a/gan", "b/gan"]
    assert str(tmp_path) not in page.evaluate("JSON.stringify(views)")
    wait_for_text(page, "footer", f"multi-loss-weighting {version('multi-loss-weighting')} on 20")
    told = page.evaluate("unpacked(REPORT.textContent).then((told) => told.generated)")
    assert told["by"] in page.text_content("footer")
    assert told["at"] in page.text_content("footer")


def test_smoothing_in_a_report_is_that_of_all_steps(
    tmp_path: Path, tab: Callable[..., Tab]
) -> None:
    rng = np.random.default_rng(0)
    losses = {f"l{number}": rng.random(20_000) + number for number in range(4)}
    page = tab().open(write_report([write(tmp_path / "gan", losses)], tmp_path / "r.html").as_uri())
    ready(page, 4)
    size = page.evaluate("views[0].curves.size")
    offered = [
        int(value)
        for value in page.locator("#smooth option").evaluate_all(
            "all => all.map((one) => one.value)"
        )
    ]
    assert offered == [0, *(window for window in WINDOWS if window > size)]
    wait_for_text(page, "[data-chart=loss] .note", f"a point for {size} steps")

    for window in (30, 1000):
        page.select_option("#smooth", str(window))
        wait(page, f"plots.get('loss').model.choice.smooth === {window}")
        steps, told = page.evaluate(
            "[views[0].curves.step, plots.get('loss').model.lines[2].values]"
        )
        sums = np.concatenate([[0.0], np.cumsum(losses["l2"])])
        ends = np.arange(1, 20_001)
        starts = np.maximum(0, ends - window)
        means = (sums[ends] - sums[starts]) / (ends - starts)
        edges = [*map(int, steps), 20_000]
        expected = [means[a:b].mean() for a, b in itertools.pairwise(edges)]
        assert told == pytest.approx(expected, rel=1e-5)
    page.select_option("#smooth", "0")
    wait(page, "plots.get('loss').model.lines[2].values[0] === views[0].curves.each.l2.loss[0]")


def test_a_report_of_noise_in_many_losses_stays_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    losses = {f"l{number}": 10 ** rng.normal(0, 3, 3000) for number in range(20)}

    path = write_report([write(tmp_path / "gan", losses)], tmp_path / "r.html")

    assert 400_000 < path.stat().st_size < 500_000


@pytest.mark.parametrize("steps", [1, 500, 5_000, 50_000, 1_000_000, 10_000_000])
@pytest.mark.parametrize("losses", [0, 1, 3, 64, 400])
def test_windows_that_are_left_out_are_no_longer_than_a_point(steps: int, losses: int) -> None:
    curves = plan(steps, losses, 70_000)

    left_out = [window for window in WINDOWS if window not in curves.windows]
    assert all(window <= steps / curves.points for window in left_out)
    numbers = losses * curves.points * (7 + 2 * len(curves.windows))
    assert numbers <= 70_000 or curves.points == 60


def test_a_short_run_is_told_step_by_step(
    tmp_path: Path, record: Any, tab: Callable[..., Tab]
) -> None:
    run = record(tmp_path / "gan", steps=1000)
    page = tab().open(write_report([run], tmp_path / "r.html").as_uri())
    ready(page, 3)

    assert page.evaluate("plots.get('loss').chart.data[0].length") == 1000
    page.evaluate("change.zoom(500, 510)")
    assert page.evaluate("plots.get('loss').chart.data[0]") == list(range(500, 511))
