from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.loggers.delivery.http_backend import until

from loss_loggers import Background, JsonlLogger, Tee

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.loggers.conftest import Caught, Script


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines, by a reader that takes nothing but JSON."""
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]


def test_a_row_is_a_line_that_is_on_disk_when_it_was_logged(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "new" / "gan.jsonl")

    logger.log_rows([(3, 1.5, {"loss/val/G": 1 / 3, "cov/val/G": 1e-308, "lr": 0.1})])

    line = {"losses": {"val/G": {"loss": 1 / 3, "cov": 1e-308}}, "values": {"lr": 0.1}}
    assert lines(logger.path) == [{"step": 3, "time": 1.5, **line}]


def test_numbers_of_any_kind_stay_exact(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    row = {
        "loss/G": torch.tensor(0.1, dtype=torch.float64, requires_grad=True),
        "loss/D": np.float32(0.1),
        "loss/é\n\ud800": 0.5,
        "seed": 2**60 + 1,
        "value/text": "much",
    }
    logger = JsonlLogger(tmp_path / "gan.jsonl")

    with pytest.warns(RuntimeWarning, match="value/text is a number; got str"):
        logger.log_metrics(row, step=np.int64(0))

    (line,) = lines(logger.path)
    losses = {name: statistics["loss"] for name, statistics in line["losses"].items()}
    assert losses == {"G": 0.1, "D": float(np.float32(0.1)), "é\n\\ud800": 0.5}
    assert line["values"] == {"seed": 2**60 + 1}


def test_what_json_cannot_say_is_null_and_told_beside_it(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "gan.jsonl")

    logger.log_metrics({"loss/G": math.nan, "loss/D": 1.0, "lr": -math.inf}, step=0)
    logger.log_metrics({"loss/G": 1.0}, step=1)
    logger.log_rows([(2, math.inf, {"lr": 0.5})])

    first, second, third = lines(logger.path)
    assert first["losses"] == {"G": {"loss": None}, "D": {"loss": 1.0}}
    assert first["nonfinite"] == {"loss/G": "nan", "lr": "-inf"}
    assert "nonfinite" not in second
    assert (third["time"], third["nonfinite"]) == (None, {"time": "inf"})


def test_duckdb_reads_columns_of_numbers(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    logger = JsonlLogger(tmp_path / "gan.jsonl")
    for step in range(100):
        late = {"loss/late": 1.0} if step >= 50 else {}
        loss = math.nan if step == 7 else step / 2
        logger.log_metrics({"loss/val/G": loss, "lr": 0.1, **late}, step=step)

    rows = duckdb.sql(
        "SELECT sum(losses['val/G'].loss), count(losses.late.loss), max(values.lr),"
        f" min(step) FILTER (nonfinite IS NOT NULL) FROM '{logger.path}'"
    ).fetchall()

    assert rows == [((99 * 100 / 2 - 7) / 2, 50, 0.1, 7)]


def test_the_means_of_an_epoch_are_a_line(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "gan.jsonl")

    logger.log_epoch(3, {"G": (0.5, 128)}, step=11)

    (line,) = lines(logger.path)
    assert line["losses"] == {"G": {"epoch_loss": 0.5}}
    assert line["values"] == {"epoch": 3}


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


KILLED = """
import sys
import time
from loss_loggers import JsonlLogger
logger = JsonlLogger(sys.argv[1])
step = int(sys.argv[2])
while True:
    logger.log_metrics({f"loss/{name}": step / 3 for name in "abcdefgh"}, step=step)
    step += 1
