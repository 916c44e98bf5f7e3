"""A run.json that a user wrote into: with settings that have our names, and colours of his own."""

from __future__ import annotations

import json
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.dashboard.browser import Tab, ready, wait_for_text
from tests.dashboard.test_truth import client

from loss_dashboard.alerts import find_alerts
from loss_dashboard.cli.losses import app
from loss_dashboard.curves.live_curves import LiveCurves
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.plotting.plots import plot_runs
from loss_dashboard.reading import RunReader
from loss_dashboard.runs.summary import summarize
from loss_dashboard.web._run_view import view
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


FACTS = (
    *("state", "host", "pid", "start", "end", "resumed", "writer", "id", "schema", "error"),
    "losses",
)
ODD: list[Any] = [
    *("x", [1], {"a": [None]}, [["x", None]], None, True, 0, -5, 1.5, nan, inf, 1e300, -1e300),
    10**400,
]


@pytest.mark.parametrize("fact", FACTS)
def test_an_odd_fact_hides_no_other(tmp_path: Path, fact: str) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"lr": 0.1})
        for step, row in enumerate(ROWS):
            logger.log_metrics(row, step=step)
    info = json.loads((logger.path / "run.json").read_text())

    for odd in ODD:
        (logger.path / "run.json").write_text(json.dumps({**info, fact: odd}))
        summary, reader = summarize(logger.path), RunReader(logger.path)
        assert (summary.settings, summary.last_step) == ({"lr": "0.1"}, 1)
        assert summary.state == "finished" or fact == "state"
        assert summary.start == info["start"] or fact == "start"
        assert {"G", "D"} <= {*summary.losses} or isinstance(odd, dict)
        assert reader.state == "finished" or fact == "state"
        assert 0 <= reader.elapsed < 60 or fact == "start"
        assert json.loads(json.dumps(view(reader, LiveCurves(ViewOptions())), allow_nan=False))


@pytest.mark.parametrize("end", ["x", nan, [], 10**400])
def test_a_run_with_an_odd_end_is_shown_everywhere(tmp_path: Path, end: Any) -> None:
    for name in ("healthy", "odd"):
        with CsvLogger(tmp_path / "runs" / name) as logger:
            logger.log_metrics(ROWS[0], step=0)
    info = json.loads((logger.path / "run.json").read_text())
    (logger.path / "run.json").write_text(json.dumps({**info, "end": end}))

    for command in (["watch", logger.path, "--once"], ["report", tmp_path / "runs"]):
        output = ["-o", tmp_path / "r.html"] if command[0] == "report" else []
        result = CliRunner().invoke(app, [str(word) for word in (*command, *output)])
        assert (result.exit_code, result.exception) == (0, None)
    told = client(tmp_path / "runs").get("/api/views?run=odd&run=healthy")
    assert told.status_code == 200
    assert "finished" in told.text
