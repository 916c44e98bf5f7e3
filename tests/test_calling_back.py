"""A logger may call whoever reports to it, e.g. to save a checkpoint at a row."""

from __future__ import annotations

import copy
import json
import math
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import (
    Background,
    CsvLogger,
    Every,
    JsonlLogger,
    MemoryLogger,
    Rename,
    Tee,
    read_run,
    sync,
)
from multi_loss_weighting import CoVWeighting, LossGroup, LossTracker, Trackers
from multi_loss_weighting.accelerator._transfer import Transfer

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


def test_each_of_many_steps_that_a_logger_records_is_in_the_record_once(tmp_path: Path) -> None:
    def more(group: LossGroup) -> None:
        if group.step == 1:
            for _ in range(80):
                group.record({"a": 5.0})

    logger = CallsBack(more)
    with CsvLogger(tmp_path / "run") as record:
        group = logger.who = LossGroup(["a"], [record, logger])
        group.record({"a": 1.0})

    assert read_run(tmp_path / "run")["a"]["step"].tolist() == [*range(81)]


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


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("make", [MAKERS["CoV"], MAKERS["tracker"]], ids=["group", "tracker"])
def test_what_the_handler_of_a_signal_saves_has_a_row_of_each_step(
    make: Callable[..., Any], log_every: int | None, tmp_path: Path
) -> None:
    def saved_at(stop: int | None, folder: Path) -> tuple[list[Any], int]:
        saved: list[Any] = []
        with CsvLogger(folder) as record:
            who, take = make([MemoryLogger(), record], log_every)
            act = lambda: saved.extend((who.state_dict(), record.state_dict()))  # noqa: E731
            tracer = Signalled(stop, act)
            with tracer.watching():
                for step in range(3):
                    take(step)
            who.flush()
        assert read_run(folder)["a"]["step"].tolist() == [0, 1, 2]
        return saved, tracer.events

    for name in ("cold", "warm"):  # what is done once has points of its own
        _, events = saved_at(None, tmp_path / name)

    for stop in {*points(events, "saves", 60)}:
        saved, _ = saved_at(stop, tmp_path / str(stop))
        if not saved:  # how often files are looked at goes by the clock
            continue
        state, place = saved
        with CsvLogger(tmp_path / str(stop), resume=True) as record:
            who, take = make(record, log_every)
            who.load_state_dict(state)
            record.load_state_dict(json.loads(json.dumps(place)))
            for step in range(who.step, 4):
                take(step)
            who.flush()
        assert read_run(tmp_path / str(stop))["a"]["step"].tolist() == [0, 1, 2, 3], stop


@pytest.mark.parametrize("kind", [CsvLogger, JsonlLogger])
def test_rows_that_the_handler_of_a_signal_records_come_whole_between_those_of_training(
    kind: Any, tmp_path: Path
) -> None:
    def lines_with(stop: int | None, path: Path) -> tuple[list[str], Tracer]:
        with kind(path) as logger:
            group = LossGroup(["a"], logger)
            group.record({"a": 0.0})
            tracer = Signalled(stop, lambda: logger.log_metrics({"loss/mine": 5.0}, step=9))
            with tracer.watching():
                group.record({"a": 1.0})
                group.record({"a": 2.0})
            assert group.reporter is not None
            assert logger.failed == group.reporter.logger.failed == 0
        file = path / "losses.csv" if path.is_dir() else path
        return file.read_text().splitlines(), tracer

    for name in ("cold", "warm"):
        expected, whole = lines_with(None, tmp_path / name)
    times = re.compile(r"\b1\d{9}\.\d+\b")

    for stop in {*points(whole.events, "logs", 120)}:
        lines, tracer = lines_with(stop, tmp_path / str(stop))
        theirs = [times.sub("", line) for line in lines if "mine" not in line]
        assert theirs == [times.sub("", line) for line in expected], stop
        assert len(lines) == len(expected) + bool(tracer.place), stop


