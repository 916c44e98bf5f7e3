"""When the rows of losses on an accelerator come."""

from __future__ import annotations

import gc
import math
import os
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tests.forked import end, start
from torch import Tensor

from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import (
    History,
    LossGroup,
    LossTracker,
    Trackers,
    Weighted,
    weighted_sum,
)
from multi_loss_weighting.batch._value import read_metrics
from multi_loss_weighting.step.report._row import RowTemplate

if TYPE_CHECKING:
    from pathlib import Path


from .cases import OwnWeights, wild


class KeptWeights:
    """A weighting of a user's own, whose weights are one tensor that it changes in place."""

    def __init__(self) -> None:
        self.weights = torch.ones(2)

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        return weighted_sum(losses, self.weights)

    def recorded(self, losses: Tensor, weights: Tensor, history: History, /) -> None:
        self.weights *= 0.5


class Cleaning:
    """A weighting of a user's own that writes to all that it is given."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        losses.detach().nan_to_num_(0.0).mul_(2.0)
        return weighted_sum(losses, torch.full((len(losses),), 0.5))

    def recorded(self, losses: Tensor, weights: Tensor, history: History, /) -> None:
        losses.nan_to_num_(0.0).add_(7.0)
        weights.mul_(100.0)


@pytest.mark.parametrize("nonfinite", ["skip", "keep"])
@pytest.mark.parametrize("is_weighed_before", [True, False])
@pytest.mark.filterwarnings("ignore:loss 'a' is nan")
def test_what_a_weighting_writes_to_what_it_is_given_is_in_no_row(
    nonfinite: Any, is_weighed_before: bool
) -> None:
    rows = []
    for log_every in (None, 4):
        logger, parameter = MemoryLogger(), torch.ones(2, requires_grad=True)
        group = LossGroup(
            ["a", "b"], logger, weighting=Cleaning(), nonfinite=nonfinite, log_every=log_every
        )
        for value in (2.0, math.nan, 4.0):
            losses = {"a": parameter[0] * value, "b": parameter[1]}
            if is_weighed_before:
                group.weigh(losses).backward()  # type: ignore[no-untyped-call]
                group.record(losses)
            else:
                group.update(losses)
        group.flush()
        rows.append([repr(row) for _, _, row in logger.rows])
        assert [math.isnan(value) for value in logger.values("loss/a")] == [False, True, False]
        assert logger.values("weight/a") == [0.5, 0.5, 0.5]
        assert group["a"].record.nonfinite == 1

    assert rows[0] == rows[1]


def test_no_step_is_missing_and_each_has_its_own_time() -> None:
    logger = MemoryLogger()
    group = LossGroup(["a"], logger, log_every=4)

    for step in range(10):
        group.record({"a": torch.tensor(float(step))})
        assert len(logger.rows) == (step + 1) // 4 * 4
    group.flush()

    assert logger["loss/a"] == [(step, float(step)) for step in range(10)]
    times = [moment for _, moment, _ in logger.rows]
    assert times == sorted(times)
    assert len(set(times)) == 10


def test_what_interrupts_a_read_loses_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = MemoryLogger()
    group = LossGroup(["a"], logger, log_every=10)
    for value in range(6):
        group.record({"a": torch.tensor(float(value))})

    def interrupt(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(RowTemplate, "row", interrupt)
    with pytest.raises(KeyboardInterrupt):
        group.flush()
    group.flush()

    assert group["a"].count == 6
    assert logger.values("loss/a") == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("log_every", [None, 2])
def test_a_warning_that_is_an_error_comes_after_its_row(log_every: int | None) -> None:
    logger = MemoryLogger()
    group = LossGroup(["a"], logger, log_every=log_every)
    raised = []

    def record(value: float) -> None:
        try:
            group.record({"a": torch.tensor(value)})
        except RuntimeWarning as warning:
            raised.append(str(warning))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (math.nan, 1.0, 2.0, 3.0):
            record(value)

    assert (len(raised), group.step, group["a"].count) == (1, 4, 3)
    assert [step for step, _, _ in logger.rows] == [0, 1, 2, 3]


def test_a_device_that_is_gone_says_how_many_steps_are_lost() -> None:
    group = LossGroup(["a"], MemoryLogger(), log_every=2)
    group.record({"a": torch.ones((), device="meta")})
    readback = group._step.recorder.readback

    with pytest.warns(RuntimeWarning, match="losses of the last 1 steps could not be read back"):
        readback.wait_at_the_end()

    assert not readback
    assert group.lost == 1


@pytest.mark.parametrize("steps", [3, 4])
def test_a_group_that_is_dropped_goes_unless_it_has_rows_to_report(steps: int) -> None:
    gone = []
    for logger in (None, MemoryLogger()):
        group = LossGroup(["a"], logger, log_every=4)
        for _ in range(steps):
            group.record({"a": torch.tensor(1.0)})
        gone.append(weakref.ref(group))
        del group
    gc.collect()

    assert gone[0]() is None
    assert (gone[1]() is None) == (steps == 4)


def test_a_row_has_the_weights_of_its_own_step() -> None:
    logger, weighting = MemoryLogger(), OwnWeights()
    group = LossGroup(["a"], logger, weighting=weighting, log_every=10)

    for _ in range(3):
        group.record({"a": torch.tensor(1.0)})
        with torch.no_grad():
            weighting.weights.add_(1)
    group.flush()

    assert logger.values("weight/a") == [1, 2, 3]


def test_a_number_of_ones_own_is_that_of_its_step() -> None:
    rate = torch.ones((), device="meta")

    kept = read_metrics({"lr": rate})["lr"]

    assert kept.untyped_storage()._cdata != rate.untyped_storage()._cdata


def test_reading_waits_for_what_is_on_its_way() -> None:
    group = LossGroup(["a"], log_every=100)
    kept = LossGroup(["a"], log_every=100)["a"]
    tracker = LossTracker("a", log_every=100)

    for value in (1.0, 3.0):
        group.record({"a": torch.tensor(value)})
        tracker.update(torch.tensor(value), do_backwards=False)

    assert (group["a"].mean, group["a"].get_history()) == (2.0, [1.0, 3.0])
    assert (tracker.mean, tracker.value, tracker.weighted) == (2.0, 3.0, 3.0)
    assert math.isnan(kept.mean)
    assert "a=3" in repr(group)


def test_a_record_that_is_closed_has_every_row(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "run") as logger:
        group = LossGroup(["a"], [logger, MemoryLogger()], log_every=100)
        for step in range(7):
            group.record({"a": torch.tensor(float(step))})

    assert read_run(tmp_path / "run")["a"]["loss"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert logger.failed == 0


def test_any_logger_that_is_closed_has_every_row() -> None:
    with MemoryLogger() as logger:
        group = LossGroup(["a"], logger, log_every=100)
        group.record({"a": torch.tensor(2.0)})

    assert logger.values("loss/a") == [2.0]


def test_rows_outlive_the_group() -> None:
    logger = MemoryLogger()
    for _ in range(3):
        LossGroup(["a"], logger, log_every=100).record({"a": torch.tensor(1.0)})

    from multi_loss_weighting.accelerator import _readback

    for readback in list(_readback._waiting):
        readback.wait()
    assert len(logger.rows) == 3
    assert not _readback._waiting


def test_trackers_share_rows_that_are_read_together() -> None:
    ours, theirs = MemoryLogger(), MemoryLogger()
    device = Trackers(["G", "D"], ours, warmup=4, log_every=8)
    host = Trackers(["G", "D"], theirs, warmup=4)

    for trackers in (device, host):
        for step, row in enumerate(wild(120)[60:85, :2] + 1):
            trackers["G"].update(torch.tensor(row[0]), do_backwards=False)
            if step % 3:
                trackers["D"].update(torch.tensor(row[1]), do_backwards=False)
            trackers.step(extra={"lr": torch.tensor(0.5)})
    assert 0 < len(ours.rows) < 25
    device.flush()

    assert len(ours.rows) == len(theirs.rows) == 25
    for (_, _, row), (_, _, its_row) in zip(ours.rows, theirs.rows, strict=True):
        assert list(row) == list(its_row)
        np.testing.assert_allclose(list(row.values()), list(its_row.values()), rtol=1e-10)


def test_the_weight_of_a_tracker_is_that_of_the_cpu() -> None:
    device, host = (LossTracker("a", warmup=5, max_loss=3, log_every=n) for n in (50, None))

    for loss in (wild(100)[:, 0] + 0.1).tolist():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            ours = device.update(torch.tensor(loss, dtype=torch.float64), do_backwards=False)
            theirs = host.update(torch.tensor(loss, dtype=torch.float64), do_backwards=False)
        assert float(ours) == pytest.approx(float(theirs), rel=1e-10)
    assert device.weight == pytest.approx(host.weight, rel=1e-10)


@pytest.mark.parametrize("log_every", [None, 10])
def test_a_tracker_says_whether_the_last_loss_was_finite(log_every: int | None) -> None:
    tracker = LossTracker("a", log_every=log_every)
    finite = [tracker.finite.item()]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for loss in (1.0, math.nan, 1.0, math.inf):
            tracker.update(torch.tensor(loss), do_backwards=False)
            finite.append(tracker.finite.item())
        tracker.flush()

    assert finite == [True, True, False, True, False]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_does_not_report_what_its_parent_will(tmp_path: Path) -> None:
    script = tmp_path / "fork.py"
    script.write_text(
        "import os, sys, torch\n"
        "from multi_loss_weighting import LossGroup\n"
        "class Print:\n"
        "    def log_metrics(self, metrics, /, *, step):\n"
        "        print('row', step, flush=True)\n"
        "group = LossGroup(['a'], Print(), log_every=100)\n"
        "group.record({'a': torch.ones(())})\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
    )

    assert end(start(script, said=tmp_path / "said"), 300) == 0

    assert (tmp_path / "said").read_text().splitlines() == ["row 0"]


@pytest.mark.parametrize("way", ["update", "record", "weigh and record", "accumulate"])
def test_a_row_has_the_weights_of_its_step_whatever_the_weighting_does_to_them(way: str) -> None:
    logger = MemoryLogger()
    group = LossGroup(["a", "b"], logger, weighting=KeptWeights(), log_every=10)
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(2.0)}

    for _ in range(3):
        if way == "update":
            total = group.update(losses, do_backwards=False)
            total.zero_()
        if "weigh" in way:
            group.weigh(losses)
        if "record" in way:
            group.record(losses)
        if way == "accumulate":
            group.accumulate(losses)
            group.record()
    group.flush()

    assert logger.values("weight/b") == [1.0, 0.5, 0.25]
    assert logger.values("loss/total") == [3.0, 1.5, 0.75]
