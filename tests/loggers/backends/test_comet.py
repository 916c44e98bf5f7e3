from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from loss_loggers import CometLogger
from multi_loss_weighting import LossTracker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


comet_ml = pytest.importorskip("comet_ml", reason="needs the comet extra")


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Any]:
    """An experiment that talks to nobody, in `tmp_path`."""
    # Without details of the machine, for which it waits a second at the end.
    experiment = comet_ml.OfflineExperiment(
        offline_directory=str(tmp_path), log_env_details=False, display_summary_level=0
    )
    yield experiment
    experiment.end()


def messages(folder: Path, kind: str) -> list[dict[str, Any]]:
    """What Comet would have sent."""
    (path,) = folder.glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        lines = map(json.loads, archive.read("messages.json").splitlines())
        return [line["payload"] for line in lines if line["type"] == kind]


def curves(folder: Path) -> dict[str, list[tuple[Any, float]]]:
    found: dict[str, list[tuple[Any, float]]] = {}
    for payload in messages(folder, "metric_msg"):
        metric = payload["metric"]
        if metric["metricName"] != "process duration":
            point = (metric["step"], float(metric["metricValue"]))
            found.setdefault(metric["metricName"], []).append(point)
    return found


def test_the_step_and_the_epoch_stay_the_users(experiment: Any, tmp_path: Path) -> None:
    trackers = [LossTracker(name, CometLogger(experiment), weight=0.5) for name in "GD"]

    for loss in (1.0, 0.5):
        trackers[0].update(loss, do_backwards=False)
        trackers[1].update(loss, do_backwards=False, step=7)
        experiment.log_metric("without", loss)
    experiment.set_step(100)
    experiment.set_epoch(3)
    trackers[0].update(0.25, do_backwards=False)
    experiment.log_metric("mine", 1.0)
    experiment.end()

    found = curves(tmp_path)
    assert found["without"] == [(None, 1.0), (None, 0.5)]
    assert found["mine"] == [(100, 1.0)]
    assert found["loss/G"] == [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert found["loss/D"] == [(7, 1.0), (7, 0.5)]
    assert (experiment.curr_step, experiment.curr_epoch) == (100, 3)


def test_steps_may_repeat_go_back_and_be_numpy(experiment: Any, tmp_path: Path) -> None:
    logger = CometLogger(experiment)
    steps: list[Any] = [np.int64(7), 3, 3, torch.tensor(5)]

    for value, step in enumerate(steps):
        logger.log_metrics({"loss/G": value}, step=step)
    experiment.end()

    assert curves(tmp_path)["loss/G"] == [(7, 0.0), (3, 1.0), (3, 2.0), (5, 3.0)]


def test_names_that_comet_would_cut_stay_apart(experiment: Any, tmp_path: Path) -> None:
    CometLogger(experiment).log_metrics({"l" * 101: 1.0, "l" * 102: 2.0}, step=0)
    experiment.end()

    assert curves(tmp_path) == {"l" * 100: [(0, 1.0)], "l" * 98 + "_2": [(0, 2.0)]}


def test_an_experiment_that_is_over_gets_nothing(experiment: Any, tmp_path: Path) -> None:
    logger = CometLogger(experiment)
    logger.log_metrics({"loss/G": 0.5}, step=0)
    experiment.end()

    with pytest.warns(RuntimeWarning, match="cannot deliver: the experiment has ended") as caught:
        log_more(logger)

    assert len(caught) == 1
    assert logger.failed == 2
    assert curves(tmp_path)["loss/G"] == [(0, 0.5)]
    with pytest.raises(ValueError, match="an experiment that is running is needed; this one has"):
        CometLogger(experiment)


def log_more(logger: CometLogger) -> None:
    for step in (1, 2):
        logger.log_metrics({"loss/G": 0.5}, step=step)
    logger.log_hyperparams({"losses": ["G"]})


def test_a_disabled_experiment_is_warned_about_once() -> None:
    experiment = comet_ml.OfflineExperiment(disabled=True, display_summary_level=0)

    with pytest.warns(RuntimeWarning, match="cannot deliver: the experiment is disabled") as caught:
        logger = CometLogger(experiment)
    logger.log_metrics({"loss/G": 0.5}, step=0)

    assert len(caught) == logger.failed == 1


def test_what_is_no_experiment_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"a Comet experiment, .* is needed; got module"):
        CometLogger(comet_ml)
