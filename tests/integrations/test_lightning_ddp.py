from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.forked import end, start

pytest.importorskip("lightning", reason="needs the lightning extra")

if TYPE_CHECKING:
    from pathlib import Path

# Lightning starts the same script again for the other rank, as it does for its users.
SCRIPT = """
import json, sys
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from loss_loggers import MemoryLogger
from multi_loss_weighting import AutomaticWeightedLoss, CoVWeighting, LossGroup
from multi_loss_weighting.integrations.lightning import LossCallback


class VAE(LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 2)
        self.memory = MemoryLogger()
        self.losses = LossGroup(["recon", "kl"], self.memory, weighting=CoVWeighting())
        self.learned = LossGroup(["size"], scope="own", weighting=AutomaticWeightedLoss(1))
        self.validation = LossGroup(scope="val")

    def losses_of(self, batch):
        code = self.layer(batch[0])
        return {"recon": ((code - 1) ** 2).mean(), "kl": code.exp().mean()}

    def training_step(self, batch, _):
        losses = self.losses_of(batch)
        return self.losses(losses) + self.learned({"size": losses["kl"]})

    def validation_step(self, batch, _):
        self.validation(self.losses_of(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


folder = Path(sys.argv[1])
images = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
loader = DataLoader(TensorDataset(images), batch_size=8)
model = VAE()
trainer = Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, accumulate_grad_batches=2,
    logger=CSVLogger(folder, name="", version=""), callbacks=[LossCallback()],
    enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
)
trainer.fit(model, loader, loader)
result = {
    "layer": model.layer.weight.tolist(),
    "learned": model.learned.weights,
    "next_weights": model.losses.next_weights(),
    "counts": {name: model.losses[name].count for name in model.losses},
    "own_rows": len(model.memory.rows),
}
(folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(result))
"""


def test_two_processes_train_as_one_and_rank_0_alone_writes(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)

    process = start(script, str(tmp_path), said=tmp_path / "said")

    assert end(process, 900) == 0, (tmp_path / "said").read_text()
    ranks: list[dict[str, Any]] = [
        json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)
    ]
    assert ranks[0]["layer"] == ranks[1]["layer"]
    assert ranks[0]["learned"] == ranks[1]["learned"]
    assert ranks[0]["next_weights"] == ranks[1]["next_weights"]
    assert ranks[0]["counts"] == ranks[1]["counts"] == {"recon": 4, "kl": 4}
    assert [rank["own_rows"] for rank in ranks] == [4 + 2, 0]  # steps and epochs
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("loss/kl", "loss/own/size"):
        assert [row["step"] for row in rows if row[name]] == ["0", "1", "2", "3"]
    for name in ("loss/val/kl", "epoch_loss/kl", "epoch_loss/own/size"):
        assert [row["step"] for row in rows if row[name]] == ["1", "3"]
