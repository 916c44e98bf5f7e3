"""A step is taken in wholly or not at all, wherever Ctrl-C comes."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    GradientShareWeighting,
    LossGroup,
    StatisticsSettings,
    Trackers,
    Weighted,
)

from .interrupts import Tracer, signal_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from multi_loss_weighting import History

STEPS = 9
FIRST, LAST = 2, 7  # the interrupt comes in one of these steps
TRIES = 12
SETTINGS = StatisticsSettings(history=5, decay=0.9)


class Remembers:
    """Weighs by the losses of the last step, which `recorded` shows it."""

    def __init__(self) -> None:
        self.last = torch.ones(2, dtype=torch.float64)
        self.told: list[float] = []

    def weigh(self, losses: torch.Tensor, _: History, /) -> Weighted:
        weights = 1 / (1 + self.last.to(losses))
        return Weighted(losses.dot(weights), weights)

    def recorded(self, losses: torch.Tensor, _: torch.Tensor, __: History) -> None:
        self.last = losses.double()
        self.told.append(losses[0].item())


class Foreign:
    """A logger of somebody else, which may get a row twice."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float]] = []

    def log_metrics(self, metrics: dict[str, float], *, step: int) -> None:
        if "loss/a" in metrics:
            self.rows.append((step, metrics["loss/a"]))


WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "CoV": CoVWeighting,
    "learned": lambda: AutomaticWeightedLoss(2),
    "memory": Remembers,
}


def losses_of(index: int) -> dict[str, torch.Tensor]:
    parameter = torch.ones((), dtype=torch.float64, requires_grad=True)
    wave = 1.5 + math.sin(index)
    return {"a": parameter * (index + 1), "b": parameter * wave}


def by_update(group: LossGroup, index: int) -> None:
    group.update(losses_of(index), samples=1 + index % 2)


def by_record(group: LossGroup, index: int) -> None:
    losses = losses_of(index)
    group.weigh(losses).backward()  # type: ignore[no-untyped-call]
    group.record(losses, extra={"lr": 0.1})


def by_accumulate(group: LossGroup, index: int) -> None:
    for part in range(2):
        losses = losses_of(index)
        (group.weigh(losses) / 2).backward()  # type: ignore[no-untyped-call]
        group.accumulate({"a": losses["a"], "b": losses["b"] + part})
    group.record()


WAYS = {"update": by_update, "record": by_record, "accumulate": by_accumulate}


def train(
    group: LossGroup, way: Callable[[LossGroup, int], None], indices: list[int], tracer: Tracer
) -> list[int]:
    """Go through the steps; which of them were interrupted."""
    interrupted = []
    for index in indices:
        with tracer.watching(FIRST <= index < LAST) as was_interrupted:
            way(group, index)
        if was_interrupted:
            interrupted.append(index)
            group.forget_accumulated()
            assert group["a"].count <= group.step  # one looks at it, as in a notebook
    group.flush()
    return interrupted


def group_of(weighting: str, log_every: int | None, logger: Any) -> LossGroup:
    torch.manual_seed(0)
    return LossGroup(
        ["a", "b"],
        logger,
        weighting=WEIGHTINGS[weighting](),
        block_size=3,
        log_every=log_every,
        statistics=SETTINGS,
    )


