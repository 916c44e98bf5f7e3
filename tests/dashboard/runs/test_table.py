"""The table of runs: what is known of each, sorted, searched, and read only once."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from loss_dashboard.alerts import list_runs
from loss_dashboard.alerts.live_list import LiveList
from loss_dashboard.cli.losses import app
from loss_dashboard.reading import RunReader
from loss_dashboard.reading.details import detail_reader, with_details
from loss_dashboard.runs.summary import Summary, summarize
from loss_dashboard.runs.table import as_row
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path


def record(folder: Path, losses: list[float], start: float = 1e9, **settings: Any) -> Path:
    with CsvLogger(folder) as logger:
        logger.log_hyperparams(settings)
        rows = []
        for step, loss in enumerate(losses):
            row = {"loss/G": loss, "loss/total": 2 * loss, "weight/G": 1.0}
            extra = {"lr": 0.1, "val/accuracy": step / 100} if step % 7 == 0 else {}
            rows.append((step, start + step / 4, row | extra))
        logger.log_rows(rows)
    info = json.loads((logger.path / "run.json").read_text())
    (logger.path / "run.json").write_text(json.dumps(info | {"start": start}))
    return logger.path


def ls(*arguments: str | Path) -> list[list[str]]:
    result = CliRunner().invoke(app, ["ls", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.output.splitlines()[1:]]


def names(*arguments: str | Path) -> list[str]:
    return [line[0] for line in ls(*arguments)]


def test_a_row_has_last_and_best_values_of_recorded_rows(tmp_path: Path) -> None:
    falling = [9.0, 0.125, math.nan, -math.inf, *[1.0 + step for step in range(3000)]]
    record(tmp_path / "gan", falling, weighting={"method": "CoVWeighting"}, lr=1e-3)

    (run,) = list_runs(tmp_path)
    row = as_row(run)

    assert row["weighting"] == "CoVWeighting"
    assert (row["step"], row["steps_per_second"]) == (3003, pytest.approx(4.0))
    assert row["last"] == {"G": 3000.0, "total": 6000.0}
    assert row["best"] == {"G": 0.125, "total": 0.25}
    assert row["numbers"] == {"lr": 0.1, "val/accuracy": 30.03}
    assert row["settings"] == {"weighting.method": "CoVWeighting", "lr": "0.001"}


@pytest.mark.parametrize("steps", [1, 90, 101, 5000, 60_000])
def test_a_reader_that_keeps_few_rows_tells_the_same(tmp_path: Path, steps: int) -> None:
    values = [math.cos(step) + 2 for step in range(steps)]
    run = summarize(record(tmp_path / "gan", values))

    few, all_of_them = detail_reader(run.path), RunReader(run.path, columns=())

    assert with_details(run, few) == with_details(run, all_of_them)
    assert len(few.series("G")["loss"]) <= 101


def test_a_live_run_is_read_on_and_not_anew(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 0.25}, step=0)
        reader = detail_reader(logger.path)
        for step in range(1, 300):
            logger.log_metrics({"loss/G": 1.0 + step}, step=step)
        reader.poll()

        assert (reader.best("G"), reader.series("G")["loss"][-1]) == (0.25, 300.0)
        assert reader.times_begun == 1


def test_ls_sorts_by_any_column(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0, 5.0], start=3e9, rate=0.1)
    record(tmp_path / "b", [0.5, 7.0, 7.0], start=2e9, rate=0.01)
    record(tmp_path / "c", [math.nan], start=1e9)

    assert names(tmp_path) == ["a", "b", "c"]
    assert names(tmp_path, "--sort", "start") == ["c", "b", "a"]
    assert names(tmp_path, "--sort", "-name") == ["c", "b", "a"]
    assert names(tmp_path, "--sort", "step") == ["c", "a", "b"]
    assert names(tmp_path, "--sort", "G") == ["a", "b", "c"]  # what is NaN comes last
    assert names(tmp_path, "--sort", "-G") == ["b", "a", "c"]
    assert names(tmp_path, "--sort", "G", "--best") == ["b", "a", "c"]
    assert names(tmp_path, "--sort", "rate") == ["b", "a", "c"]
    assert names(tmp_path, "--sort", "-val/accuracy") == ["a", "b", "c"]
    assert ls(tmp_path, "--best", "--sort", "G")[0][-4:] == ["G", "0.500", "total", "1.00"]


def test_ls_says_by_what_it_can_sort(tmp_path: Path) -> None:
    record(tmp_path / "a", [1.0], rate=0.1)

    result = CliRunner().invoke(app, ["ls", str(tmp_path), "--sort", "loss"])

    assert result.exit_code == 1
    assert result.output.startswith("sort must be one of name, state,")
    assert "G, total" in result.output
    assert "got 'loss'" in result.output


def test_ls_searches_names_settings_notes_and_tags(tmp_path: Path) -> None:
    record(tmp_path / "sweep/a", [1.0], rate=0.1)
    record(tmp_path / "sweep/b", [1.0], rate=0.01)
    run = str(record(tmp_path / "c", [1.0]))
    CliRunner().invoke(app, ["note", run, "Decay was too SHORT"])
    CliRunner().invoke(app, ["tag", run, "+paper"])

    assert {*names(tmp_path, "--search", "sweep")} == {"sweep/a", "sweep/b"}
    assert names(tmp_path, "--search", "SWEEP rate=0.1") == ["sweep/a"]
    assert names(tmp_path, "--search", "too short") == ["c"]
    assert names(tmp_path, "--search", "+paper") == ["c"]
    assert "paper" in ls(tmp_path, "--search", "+paper")[0]
    nothing = CliRunner().invoke(app, ["ls", str(tmp_path), "--search", "nope"])
    assert nothing.output.startswith(f"no run in {tmp_path} has 'nope'")


def test_a_run_is_read_once_and_again_when_its_files_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record(tmp_path / "runs/gan", [1.0, 2.0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = list_runs(tmp_path / "runs")
    monkeypatch.setattr("loss_dashboard.alerts._listed.examined", lambda run, **_: run)

    assert list_runs(tmp_path / "runs") == first
    assert first[0].is_read

    CliRunner().invoke(app, ["tag", str(run), "+good"])
    assert list_runs(tmp_path / "runs")[0].tags == ("good",)
    with CsvLogger(run, resume=True) as logger:
        logger.log_metrics({"loss/G": 9.0}, step=2)
    assert not list_runs(tmp_path / "runs")[0].is_read


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2, "runs": {"a": [1]}}', "[" * 9999]
)
def test_a_cache_that_makes_no_sense_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    record(tmp_path / "runs/gan", [1.0, 2.0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = list_runs(tmp_path / "runs")
    (cache,) = (tmp_path / "cache").rglob("*.json")
    cache.write_text(content)

    assert list_runs(tmp_path / "runs") == before
    assert json.loads(cache.read_text())["runs"]


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "runs/gan", [1.0, 2.0])
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    assert [run.name for run in list_runs(tmp_path / "runs")] == ["gan"]


def test_runs_that_ended_are_read_for_the_first_list_alone(tmp_path: Path) -> None:
    for number in range(30):
        record(tmp_path / f"runs/{number}", [1.0] * 20)
    code = (
        "import sys; from loss_dashboard.cli.losses import app; read = []\n"
        "sys.addaudithook(lambda event, its: event == 'open' and read.append(str(its[0])))\n"
        "app(['ls', sys.argv[1]], standalone_mode=False)\n"
        "print(sum(path.endswith('losses.csv') for path in read), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "runs")]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    said = [
        subprocess.run(command, capture_output=True, check=True, env=environment, text=True)
        for _ in range(2)
    ]

    assert [int(one.stderr) > 0 for one in said] == [True, False]
    assert said[0].stdout == said[1].stdout


def live_list(runs: dict[str, Summary]) -> LiveList:
    return LiveList(lambda: runs, [])


def test_a_live_list_tells_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loss_dashboard.alerts.live_list.FRESH", 0.0)
    monkeypatch.setattr("loss_dashboard.alerts.live_list.SHARE", math.inf)
    runs = {name: summarize(record(tmp_path / name, [1.0, 0.5, 2.0])) for name in ("a", "b")}
    told = live_list(runs)
    first = told.answer()
    assert [row["last"]["G"] for row in first["rows"]] == [2.0, 2.0]

    while (now := told.answer())["unread"]:
        pass

    assert [row["best"]["G"] for row in now["rows"]] == [0.5, 0.5]
    assert told.answer(now["version"])["rows"] == []
    runs["c"] = summarize(record(tmp_path / "c", [3.0]))
    fresh = told.answer(now["version"])
    assert fresh["keys"] == ["a", "b", "c"]
    assert [row["key"] for row in fresh["rows"]] == ["c"]


def test_a_live_list_knows_a_run_that_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loss_dashboard.alerts.live_list.FRESH", 0.0)
    monkeypatch.setattr("loss_dashboard.alerts.live_list.SHARE", math.inf)
    record(tmp_path / "a", [1.0, 0.5])
    there = {run.name: run for run in list_runs(tmp_path)}
    runs = dict(there)
    told = live_list(runs)
    before = told.answer()

    runs.clear()
    assert told.answer(before["version"])["keys"] == []
    runs.update(there)

    assert told.answer(before["version"])["rows"] == before["rows"]


def test_a_live_list_reads_a_run_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loss_dashboard.alerts.live_list.FRESH", 0.0)
    monkeypatch.setattr("loss_dashboard.alerts.live_list.SHARE", math.inf)
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_rows([(step, 1e9 + step, {"loss/G": 5.0 - step}) for step in range(3)])
        told = LiveList(lambda: {"gan": summarize(logger.path)}, [])
        while (now := told.answer())["unread"]:
            pass
        assert (now["rows"][0]["best"], now["rows"][0]["state"]) == ({"G": 3.0}, "stale")

        logger.log_rows([(9, 1e9 + 9, {"loss/G": -1.0}), (10, 1e9 + 10, {"loss/G": 4.0})])
        end = time.monotonic() + 300
        while (row := told.answer()["rows"][0])["best"] != {"G": -1.0}:
            assert time.monotonic() < end
    assert row["last"] == {"G": 4.0}
