"""A logger may call whoever reports to it, e.g. to save a checkpoint at a row."""

from __future__ import annotations

import copy
import math
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import CoVWeighting, LossGroup, LossTracker, Trackers

from .interrupts import Tracer
from .test_atomic_steps import Remembers, points

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STEPS = 7


class CallsBack:
    """A logger that does something with whoever reports, at each row."""

    def __init__(self, what: Callable[[Any], object]) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.epochs: list[int] = []
        self.who: Any = None
        self.results: list[object] = []
        self._what = what

    def log_metrics(self, metrics: dict[str, float], *, step: int) -> None:
        self.rows.append((step, dict(metrics)))
        assert len(self.rows) < 100, "a row goes out again and again"
        if "epoch" in metrics:
            self.epochs.append(int(metrics["epoch"]))
        else:
            self.results.append(self._what(self.who))

    def __deepcopy__(self, _: object) -> CallsBack:
        return CallsBack(self._what)


WHATS: dict[str, Callable[[Any], object]] = {
    "save": lambda who: {name: state.clone() for name, state in who.state_dict().items()},
    "copy": copy.deepcopy,
    "flush": lambda who: who.flush(),
    "end an epoch": lambda who: who.end_epoch(),
    "look": repr,
}


def in_a_group(weighting: Callable[[], Any]) -> Callable[..., Any]:
    def make(logger: Any, log_every: int | None) -> tuple[LossGroup, Callable[[int], object]]:
        group = LossGroup(["a", "b"], logger, weighting=weighting(), log_every=log_every)
        return group, lambda step: group.record({"a": 1.0 + step, "b": math.exp(-step)})

    return make


def in_a_tracker(logger: Any, log_every: int | None) -> tuple[LossTracker, Callable[[int], object]]:
    tracker = LossTracker("a", logger, log_every=log_every)
    return tracker, lambda step: tracker.update(1.0 + step, do_backwards=False)


def in_trackers(logger: Any, log_every: int | None) -> tuple[Trackers, Callable[[int], object]]:
    trackers = Trackers(["a", "b"], logger, log_every=log_every)

    def take(step: int) -> None:
        for tracker in trackers.values():
            tracker.update(1.0 + step, do_backwards=False)
        trackers.step()

    return trackers, take


MAKERS = {
    "CoV": in_a_group(CoVWeighting),
    "memory": in_a_group(Remembers),
    "tracker": in_a_tracker,
    "trackers": in_trackers,
}


@pytest.mark.parametrize("log_every", [None, 1, 3])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("what", WHATS)
def test_a_logger_that_calls_back_gets_each_row_once(
    what: str, make: Callable[..., Any], log_every: int | None, tmp_path: Path
) -> None:
    calls_back = CallsBack(WHATS[what])
    with CsvLogger(tmp_path / "run") as csv:
        who, take = make([calls_back, csv], log_every)
        calls_back.who = who
        for step in range(STEPS):
            take(step)
        who.flush()

    assert [step for step, row in calls_back.rows if "epoch" not in row] == list(range(STEPS))
    assert read_run(tmp_path / "run")["a"]["step"].tolist() == list(range(STEPS))
    assert bool(calls_back.epochs) == (what == "end an epoch")
    if what == "save":
        saved, last = calls_back.results[-1], who.state_dict()
        assert isinstance(saved, dict)
        assert all(torch.equal(saved[name], last[name]) for name in last)


def test_steps_that_a_logger_records_are_rows_of_their_own() -> None:
    def more(group: LossGroup) -> None:
        if group.step == 1:
            for loss in (5.0, 6.0, 7.0):
                group.record({"a": loss})

    logger = CallsBack(more)
    group = logger.who = LossGroup(["a"], logger)

    group.record({"a": 1.0})
    group.record({"a": 2.0})

    assert [row["loss/a"] for _, row in logger.rows] == [1.0, 5.0, 6.0, 7.0, 2.0]
    assert [step for step, _ in logger.rows] == [0, 1, 2, 3, 4]


class Signalled(Tracer):
    """Does something where it would interrupt, as the handler of a signal does."""

    def __init__(self, stop: int | None, act: Callable[[], object]) -> None:
        super().__init__(stop)
        self._act = act

    def interrupt(self) -> None:
        before = sys.gettrace()
        sys.settrace(None)
        self._act()
        sys.settrace(before)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("what", ["save", "flush", "look"])
def test_the_handler_of_a_signal_costs_no_step_no_row_and_no_epoch(
    what: str, make: Callable[..., Any], log_every: int | None
) -> None:
    def rows_with(stop: int | None) -> tuple[list[int], int, str, int]:
        memory = MemoryLogger()
        who, take = make(memory, log_every)
        tracer = Signalled(stop, lambda: WHATS[what](who))
        with tracer.watching():
            for step in range(STEPS if log_every else 2):
                take(step)
            who.end_epoch()
        who.flush()
        steps = [step for step, _, row in memory.rows if "epoch" not in row]
        known = ",".join(map(repr, who.values() if isinstance(who, Trackers) else [who]))
        return steps, len(memory.rows) - len(steps), known, tracer.events

    *expected, events = rows_with(None)

    assert events > 100
    for stop in points(events, "signal", 150):
        assert rows_with(stop)[:3] == tuple(expected), stop
