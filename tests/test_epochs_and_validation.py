"""Means of epochs, and a validation that follows its training."""

from __future__ import annotations

import copy
import math
import pickle
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from loss_loggers import CsvLogger, MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    LossTracker,
    StaticWeighting,
    TorchJDWeighting,
    Trackers,
)

from .methods import methods

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EPOCHS = (5, 7, 1, 4)


def stream() -> list[list[tuple[dict[str, float], int]]]:
    """For each epoch its batches: losses, one at its own cadence, one nan, and samples."""
    epochs, step = [], 0
    for size in EPOCHS:
        batches = []
        for _ in range(size):
            losses = {"g": 1.0 + step}
            if step % 4 == 0:
                losses["r1"] = 100.0 + step
            if step == 3:
                losses["g"] = math.nan
            batches.append((losses, (step * 7) % 5))
            step += 1
        epochs.append(batches)
    return epochs


def means_of(batches: list[tuple[dict[str, float], int]]) -> dict[str, float]:
    means = {}
    for name in ("g", "r1"):
        own = [
            (losses[name], samples)
            for losses, samples in batches
            if math.isfinite(losses.get(name, math.nan)) and samples
        ]
        if own:
            weight = sum(samples for _, samples in own)
            means[name] = sum(value * samples for value, samples in own) / weight
    return means


def by_record(group: LossGroup, losses: dict[str, float], samples: int) -> None:
    group.record({name: torch.tensor(value) for name, value in losses.items()}, samples=samples)


def by_update(group: LossGroup, losses: dict[str, float], samples: int) -> None:
    group.update(losses, do_backwards=False, samples=samples)


def by_accumulate(group: LossGroup, losses: dict[str, float], samples: int) -> None:
    group.accumulate(losses, samples=samples)
    group.record()


WAYS = {"record": by_record, "update": by_update, "accumulate": by_accumulate}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("names", [None, ["g", "r1"]])
@pytest.mark.filterwarnings("ignore:loss 'g' is nan")
def test_the_means_of_an_epoch_are_of_its_own_values_by_samples(
    way: str, log_every: int | None, names: Any, tmp_path: Path
) -> None:
    memory = MemoryLogger()
    with CsvLogger(tmp_path / "run") as csv:
        group = LossGroup(names, [memory, csv], log_every=log_every, block_size=2)
        expected, step = [], 0
        for epoch, batches in enumerate(stream()):
            for losses, samples in batches:
                WAYS[way](group, losses, samples)
            step += len(batches)
            means = group.end_epoch()
            assert means == pytest.approx(means_of(batches))
            expected += [(epoch, step - 1, name, mean) for name, mean in means.items()]
        assert group.end_epoch() == {}  # an epoch in which nothing came has no row

    rows = [(step, row) for step, _, row in memory.rows if "epoch" in row]
    told = [
        (row["epoch"], step, key.split("/")[1], value)
        for step, row in rows
        for key, value in row.items()
        if key != "epoch"
    ]
    assert told == expected
    assert group.step == sum(EPOCHS)
    lines = (csv.path / "epochs.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[3]) for line in lines] == [mean for *_, mean in expected]
    everything = [batch for batches in stream() for batch in batches]
    assert {name: group[name].mean for name in ("g", "r1")} == pytest.approx(means_of(everything))


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.filterwarnings("ignore:loss 'g' is nan")
def test_steps_of_more_and_fewer_micro_batches_count_by_all_their_samples(
    log_every: int | None, tmp_path: Path
) -> None:
    with CsvLogger(tmp_path / "run") as csv:
        group = LossGroup(logger=csv, log_every=log_every)
        for batches in stream():
            for number, (losses, samples) in enumerate(batches, 1):
                group.accumulate(losses, samples=samples)
                if number % 3 == 0 or number == len(batches):  # the last has fewer
                    group.record()
            assert group.end_epoch() == pytest.approx(means_of(batches))

    everything = [batch for batches in stream() for batch in batches]
    assert {name: group[name].mean for name in ("g", "r1")} == pytest.approx(means_of(everything))
    count = sum(samples for losses, samples in everything if math.isfinite(losses["g"]))
    lines = (csv.path / "epochs.csv").read_text().splitlines()[1:]
    assert sum(float(line.split(",")[4]) for line in lines if line.split(",")[2] == "g") == count


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("at", [2, 5, 8, 12])
@pytest.mark.filterwarnings("ignore:loss 'g' is nan")
def test_a_run_that_was_resumed_in_an_epoch_has_the_same_means(
    log_every: int | None, at: int
) -> None:
    def go(group: LossGroup, first: int, last: int) -> list[dict[str, float]]:
        means, step = [], 0
        for batches in stream():
            for losses, samples in batches:
                if first <= step < last:
                    by_record(group, losses, samples)
                step += 1
            if first < step <= last:
                means.append(group.end_epoch())
        return means

    whole, half, new = (LossGroup(log_every=log_every) for _ in range(3))
    expected, count = go(whole, 0, 99), len(go(half, 0, at))
    new.load_state_dict(half.state_dict())

    assert go(new, at, 99) == expected[count:]
    assert torch.equal(new.state_dict()["_extra_state"], whole.state_dict()["_extra_state"])


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.filterwarnings("ignore:loss 'g' is nan")
def test_trackers_have_the_means_of_groups(log_every: int | None, tmp_path: Path) -> None:
    memory, own = MemoryLogger(), MemoryLogger()
    with CsvLogger(tmp_path / "run") as csv:
        trackers = Trackers(["g", "r1"], [memory, csv], log_every=log_every)
        tracker = LossTracker("g", own, log_every=log_every)
        for epoch, batches in enumerate(stream()):
            for losses, samples in batches:
                for name, value in losses.items():
                    trackers[name].update(value, do_backwards=False, samples=samples)
                trackers.step()
                tracker.update(losses["g"], do_backwards=False, samples=samples)
            means = trackers.end_epoch()
            assert means == pytest.approx(means_of(batches))
            assert tracker.end_epoch() == {name: means[name] for name in ("g",) if name in means}
            if epoch == 1:
                copied = copy.deepcopy(trackers)
                copied.load_state_dict(trackers.state_dict())

    assert [row["epoch"] for _, _, row in own.rows if "epoch" in row] == [
        epoch for epoch, batches in enumerate(stream()) if "g" in means_of(batches)
    ]
    assert memory["epoch_loss/g"] == own["epoch_loss/g"]
    assert len((csv.path / "epochs.csv").read_text().splitlines()) == 1 + sum(
        len(means_of(batches)) for batches in stream()
    )


# Validation.


def scalarizer() -> Any:
    scalarization = pytest.importorskip("torchjd.scalarization", reason="needs the torchjd extra")
    return TorchJDWeighting(scalarization.DWA(2.0))


WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "sum": lambda: None,
    "CoV": CoVWeighting,
    "learned": lambda: AutomaticWeightedLoss(2),
    "static": lambda: StaticWeighting(a=lambda step: 0.5**step),
    "torchjd": scalarizer,
    **methods("a b"),
}


