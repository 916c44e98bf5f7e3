"""A pipe, or a device, in the place of a file of a run: nobody waits at it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.forked import end, start

from loss_loggers import CsvLogger, read_run
from loss_loggers.recording import open_file

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")

COMMANDS = [
    ["ls", "runs", "--best"],
    ["explain", "runs/odd"],
    ["doctor", "runs/odd"],
    ["watch", "runs/odd", "--once"],
    ["show", "runs/odd"],
    ["export", "runs/odd"],
    ["plot", "runs/odd"],
    ["note", "runs/odd"],
    ["sync", "runs/odd", "--dry-run", "--to", "jsonl:all.jsonl"],
    ["report", "runs"],
]
ALL = """
import sys
from click.testing import CliRunner
from loss_dashboard.cli.losses import app
for command in {commands!r}:
    result = CliRunner().invoke(app, command)
    odd = result.exception and not isinstance(result.exception, SystemExit)
    print(command[0], repr(result.exception) if odd else "ended")
    if command[0] == "ls":
        assert "healthy" in result.output and "odd" in result.output, result.output
"""


@pytest.mark.parametrize(
    "name", ["losses.csv", "losses-2.csv", "run.json", "epochs.csv", "notes.json", ".lock"]
)
def test_every_command_ends(tmp_path: Path, name: str) -> None:
    for run in ("healthy", "odd"):
        with CsvLogger(tmp_path / "runs" / run) as logger:
            logger.log_metrics({"loss/G": 1.0, "weight/G": 1.0}, step=0)
    (logger.path / name).unlink(missing_ok=True)
    os.mkfifo(logger.path / name)

    (script := tmp_path / "all.py").write_text(ALL.format(commands=COMMANDS))

    assert end(start(script, said=tmp_path / "said", folder=tmp_path), 300) == 0

    said = (tmp_path / "said").read_text().splitlines()
    assert said == [f"{command[0]} ended" for command in COMMANDS]


def test_who_reads_the_run_is_told(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
    (logger.path / "losses.csv").unlink()
    os.mkfifo(logger.path / "losses.csv")

    with pytest.raises(OSError, match=r"no regular file.*losses\.csv"):
        read_run(logger.path)


@pytest.mark.filterwarnings("ignore:.*was deleted, replaced or cut")
def test_a_training_goes_on_where_its_file_becomes_a_pipe(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
        (logger.path / "losses.csv").unlink()
        os.mkfifo(logger.path / "losses.csv")
        for step in range(1, 300):
            logger.log_metrics({"loss/G": 1.0}, step=step)

    (logger.path / "losses.csv").unlink()
    (logger.path / "losses-2.csv").rename(logger.path / "losses.csv")
    assert read_run(logger.path)["G"]["step"].tolist() == [*range(300)]


def test_a_device_is_no_file() -> None:
    with pytest.raises(OSError, match="no regular file"):
        open_file(Path("/dev/zero"))