@pytest.mark.parametrize("closes", [True, False])
def test_a_row_that_the_handler_of_a_signal_records_before_it_ends_the_process_is_kept(
    closes: bool, tmp_path: Path
) -> None:
    def text_with(stop: int | None, path: Path) -> tuple[str, int]:
        logger = CsvLogger(path)

        def act() -> None:
            logger.log_metrics({"loss/mine": 5.0}, step=9)
            if closes:
                logger.close()
            raise SystemExit

        tracer = Signalled(stop, act)
        with suppress(SystemExit), tracer.watching():
            logger.log_metrics({"loss/a": 1.0}, step=0)
        text = (path / "losses.csv").read_text()
        logger.close()
        return text, tracer.events

    for name in ("cold", "warm"):  # what is done once has points of its own
        _, events = text_with(None, tmp_path / name)

    for stop in {*points(events, "ends", 60)}:
        assert text_with(stop, tmp_path / str(stop))[0].count(",mine,") == 1, stop


@pytest.mark.filterwarnings("ignore:CsvLogger.* records nothing more", "ignore:JsonlLogger")
@pytest.mark.parametrize("kind", [CsvLogger, JsonlLogger])
def test_a_row_is_recorded_or_counted_where_the_handler_of_a_signal_closes_the_record_meanwhile(
    kind: Any, tmp_path: Path
) -> None:
    def known_with(stop: int | None, path: Path) -> tuple[int, int]:
        logger = kind(path)
        logger.log_metrics({"loss/a": 1.0}, step=0)
        tracer = Signalled(stop, logger.close)
        with tracer.watching():
            logger.log_metrics({"loss/last": 2.0}, step=1)
        logger.close()
        file = path / "losses.csv" if path.is_dir() else path
        return file.read_text().count("last") + logger.failed, tracer.events

    for name in ("cold", "warm"):  # what is done once has points of its own
        _, events = known_with(None, tmp_path / name)

    for stop in {*points(events, "closes", 120)}:
        assert known_with(stop, tmp_path / str(stop))[0] == 1, stop


@pytest.mark.filterwarnings("ignore:the logger CsvLogger failed", "ignore:the run in .* is over")
@pytest.mark.parametrize("has_room_at_the_end", [True, False])
def test_a_row_that_a_handler_records_on_a_full_disk_is_tried_again_and_else_counted(
    has_room_at_the_end: bool, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="needs RLIMIT_FSIZE")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def known_with(stop: int | None, path: Path) -> tuple[int, int]:
        tee = Tee(CsvLogger(path))
        tee.log_metrics({"loss/a": 1.0}, step=0)
        file = path / "losses.csv"
        tracer = Signalled(stop, lambda: tee.log_metrics({"loss/mine": 5.0}, step=9))
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, limit[1]))
        try:
            with tracer.watching():
                tee.log_metrics({"loss/a": 2.0}, step=1)
            if not has_room_at_the_end:
                tee.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        tee.close()
        return file.read_text().count("\n") - 1 + tee.failed + tee.withheld, tracer.events

    for name in ("cold", "warm"):  # what is done once has points of its own
        _, events = known_with(None, tmp_path / name)

    for stop in {*points(events, "fills", 60)}:
        assert known_with(stop, tmp_path / str(stop))[0] == 3, stop


def test_steps_on_their_way_stay_where_the_handler_of_a_signal_records_more_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on a device that is slow.
    monkeypatch.setattr(Transfer, "has_arrived", lambda _: False)

    def count_with(stop: int | None) -> tuple[int, int]:
        memory = MemoryLogger()
        group = LossGroup(["a"], memory, log_every=2)
        group.record({"a": 0.0})
        group.record({"a": 1.0})

        def act() -> None:
            for loss in (8.0, 9.0):
                group.record({"a": loss})

        tracer = Signalled(stop, act)
        with tracer.watching():
            group.flush()
        group.flush()
        return len(memory.rows), tracer.events

    _, events = count_with(None)

    for stop in {*points(events, "sends", 200)}:
        assert count_with(stop)[0] == 4, stop


def test_a_row_that_the_handler_of_a_signal_sends_is_known_by_its_place_in_the_record(
    tmp_path: Path,
) -> None:
    def sent_with(stop: int | None, path: Path) -> tuple[list[int], int]:
        live = MemoryLogger()
        with Tee(CsvLogger(path), Background(live)) as tee:
            tee.log_metrics({"loss/a": 0.0}, step=0)
            tracer = Signalled(stop, lambda: tee.log_metrics({"loss/mine": 5.0}, step=2))
            with tracer.watching():
                tee.log_metrics({"loss/a": 1.0}, step=1)
        sync(path, live)
        return sorted(step for step, _, _ in live.rows), tracer.events

    for name in ("cold", "warm"):
        _, events = sent_with(None, tmp_path / name)

    for stop in {*points(events, "sends", 40)}:
        assert sent_with(stop, tmp_path / str(stop))[0] == [0, 1, 2], stop


