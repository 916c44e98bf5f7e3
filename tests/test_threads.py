"""Several threads share a group or a tracker: each step counts once, and each row is whole."""

from __future__ import annotations

import sys
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    LossTracker,
    Trackers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:the weights of")
THREADS, STEPS = 4, 60
WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "sum": lambda: None,
    "CoV": CoVWeighting,
    "learned": lambda: AutomaticWeightedLoss(2),
}


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def run(work: Callable[[int], None]) -> None:
    """Do the work of each step, over all threads at once."""
    barrier, errors = Barrier(THREADS), []

    def go(thread: int) -> None:
        barrier.wait()
        try:
            for step in range(STEPS):
                work(thread * STEPS + step)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [Thread(target=go, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not errors
    assert not any(thread.is_alive() for thread in threads)


def losses_of(index: int) -> dict[str, torch.Tensor]:
    parameter = torch.ones((), dtype=torch.float64, requires_grad=True)
    return {"a": parameter * (index + 1), "b": parameter * 2 * (index + 1)}


def by_update(group: LossGroup, index: int) -> None:
    group.update(losses_of(index))


def by_record(group: LossGroup, index: int) -> None:
    group.record(losses_of(index))


def by_weigh_and_record(group: LossGroup, index: int) -> None:
    group.weigh(losses_of(index)).backward()  # type: ignore[no-untyped-call]
    group.record(losses_of(index))


WAYS = {"update": by_update, "record": by_record, "weigh, record": by_weigh_and_record}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("log_every", [None, 7])
def test_a_group_counts_each_step_of_each_thread_once(
    way: str, weighting: str, log_every: int | None, tmp_path: Path
) -> None:
    memory = MemoryLogger()
    with CsvLogger(tmp_path / "run") as csv:
        group = LossGroup(
            ["a", "b"],
            [memory, csv],
            weighting=WEIGHTINGS[weighting](),
            log_every=log_every,
            block_size=10,
        )
        run(lambda index: WAYS[way](group, index))
        group.flush()

        count = THREADS * STEPS
        assert group.step == group["a"].count == len(memory.rows) == count
        assert sorted(step for step, _ in memory["loss/a"]) == list(range(count))
        assert sorted(memory.values("loss/a")) == [index + 1.0 for index in range(count)]
        for _, _, row in memory.rows:
            assert row["loss/b"] == 2 * row["loss/a"]
        assert group["a"].mean == pytest.approx((count + 1) / 2)
        assert group["a"].record.blocks_completed == count // 10
        assert sorted(map(float, read_run(csv.path)["b"]["loss"])) == [
            2.0 * (index + 1) for index in range(count)
        ]
        assert group.end_epoch()["a"] == pytest.approx((count + 1) / 2)


@pytest.mark.parametrize("log_every", [None, 7])
@pytest.mark.parametrize("warmup", [3, float("inf")])
def test_a_tracker_counts_each_step_of_each_thread_once(
    log_every: int | None, warmup: float
) -> None:
    memory = MemoryLogger()
    tracker = LossTracker("G", memory, log_every=log_every, warmup=warmup)
    run(lambda index: tracker.update(losses_of(index)["a"]))
    tracker.flush()

    count = THREADS * STEPS
    assert tracker.step == tracker.count == len(memory.rows) == count
    assert [step for step, _ in memory["loss/G"]] == list(range(count))
    assert sorted(memory.values("loss/G")) == [index + 1.0 for index in range(count)]
    assert tracker.mean == pytest.approx((count + 1) / 2)


@pytest.mark.parametrize("log_every", [None, 2])
def test_trackers_of_one_row_count_each_step_of_each_thread_once(log_every: int | None) -> None:
    memory = MemoryLogger()
    trackers = Trackers([str(thread) for thread in range(THREADS)], memory, log_every=log_every)

    def work(index: int) -> None:
        tracker = trackers[str(index // STEPS)]
        tracker.update(torch.tensor(1.0 + index % STEPS), do_backwards=False)
        if index % 3 == 0:
            trackers.step()
        if index % 10 == 0:
            assert tracker.count == index % STEPS + 1

    run(work)
    trackers.step()
    trackers.flush()

    steps = THREADS * STEPS // 3 + 1
    assert [step for step, _, _ in memory.rows] == list(range(steps))
    for name, tracker in trackers.items():
        assert tracker.get_history() == [1.0 + index for index in range(STEPS)]
        assert tracker.step == steps
        assert memory.values(f"loss/{name}")[-1] == STEPS


@pytest.mark.parametrize("log_every", [None, 7])
def test_micro_batches_of_several_threads_all_count(log_every: int | None) -> None:
    group = LossGroup(["a", "b"], log_every=log_every)
    run(lambda index: group.accumulate(losses_of(index)))
    group.record()

    count = THREADS * STEPS
    assert group.step == 1
    assert group["a"].value == pytest.approx((count + 1) / 2)


@pytest.mark.parametrize("log_every", [None, 7])
def test_losses_join_from_several_threads(log_every: int | None) -> None:
    group = LossGroup(log_every=log_every)
    run(lambda index: group.record({"a": 1.0, f"{index % 11}": float(index % 11)}))

    count = THREADS * STEPS
    assert group.step == group["a"].count == count
    assert set(group.names) == {"a", *(str(name) for name in range(11))}
    assert sum(group[str(name)].count for name in range(11)) == count
    assert all(group[str(name)].mean == name for name in range(11))


@pytest.mark.parametrize("log_every", [None, 7])
def test_reading_in_one_thread_disturbs_no_step_of_another(log_every: int | None) -> None:
    memory = MemoryLogger()
    group = LossGroup(["a", "b"], memory, weighting=CoVWeighting(), log_every=log_every)
    group.record(losses_of(0))

    def work(index: int) -> None:
        if index < STEPS:
            group.record(losses_of(index + 1))
        else:
            record = group["a"].record
            assert record.count <= group.step
            assert sum(group.next_weights().values()) == pytest.approx(1)
            group.state_dict()

    run(work)
    group.flush()
    assert group.step == group["a"].count == len(memory.rows) == STEPS + 1
