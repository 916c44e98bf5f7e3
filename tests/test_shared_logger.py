"""Groups that write to one logger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from loss_loggers import CsvLogger, MemoryLogger, read_run
from loss_loggers.recording import run_info
from multi_loss_weighting import CoVWeighting, EqualWeighting, LossGroup, LossTracker

if TYPE_CHECKING:
    from pathlib import Path

PATHS = {"cpu": None, "device": 4}
STEPS = 11


def losses_at(step: int) -> dict[str, torch.Tensor]:
    recon, kl = np.random.default_rng(step).lognormal(size=2).tolist()
    return {"recon": torch.tensor(recon), "kl": torch.tensor(kl)}


def two_groups(logger: Any, log_every: int | None) -> tuple[LossGroup, LossGroup]:
    """One for training, whose names are known, and one for validation, whose names are not."""
    return (
        LossGroup(["recon", "kl"], logger, weighting=CoVWeighting(), log_every=log_every),
        LossGroup(None, logger, weighting=EqualWeighting(), scope="val", log_every=log_every),
    )


def train(groups: tuple[LossGroup, LossGroup], steps: range) -> None:
    """A step of validation after every third of training."""
    training, validation = groups
    for step in steps:
        training.update(losses_at(step), do_backwards=False)
        if step % 3 == 2:
            validation.record(losses_at(100 + step), step=training.step - 1)


def by_metric(logger: MemoryLogger) -> dict[str, list[tuple[int, Any]]]:
    return {
        name: logger[name] for name in sorted({name for *_, row in logger.rows for name in row})
    }


@pytest.mark.parametrize("path", PATHS)
def test_each_has_the_rows_that_it_has_alone(path: str) -> None:
    shared, own = MemoryLogger(), [MemoryLogger(), MemoryLogger()]
    alone = two_groups(own[0], PATHS[path])[0], two_groups(own[1], PATHS[path])[1]
    together = two_groups(shared, PATHS[path])

    for groups in (together, alone):
        train(groups, range(STEPS))
        for group in groups:
            group.flush()

    assert by_metric(shared) == by_metric(own[0]) | by_metric(own[1])
    assert shared.values("loss/val/recon") == [losses_at(100 + step)["recon"] for step in (2, 5, 8)]


@pytest.mark.parametrize("path", PATHS)
def test_a_logger_that_closes_has_the_rows_of_both(path: str, tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "run") as logger:
        train(two_groups(logger, PATHS[path]), range(STEPS))

    run = read_run(tmp_path / "run")

    assert set(run.names) == {"recon", "kl", "total", "val/recon", "val/kl", "val/total"}
    assert run["recon"]["step"].tolist() == list(range(STEPS))
    assert run["val/kl"]["step"].tolist() == [2, 5, 8]
    assert run["val/kl"]["loss"].tolist() == [losses_at(100 + step)["kl"] for step in (2, 5, 8)]


def test_a_record_knows_the_losses_and_the_weighting_of_both(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "run") as logger, MemoryLogger() as memory:
        train(two_groups([logger, memory], None), range(STEPS))

    known = run_info(tmp_path / "run")["hyperparameters"]

    assert known == memory.hyperparameters
    assert known["losses"] == ["recon", "kl", "val/recon", "val/kl"]
    assert known["weighting"]["method"] == "CoVWeighting"
    assert known["val/weighting"] == {"method": "EqualWeighting"}


@pytest.mark.parametrize("path", PATHS)
def test_a_run_of_both_that_was_interrupted_goes_on_as_if_it_were_not(
    path: str, tmp_path: Path
) -> None:
    for folder, stops in (("whole", [STEPS]), ("resumed", [7, STEPS])):
        start, saved = 0, None
        for stop in stops:
            logger = CsvLogger(tmp_path / folder, resume=saved is not None)
            groups = two_groups(logger, PATHS[path])
            if saved is not None:
                logger.load_state_dict(saved[2])
                for group, state in zip(groups, saved[:2], strict=True):
                    group.load_state_dict(state)
            train(groups, range(start, stop))
            saved = groups[0].state_dict(), groups[1].state_dict(), logger.state_dict()
            start = stop
            train(groups, range(stop, min(stop + 1, STEPS)))  # lost with the interruption
            logger.close()

    whole, resumed = read_run(tmp_path / "whole"), read_run(tmp_path / "resumed")
    assert whole.names == resumed.names
    for name in whole.names:
        for column in whole[name].keys() - {"time"}:
            np.testing.assert_array_equal(whole[name][column], resumed[name][column], strict=True)


def test_a_fault_of_the_logger_stops_neither() -> None:
    class Broken:
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            msg = "disk full"
            raise OSError(msg)

    groups = two_groups(Broken(), None)
    with pytest.warns(RuntimeWarning, match="disk full"):
        train(groups, range(STEPS))

    assert [group.step for group in groups] == [STEPS, 9]


def test_a_tracker_may_stand_beside_a_group() -> None:
    logger = MemoryLogger()
    group, tracker = LossGroup(["recon", "kl"], logger), LossTracker("critic", logger, weight=0.5)

    for step in range(2):
        tracker.update(1.0 + step, do_backwards=False)
        group.update(losses_at(step), do_backwards=False)

    assert [value for _, value in logger["loss/critic"]] == [1.0, 2.0]
    assert logger.hyperparameters["losses"] == ["critic", "recon", "kl"]
