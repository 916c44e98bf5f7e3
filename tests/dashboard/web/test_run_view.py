from __future__ import annotations

import itertools
import json
import math
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from loss_dashboard.curves.groups import form_groups, grouped, member_of
from loss_dashboard.curves.live_curves import Known, LiveCurves, without
from loss_dashboard.curves.report_curves import ReportCurves
from loss_dashboard.curves.smooth import smooth
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader
from loss_dashboard.web._run_view import view
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path

VALUES = [0.1234567891, -1e-12, 0.0, 123456789.0, 1e300, 5e-324, math.nan, math.inf]


def test_numbers_have_six_digits_and_json_takes_them(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step, value in enumerate(VALUES):
            logger.log_metrics({"loss/G": value, "weight/G": 1.0}, step=step)

    shown = view(RunReader(logger.path), LiveCurves(ViewOptions()))

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

    curves = view(RunReader(logger.path), LiveCurves(ViewOptions()))["curves"]

    assert curves["step"] == [0, 1, 2, 3]
    assert curves["each"]["val"]["loss"] == [False, False, 2.0, False]
    assert curves["each"]["val"]["weight"] == [False, False, None, False]


def test_a_view_says_since_when_there_was_no_row(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        reader = RunReader(logger.path)
        assert view(reader, LiveCurves(ViewOptions()))["silent"] is None
        logger.log_rows([(0, time.time() - 90, {"loss/G": 1.0})])
        reader.poll()

        assert view(reader, LiveCurves(ViewOptions()))["silent"] == pytest.approx(90, abs=10)


def _write(logger: CsvLogger, steps: range) -> None:
    """Losses at every step and at every seventh, and numbers; some are lost now and then."""
    for step in steps:
        row = {"loss/G": math.nan if step % 50 == 9 else 1.5 + step % 7, "weight/G": 0.25 + step}
        if step % 7 == 0:
            row |= {"loss/val": 2.0 + step, "weight/val": 0.5}
        row |= {"lr": 1 / (1 + step), "norm": math.inf if step % 31 == 8 else step % 5}
        row |= {"accuracy": step / 240} if step % 9 == 5 else {}
        logger.log_metrics(row, step=step)


CHOICES = [
    ViewOptions(points=60),
    ViewOptions(points=60, smoothing=20, window=30),
    ViewOptions(points=60, first=35, smoothing=5),
    ViewOptions(points=60, first=35, last=170),
    ViewOptions(points=600),
]


@pytest.mark.parametrize("options", CHOICES, ids=str)
def test_curves_that_go_on_tell_what_curves_made_anew_tell(
    tmp_path: Path, options: ViewOptions
) -> None:
    live = LiveCurves(options)
    with CsvLogger(tmp_path / "gan") as logger:
        reader = RunReader(logger.path)
        for start in range(0, 240, 8):
            _write(logger, range(start, start + 8))
            reader.poll()
            shown = view(reader, live)["curves"]
    anew = view(RunReader(logger.path), LiveCurves(options._replace(points=4000)))["curves"]

    assert 2 <= len(shown["step"]) <= 1.25 * options.points
    assert shown["range"] == anew["range"]
    edges = [*shown["step"], math.inf]
    assert shown["extras"].keys() == {"lr", "norm", "accuracy"}
    curves = [(kind, name) for kind in ("each", "extras") for name in shown[kind]]
    for kind, name in curves:
        curve, exact = shown[kind][name], anew[kind][name]
        for bucket, (start, end) in enumerate(itertools.pairwise(edges)):
            inside = [i for i, step in enumerate(anew["step"]) if start <= step < end]
            for column in curve.keys() - {"lost"}:
                found = [exact[column][i] for i in inside if exact[column][i] is not False]
                values = [value for value in found if value is not None]
                summary = {"low": min, "high": max}.get(column.split("_")[-1], statistics.fmean)
                empty = None if found else False
                expected = pytest.approx(summary(values), rel=1e-4) if values else empty
                assert curve[column][bucket] == expected, (name, column, start)
            lost = sum(times for i, times in exact["lost"] if i in inside)
            assert sum(times for i, times in curve["lost"] if i == bucket) == lost


def _drawn(reader: RunReader, live: LiveCurves) -> dict[str, Any]:
    """The curves without what differs from one drawing to the next."""
    curves = view(reader, live)["curves"]
    keys = ("step", "time", "each", "extras", "whole", "range")
    return {key: curves[key] for key in keys}


def _joined(curves: dict[str, Any], fresh: dict[str, Any]) -> dict[str, Any]:
    """The curves of somebody who is told only what is new."""
    kept = fresh["kept"]
    joined = {axis: curves.get(axis, [])[:kept] + fresh[axis] for axis in ("step", "time")}
    for kind in ("each", "extras"):
        joined[kind] = {}
        for name, curve in fresh[kind].items():
            known = curves[kind][name] if kept else {column: [] for column in curve}
            own = {column: known[column][:kept] + values for column, values in curve.items()}
            own["lost"] = [lost for lost in known["lost"] if lost[0] < kept] + curve["lost"]
            joined[kind][name] = own
    return {**fresh, **joined}


@pytest.mark.parametrize("options", CHOICES, ids=str)
def test_what_is_new_makes_the_curves_of_one_who_has_the_rest_complete(
    tmp_path: Path, options: ViewOptions
) -> None:
    live, had, sent = LiveCurves(options), dict[str, Any](), 0
    with CsvLogger(tmp_path / "gan") as logger:
        reader = RunReader(logger.path)
        for start in range(0, 240, 8):
            _write(logger, range(start, start + 8))
            reader.poll()
            whole = view(reader, live)["curves"]
            fresh = without(whole, Known(had.get("drawing", ""), had.get("full", 0)))
            sent += len(fresh["step"])
            had = _joined(had, fresh)
            assert {key: had[key] for key in whole} == whole

    assert had["kept"] > 0
    assert sent < 600  # all of it each time would be more than 1,000


def test_one_who_knows_another_drawing_is_told_all(tmp_path: Path) -> None:
    live = LiveCurves(ViewOptions())
    with CsvLogger(tmp_path / "gan") as logger:
        _write(logger, range(50))
    curves = view(RunReader(logger.path), live)["curves"]

    for known in (
        Known(),
        Known("another", 10),
        Known(curves["drawing"], 51),
        Known(curves["drawing"], -1),
    ):
        assert without(curves, known) == {**curves, "kept": 0}


def test_curves_begin_anew_with_a_run_that_goes_back_or_is_replaced(tmp_path: Path) -> None:
    live = LiveCurves(ViewOptions())
    with CsvLogger(tmp_path / "gan") as logger:
        reader = RunReader(logger.path)
        for steps in (range(50), range(40, 57)):
            _write(logger, steps)
            reader.poll()
            shown = _drawn(reader, live)
            assert shown == _drawn(reader, LiveCurves(ViewOptions()))
    rows = logger.path / "losses.csv"
    text = rows.read_text().replace(",1.5,", ",2.5,")
    rows.unlink()
    rows.write_text(text)
    reader.poll()

    assert _drawn(reader, live) == _drawn(reader, LiveCurves(ViewOptions())) != shown


def test_a_huge_loss_is_forgotten_by_the_mean_of_the_steps_after_it() -> None:
    losses = np.array([1.0, 1e300, 2.0, 3.0, 4.0, 5.0])

    assert smooth(losses, window=2)[3:].tolist() == [2.5, 3.5, 4.5]


def test_what_two_rows_of_a_step_make_is_told_as_their_mean(tmp_path: Path) -> None:
    """A run that was resumed may have gone back: no drawn value is taken for one of a row."""
    with CsvLogger(tmp_path / "gan") as logger:
        reader, live = RunReader(logger.path), LiveCurves(ViewOptions())
        for step, loss in enumerate([1.0, 1.0, 1.0]):
            logger.log_metrics({"loss/G": loss}, step=step)
        reader.poll()
        assert view(reader, live)["curves"]["whole"] is True
        for step, loss in enumerate([3.0, 1.0, 1.0], 1):
            logger.log_metrics({"loss/G": loss}, step=step)
        reader.poll()

    for curves in (live, LiveCurves(ViewOptions()), ReportCurves(600, ())):
        told = view(reader, curves)["curves"]
        of_g = told["each"]["G"]
        assert (told["whole"], told["step"]) == (False, [0, 1, 2, 3])
        assert [of_g[key][1] for key in ("loss", "low", "high")] == [2.0, 1.0, 3.0]
    member = member_of(reader)
    (of_group,) = grouped([member], form_groups(["gan"], [member.settings], ""), ViewOptions())
    assert not of_group.whole
