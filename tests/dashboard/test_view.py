from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from loss_dashboard.reader import RunReader
from loss_dashboard.view import Choice, view
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path

VALUES = [0.1234567891, -1e-12, 0.0, 123456789.0, 1e300, 5e-324, math.nan, math.inf]


def test_numbers_have_six_digits_and_json_takes_them(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step, value in enumerate(VALUES):
            logger.log_metrics({"loss/G": value, "weight/G": 1.0}, step=step)

    shown = view(RunReader(logger.path), Choice())

    json.dumps(shown, allow_nan=False)
    expected = [float(f"{value:.6g}") for value in VALUES[:-2]]
    assert shown["curves"]["each"]["G"]["loss"] == [*map(pytest.approx, expected), None, None]
    assert shown["curves"]["each"]["G"]["lost"] == [[6, 1], [7, 1]]
    assert (shown["losses"][0]["last"], shown["losses"][0]["lost"]) == ("inf", 2)


def test_losses_that_come_at_other_steps_share_an_axis(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(4):
            often = {"loss/G": 1.0, "weight/G": 1.0}
            logger.log_metrics(often | ({"loss/val": 2.0} if step == 2 else {}), step=step)

    curves = view(RunReader(logger.path), Choice())["curves"]

    assert curves["step"] == [0, 1, 2, 3]
    assert curves["each"]["val"]["loss"] == [False, False, 2.0, False]
    assert curves["each"]["val"]["weight"] == [False, False, None, False]
