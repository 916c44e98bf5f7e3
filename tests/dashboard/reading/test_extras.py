"""The user's own numbers, as a run keeps them and as views tell of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loss_dashboard.alerts import find_alerts
from loss_dashboard.curves.live_curves import LiveCurves
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader
from loss_dashboard.web._run_view import MOST, view
from loss_loggers import CsvLogger
from multi_loss_weighting import LossGroup

if TYPE_CHECKING:
    from pathlib import Path


def own(reader: RunReader) -> dict[str, list[list[float]]]:
    """The steps and the values of each number."""
    return {
        name: [columns["step"].tolist(), columns["value"].tolist()]
        for name, columns in reader.extras.items()
    }


def test_numbers_of_a_group_are_no_losses(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        group = LossGroup(["G", "D"], logger)
        for step in range(4):
            seldom = {"val/accuracy": 0.25 * step} if step % 2 else {}
            extra = {"lr": 0.5**step, "total": 7.0, **seldom}
            group.record({"G": 1.0, "D": 2.0}, extra=extra)

    reader = RunReader(logger.path, columns=())

    assert reader.losses == ["G", "D"]
    assert own(reader) == {
        "lr": [[0, 1, 2, 3], [1.0, 0.5, 0.25, 0.125]],
        "total": [[0, 1, 2, 3], [7.0] * 4],
        "val/accuracy": [[1, 3], [0.25, 0.75]],
    }
    assert find_alerts(reader) == []
    assert "value" not in reader.series("G")


def test_a_number_with_the_name_of_a_loss_has_its_own_lines(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(4):
            seldom = {"kl": 9.0 + step, "gradient_norm/kl": 3.0} if step == 2 else {}
            lost = math.nan if step == 3 else 1.0
            logger.log_metrics({"loss/kl": lost, "loss/G": 2.0, **seldom}, step=step)

    reader = RunReader(logger.path)

    assert own(reader) == {"gradient_norm/kl": [[2], [3.0]], "kl": [[2], [11.0]]}
    assert reader.series("kl")["loss"][:3].tolist() == [1.0] * 3


def test_a_number_that_was_never_finite_is_there(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(2):
            row = {"loss/G": math.nan, "loss/total": math.nan, "norm": math.nan, "top": math.inf}
            logger.log_metrics(row, step=step)

    reader = RunReader(logger.path, columns=())
    np.testing.assert_equal(
        own(reader), {"norm": [[0, 1], [math.nan] * 2], "top": [[0, 1], [math.inf] * 2]}
    )
    shown = view(reader, LiveCurves(ViewOptions()))

    assert [alert.loss for alert in find_alerts(reader)] == ["G"]
    assert shown["extras"] == [
        {"name": "norm", "last": "nan", "lost": 2, "first_lost": 0.0},
        {"name": "top", "last": "inf", "lost": 2, "first_lost": 0.0},
    ]
    assert shown["curves"]["extras"]["norm"]["value"] == [None, None]
    assert shown["curves"]["extras"]["norm"]["lost"] == [[0, 1], [1, 1]]


@pytest.mark.parametrize("steps", [30, 30_000])
def test_they_are_read_alike_in_one_go_and_row_by_row(tmp_path: Path, steps: int) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        live = RunReader(logger.path, columns=())
        for start in range(0, steps, steps // 10):
            rows = []
            for step in range(start, start + steps // 10):
                row = {"loss/G": 1.0, "weight/G": 1.0, "lr": 1 / (1 + step)}
                row |= {"norm": math.nan if step % 7 == 3 else step}
                row |= {"accuracy": step / steps} if step % 10 == 9 else {}
                rows.append((step, 1.7e9 + step, row))
            logger.log_rows(rows)
            live.poll()

    at_once = own(RunReader(logger.path, columns=()))

    np.testing.assert_equal(own(live), at_once)
    assert at_once["lr"] == [[*range(steps)], [1 / (1 + step) for step in range(steps)]]
    assert at_once["accuracy"][0] == [*range(9, steps, 10)]
    assert np.isnan(at_once["norm"][1]).sum() == len(range(3, steps, 7))


def test_numbers_that_come_at_other_steps_share_the_axis_of_the_losses(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(4):
            logger.log_metrics({"loss/G": 1.0, "weight/G": 1.0}, step=step)
        logger.log_metrics({"accuracy": 0.5}, step=5)

    shown = view(RunReader(logger.path), LiveCurves(ViewOptions()))

    assert shown["step"] == 5  # as the list of runs and the terminal have it
    assert shown["curves"]["step"] == [0, 1, 2, 3, 5]
    assert shown["curves"]["each"]["G"]["loss"] == [1, 1, 1, 1, False]
    assert shown["curves"]["extras"]["accuracy"]["value"] == [False] * 4 + [0.5]


def test_of_very_many_numbers_the_first_are_told(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        row = {f"norm.{number}": 1.0 for number in range(MOST + 7)}
        logger.log_metrics({"loss/G": 1.0, **row}, step=0)

    shown = view(RunReader(logger.path), LiveCurves(ViewOptions()))

    assert len(shown["extras"]) == len(shown["curves"]["extras"]) == MOST
    assert shown["extras_in_all"] == MOST + 7
