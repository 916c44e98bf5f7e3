from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from loss_dashboard.alerts import _listed
from loss_dashboard.cli.losses import app
from loss_dashboard.runs._last_rows import TAIL, LastRows
from loss_loggers import CsvLogger
from loss_loggers.recording import parts

if TYPE_CHECKING:
    from pathlib import Path


def record(folder: Path, losses: list[float], nonfinite: int = 0) -> Path:
    with CsvLogger(folder) as logger:
        for step, loss in enumerate(losses):
            row = {"loss/G": loss, "mean/G": 1.0, "loss/D": 1.0, "lr": 0.1}
            count = {"nonfinite/G": nonfinite} if nonfinite else {}
            logger.log_metrics(row | count, step=step)
    return logger.path


def test_the_last_rows_of_a_long_run_are_read_from_its_end(tmp_path: Path) -> None:
    folder = record(tmp_path / "gan", [1.0] * 1000)

    last = LastRows(parts(folder))

    assert (folder / "losses.csv").stat().st_size > 2 * TAIL
    assert last.step == 999
    assert last.rows["lr"]["value"] == 0.1
    assert last.marks(["G", "D"]) == []


def test_a_part_that_has_only_its_header_leaves_the_one_before(tmp_path: Path) -> None:
    folder = record(tmp_path / "gan", [1.0, 1.0])
    (folder / "losses-2.csv").write_text("step,time,name,loss,median\n7,1")

    assert LastRows(parts(folder)).step == 1


def test_ls_marks_a_loss_that_was_ever_lost_and_one_that_jumped(tmp_path: Path) -> None:
    record(tmp_path / "calm", [1.0, 2.0])
    record(tmp_path / "lost", [1.0, 1.0], nonfinite=3)
    record(tmp_path / "now", [1.0, math.inf])
    record(tmp_path / "high", [1.0, 11.0])

    printed = CliRunner().invoke(app, ["ls", str(tmp_path)]).output

    ends = {line.split()[0]: line.split()[-2:] for line in printed.splitlines()[1:]}
    assert ends["lost"] == ends["now"] == ["G", "nan"]
    assert ends["high"] == ["G", "spike"]
    assert ends["calm"] == ["D", "1.00"]


@pytest.mark.parametrize(("loss", "marks"), [(5.0, []), (-5.0, []), (-40.0, ["G spike"])])
def test_a_loss_whose_mean_is_near_zero_is_compared_with_its_usual_size(
    tmp_path: Path, loss: float, marks: list[str]
) -> None:
    with CsvLogger(tmp_path / "ppo") as logger:
        logger.log_metrics({"loss/G": loss, "mean/G": 0.01, "std/G": 3.5}, step=0)

    assert LastRows(parts(logger.path)).marks(["G"]) == marks


def test_ls_marks_what_the_page_alerts_of(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"weighting": {"method": "CoVWeighting"}})
        for step in range(300):
            losses = {"loss/G": 50.0 if step == 150 else 1.0 + step % 2, "loss/D": 1.0}
            logger.log_metrics({**losses, "weight/G": 0.001, "weight/D": 0.999}, step=step)

    printed = CliRunner().invoke(app, ["ls", str(tmp_path)]).output

    assert printed.splitlines()[1].count("G spike") == 1
    assert {"G small weight", "D large weight"} <= set(re.split("  +|, ", printed.strip()))


def test_ls_shows_a_run_whose_run_json_makes_no_sense(tmp_path: Path) -> None:
    (record(tmp_path / "gan", [1.0] * 50 + [50.0, 1.0]) / "run.json").write_text("{not json")

    printed = CliRunner().invoke(app, ["ls", str(tmp_path)]).output

    name, state, step, _pace, *rest = printed.splitlines()[1].split()
    assert (name, state, step) == ("gan", "unreadable", "51")
    assert rest == ["D", "1.00", "G", "1.00", "G", "spike"]


def test_ls_reads_only_the_end_of_a_large_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "gan", [1.0] * 50 + [50.0] + [1.0] * 500)
    monkeypatch.setattr(_listed, "LARGE", 1000)

    assert "spike" not in CliRunner().invoke(app, ["ls", str(tmp_path)]).output
