"""What docs/codebases.md shows and needs no package of others: plain loops, and several ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.codebases.page import changes, code, run
from tests.loggers.delivery.mlflow_server import MlflowServer
from tests.ranks.launch import on_ranks
from tests.several_machines import MODEL
from torch import Tensor, nn

from loss_loggers import read_run

if TYPE_CHECKING:
    from pathlib import Path

BATCHES = [torch.full((2, 4), 1.0 + step) for step in range(5)]
RANKS = 2

OPEN = """
torch.manual_seed(0)
model = Model()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
torch.manual_seed(int(__import__("os").environ["RANK"]))
loader = [(torch.randn(8, 4), torch.randn(8, 2)) for _ in range(5)]
"""


class Detector(nn.Module):
    """A model of detectron2's form: a dict of losses."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        classes, boxes = self.layer(images).unbind(1)
        return {"loss_cls": classes.exp().mean(), "loss_box_reg": boxes.square().mean()}


class SimpleTrainer:
    """A trainer of detectron2's form: what `run_step` finds."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model: Any = Detector()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-2)
        self._data_loader_iter = iter(BATCHES)
        self.written: list[set[str]] = []

    def train(self) -> Tensor:
        for _ in BATCHES:
            self.run_step()
        return nn.utils.parameters_to_vector(self.model.parameters())

    def run_step(self) -> None:
        raise NotImplementedError

    def _write_metrics(self, loss_dict: dict[str, Tensor], data_time: float) -> None:
        assert data_time >= 0
        self.written.append({*loss_dict})


def test_a_trainer_of_detectron2s_form_trains_as_before_and_has_each_loss() -> None:
    (change,) = changes("detectron2")

    old, new = (
        run(side, {"SimpleTrainer": SimpleTrainer})["Trainer"]()
        for side in (change.before, change.after)
    )

    assert torch.equal(old.train(), new.train())
    assert old.written == new.written == [{"loss_cls", "loss_box_reg"}] * len(BATCHES)
    assert read_run("runs/detector")["loss_box_reg"]["step"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed")
def test_all_ranks_send_to_one_mlflow_and_the_first_keeps_the_record(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    server = MlflowServer(mlflow_uri).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    (tmp_path / "train.py").write_text(MODEL + OPEN + code("Several machines"))
    try:
        codes, said = on_ranks(RANKS, tmp_path, tmp_path / "train.py")
        assert codes == [0] * RANKS, said
        recorded, client = read_run("runs/all"), mlflow.MlflowClient(server.address)
        (sent,) = client.search_runs(["0"])

        def curve(name: str) -> list[float]:
            history = client.get_metric_history(sent.info.run_id, name)
            return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]

        own = [curve(f"loss/rank{rank}/kl") for rank in range(RANKS)]
        shared = curve("loss/kl")
    finally:
        server.kill()

    assert shared == pytest.approx(recorded["kl"]["loss"].tolist())
    assert shared == pytest.approx([sum(values) / RANKS for values in zip(*own, strict=True)])
    assert len({values[0] for values in own}) == RANKS
    assert len(shared) == 5
