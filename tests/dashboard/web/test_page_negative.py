"""A loss that is negative at times: shares go by size and say so, and its CoV hides no other."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.dashboard.browser import ready, wait, wait_for_text

from loss_dashboard.alerts import explain, in_words
from loss_dashboard.cli.losses import app
from loss_dashboard.curves.scales import robust_top
from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS = 400
NOTE = "by size: nll is negative at times"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The mean of nll comes through 0 about step 200; so its CoV is as large as one likes there."""
    losses = [math.cos(step * math.pi / STEPS * 1.4) for step in range(STEPS)]
    means = [total / (step + 1) for step, total in enumerate(accumulate(losses))]
    with CsvLogger(tmp_path / "flow") as logger:
        for step, (loss, mean) in enumerate(zip(losses, means, strict=True)):
            cov = 0.5 / max(abs(mean), 1e-5)
            row = {"loss/nll": loss, "weight/nll": 0.5, "mean/nll": mean, "std/nll": 0.5}
            row |= {"cov/nll": cov, "loss/kl": 1.0, "weight/kl": 0.5, "cov/kl": 0.1}
            logger.log_metrics(row, step=step)
    return logger.path


def test_the_page_says_that_shares_go_by_size(run: Path, show: Callable[..., Any]) -> None:
    page = show(run)
    ready(page, 2)

    wait_for_text(page, "[data-chart=part] .note", NOTE)
    parts = page.evaluate("plots.get('part').model.lines.map((line) => line.values.at(-1))")
    assert sum(parts) == pytest.approx(1)
    assert min(parts) > 0


def test_a_negative_weight_is_told_where_shares_go_by_size(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    """As of an entropy that is to grow."""
    with CsvLogger(tmp_path / "ppo") as logger:
        for step in range(9):
            row = {"loss/policy": 1.0, "weight/policy": 1.0, "loss/entropy": 2.0}
            logger.log_metrics(row | {"weight/entropy": -0.5}, step=step)
    said = "by size: the weight of entropy is negative at times"
    page = show(logger.path)
    ready(page, 2)

    wait_for_text(page, "[data-chart=part] .note", said)
    assert said in CliRunner().invoke(app, ["watch", str(logger.path), "--once"]).output


def test_a_cov_near_a_mean_of_zero_is_cut_and_the_tip_has_its_number(
    run: Path, show: Callable[..., Any]
) -> None:
    covs = [RunReader(run).series(name)["cov"] for name in ("nll", "kl")]
    highest, at = float(covs[0].max()), int(covs[0].argmax())
    top = robust_top(covs)
    assert top < highest / 5
    page = show(run)
    ready(page, 2)
    wait_for_text(page, "[data-chart=cov] .note", f"cut at {top:.2g}: a mean near 0")
    for log in (True, False):
        page.set_checked("#log", log)
        wait(page, f"plots.get('cov').chart.scales.y.max <= {top * 1.001}")
    page.focus("[data-chart=cov] .plot")
    page.evaluate(f"plots.get('cov').chart.setCursor({{left: {at}, top: 10}})")
    page.keyboard.press("Home")
    for _ in range(at // 20):
        page.keyboard.press("PageDown")
    for _ in range(at % 20):
        page.keyboard.press("ArrowRight")

    wait_for_text(page, "#tip", page.evaluate(f"figures({highest!r}, 5)"))


def test_a_calm_cov_is_not_cut(show: Callable[..., Any], tmp_path: Path, record: Any) -> None:
    record(tmp_path / "gan")
    page = show(tmp_path)
    ready(page, 3)

    assert "cut" not in page.text_content("[data-chart=cov] .note")
    assert "by size" not in page.text_content("[data-chart=part] .note")


def test_the_terminal_says_it_too_and_cuts_at_the_same_height(run: Path) -> None:
    printed = CliRunner().invoke(app, ["watch", str(run), "--once"], terminal_width=100).output
    highest = printed.partition("\nCoV\n")[2].split()[0]

    assert f"shares go {NOTE}" in printed
    top = robust_top([RunReader(run).series(name)["cov"] for name in ("nll", "kl")])
    assert float(highest) == pytest.approx(top, rel=0.5)


def test_a_sentence_about_a_share_says_it_too(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "flow") as logger:
        for step in range(50):
            row = {"loss/nll": -9.0, "weight/nll": 1.0, "loss/kl": 0.1, "weight/kl": 1.0}
            logger.log_metrics(row, step=step)

    assert in_words(explain(RunReader(logger.path))) == (
        f"nll makes 99 % of the total from the first step on ({NOTE})."
    )


def test_nothing_to_cut_by_has_no_height() -> None:
    assert robust_top([]) == robust_top([np.full(3, np.nan)]) == robust_top([np.zeros(3)])
    assert robust_top([]) == math.inf
