"""What a loss contributes to the total is one number, wherever it is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from loss_dashboard.alerts import explain
from loss_dashboard.curves.live_curves import LiveCurves
from loss_dashboard.curves.numbers import DASH
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader
from loss_dashboard.terminal._panels import loss_table
from loss_dashboard.web._run_view import view
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def reader(tmp_path: Path) -> RunReader:
    """G and D to step 299, G with a last loss unlike those before; old to 200; val unweighted."""
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(300):
            row = {"loss/G": 900.0 if step == 299 else 2.0, "weight/G": 0.5, "loss/val": 3.0}
            row |= {"loss/D": -3.0, "weight/D": 1.0}
            if step <= 200:
                row |= {"loss/old": 100.0, "weight/old": 1.0}
            logger.log_metrics(row, step=step)
    return RunReader(logger.path)


def page(reader: RunReader) -> dict[str, float | None]:
    losses = view(reader, LiveCurves(ViewOptions()))["losses"]
    return {loss["name"]: loss["share"] for loss in losses}


def terminal(reader: RunReader) -> dict[str, str]:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(loss_table(reader, 120, set()))
    head, *lines = capture.get().splitlines()
    assert head.split()[-1] == "share"
    return {line.split()[1]: line.split()[-1] for line in lines}


def test_it_is_told_from_the_mean_of_the_last_steps(reader: RunReader) -> None:
    g = (49 * 2.0 * 0.5 + 900.0 * 0.5) / 50
    expected = g / (g + 3.0)

    assert page(reader)["G"] == pytest.approx(expected, rel=1e-5)
    assert page(reader)["D"] == pytest.approx(1 - expected, rel=1e-5)


def test_a_loss_that_has_no_weight_or_is_no_longer_recorded_has_no_share(
    reader: RunReader,
) -> None:
    shares = page(reader)

    assert shares["val"] is shares["old"] is None


def test_the_terminal_and_the_page_tell_the_same(reader: RunReader) -> None:
    told = {name: DASH if part is None else f"{part:.1%}" for name, part in page(reader).items()}

    assert terminal(reader) == told
    assert re.fullmatch(r"\d+\.\d%", told["G"])


def test_steps_that_lie_far_apart_count_as_steps(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(0, 100_000, 1000):
            row = {"loss/G": 1.0, "weight/G": 0.25, "loss/D": 1.0, "weight/D": 0.75}
            logger.log_metrics(row, step=step)

    assert page(RunReader(logger.path)) == {"G": 0.25, "D": 0.75}


def test_a_loss_that_comes_now_and_then_has_no_part_in_the_steps_between(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(160):
            row = {"loss/D": 1.0, "weight/D": 1.0}
            if step % 16 == 0:
                row |= {"loss/r1": 1.0, "weight/r1": 16.0}
            logger.log_metrics(row, step=step)

    reader = RunReader(logger.path)

    sizes = {"D": 50.0, "r1": 3 * 16.0}  # of the last 50 steps
    assert page(reader) == pytest.approx({name: it / 98 for name, it in sizes.items()}, rel=1e-5)
    assert explain(reader) == []


def test_a_run_without_losses_has_no_shares(tmp_path: Path) -> None:
    CsvLogger(tmp_path / "empty").close()

    assert page(RunReader(tmp_path / "empty")) == {}


def test_losses_as_large_as_floats_go_warn_of_nothing(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(60):
            row = {"loss/G": 1.7e308, "weight/G": 1.0, "loss/D": 1.0, "weight/D": 1.0}
            logger.log_metrics(row, step=step)

    assert terminal(RunReader(logger.path)) == {"G": DASH, "D": "0.0%"}
