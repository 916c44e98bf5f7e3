"""Rows whose delivery Ctrl-C may end anywhere: the same call again completes it."""

from __future__ import annotations

import sys
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.interrupts import is_moment, nothing_is_collected

import loss_loggers
from loss_loggers import (
    Background,
    BaseLogger,
    CsvLogger,
    Every,
    MemoryLogger,
    Pending,
    Rename,
    Tee,
    read_run,
)
from loss_loggers.recording._rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

    from loss_loggers import Row

PACKAGE = str(Path(loss_loggers.__file__).parent)


@pytest.fixture(autouse=True)
def undisturbed() -> Iterator[None]:
    with nothing_is_collected():
        yield


BETWEEN = 100
STATISTICS = ("loss", "weight", "weighted", "mean", "std", "cov", "block_mean", "block_std")


class Foreign:
    """A logger that knows nothing of pending rows."""

    def __init__(self) -> None:
        self.steps: list[int] = []

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        self.steps.append(step)
        metrics.clear()


class Batches(Foreign):
    """One that takes late rows in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    def log_rows(self, rows: list[Row]) -> None:
        self.batches.append([step for step, _, _ in rows])


def row(step: int, **more: float) -> Row:
    """A row of one loss, and more numbers of it."""
    numbers = {f"{statistic}/G": value for statistic, value in more.items()}
    return step, 1e9 + step, {"loss/G": step / 3, **numbers}


def pending(*rows: Row, late: bool = False) -> Pending:
    rows_ = Pending(rows)
    rows_.late = late
    return rows_


def interrupted(call: Callable[[], object], number: int) -> bool:
    """Whether Ctrl-C came into a call, at this of the moments inside our package where it may."""
    seen = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and is_moment(frame):
            seen += 1
            if seen == number:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def steps_of(rows: Iterable[Row]) -> list[int]:
    """Those of the rows, without those that came between."""
    return [step for step, _, _ in rows if step < BETWEEN]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a file may be open in an ended call
@pytest.mark.parametrize(
    ("before", "here"),
    [
        ([row(0)], pending(row(1))),
        ([], pending(row(1))),
        ([row(0)], pending(row(1, median=0.5))),
        ([row(0)], pending(row(1), row(2), row(3, median=1.0), late=True)),
    ],
    ids=["usual", "first", "more columns", "late"],
)
def test_ctrl_c_at_any_moment_loses_and_doubles_no_row(
    tmp_path: Path, before: list[Row], here: Pending
) -> None:
    steps = [*steps_of(before), *steps_of(here), 9]
    for number in count(1):
        memory, renamed, foreign = MemoryLogger(), MemoryLogger(), Foreign()
        csv = CsvLogger(tmp_path / str(number))
        tee = Tee(memory, csv, Rename("{loss}_{stat}", renamed), foreign)
        tee.log_pending(pending(*before))
        rows = pending(*here, late=here.late)

        is_over = not interrupted(lambda: tee.log_pending(rows), number)  # noqa: B023
        if number % 2:  # rows of another tracker come between
            tee.log_pending(pending(row(BETWEEN)))
        tee.log_pending(rows)
        tee.log_pending(pending(row(9)))

        lines = (csv.path / "losses.csv").read_bytes().splitlines(keepends=True)
        csv.close()
        assert tee.failed == 0
        assert lines[-1].endswith(b"\n")
        assert len({line.count(b",") for line in lines}) == 1
        assert steps_of(row for row, _ in read_rows(csv.path)) == steps, number
        assert steps_of(memory.rows) == steps_of(renamed.rows) == steps, number
        got = [step for step in foreign.steps if step < BETWEEN]
        assert list(dict.fromkeys(got)) == steps, number
        assert len(got) <= len(steps) + 1, number
        if is_over:
            break
    assert number > 100


@pytest.mark.parametrize("reduce", ["last", "mean"])
def test_ctrl_c_at_any_moment_counts_a_step_once_in_a_mean(reduce: Any) -> None:
    kept = []  # for what is collected meanwhile would swallow the Ctrl-C
    for number in count(1):
        memory = MemoryLogger()
        tee = Tee(every := Every(2, memory, reduce=reduce))
        kept.append(tee)
        tee.log_pending(pending(row(1)))

        here = pending(row(2))
        is_over = not interrupted(lambda: tee.log_pending(here), number)  # noqa: B023
        tee.log_pending(here)
        tee.log_pending(pending(row(3)))
        every.flush()

        first = 2 / 3 if reduce == "last" else 0.5
        assert [(step, round(value, 9)) for step, value in memory["loss/G"]] == [
            (2, round(first, 9)),
            (3, 1.0),
        ], number
        if is_over:
            break
    assert number > 50


def test_a_second_call_goes_only_to_those_that_lack_the_rows() -> None:
    class Slow(Foreign):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            super().log_metrics(metrics, step=step)
            if len(self.steps) == 1:
                raise KeyboardInterrupt

    before, slow, after = Foreign(), Slow(), Foreign()
    tee, rows = Tee(before, slow, after), pending(row(0))

    with pytest.raises(KeyboardInterrupt):
        tee.log_pending(rows)
    tee.log_pending(rows)
    tee.log_pending(rows)

    assert (before.steps, slow.steps, after.steps) == ([0], [0, 0], [0])


def test_late_rows_come_in_one_call_with_their_times_where_a_logger_takes_them() -> None:
    one_by_one, batches, memory = Foreign(), Batches(), MemoryLogger()

    Tee(one_by_one, batches, memory).log_pending(pending(row(0), row(1), late=True))

    assert (one_by_one.steps, batches.batches, batches.steps) == ([0, 1], [[0, 1]], [])
    assert memory.rows == [row(0), row(1)]


def test_rows_on_time_come_as_log_metrics_gives_them() -> None:
    batches = Batches()

    Tee(batches).log_pending(pending(row(0)))

    assert (batches.steps, batches.batches) == ([0], [])


def test_a_logger_that_changes_its_row_changes_no_other() -> None:
    memory = MemoryLogger()

    Tee(Foreign(), memory).log_pending(pending(row(3)))

    assert memory["loss/G"] == [(3, 1.0)]


def test_a_subclass_that_takes_rows_in_its_own_way_is_asked() -> None:
    class Doubling(MemoryLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            super().log_metrics({name: 2 * it for name, it in metrics.items()}, step=step)

    class Counting(MemoryLogger):
        calls = 0

        def log_rows(self, rows: Any) -> None:
            self.calls += 1
            super().log_rows(rows)

    class Labelled(MemoryLogger):
        label = "mine"

    doubling, counting, labelled = Doubling(), Counting(), Labelled()

    Tee(doubling, counting, labelled).log_pending(pending(row(3)))

    assert doubling.values("loss/G") == [2.0]
    assert counting.calls == 1
    assert labelled.rows == [row(3)]


def test_a_failure_is_counted_and_costs_the_others_nothing() -> None:
    class Broken(BaseLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            raise OSError

    memory = MemoryLogger()
    tee = Tee(Broken(), memory)

    with pytest.warns(RuntimeWarning, match="Broken failed"):
        tee.log_pending(pending(row(0)))
    tee.log_pending(pending(row(1)))

    assert tee.failed + tee.withheld == 2
    assert len(memory.rows) == 2


def test_rows_after_the_end_are_counted(tmp_path: Path) -> None:
    tee = Tee(logger := CsvLogger(tmp_path))
    logger.close()

    with pytest.warns(RuntimeWarning, match="it is closed"):
        tee.log_pending(pending(row(0), row(1)))

    assert tee.failed == 2


def test_the_same_row_on_purpose_is_recorded_as_often_as_it_comes(tmp_path: Path) -> None:
    memory, csv = MemoryLogger(), CsvLogger(tmp_path)
    same = row(0)

    with Tee(memory, csv) as tee:
        for _ in range(3):
            tee.log_rows([same])

    assert len(memory.rows) == len(read_run(tmp_path)["G"]["step"]) == 3


def test_a_logger_that_is_given_twice_gets_each_row_twice() -> None:
    memory = MemoryLogger()
    tee, rows = Tee(memory, memory), pending(row(0))

    tee.log_pending(rows)
    tee.log_pending(rows)

    assert len(memory.rows) == 2


def test_a_background_gets_the_time_of_the_row() -> None:
    memory = MemoryLogger()

    with Tee(Background(memory)) as tee:
        tee.log_pending(pending(row(0)))
        tee.log_pending(pending(row(1)))

    assert memory.rows == [row(0), row(1)]


def test_a_disk_that_was_full_takes_the_rows_that_come_later(tmp_path: Path) -> None:
    """Retried or not, what could not be written tears no line."""
    resource = pytest.importorskip("resource", reason="needs RLIMIT_FSIZE")
    tee = Tee(csv := CsvLogger(tmp_path))
    tee.log_pending(pending(row(0)))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "losses.csv").stat().st_size

    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limit[1]))
    try:
        with pytest.warns(RuntimeWarning, match="CsvLogger failed"):
            tee.log_pending(pending(row(1)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    until = time.monotonic() + 300
    while (lost := tee.failed + tee.withheld) and time.monotonic() < until:
        tee.log_pending(pending(row(2)))
        if tee.failed + tee.withheld == lost:
            break
    csv.close()

    assert read_run(tmp_path)["G"]["step"].tolist() == [0, 2]


def profiled(deliver: Callable[[], object]) -> list[list[tuple[str, str]]]:
    """The calls into our package, each with those that led to it: kind and name of the method."""
    found: list[list[tuple[str, str]]] = []

    def profile(frame: FrameType | None, event: str, _: object) -> None:
        stack: list[tuple[str, str]] = []
        while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
            kind = type(frame.f_locals.get("self")).__name__
            stack.insert(0, (kind, frame.f_code.co_name))
            frame = frame.f_back
        if event == "call" and stack:
            found.append(stack)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        deliver()
    finally:
        sys.setprofile(before)
    return found


def hops(deliver: Callable[[], object], kind: str, method: str) -> list[str]:
    """The objects that hand a row on, until the method of this kind gets it."""
    stack = next(stack for stack in profiled(deliver) if stack[-1] == (kind, method))
    return list(dict.fromkeys(kind for kind, _ in stack))


def test_a_step_is_on_disk_after_six_calls(tmp_path: Path) -> None:
    metrics = {f"{statistic}/{loss}": 0.5 for loss in "abc" for statistic in STATISTICS}
    with Tee(CsvLogger(tmp_path)) as tee:
        for step in range(3):
            tee.log_pending(pending((step, float(step), dict(metrics))))

        names = profiled(lambda: tee.log_pending(Pending([(3, 3.0, metrics)])))

    assert len(names) <= 6, names
    assert read_run(tmp_path)["a"]["step"].tolist() == [0, 1, 2, 3]


def test_a_row_is_handed_on_three_times_until_it_is_written_or_waits(tmp_path: Path) -> None:
    """Also to a `Background`, whose queue stands behind the guard of the `Tee` alone."""
    with Tee(CsvLogger(tmp_path), Background(MemoryLogger())) as tee:
        tee.log_metrics({"loss/a": 0.5}, step=0)

        def log() -> None:
            tee.log_metrics({"loss/a": 0.5}, step=1)

        assert hops(log, "RunWriter", "append") == ["Tee", "Guard", "CsvLogger", "RunWriter"]
        queued = ["Tee", "Guard", "QueuedLogger", "DeliveryQueue"]
        assert hops(log, "DeliveryQueue", "put") == queued
