"""Paths in a working directory that is gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from loss_loggers import CsvLogger, JsonlLogger, read_run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.loggers.conftest import Script

IN_A_DELETED_FOLDER = """
import os, sys, warnings
from pathlib import Path
from loss_loggers import *

gone = Path(sys.argv[1], "gone")
gone.mkdir()
os.chdir(gone)
gone.rmdir()
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows keeps a folder in use")


def test_a_run_with_an_absolute_path_is_recorded_and_delivered(
    tmp_path: Path, script: Script
) -> None:
    code = """
class Refuses:
    target = "own run"
    def log_metrics(self, metrics, /, *, step):
        raise ValueError("never")

with Tee(CsvLogger(sys.argv[1] + "/run"), Background(Refuses(), timeout=0.1)) as logger:
    logger.log_metrics({"loss/a": 1.0}, step=0)
"""
    done = script(IN_A_DELETED_FOLDER + code, tmp_path)

    assert done.returncode == 0, done.stderr
    assert read_run(tmp_path / "run")["a"]["step"].tolist() == [0]
    (kept,) = (tmp_path / "run").glob("own-*/undelivered.jsonl")
    assert kept.read_text().count("\n") == 1


def test_rows_that_cannot_be_kept_there_are_counted(tmp_path: Path, script: Script) -> None:
    code = """
class Refuses:
    def log_metrics(self, metrics, /, *, step):
        raise ValueError("never")

with Background(Refuses(), timeout=0.1) as logger:
    logger.log_metrics({"loss/a": 1.0}, step=0)
print(logger.failed)
"""
    done = script(IN_A_DELETED_FOLDER + code, tmp_path)

    assert done.stdout == "1\n"
    assert "cannot be kept in" in done.stderr


@pytest.mark.parametrize("kind", [CsvLogger, JsonlLogger])
def test_a_relative_path_is_one_clear_error(tmp_path: Path, script: Script, kind: type) -> None:
    done = script(f"{IN_A_DELETED_FOLDER}{kind.__name__}('here')", tmp_path)

    said = "a path must be absolute where the working directory was deleted, got here"
    assert done.stderr.splitlines()[-1] == f"FileNotFoundError: {said}"
    assert done.stderr.count("Traceback") == 1
