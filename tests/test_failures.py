"""Whoever raises in the middle of a step: it is taken in wholly or not at all."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import CsvLogger, MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    LossTracker,
    Trackers,
    Weighted,
)

from .methods import methods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from multi_loss_weighting import History

READS = [(torch, "cat"), *((torch.Tensor, name) for name in ("tolist", "item", "numpy", "cpu"))]


def failing(*_: Any, **__: Any) -> Any:
    msg = "the transfer failed"
    raise torch.OutOfMemoryError(msg)


@pytest.fixture
def failing_reads() -> Iterator[Callable[[bool], None]]:
    """Switches the reads from a device off and on."""
    saved = [(place, name, getattr(place, name)) for place, name in READS]

    def switch(is_off: bool) -> None:
        for place, name, own in saved:
            setattr(place, name, failing if is_off else own)

    yield switch
    switch(False)


def losses_of(index: int) -> dict[str, torch.Tensor]:
    parameter = torch.ones((), dtype=torch.float64, requires_grad=True)
    return {"a": parameter * (index + 1), "b": parameter * (3 + index % 4)}


def by_update(group: LossGroup, losses: dict[str, Any]) -> None:
    group.update(losses)


def by_record(group: LossGroup, losses: dict[str, Any]) -> None:
    group.weigh(losses).backward()  # type: ignore[no-untyped-call]
    group.record(losses)


def by_accumulate(group: LossGroup, losses: dict[str, Any]) -> None:
    group.accumulate(losses)
    group.record()


WAYS = {"update": by_update, "record": by_record, "accumulate": by_accumulate}
WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "sum": lambda: None,
    "CoV": CoVWeighting,
    "learned": lambda: AutomaticWeightedLoss(2),
    **methods("a b"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("log_every", [None, 1, 3])
@pytest.mark.parametrize("at", [3, 4, 5])
@pytest.mark.filterwarnings("ignore:the losses of")
def test_a_read_that_fails_once_loses_no_step_that_was_taken_in(
    failing_reads: Callable[[bool], None],
    way: str,
    weighting: str,
    log_every: int | None,
    at: int,
) -> None:
    memory, missed = MemoryLogger(), []
    group = LossGroup(["a", "b"], memory, weighting=WEIGHTINGS[weighting](), log_every=log_every)
    for index in range(10):
        failing_reads(index == at)
        try:
            WAYS[way](group, losses_of(index))
        except torch.OutOfMemoryError:
            missed.append(index)
            group.forget_accumulated()
        failing_reads(False)
    group.flush()

    rows = memory["loss/a"]
    assert missed in ([], [at])
    assert [value - 1 for _, value in rows] == [i for i in range(10) if i not in missed]
    assert [step for step, _ in rows] == list(range(len(rows)))
    assert group.step == group["a"].count == len(rows)
    assert group.lost == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_reads_that_always_fail_are_let_go_and_training_goes_on(
    failing_reads: Callable[[bool], None], way: str, weighting: str
) -> None:
    memory, told = MemoryLogger(), []
    group = LossGroup(["a", "b"], memory, weighting=WEIGHTINGS[weighting](), log_every=3)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for index in range(30):
            failing_reads(6 <= index < 21)
            WAYS[way](group, losses_of(index))
        failing_reads(False)
        group.flush()

    told = [str(one.message) for one in seen]
    steps = [step for step, _ in memory["loss/a"]]
    assert group.step == 30
    assert group.lost == 30 - len(steps) > 0
    assert group["a"].count == len(steps) == len(set(steps))
    assert set(range(6)) | set(range(24, 30)) <= set(steps)
    (read,) = [text for text in told if "could not be read back" in text]
    assert read == (
        "the losses of 3 steps could not be read back yet (the transfer failed): after 3 failures"
        " in a row they are let go, and counted in `lost`"
    )
    most = math.inf if weighting.startswith("target") else 10
    assert all(0 < abs(weight) < most for weight in group.next_weights().values())


@pytest.mark.parametrize("log_every", [1, 3])
@pytest.mark.filterwarnings("ignore:the losses of")
def test_a_tracker_lets_go_of_reads_that_always_fail(
    failing_reads: Callable[[bool], None], log_every: int
) -> None:
    memory = MemoryLogger()
    tracker = LossTracker("G", memory, log_every=log_every)
    for index in range(30):
        failing_reads(6 <= index < 21)
        tracker.update(torch.tensor(1.0 + index), do_backwards=False)
    failing_reads(False)
    tracker.flush()

    assert tracker.step == 30
    assert tracker.count == len(memory["loss/G"]) == 30 - tracker.lost < 30
    assert set(range(6)) | set(range(24, 30)) <= {step for step, _ in memory["loss/G"]}


@pytest.mark.filterwarnings("ignore:the losses of")
def test_trackers_count_the_steps_that_could_not_be_read(
    failing_reads: Callable[[bool], None],
) -> None:
    memory = MemoryLogger()
    trackers = Trackers(["G", "D"], memory, log_every=3)
    for index in range(30):
        failing_reads(6 <= index < 21)
        for tracker in trackers.values():
            tracker.update(torch.tensor(1.0 + index), do_backwards=False)
        trackers.step()
    failing_reads(False)
    trackers.flush()

    assert 0 < trackers.lost == 30 - len(memory.rows)
    for name, tracker in trackers.items():
        assert 0 < tracker.lost == 30 - tracker.count
        assert len(memory[f"loss/{name}"]) <= tracker.count


def test_reads_warn_again_once_one_has_succeeded(failing_reads: Callable[[bool], None]) -> None:
    group = LossGroup(["a", "b"], log_every=1)
    told = []
    for index in range(40):
        failing_reads(index % 20 >= 10)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            group.record(losses_of(index))
        told += [index] * len(seen)
    failing_reads(False)

    assert told == [10, 30]
    assert 0 < group.lost < 20


class Broken(CoVWeighting):
    """Fails where it is told to."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where, self.is_broken, self.told = where, False, 0

    def _fail(self, where: str) -> None:
        if self.is_broken and self.where == where:
            msg = "broken"
            raise LookupError(msg)

    def weigh(self, losses: torch.Tensor, history: History, /) -> Weighted:
        self._fail("weigh")
        return super().weigh(losses, history)

    def recorded(self, *_: object) -> None:
        self.told += 1
        self._fail("recorded")


