"""Epochs on the page, in a real browser: as an axis, and the means of each in a chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.dashboard.browser import Tab, ready, wait, wait_for_text

from loss_dashboard.reading.epochs import as_epochs
from loss_dashboard.web.report import write_report
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZES = (40, 10, 25)


def write(logger: CsvLogger, sizes: tuple[int, ...] = SIZES, more: int = 7) -> None:
    step = 0
    for epoch, size in enumerate((*sizes, more)):
        for _ in range(size):
            logger.log_metrics(
                {"loss/G": 1.0 + step, "weight/G": 0.5, "loss/D": 1.0, "weight/D": 0.5}, step=step
            )
            step += 1
        if epoch < len(sizes):
            means = {"G": (9.0 - epoch, 64.0), "D": (1.0, 64.0)}
            logger.log_epoch(epoch, means, step=step - 1)


def test_the_axis_may_be_epochs_and_their_means_have_a_chart(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        write(logger)
    one = tab()
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        ready(page, 2)
        page.select_option("#x", "epoch")
        assert "x=epoch" in page.url
        page.reload()
        wait(page, "plots.get('epoch')?.model")

        ends = [(39.0, 1.0), (49.0, 2.0), (74.0, 3.0)]
        expected = as_epochs(np.arange(82.0), 0.0, ends).tolist()
        assert page.evaluate("plots.get('loss').chart.data[0]") == pytest.approx(expected)
        assert page.input_value("#x") == "epoch"
        assert page.evaluate("plots.get('epoch').chart.data") == [[0, 1, 2], [9, 8, 7], [1, 1, 1]]
        assert page.text_content("[data-chart=epoch] h2") == "Epoch means"
        page.focus("[data-chart=epoch] .plot")
        page.keyboard.press("Home")
        wait_for_text(page, "#tip", "epoch 0")
        wait_for_text(page, "#tip", "9")

        page.focus("[data-chart=loss] .plot")
        page.keyboard.press("End")
        page.keyboard.press("+")
        wait(page, "views[0].curves.step[0] > 49")
        assert page.evaluate("plots.get('epoch').chart.data[0]") == [2]
        page.click("tr[data-name=G] .loss")
        ready(page, 1)
        assert one.lines("epoch") == ["G"]


def test_an_epoch_that_ends_is_shown_at_once_and_none_leaves_no_choice(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    one = tab()
    with serve(str(tmp_path)) as address, CsvLogger(tmp_path / "gan") as logger:
        write(logger, sizes=(), more=5)
        page = one.open(f"{address}?x=epoch&run=gan")
        ready(page, 2)
        assert page.input_value("#x") == "step"
        assert page.evaluate("document.querySelector('#x option[value=epoch]').hidden")
        assert page.locator("[data-chart=epoch]").count() == 0

        logger.log_epoch(0, {"G": (0.5, 64.0)}, step=4)
        wait(page, "plots.get('epoch')?.chart?.data[1][0] === 0.5")

        assert page.input_value("#x") == "epoch"
        assert page.evaluate("plots.get('loss').chart.data[0]") == [0, 0.25, 0.5, 0.75, 1]


def test_two_runs_have_epochs_of_their_own(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    for name, sizes in (("one", (40, 10)), ("two", (20, 20))):
        with CsvLogger(tmp_path / name) as logger:
            write(logger, sizes, more=0)
    one = tab(width=390)
    with serve(str(tmp_path)) as address:
        page = one.open(f"{address}?run=one&run=two&x=epoch")
        ready(page, 4)

        assert one.lines("epoch") == ["G", "D", "G", "D"]
        x = page.evaluate("plots.get('loss').chart.data[0]")
        assert (x[0], x[-1]) == (0, 2)
        assert x == sorted(x)
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_report_has_them(tmp_path: Path, tab: Callable[..., Tab]) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        write(logger)
    path = write_report([logger.path], tmp_path / "gan.html")
    one = tab()

    page = one.open(path.as_uri())
    wait(page, "plots.get('epoch')?.model")
    page.select_option("#x", "epoch")

    assert page.evaluate("plots.get('loss').chart.data[0]")[-1] == pytest.approx(3.28)
    assert page.evaluate("plots.get('epoch').chart.data[0]") == [0, 1, 2]