"""


def test_a_process_goes_on_behind_the_whole_lines_of_one_that_was_killed(tmp_path: Path) -> None:
    path, steps = tmp_path / "gan.jsonl", 0
    for _ in range(8):
        before = steps
        with subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(steps)]) as process:
            until(lambda: count_lines(path) > before + 50)  # noqa: B023, it ends in here
            process.send_signal(signal.SIGKILL)
        steps = count_lines(path)  # a kill may come in the middle of a line

    whole = path.read_text().splitlines()[:steps]
    assert [json.loads(line)["step"] for line in whole] == list(range(steps))


def test_a_half_written_line_is_dropped_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "gan.jsonl"
    JsonlLogger(path).log_metrics({"loss/G": 0.5}, step=0)
    with path.open("a") as file:
        file.write('{"step":1,"ti')

    with pytest.warns(RuntimeWarning, match="ended in a half-written line: 13 bytes"):
        JsonlLogger(path).log_metrics({"loss/G": 0.25}, step=1)

    assert [line["step"] for line in lines(path)] == [0, 1]


def test_a_file_of_something_else_is_an_error_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a note without an end of line")

    with pytest.raises(ValueError, match="path must be a new file, or one of JSON lines"):
        JsonlLogger(path)

    assert path.read_text() == "a note without an end of line"
    with pytest.raises(ValueError, match="path must be a new file, or one of JSON lines"):
        JsonlLogger(tmp_path)


def test_a_folder_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    logger = JsonlLogger(tmp_path / "runs" / "gan.jsonl")
    tee = Tee(logger)

    with pytest.warns(RuntimeWarning, match="JsonlLogger failed"):
        tee.log_metrics({"loss/G": 0.5}, step=0)
    (tmp_path / "runs").unlink()

    def is_taken() -> bool:  # the guard keeps rows from one that has just failed
        tee.log_metrics({"loss/G": 0.5}, step=1)
        return logger.path.exists()

    until(is_taken)
    assert tee.failed == 1
    assert [line["step"] for line in lines(logger.path)] == [1]


def test_a_background_keeps_the_times(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "gan.jsonl")

    with Background(logger) as background:
        background.log_rows([(step, 1e9 + step, {"loss/G": 1.0}) for step in range(500)])

    assert [line["time"] for line in lines(logger.path)] == [1e9 + step for step in range(500)]


def _delete(path: Path) -> None:
    path.unlink()


def _delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def _move(path: Path) -> None:
    path.rename(path.with_name("moved"))


def _save_by_renaming(path: Path) -> None:
    path.with_name("saved").write_bytes(path.read_bytes())
    path.with_name("saved").replace(path)


def _empty_by_renaming(path: Path) -> None:
    path.with_name("new").touch()
    path.with_name("new").replace(path)


def write(logger: JsonlLogger | Tee, steps: range) -> None:
    for step in steps:
        logger.log_metrics({"loss/G": 0.5}, step=step)


@pytest.mark.parametrize("steps", [1, 1000])
@pytest.mark.parametrize(
    "fault", [_delete, _delete_folder, _move, _save_by_renaming, _empty_by_renaming]
)
def test_a_file_that_is_taken_away_is_written_again_with_one_warning(
    tmp_path: Path, fault: Callable[[Path], None], steps: int, caught: Caught
) -> None:
    logger = JsonlLogger(tmp_path / "runs" / "gan.jsonl")
    tee = Tee(logger)
    write(tee, range(3))

    fault(logger.path)
    write(tee, range(3, 3 + steps))
    tee.close()

    (told,) = caught
    assert "gan.jsonl was deleted, replaced or cut; what was written is saved" in str(told.message)
    assert tee.failed == 0
    assert [line["step"] for line in lines(logger.path)] == list(range(3 + steps))


@pytest.mark.parametrize("left", [0, 7, 60, 86])
def test_rows_after_a_cut_can_be_read_and_those_before_are_counted(
    tmp_path: Path, left: int
) -> None:
    logger = JsonlLogger(tmp_path / "gan.jsonl")
    write(logger, range(3))

    os.truncate(logger.path, left)
    with pytest.warns(RuntimeWarning, match=r"at least \d rows are lost, and rows go on there"):
        write(logger, range(3, 100))
    logger.close()

    steps = [line["step"] for line in lines(logger.path)]
    assert steps[-96:] == list(range(4, 100))  # 3 may end a torn line
    assert logger.failed == 100 - len(steps)


def test_other_lines_in_its_place_stay_and_new_rows_come_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "gan.jsonl"
    logger = JsonlLogger(path)
    write(logger, range(60))

    other = tmp_path / "other"
    other.write_text('{"step": -1}\n{"step": -2}\n{"ha')
    other.replace(path)
    with pytest.warns(RuntimeWarning, match="was deleted, replaced"):
        write(logger, range(60, 200))
    logger.close()

    steps = [line["step"] for line in lines(path)]
    assert steps[:2] == [-1, -2]
    assert steps[2:] == list(range(50, 200))  # what came since it was last seen


@pytest.mark.parametrize("is_folder", [False, True])
def test_something_else_in_its_place_stays_and_rows_go_on_beside_it(
    tmp_path: Path, is_folder: bool
) -> None:
    path = tmp_path / "gan.jsonl"
    logger = JsonlLogger(path)
    write(logger, range(3))

    path.unlink()
    if is_folder:
        path.mkdir()
    else:
        path.write_text("a note")
    with pytest.warns(RuntimeWarning, match=r"rows go on in .*gan-2.jsonl"):
        write(logger, range(3, 100))
    logger.close()

    assert path.is_dir() or path.read_text() == "a note"
    assert logger.path.name == "gan-2.jsonl"
    assert [line["step"] for line in lines(logger.path)] == list(range(100))


def test_a_file_that_is_taken_away_is_there_after_the_end_of_a_script(
    tmp_path: Path, script: Script
) -> None:
    path = tmp_path / "gan.jsonl"
    done = script(
        "import os, sys; from loss_loggers import JsonlLogger\n"
        "logger = JsonlLogger(sys.argv[1])\n"
        "logger.log_metrics({'loss/G': 0.5}, step=0)\n"
        "os.unlink(sys.argv[1])\n"
        "logger.log_metrics({'loss/G': 0.5}, step=1)\n"
        "if hasattr(os, 'fork') and os.fork() == 0: sys.exit()\n"
        "if hasattr(os, 'fork'): os.wait()\n",
        path,
    )

    assert done.stderr.count("was deleted, replaced or cut; what was written is saved") == 1
    assert [line["step"] for line in lines(path)] == [0, 1]
