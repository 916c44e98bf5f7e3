from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.loggers.delivery.http_backend import until

from loss_loggers import Background, JsonlLogger, Tee

if TYPE_CHECKING:
    from pathlib import Path


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

    first, second = lines(logger.path)
    assert first["losses"] == {"G": {"loss": None}, "D": {"loss": 1.0}}
    assert first["nonfinite"] == {"loss/G": "nan", "lr": "-inf"}
    assert "nonfinite" not in second


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


def test_a_killed_process_leaves_whole_lines_and_the_next_one_goes_on(tmp_path: Path) -> None:
    path, steps = tmp_path / "gan.jsonl", 0
    for _ in range(8):
        before = steps
        with subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(steps)]) as process:
            until(lambda: count_lines(path) > before + 50)  # noqa: B023, it ends in here
            process.send_signal(signal.SIGKILL)
        assert path.read_bytes().endswith(b"\n")
        steps = len(lines(path))

    assert [line["step"] for line in lines(path)] == list(range(steps))


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


def test_a_folder_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    logger = JsonlLogger(tmp_path / "runs" / "gan.jsonl")
    tee = Tee(logger)

    with pytest.warns(RuntimeWarning, match="JsonlLogger failed"):
        tee.log_metrics({"loss/G": 0.5}, step=0)
    (tmp_path / "runs").unlink()
    time.sleep(0.5)  # the guard keeps rows from one that has just failed
    tee.log_metrics({"loss/G": 0.5}, step=1)

    assert tee.failed == 1
    assert [line["step"] for line in lines(logger.path)] == [1]


def test_a_background_keeps_the_times(tmp_path: Path) -> None:
    logger = JsonlLogger(tmp_path / "gan.jsonl")

    with Background(logger) as background:
        background.log_rows([(step, 1e9 + step, {"loss/G": 1.0}) for step in range(500)])

    assert [line["time"] for line in lines(logger.path)] == [1e9 + step for step in range(500)]