@pytest.mark.parametrize("late", [None, 2])
@pytest.mark.parametrize("steps", [0, 2])
def test_a_method_without_weights_before_it_sees_losses_stops_no_validation(
    steps: int, late: int | None
) -> None:
    scalarization = pytest.importorskip("torchjd.scalarization", reason="needs the torchjd extra")
    weighting = TorchJDWeighting(scalarization.GeometricMean())
    group = LossGroup(["a", "b"], weighting=weighting, log_every=late)
    follower = group.follower()
    train(group, range(steps))

    validate(follower)

    expected = {name: group[name].last_weight if steps else 1.0 for name in group}
    assert group.next_weights() == pytest.approx(expected)
    assert follower.weights == pytest.approx(expected)


def train(group: LossGroup, steps: range) -> None:
    for step in steps:
        parameter = torch.ones((), requires_grad=True)
        group.update({"a": parameter * (1 + step % 3), "b": parameter * (2.0 + step)})
        with torch.no_grad():
            for own in group.parameters():
                own.add_(0.1)


def validate(follower: LossGroup) -> None:
    with torch.inference_mode():
        for value, samples in ((2.0, 32), (5.0, 16), (7.0, 0)):
            losses = {"a": torch.tensor(value), "b": torch.tensor(1.0)}
            follower.accumulate(losses, samples=samples)
        follower.record()


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("names", [None, ["a", "b"]])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_validation_has_the_weights_of_its_training_and_no_part_in_it(
    weighting: str, names: Any, log_every: int | None
) -> None:
    def make(logger: Any) -> LossGroup:
        weighted = WEIGHTINGS[weighting]()
        return LossGroup(names, logger, weighting=weighted, log_every=log_every)

    alone, logger = make(None), MemoryLogger()
    group = make(logger)
    follower = group.follower()
    for epoch in range(3):
        train(group, range(4 * epoch, 4 * epoch + 4))
        train(alone, range(4 * epoch, 4 * epoch + 4))
        before, weights = group.state_dict(), group.next_weights()
        validate(follower)
        for key, value in group.state_dict().items():
            assert torch.equal(value, before[key])

        last = 4 * epoch + 3
        row = {
            key: value for step, _, row in logger.rows for key, value in row.items() if "val" in key
        }
        assert logger["loss/val/a"][-1] == (last, 3.0)
        assert {name: row[f"weight/val/{name}"] for name in "ab"} == pytest.approx(weights)
        terms = 3.0 * weights["a"] + weights["b"]
        assert row["loss/val/total"] == pytest.approx(terms, rel=1e-6)
    assert len(logger["loss/val/a"]) == 3
    assert group.next_weights() == alone.next_weights()
    assert (group.step, group["a"].count) == (12, 12)


