"""With Fabric a group works as it is, so there is no code of ours: only that it does."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import CoVWeighting, LossGroup

pytest.importorskip("lightning", reason="needs the lightning extra")

from lightning.fabric import Fabric
from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.plugins import MixedPrecision

NAMES = ["recon", "kl"]


class Training:
    """A model with a group, set up as in Fabric's own examples."""

    def __init__(self, fabric: Any, logger: Any) -> None:
        torch.manual_seed(0)
        self.fabric = fabric
        model = nn.Linear(4, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        self.group = LossGroup(NAMES, logger, weighting=CoVWeighting(), backward=fabric.backward)
        self.raw: list[float] = []

    def train(self, images: Tensor) -> None:
        for batch in torch.split(images, 8):
            self.optimizer.zero_grad()
            code = self.model(batch)
            losses = {"recon": ((code - 1) ** 2).mean(), "kl": code.float().exp().mean()}
            self.group.update(losses)
            self.optimizer.step()
            self.raw.append(losses["recon"].item())

    def parts(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "losses": self.group}


def images(batches: int) -> Tensor:
    return torch.randn(8 * batches, 4, generator=torch.Generator().manual_seed(1))


def test_its_loggers_get_the_rows(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    fabric = Fabric(accelerator="cpu", devices=1, loggers=logger)
    training = Training(fabric, fabric.loggers)
    training.train(images(3))
    logger.save()

    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        found = [(int(row["step"]), float(row["loss/recon"])) for row in csv.DictReader(file)]
    assert found == list(enumerate(training.raw))


def test_its_gradient_scaler_scales_no_statistic() -> None:
    memory = MemoryLogger()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    precision = MixedPrecision("16-mixed", "cpu", scaler)
    training = Training(Fabric(accelerator="cpu", devices=1, plugins=[precision]), memory)
    training.train(images(3))

    assert memory["loss/recon"] == list(enumerate(training.raw))
    assert scaler.get_scale() == 1024.0


def test_a_run_that_a_checkpoint_resumes_gives_the_same_numbers(tmp_path: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    whole_rows, rows = MemoryLogger(), MemoryLogger()
    whole = Training(fabric, whole_rows)
    whole.train(images(6))

    first = Training(fabric, rows)
    first.train(images(6)[:24])
    fabric.save(tmp_path / "state.ckpt", first.parts())
    second = Training(fabric, rows)
    fabric.load(tmp_path / "state.ckpt", second.parts())
    second.train(images(6)[24:])

    assert [(step, row) for step, _, row in rows.rows] == [
        (step, row) for step, _, row in whole_rows.rows
    ]
    assert second.group.get_extra_state().equal(whole.group.get_extra_state())
    assert torch.equal(second.model.weight, whole.model.weight)
