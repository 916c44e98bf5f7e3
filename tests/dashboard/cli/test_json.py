"""What scripts read: one JSON object on standard output, with the keys that the docs name."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from loss_dashboard.cli.losses import app
from loss_loggers import CsvLogger

DOCS = (Path(__file__).parents[3] / "docs/dashboard.md").read_text()
SHAPES = {
    command: json.loads(text)
    for command, text in re.findall(
        r"`losses ([a-z -]+) --json`:\n\n```json\n(.*?)```", DOCS, re.DOTALL
    )
}
BY_NAME = ("last", "best", "numbers", "settings")
"""Objects of a listed run whose keys are names of losses, numbers and settings."""
COMMANDS = ("ls {runs}", "explain {run}", "watch --once {run}", "show {run}", "doctor {run}")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a NaN, a total and a number of the user's own, that is not sound."""
    with CsvLogger(tmp_path / "runs/gan") as logger:
        logger.log_hyperparams({"weighting": {"method": "CoVWeighting"}})
        for step in range(100):
            loss = math.nan if step == 99 else math.inf if step == 98 else 1.0 + step % 3
            row = {"loss/G": loss, "weight/G": 0.1 + step / 1000, "loss/D": 2.0, "lr": 1e-3}
            logger.log_metrics(row | {"loss/total": 3.0, "weight/D": 1.0}, step=step)
    with (logger.path / "losses.csv").open("a") as file:
        file.write("100,half")
    return logger.path


def read(command: str, run: Path, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*command.format(run=run, runs=run.parent).split(), "--json"])
    assert done.exit_code == code, done.output
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout, parse_constant=pytest.fail)


def keys(shape: Any, above: str = "") -> set[str]:
    """The way to each key, such as "losses.name"; lists are told by their first item."""
    if isinstance(shape, list):
        return keys(shape[0], above) if shape else set()
    if not isinstance(shape, dict):
        return set()
    inner = [
        keys(own, f"{above}{key}.")
        for key, own in shape.items()
        if key not in BY_NAME or isinstance(own, list)
    ]
    return {f"{above}{key}" for key in shape}.union(*inner)


@pytest.mark.parametrize("command", ["explain {run}", "watch --once {run}"])
@pytest.mark.parametrize("row", [{}, {"lr": 0.1}])
def test_of_a_run_without_losses_the_text_says_so(
    tmp_path: Path, command: str, row: dict[str, float]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics(row, step=0)

    assert read(command, logger.path)["text"] == "There is no loss yet."


@pytest.mark.parametrize("command", COMMANDS)
def test_it_has_the_keys_that_the_docs_name(run: Path, command: str) -> None:
    name = command.partition(" {")[0]

    told = read(command, run, code=int(name == "doctor"))

    assert keys(told) == keys(SHAPES[name])


def test_every_documented_command_is_tried() -> None:
    assert {command.partition(" {")[0] for command in COMMANDS} == set(SHAPES)


def test_what_is_not_finite_is_a_word_and_what_is_missing_null(run: Path) -> None:
    told = read("watch --once {run}", run)
    losses = {loss["name"]: loss for loss in told["losses"]}
    rows = read("show {run} --step 98 --around 1", run)["rows"]

    assert losses["G"]["last"] == "nan"
    assert losses["G"]["mean"] is None
    assert losses["G"]["weight"] == pytest.approx(0.199)
    assert [row["losses"][0]["loss"] for row in rows] == [2.0, "inf", "nan"]
    assert [row["losses"][0]["mark"] for row in rows] == [None, "inf", "nan"]
    assert [row["numbers"] for row in rows] == [[{"name": "lr", "value": 1e-3, "mark": None}]] * 3


def test_doctor_says_by_its_exit_code_too_that_a_run_is_not_sound(run: Path) -> None:
    told = read("doctor {run}", run, code=1)

    assert told["run"]["is_sound"] is False
    assert "half-written" in told["run"]["problems"][0]
    assert read("doctor", run)["run"] is None
    assert {"name": "python", "extra": None, "version": sys.version.split()[0]} in read(
        "doctor", run
    )["installed"]


def test_a_run_without_rows_has_the_same_keys(tmp_path: Path) -> None:
    CsvLogger(tmp_path / "runs/empty").close()

    told = read("watch --once {run}", tmp_path / "runs/empty")

    assert set(told) == set(SHAPES["watch --once"])
    assert (told["step"], told["losses"]) == (None, [])
    assert read("explain {run}", tmp_path / "runs/empty")["findings"] == []


def test_ls_lists_every_run_also_where_there_is_none(run: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()

    assert [one["name"] for one in read("ls {runs}", run)["runs"]] == ["gan"]
    assert read("ls {runs}", tmp_path / "none" / "x") == {"runs": []}


@pytest.mark.parametrize("command", ["explain nowhere", "show nowhere", "watch --once nowhere"])
def test_an_error_is_said_on_standard_error_alone(command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--json"])

    assert (done.exit_code, done.stdout) == (1, "")
    assert "no run nowhere" in done.stderr


def test_watch_needs_one_moment(run: Path) -> None:
    done = CliRunner().invoke(app, ["watch", str(run), "--json"])

    assert (done.exit_code, done.stdout) == (1, "")
    assert "--once" in done.stderr


@pytest.mark.parametrize("command", ["explain {run}", "show {run}", "show {run} --json"])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_pipe_of_few_letters_gets_what_it_can(run: Path, command: str, encoding: str) -> None:
    done = losses(command, run, stdout=subprocess.PIPE, PYTHONIOENCODING=encoding)

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"nan" in done.stdout.lower()


@pytest.mark.parametrize("command", ["explain {run}", "show {run}", "ls {runs} --json"])
def test_an_output_that_cannot_be_written_is_one_line(run: Path, command: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no full disk to write to")
    with Path("/dev/full").open("wb") as full:
        done = losses(command, run, stdout=full)

    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["explain {run}", "show {run}", "watch --once {run} --json"])
def test_a_reader_that_left_is_no_error_to_speak_of(run: Path, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = losses(command, run, stdout=writing)
    finally:
        os.close(writing)

    assert done.stderr == b""


def losses(command: str, run: Path, stdout: Any, **environment: str) -> Any:
    arguments = command.format(run=run, runs=run.parent).split()
    return subprocess.run(
        [sys.executable, "-m", "loss_dashboard", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
        check=False,
    )
