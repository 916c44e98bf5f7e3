"""Loggers of Lightning fit as they are, so there is no adapter to test: only that they do."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from loss_loggers import Logger, Tee
from multi_loss_weighting import LossGroup, LossTracker
from multi_loss_weighting.weighting import StaticWeighting

loggers = pytest.importorskip("lightning.pytorch.loggers", reason="needs lightning")


def train(logger: Any) -> Tee:
    """Twenty steps of a group and a tracker, with hyperparameters."""
    tee = Tee(logger)
    group = LossGroup(["recon", "kl"], tee, weighting=StaticWeighting(kl=0.5), block_size=5)
    tracker = LossTracker("G", tee)
    for step in range(20):
        group.update({"recon": 1.0 + step, "kl": 4.0}, do_backwards=False)
        tracker.update(step / 4, do_backwards=False)
    return tee


def expected() -> dict[str, list[tuple[int, float]]]:
    return {
        "loss/total": [(step, 3.0 + step) for step in range(20)],
        "loss/G": [(step, step / 4) for step in range(20)],
    }


def test_its_csv_logger_gets_each_row(tmp_path: Path) -> None:
    logger = loggers.CSVLogger(tmp_path)

    tee = train(logger)
    tee.close()

    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {
        name: [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        for name in expected()
    }
    assert found == expected()
    assert "StaticWeighting" in (Path(logger.log_dir) / "hparams.yaml").read_text()
    assert isinstance(logger, Logger)
    assert tee.failed == tee.withheld == 0


def test_its_tensorboard_logger_gets_each_row(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = loggers.TensorBoardLogger(tmp_path)

    tee = train(logger)
    tee.close()

    events = EventAccumulator(logger.log_dir)
    events.Reload()
    found = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in expected()}
    assert found == expected()
    assert tee.failed == tee.withheld == 0


def test_its_mlflow_logger_gets_each_row(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    logger = loggers.MLFlowLogger(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")

    # Two were introduced, and MLflow takes no parameter twice: that concerns no row.
    with pytest.warns(RuntimeWarning, match="Changing param values is not allowed"):
        tee = train(logger)
    tee.close()

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    found = {
        name: [(m.step, m.value) for m in client.get_metric_history(logger.run_id, name)]
        for name in expected()
    }
    assert found == expected()
    assert tee.failed == tee.withheld == 0