def states_of(group: LossGroup) -> list[torch.Tensor]:
    return [value.clone() for value in group.state_dict().values()]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log_every", [None, 3])
def test_a_weighting_that_raises_changes_nothing(way: str, log_every: int | None) -> None:
    weighting, memory = Broken("weigh"), MemoryLogger()
    group = LossGroup(["a", "b"], memory, weighting=weighting, log_every=log_every)
    for index in range(4):
        WAYS[way](group, losses_of(index))
    before, weighting.is_broken = states_of(group), True

    with pytest.raises(LookupError):
        WAYS[way](group, losses_of(100))
    group.forget_accumulated()

    assert all(map(torch.equal, before, states_of(group)))
    assert [step for step, _ in memory["loss/a"]] == [0, 1, 2, 3]
    weighting.is_broken = False
    WAYS[way](group, losses_of(4))
    group.flush()
    assert memory["loss/a"] == [(index, index + 1.0) for index in range(5)]
    assert weighting.told == 5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log_every", [None, 3])
def test_a_hook_that_raises_leaves_the_step_wholly_taken_in(
    way: str, log_every: int | None
) -> None:
    weighting, memory = Broken("recorded"), MemoryLogger()
    group = LossGroup(["a", "b"], memory, weighting=weighting, log_every=log_every)
    for index in range(10):
        weighting.is_broken = index == 4
        try:
            WAYS[way](group, losses_of(index))
        except LookupError:
            assert index == 4
    group.flush()

    assert memory["loss/a"] == [(index, index + 1.0) for index in range(10)]
    assert (group.step, group["a"].count, weighting.told) == (10, 10, 10)


@pytest.mark.parametrize("log_every", [None, 3])
def test_a_backward_that_raises_changes_nothing(log_every: int | None) -> None:
    def fail(total: torch.Tensor) -> None:
        if total.item() > 50:
            msg = "broken"
            raise LookupError(msg)
        total.backward()  # type: ignore[no-untyped-call]

    memory = MemoryLogger()
    group = LossGroup(["a", "b"], memory, backward=fail, log_every=log_every, block_size=2)
    for index in range(3):
        group.update(losses_of(index))
    before = states_of(group)
    with pytest.raises(LookupError):
        group.update(losses_of(100), samples=3, extra={"lr": 1.0})

    assert all(map(torch.equal, before, states_of(group)))
    group.update(losses_of(3))
    group.flush()
    assert memory["loss/a"] == [(index, index + 1.0) for index in range(4)]


class Raising:
    def log_metrics(self, metrics: dict[str, float], *, step: int) -> None:
        raise OSError(step)


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.filterwarnings("ignore:the logger Raising failed")
def test_a_logger_that_raises_takes_no_row_from_the_others(
    log_every: int | None, tmp_path: Path
) -> None:
    before, after = MemoryLogger(), MemoryLogger()
    with CsvLogger(tmp_path / "run") as csv:
        loggers: list[Any] = [before, Raising(), csv, after]
        group = LossGroup(["a", "b"], loggers, log_every=log_every)
        trackers = Trackers(["a", "b"], loggers, log_every=log_every)
        for index in range(7):
            group.update(losses_of(index))
            for tracker in trackers.values():
                tracker.update(1.0 + index, do_backwards=False)
            trackers.step()
        assert group.end_epoch() == trackers.end_epoch() | {"b": group["b"].mean}

    assert before.values("loss/a") == after.values("loss/a")
    assert len(before["loss/a"]) == 14
    assert before["epoch_loss/a"] == after["epoch_loss/a"] == [(6, 4.0), (6, 4.0)]


@pytest.mark.parametrize("log_every", [None, 3])
def test_a_nonfinite_loss_that_raises_is_wholly_taken_in(log_every: int | None) -> None:
    memory = MemoryLogger()
    group = LossGroup(["a", "b"], memory, nonfinite="raise", log_every=log_every)
    raised = 0
    for index in range(9):
        losses = losses_of(index)
        if index == 4:
            losses["a"] = losses["a"] * torch.nan
        try:
            group.update(losses)
        except FloatingPointError:
            raised += 1
    group.flush()

    assert raised == 1
    assert [step for step, _ in memory["loss/b"]] == list(range(9))
    assert (group.step, group["a"].count, group["b"].count) == (9, 8, 9)
