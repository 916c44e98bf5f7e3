"""The old README's way to use a LossTracker, with a real Comet experiment."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from loss_loggers import Rename
from multi_loss_weighting import LossTracker

if TYPE_CHECKING:
    from pathlib import Path

comet_ml = pytest.importorskip("comet_ml")

TRACKER_WARMUP = 30
EPOC_BATCHES = 20
STEPS = 60


class Losses(nn.Module):
    """Three losses that fall at their own pace."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({name: torch.tensor(1.0) for name in "GDE"})

    def forward(self, name: str, step: int) -> torch.Tensor:
        loss: torch.Tensor = (self.weights[name] - 0.1 * (step % 3)) ** 2 + 0.1
        return loss


def train(logger: Any, experiment: Any) -> dict[str, LossTracker]:
    """The snippet, whose names these are, in a loop."""
    max_loss = {"G": 100, "D": 100, "E": 100}
    loss_weight = {"G": 0.1, "D": 0.001, "E": 1}
    loss_stats = {
        name: LossTracker(
            name,
            logger,
            weight=loss_weight[name],
            max_loss=max_loss[name],
            block_size=EPOC_BATCHES,
            warmup=TRACKER_WARMUP,
        )
        for name in ("G", "D", "E")
    }
    losses = Losses()
    optimizer = torch.optim.SGD(losses.parameters(), lr=0.1)
    for step in range(STEPS):
        for name in ("G", "D", "E"):
            optimizer.zero_grad()
            loss_stats[name].update(losses(name, step))
            optimizer.step()
    experiment.end()
    return loss_stats


@pytest.fixture
def experiment(tmp_path: Path) -> Any:
    return comet_ml.OfflineExperiment(
        project_name="old-readme",
        offline_directory=str(tmp_path),
        log_code=False,
        log_graph=False,
        log_git_metadata=False,
        log_git_patch=False,
        log_env_details=False,
        parse_args=False,
        display_summary_level=0,
    )


def read(folder: Path) -> dict[str, dict[int, float]]:
    """What arrived, by metric and step."""
    metrics: dict[str, dict[int, float]] = {}
    (archive,) = folder.glob("*.zip")
    with zipfile.ZipFile(archive) as files:
        for line in files.read("messages.json").decode().splitlines():
            message = json.loads(line)
            if message["type"] == "metric_msg":
                metric = message["payload"]["metric"]
                values = metrics.setdefault(metric["metricName"], {})
                values[metric["step"]] = float(metric["metricValue"])
    return metrics


def test_an_experiment_takes_the_rows_as_it_is(tmp_path: Path, experiment: Any) -> None:
    loss_stats = train(experiment, experiment)

    metrics = read(tmp_path)
    for name, tracker in loss_stats.items():
        for statistic in ("loss", "weight", "weighted", "mean", "std", "var", "cov", "cov_weight"):
            assert list(metrics[f"{statistic}/{name}"]) == list(range(STEPS))
        assert list(metrics[f"loss/{name}"].values()) == pytest.approx(tracker.get_history())
        assert metrics[f"mean/{name}"][STEPS - 1] == pytest.approx(tracker.mean)
        assert list(metrics[f"block_mean/{name}"]) == [19, 39, 59]
    weights = metrics["weight/D"]
    assert {weights[step] for step in range(TRACKER_WARMUP)} == {0.001}
    assert weights[TRACKER_WARMUP] == pytest.approx(metrics["cov_weight/D"][TRACKER_WARMUP - 1])


def test_old_dashboards_find_their_names(tmp_path: Path, experiment: Any) -> None:
    train(Rename("{loss}_{stat}", experiment), experiment)

    metrics = read(tmp_path)
    for name in ("G", "D", "E"):
        for statistic in ("loss", "cov", "cov_weight", "var", "std"):
            assert len(metrics[f"{name}_{statistic}"]) == STEPS
