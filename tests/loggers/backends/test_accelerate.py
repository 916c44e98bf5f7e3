from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import AccelerateLogger, Tee, check_logger
from multi_loss_weighting import LossGroup, LossTracker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

accelerate = pytest.importorskip("accelerate", reason="needs accelerate")
tracking = pytest.importorskip("accelerate.tracking", reason="needs accelerate")


class Rows(tracking.GeneralTracker):  # type: ignore[misc,name-defined]
    """A tracker of one's own, as the documentation of Accelerate describes it."""

    name = "rows"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, Any]]] = []
        self.configuration: dict[str, Any] = {}

    @property
    def tracker(self) -> list[Any]:
        return self.rows

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.configuration.update(values)

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self.rows.append((step, values))


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def accelerator(rows: Rows, tmp_path: Path) -> Iterator[Any]:
    accelerator = accelerate.Accelerator(
        cpu=True, log_with=["tensorboard", rows], project_dir=tmp_path
    )
    accelerator.init_trackers("gan", config={"lr": 0.1})
    yield accelerator
    accelerator.end_training()


def test_each_tracker_gets_each_row(accelerator: Any, rows: Rows, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    group = LossGroup(["recon", "kl"], AccelerateLogger(accelerator))

    for step in range(5):
        group.update({"recon": 1.0 + step, "kl": 4.0}, do_backwards=False)
    accelerator.end_training()

    events = EventAccumulator(str(tmp_path / "gan"))
    events.Reload()
    curve = [(event.step, event.value) for event in events.Scalars("loss/total")]
    assert curve == [(step, 5.0 + step) for step in range(5)]
    assert [(step, row["loss/total"]) for step, row in rows.rows] == curve
    assert rows.configuration["lr"] == 0.1
    assert rows.configuration["loss_weighting/losses/2"] == "kl"
    assert rows.configuration["loss_weighting/weighting/method"] == "PlainSum"


def test_one_tracker_is_enough(rows: Rows) -> None:
    logger = AccelerateLogger(rows)
    trackers = [LossTracker(name, logger) for name in "GD"]

    for tracker in trackers:
        tracker.update(0.5, do_backwards=False)

    assert [(step, row["loss/G"]) for step, row in rows.rows[:1]] == [(0, 0.5)]
    assert [(step, row["loss/D"]) for step, row in rows.rows[1:]] == [(0, 0.5)]
    assert rows.configuration["loss_weighting/losses/2"] == "D"


def test_trackers_that_were_not_begun_are_warned_about_once() -> None:
    logger = AccelerateLogger(accelerate.Accelerator(cpu=True))

    with pytest.warns(RuntimeWarning, match="has no trackers: pass log_with, and call"):
        logger.log_metrics({"loss/G": 0.5}, step=0)
    logger.log_metrics({"loss/G": 0.5}, step=1)

    assert logger.failed == 2


def test_a_tracker_that_fails_stops_no_training(rows: Rows, monkeypatch: Any) -> None:
    tee = Tee(AccelerateLogger(rows))
    monkeypatch.setattr(rows, "log", lambda *_, **__: 1 / 0)

    with pytest.warns(RuntimeWarning, match="AccelerateLogger failed"):
        tee.log_metrics({"loss/G": 0.5}, step=0)

    assert tee.failed == 1


def test_what_has_no_adapter_is_told_which(rows: Rows) -> None:
    with pytest.raises(TypeError, match=r"got Rows: wrap it as AccelerateLogger\(tracker\)$"):
        check_logger(rows)
    with pytest.raises(TypeError, match=r"wrap it as AccelerateLogger\(accelerator\)$"):
        check_logger(accelerate.Accelerator(cpu=True))
    with pytest.raises(TypeError, match=r"an Accelerator, or one of its trackers, is needed"):
        AccelerateLogger(None)