def test_many_rows_that_the_handler_of_a_signal_sends_amid_another_all_arrive_in_order(
    tmp_path: Path,
) -> None:
    def sent_with(stop: int | None, path: Path) -> tuple[list[int], list[int], int]:
        live = MemoryLogger()
        with Tee(CsvLogger(path), live) as tee:
            tee.log_metrics({"loss/a": 0.0}, step=0)

            def act() -> None:
                for step in range(300):
                    tee.log_metrics({"loss/mine": 5.0}, step=step)

            tracer = Signalled(stop, act)
            with tracer.watching():
                tee.log_metrics({"loss/a": 1.0}, step=1)
        if not tracer.place:  # how often files are looked at goes by the clock
            return [], [], tracer.events
        steps = read_run(path)["mine"]["step"].tolist()
        return steps, [step for step, _ in live["loss/mine"]], tracer.events

    for name in ("cold", "warm"):
        *_, events = sent_with(None, tmp_path / name)

    for stop in {*points(events, "many", 6)}:
        *arrived, _ = sent_with(stop, tmp_path / str(stop))
        assert arrived in ([[*range(300)]] * 2, [[], []]), stop


def test_a_row_that_the_handler_of_a_signal_records_outlives_ctrl_c_behind_it(
    tmp_path: Path,
) -> None:
    class ThenCtrlC(Signalled):
        def interrupt(self) -> None:
            if self._stop != stop:
                raise KeyboardInterrupt
            super().interrupt()
            self._stop = self.events + gap

    def lines_with(path: Path) -> int:
        with CsvLogger(path) as logger:
            rows = [(step, 0.0, {"loss/mine": 5.0}) for step in range(2)]
            tracer = ThenCtrlC(stop, lambda: logger.log_rows(rows))
            logger.log_metrics({"loss/a": 1.0}, step=0)
            with tracer.watching():
                logger.log_metrics({"loss/a": 2.0}, step=1)
            logger.log_metrics({"loss/a": 3.0}, step=2)
        return (path / "losses.csv").read_text().count(",mine,")

    for stop in range(20, 60, 10):
        for gap in points(120, "ctrl c", 24):
            assert lines_with(tmp_path / f"{stop} {gap}") == 2, (stop, gap)


def test_a_row_that_comes_amid_another_and_cannot_be_written_is_an_error_once(
    tmp_path: Path,
) -> None:
    bad: list[Any] = [{1: 5.0}]

    class CallsHandler(dict[str, float]):
        def __iter__(self) -> Any:
            if bad:
                logger.log_metrics(bad.pop(), step=1)
            return super().__iter__()

    with CsvLogger(tmp_path / "run") as logger:
        with pytest.raises(AttributeError):
            logger.log_metrics(CallsHandler({"loss/a": 0.0}), step=0)
        logger.log_metrics({"loss/a": 1.0}, step=1)

    assert read_run(tmp_path / "run")["a"]["step"].tolist() == [0, 1]


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda loggers: Rename("{stat}/gan {loss}", loggers), id="Rename"),
        pytest.param(lambda loggers: Every(2, loggers, reduce="mean"), id="Every"),
    ],
)
def test_a_row_that_the_handler_of_a_signal_logs_is_renamed_or_reduced_once(
    wrap: Any, tmp_path: Path
) -> None:
    def rows_with(stop: int | None, path: Path) -> tuple[list[str], int]:
        live = MemoryLogger()
        with wrap([CsvLogger(path), live]) as logger:
            logger.log_metrics({"loss/a": 0.0}, step=0)
            tracer = Signalled(stop, lambda: logger.log_metrics({"loss/mine": 5.0}, step=2))
            with tracer.watching():
                logger.log_metrics({"loss/a": 1.0}, step=1)
        return sorted(str((step, metrics)) for step, _, metrics in live.rows), tracer.events

    for name in ("cold", "warm"):
        _, events = rows_with(None, tmp_path / name)
    expected, _ = rows_with(0, tmp_path / "before")

    for stop in {*points(events, "wraps", 60)}:
        assert rows_with(stop, tmp_path / str(stop))[0] == expected, stop
