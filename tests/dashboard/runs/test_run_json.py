"""A run.json that a user wrote into: with settings that have our names, and colours of his own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.dashboard.browser import Tab, ready, wait_for_text

from loss_dashboard.alerts import find_alerts
from loss_dashboard.plotting.plots import plot_runs
from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = [{"loss/G": 1.0 + step, "weight/G": 0.5, "loss/D": 2.0, "weight/D": 1.0} for step in (0, 1)]
METHODS: list[tuple[Any, str]] = [
    ("mine", "mine"),
    ({"method": "CoVWeighting"}, "CoVWeighting"),
    ({"method": 3}, ""),
    (["cov", "sum"], ""),
    (0.5, ""),
    (None, ""),
]


@pytest.fixture(params=METHODS, ids=str)
def told(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[RunReader, str]:
    """A run whose user has a setting that is called weighting, and the method to show."""
    weighting, method = request.param
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"weighting": weighting, "lr": 0.1})
        for step, row in enumerate(ROWS):
            logger.log_metrics(row, step=step)
    return RunReader(logger.path), method


def test_whatever_a_setting_of_the_users_says_the_run_is_shown(
    told: tuple[RunReader, str], tmp_path: Path
) -> None:
    panels = pytest.importorskip("loss_dashboard.terminal._panels", reason="needs rich, of tui")
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    reader, method = told

    assert find_alerts(reader) == []
    assert panels.facts(reader).plain.split("  ")[:2] == ["gan", method or "finished"]
    plot_runs([reader.path], tmp_path / "losses.svg")
    assert (f"gan, {method}" if method else "gan") in (tmp_path / "losses.svg").read_text()


def test_the_page_names_a_method_that_the_user_wrote(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"weighting": "mine", "lr": 0.1})
        logger.log_metrics(ROWS[0], step=0)
    with serve(str(tmp_path)) as address:
        page = tab().open(address)
        ready(page, 2)
        wait_for_text(page, "#settings b", "mine")
        assert page.text_content("#settings") == "minelr 0.1"


@pytest.mark.parametrize("losses", [["G", "D"], {"G": "red", "D": 3}])
def test_a_loss_whose_colour_makes_no_sense_is_grey(tmp_path: Path, losses: Any) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics(ROWS[0], step=0)
    info = json.loads((logger.path / "run.json").read_text())
    (logger.path / "run.json").write_text(json.dumps({**info, "losses": losses}))

    reader = RunReader(logger.path)
    assert reader.losses == ["G", "D"]
    assert set(reader.colours.values()) <= {"#777777"}
    plot_runs([logger.path], tmp_path / "losses.png")
    assert (tmp_path / "losses.png").stat().st_size > 1000
