"""Rows that went to a file without a path are saved as soon as there is a place, or counted."""

from __future__ import annotations

import os
import re
import shutil
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from loss_dashboard.runs.check import check_run
from loss_dashboard.runs.export import export_run
from loss_loggers import CsvLogger, JsonlLogger, Tee, read_run
from loss_loggers.base._lock import FileLock
from loss_loggers.recording import parts, read_rows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.loggers.conftest import Caught


def write(logger: CsvLogger | JsonlLogger | Tee, steps: range) -> None:
    for step in steps:
        logger.log_metrics({"loss/a": float(step)}, step=step)


def count(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def a_file_in_place_of(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("as on a mount that is gone")


@pytest.mark.parametrize("kind", [CsvLogger, JsonlLogger])
@pytest.mark.parametrize("steps", [1, 200])
def test_every_row_counts_where_nothing_can_be_written_again(
    tmp_path: Path, kind: type[CsvLogger | JsonlLogger], steps: int, caught: Caught
) -> None:
    logger = kind(tmp_path / "runs" / "gan")
    tee = Tee(logger)
    write(tee, range(3))

    a_file_in_place_of(tmp_path / "runs")
    write(tee, range(3, 3 + steps))
    tee.close()

    assert tee.failed + tee.withheld == 3 + steps
    assert re.search(r"at least \d+ rows (are lost|with it)", str(caught[-1].message))


@pytest.mark.parametrize("kind", [CsvLogger, JsonlLogger])
def test_rows_fail_one_by_one_until_there_is_a_place_and_the_others_are_saved(
    tmp_path: Path, kind: type[CsvLogger | JsonlLogger], caught: Caught
) -> None:
    logger = kind(tmp_path / "runs" / "gan")
    write(logger, range(3))
    a_file_in_place_of(tmp_path / "runs")
    write(logger, range(3, 50))
    for step in range(50, 150):
        with pytest.raises(OSError, match=r"exists|directory"):
            write(logger, range(step, step + 1))
    before = logger.failed

    (tmp_path / "runs").unlink()
    write(logger, range(150, 160))
    logger.close()

    saved = logger.path / "losses.csv" if kind is CsvLogger else logger.path
    assert (before, logger.failed) == (50, 0)
    assert count(saved) - (kind is CsvLogger) == 60
    (told,) = caught
    assert "what was written is saved" in str(told.message)


def test_a_folder_in_the_place_of_the_file_stops_no_rows(tmp_path: Path, caught: Caught) -> None:
    logger = CsvLogger(tmp_path / "gan")
    write(logger, range(3))

    (logger.path / "losses.csv").unlink()
    (logger.path / "losses.csv").mkdir()
    write(logger, range(3, 200))
    logger.close()

    assert len(caught) == 1
    assert logger.failed == 0
    assert read_run(logger.path)["a"]["step"].tolist() == list(range(200))
    assert [row[0] for row, _ in read_rows(logger.path)] == list(range(200))
    export_run(logger.path, file := BytesIO(), "csv")
    assert file.getvalue().count(b"\n") == 1 + 200


@pytest.mark.parametrize("what", ["run", "run/losses.csv"])
@pytest.mark.parametrize("change", ["a new column", "settings", "an epoch", "a state"])
def test_rows_are_saved_before_the_record_changes(
    tmp_path: Path, what: str, change: str, caught: Caught
) -> None:
    """However soon that is, and whether or not it would go on in another file."""
    logger = CsvLogger(tmp_path / "run")
    write(logger, range(3))
    state = logger.state_dict()
    (tmp_path / what).rename(tmp_path / "away")

    if change == "a new column":
        logger.log_metrics({"loss/a": 3.0, "own/a": 1.0}, step=3)
    elif change == "settings":
        logger.log_hyperparams({"lr": 0.1})
    elif change == "an epoch":
        logger.log_epoch(0, {"a": (1.0, 3)}, step=2)
    else:
        logger.load_state_dict(state)
    steps = read_run(logger.path)["a"]["step"].tolist()
    logger.close()

    assert steps[:3] == [0, 1, 2]
    assert logger.failed == 0
    assert len(caught) == 1


@pytest.mark.parametrize("left", [0, 120, 200])
def test_rows_that_a_cut_takes_away_are_counted(tmp_path: Path, left: int, caught: Caught) -> None:
    logger = CsvLogger(tmp_path / "gan")
    write(logger, range(20))
    os.truncate(logger.path / "losses.csv", left)
    write(logger, range(20, 100))
    logger.close()

    lost = 100 - len(read_run(logger.path)["a"]["step"])
    assert lost - 2 <= logger.failed <= lost  # lines of smaller steps are shorter
    assert f"at least {logger.failed} rows are lost" in str(caught[0].message)


def test_a_run_with_a_folder_in_the_place_of_its_file_is_resumed(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        write(logger, range(3))
    (logger.path / "losses.csv").unlink()
    (logger.path / "losses.csv").mkdir()

    for steps in (range(3, 6), range(6, 9)):
        with CsvLogger(tmp_path / "gan", resume=True) as logger:
            write(logger, steps)

    assert read_run(logger.path)["a"]["step"].tolist() == list(range(3, 9))


def test_a_part_that_was_taken_away_is_told_of_and_the_others_are_read(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        write(logger, range(3))
        logger.log_metrics({"loss/a": 3.0, "own/a": 1.0}, step=3)

    (logger.path / "losses.csv").unlink()
    with CsvLogger(tmp_path / "gan", resume=True) as logger:
        logger.log_metrics({"loss/a": 4.0, "another/a": 1.0}, step=4)

    run = read_run(logger.path)
    assert run["a"]["step"].tolist() == [3, 4]
    assert run.note == f"{logger.path / 'losses.csv'} is missing"
    assert check_run(logger.path) == ["losses.csv is missing"]


def test_an_empty_file_in_its_place_gets_all_rows(tmp_path: Path, caught: Caught) -> None:
    logger = CsvLogger(tmp_path / "gan")
    write(logger, range(3))

    (logger.path / "new").touch()
    (logger.path / "new").replace(logger.path / "losses.csv")
    write(logger, range(3, 200))
    logger.close()

    assert len(caught) == 1
    assert read_run(logger.path)["a"]["step"].tolist() == list(range(200))


def test_a_part_that_began_late_is_saved_whole(tmp_path: Path, caught: Caught) -> None:
    """Whatever the size of the part before it was."""
    logger = CsvLogger(tmp_path / "gan")
    write(logger, range(45))
    logger.log_metrics({"loss/a": 1.0, "own/a": 1.0}, step=45)

    other = logger.path / "other"
    other.write_text("somebody's own\n")
    other.replace(logger.path / "losses-2.csv")
    logger.close()

    assert len(caught) == 1
    (late,) = parts(logger.path)[2:]
    assert late.read_text().splitlines()[1].startswith("45,")


def test_epochs_that_cannot_be_written_again_are_counted(tmp_path: Path, caught: Caught) -> None:
    logger = CsvLogger(tmp_path / "gan")
    logger.log_epoch(0, {"a": (1.0, 1)}, step=0)

    (logger.path / "epochs.csv").unlink()
    (logger.path / "epochs.csv").mkdir()
    write(logger, range(60))
    logger.close()

    assert logger.failed == 1
    assert ["rows are lost" in str(one.message) for one in caught] == [True]
    assert count(logger.path / "losses.csv") == 1 + 60


def test_a_run_that_is_found_again_is_held_again(tmp_path: Path, caught: Caught) -> None:
    logger = CsvLogger(tmp_path / "gan")
    write(logger, range(3))
    shutil.rmtree(logger.path)
    write(logger, range(3, 60))

    assert FileLock(logger.path / ".lock").is_taken()
    logger.close()
    assert len(caught) == 1