def points(events: int, seed: str, tries: int = TRIES) -> list[int]:
    """Where to interrupt: all over, and at random."""
    return [
        *range(0, events, max(1, events * 2 // tries)),
        *random.Random(seed).sample(range(events), min(events, tries // 2)),
    ]


def same(left: Any, right: Any) -> bool:
    return all(
        a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("log_every", [None, 3])
def test_a_step_of_a_group_is_taken_in_wholly_or_not_at_all(
    way: str, weighting: str, log_every: int | None, tmp_path: Path
) -> None:
    counter, wrong = Tracer(), []
    with CsvLogger(tmp_path / "count") as csv:
        loggers = [MemoryLogger(), csv, Foreign()]
        train(group_of(weighting, log_every, loggers), WAYS[way], list(range(STEPS)), counter)
    for stop in points(counter.events, f"{way} {weighting} {log_every}"):
        tracer = Tracer(stop)
        with CsvLogger(tmp_path / str(stop)) as csv:
            try:
                check_group(way, weighting, log_every, csv, tracer)
            except AssertionError as error:
                wrong.append(f"event {stop}, {tracer.place}: {error}")
    assert not wrong, "\n".join(wrong)


def check_group(
    way: str, weighting: str, log_every: int | None, csv: CsvLogger, tracer: Tracer
) -> None:
    memory, foreign = MemoryLogger(), Foreign()
    group = group_of(weighting, log_every, [memory, csv, foreign])

    interrupted = train(group, WAYS[way], list(range(STEPS)), tracer)

    rows = memory["loss/a"]
    taken = [int(value) - 1 for _, value in rows]
    assert len(interrupted) <= 1
    assert taken == [i for i in range(STEPS) if i in taken or i not in interrupted]
    assert [step for step, _ in rows] == list(range(len(taken)))
    assert (group.step, group["a"].count, group.lost) == (len(taken), len(taken), 0)
    assert [*map(float, read_run(csv.path)["a"]["loss"])] == [value for _, value in rows]
    assert sorted(set(foreign.rows)) == rows
    if weighting == "memory":
        weighs: Any = group.weighting
        assert [int(value) - 1 for value in weighs.told] == taken
    alike = group_of(weighting, log_every, MemoryLogger())
    train(alike, WAYS[way], taken, Tracer(-1))
    for name in group:
        assert same(group[name].record[:16], alike[name].record[:16])
        assert same(group[name].record.rare[:11], alike[name].record.rare[:11])
        assert group[name].get_history() == alike[name].get_history()
    if weighting == "CoV":
        assert same(group.next_weights().values(), alike.next_weights().values())
    assert same(group.end_epoch().values(), alike.end_epoch().values())


@pytest.mark.parametrize("way", ["record", "accumulate"])
@pytest.mark.parametrize("log_every", [None, 1])
def test_gradients_are_taken_after_ctrl_c_as_before(way: str, log_every: int | None) -> None:
    group = group_of("CoV", log_every, None)
    for index in range(3):
        WAYS[way](group, index)

    left_off, count = [], signal_at(-1, lambda: WAYS[way](group, 3))
    for stop in range(count):
        signal_at(stop, lambda: WAYS[way](group, 4))
        if not torch.is_grad_enabled():
            left_off.append(stop)
        torch.set_grad_enabled(True)
        group.forget_accumulated()

    assert count
    assert not left_off


# Trackers, one and several.


def update_trackers(trackers: Trackers, index: int) -> None:
    for tracker in trackers.values():
        tracker.update(torch.tensor(index + 1.0, dtype=torch.float64), do_backwards=False)
    trackers.step()


def train_trackers(trackers: Trackers, tracer: Tracer) -> list[int]:
    """Each epoch has 3 steps; which steps and ends of epochs were interrupted."""
    interrupted = []
    for index in range(STEPS):
        with tracer.watching() as was_interrupted:
            update_trackers(trackers, index)
        interrupted += [index for _ in was_interrupted]
        if index % 3 == 2:
            with tracer.watching() as was_interrupted:
                trackers.end_epoch()
            interrupted += [-index for _ in was_interrupted]
    trackers.flush()
    return interrupted


@pytest.mark.parametrize("log_every", [None, 3])
def test_a_step_of_trackers_is_taken_in_wholly_or_not_at_all(
    log_every: int | None, tmp_path: Path
) -> None:
    counter, wrong = Tracer(), []
    train_trackers(Trackers(["a", "b"], MemoryLogger(), log_every=log_every), counter)
    for stop in points(counter.events, f"trackers {log_every}", 3 * TRIES):
        tracer = Tracer(stop)
        with CsvLogger(tmp_path / str(stop)) as csv:
            try:
                check_trackers(log_every, csv, tracer)
            except AssertionError as error:
                wrong.append(f"event {stop}, {tracer.place}: {error}")
    assert not wrong, "\n".join(wrong)


def check_trackers(log_every: int | None, csv: CsvLogger, tracer: Tracer) -> None:
    memory = MemoryLogger()
    trackers = Trackers(["a", "b"], [memory, csv], log_every=log_every)

    interrupted = train_trackers(trackers, tracer)

    rows = [(step, row) for step, _, row in memory.rows if "epoch" not in row]
    expected = STEPS - sum(index >= 0 for index in interrupted)
    assert len(interrupted) <= 1
    assert len(rows) in {expected, STEPS}
    assert [step for step, _ in rows] == list(range(len(rows)))
    assert [*map(float, read_run(csv.path)["b"]["loss"])] == memory.values("loss/b")
    assert {trackers["a"].step, trackers["b"].step} == {len(rows)}
    # A loss that was updated in the step that was interrupted counts, as it is told below.
    for name in trackers:
        taken = trackers[name].get_history()
        assert taken == [i + 1 for i in range(STEPS) if i + 1 in taken or i not in interrupted]
        assert trackers[name].mean == pytest.approx(sum(taken) / len(taken))
    epochs = [row for _, _, row in memory.rows if "epoch" in row]
    assert [row["epoch"] for row in epochs] == list(range(len(epochs)))
    assert len(epochs) == 3 or interrupted[0] < 0
    written = (csv.path / "epochs.csv").read_text().splitlines()[1:]
    assert written == [
        f"{row['epoch']},{step},{name},{row[f'epoch_loss/{name}']!r},{line.rpartition(',')[2]}"
        for (step, row, name), line in zip(
            [(s, r, n) for s, _, r in memory.rows if "epoch" in r for n in trackers],
            written,
            strict=True,
        )
    ]


def test_an_epoch_of_a_group_ends_wholly_or_not_at_all(tmp_path: Path) -> None:
    def end_epochs(group: LossGroup, tracer: Tracer) -> list[dict[str, float]]:
        means = []
        for epoch in range(3):
            for index in range(3):
                by_update(group, 3 * epoch + index)
            own: dict[str, float] = {}
            with tracer.watching():
                own = group.end_epoch()
            means.append(own)
        group.flush()
        return means

    counter = Tracer()
    end_epochs(group_of("CoV", None, MemoryLogger()), counter)
    for stop in points(counter.events, "epoch"):
        tracer, memory = Tracer(stop), MemoryLogger()
        with CsvLogger(tmp_path / str(stop)) as csv:
            means = end_epochs(group_of("CoV", None, [memory, csv]), tracer)
            written = (csv.path / "epochs.csv").read_text().splitlines()[1:]
        told = memory.values("epoch_loss/a")
        if len(told) == 3:  # it ended
            assert all(one["a"] == mean for one, mean in zip(means, told, strict=True) if one)
        else:  # it did not, and the next has its losses, too
            assert told == [one["a"] for one in means if one], tracer.place
        assert [float(line.split(",")[3]) for line in written[::2]] == told, tracer.place


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_stays_of_a_step_whose_backward_was_ended(error: type[BaseException]) -> None:
    parameter, fails = torch.ones(2, requires_grad=True), True

    def backward(total: torch.Tensor) -> None:
        if fails:
            raise error
        total.backward()  # type: ignore[no-untyped-call]

    def trained(weighting: Any, first: dict[str, float], later: dict[str, float]) -> list[float]:
        nonlocal fails
        group, totals = LossGroup(weighting=weighting, backward=backward), []
        for fails, values in ((True, first), (False, later), (False, later)):
            losses = {name: parameter[i] * value for i, (name, value) in enumerate(values.items())}
            try:
                totals.append(group.update(losses).item())
            except error:
                assert fails
        assert group.names == tuple(later)
        return totals

    shares = GradientShareWeighting([parameter], every=1, smoothing=0.0)
    assert trained(shares, {"a": 1000.0, "b": 1.0}, {"a": 1.0, "b": 1.0}) == [2.0, 2.0]
    assert trained(EqualWeighting(), {"a": 1.0, "typo": 1.0}, {"a": 1.0}) == [1.0, 1.0]
    both = {"a": 1.0, "b": 1.0}
    assert len(trained(AutomaticWeightedLoss(2), {"a": 1.0, "typo": 1.0}, both)) == 2