def test_a_validation_without_a_batch_has_no_row() -> None:
    logger = MemoryLogger()
    group = LossGroup(["a", "b"], logger)
    follower = group.follower()
    train(group, range(2))
    before = follower.state_dict()["_extra_state"]
    with pytest.raises(ValueError, match="accumulate"):
        follower.record()
    assert torch.equal(before, follower.state_dict()["_extra_state"])
    follower.accumulate({"a": 1.0, "b": 2.0}, samples=0)
    follower.record()
    assert [row for _, _, row in logger.rows if "loss/val/a" in row] == []
    assert follower["a"].count == 0


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.losses = LossGroup(["a", "b"], weighting=CoVWeighting())
        self.validation = self.losses.follower()


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda model: pickle.loads(pickle.dumps(model)),
        lambda model: (new := Model(), new.load_state_dict(model.state_dict()))[0],
    ],
)
def test_the_validation_of_a_copied_model_follows_the_copy(copied: Any) -> None:
    model = Model()
    train(model.losses, range(5))
    validate(model.validation)
    new = copied(model)
    assert all(isinstance(value, torch.Tensor) for value in model.state_dict().values())
    assert new.validation["a"].value == 3.0
    train(new.losses, range(5, 9))
    validate(new.validation)

    weights, theirs = new.losses.next_weights(), model.losses.next_weights()
    assert new.validation.weights == weights != theirs
    assert (new.losses.step, model.losses.step) == (9, 5)
    assert model.validation.weights == theirs


def test_a_validation_may_be_recorded_batch_by_batch_at_steps_of_its_own() -> None:
    logger = MemoryLogger()
    group = LossGroup(["a", "b"], logger)
    follower = group.follower("test")
    follower.record({"a": 1.0, "b": 2.0})  # before the first step
    train(group, range(2))
    follower.record({"a": 3.0, "b": 2.0})
    follower.record({"a": 5.0, "b": 2.0}, step=77)
    assert logger["loss/test/a"] == [(0, 1.0), (1, 3.0), (77, 5.0)]
    assert follower["a"].mean == 3.0
    assert follower.end_epoch() == {"a": 3.0, "b": 2.0}


def test_a_follower_of_a_follower_follows_the_training() -> None:
    logger = MemoryLogger()
    group = LossGroup(logger=logger, weighting=StaticWeighting(a=5.0))
    for _ in range(4):
        group.record({"a": 1.0})

    test = group.follower().follower("test")  # the one between has no step
    test.accumulate({"a": 2.0})
    test.record()

    assert logger["loss/test/a"] == [(3, 2.0)]
    assert logger["weight/test/a"] == [(3, 5.0)]


def test_the_validations_of_two_scopes_have_rows_of_their_own() -> None:
    logger = MemoryLogger()
    groups = [LossGroup(["a"], logger, scope=scope) for scope in ("gan", "critic")]
    for value, group in enumerate(groups):
        validation = group.follower()
        validation.record({"a": float(value)})
        validation.follower("test").record({"a": value + 10.0})

    assert [logger[f"loss/{name}/total"] for name in ("gan/val", "critic/val")] == [
        [(0, 0.0)],
        [(0, 1.0)],
    ]
    assert [logger[f"loss/{name}/a"] for name in ("gan/test", "critic/test")] == [
        [(0, 10.0)],
        [(0, 11.0)],
    ]
    assert groups[0].follower("").scope == "gan"
    for group in (*groups, LossGroup(["a"])):
        with pytest.raises(TypeError, match="scope must be a str, got 3"):
            group.follower(3)  # type: ignore[arg-type]
