"""With Accelerate a group works as it is, so there is no code of ours: only that it does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tests.forked import end, start
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from loss_loggers import AccelerateLogger, MemoryLogger
from multi_loss_weighting import CoVWeighting, LossGroup, UncertaintyWeighting

accelerate = pytest.importorskip("accelerate", reason="needs the accelerate extra")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ["recon", "kl"]


@pytest.fixture(autouse=True)
def _from_the_beginning() -> Iterator[None]:
    """Accelerate keeps its state in the process."""
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


class Training:
    """A model with a group, prepared as in Accelerate's own examples."""

    def __init__(self, accelerator: Any, logger: Any, weighting: Any = None) -> None:
        torch.manual_seed(0)
        images = torch.randn(48, 4, generator=torch.Generator().manual_seed(1))
        model = nn.Linear(4, 2)
        self.accelerator = accelerator
        self.group = LossGroup(
            NAMES, logger, weighting=weighting or CoVWeighting(), backward=accelerator.backward
        )
        parameters = [{"params": list(model.parameters())}]
        parameters += [self.group.parameter_group()] if weighting else []
        self.model, self.optimizer, self.loader = accelerator.prepare(
            model, torch.optim.Adam(parameters, lr=0.1), DataLoader(TensorDataset(images), 8)
        )
        accelerator.register_for_checkpointing(self.group)
        self.raw: list[dict[str, float]] = []

    def losses_of(self, images: Tensor) -> dict[str, Tensor]:
        code = self.model(images)
        losses = {"recon": ((code - 1) ** 2).mean(), "kl": code.exp().mean()}
        self.raw.append({name: loss.item() for name, loss in losses.items()})
        return losses

    def epoch_by_steps(self) -> None:
        """One row per step of the optimizer."""
        for (images,) in self.loader:
            with self.accelerator.accumulate(self.model):
                losses = self.losses_of(images)
                self.accelerator.backward(self.group.weigh(losses))
                self.group.accumulate(losses)
                if self.accelerator.sync_gradients:
                    self.group.record()
                self.optimizer.step()
                self.optimizer.zero_grad()

    def epoch(self) -> None:
        for (images,) in self.loader:
            with self.accelerator.accumulate(self.model):
                self.group.update(self.losses_of(images))
                self.optimizer.step()
                self.optimizer.zero_grad()


def test_its_backward_scales_for_accumulation_and_no_statistic() -> None:
    memory = MemoryLogger()
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
    training = Training(accelerator, memory)
    (images,) = next(iter(training.loader))
    with accelerator.accumulate(training.model):
        total = training.group.update(training.losses_of(images))
    gradient = training.model.weight.grad.clone()

    twin = Training(accelerator, None)
    twin.group.weigh(twin.losses_of(images)).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(gradient, twin.model.weight.grad / 4)
    assert memory["loss/recon"] == [(0, training.raw[0]["recon"])]
    assert memory["loss/total"] == [(0, total.item())]


def test_batches_that_accumulate_are_one_row_of_their_mean() -> None:
    memory = MemoryLogger()
    training = Training(accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4), memory)
    training.epoch_by_steps()

    pieces = [training.raw[:4], training.raw[4:]]
    means = [sum(one["recon"] for one in piece) / len(piece) for piece in pieces]
    assert [step for step, _ in memory["loss/recon"]] == [0, 1]
    assert [value for _, value in memory["loss/recon"]] == pytest.approx(means, rel=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_a_run_that_a_checkpoint_resumes_gives_the_same_numbers(
    tmp_path: Path, learned: bool
) -> None:
    def training(logger: Any) -> Training:
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
        return Training(accelerator, logger, UncertaintyWeighting(2) if learned else None)

    whole_rows, rows = MemoryLogger(), MemoryLogger()
    whole = training(whole_rows)
    for _ in range(4):
        whole.epoch()

    first = training(rows)
    first.epoch()
    first.epoch()
    first.accelerator.save_state(str(tmp_path / "state"))
    second = training(rows)
    second.accelerator.load_state(str(tmp_path / "state"))
    second.epoch()
    second.epoch()

    assert [row for _, _, row in rows.rows] == [row for _, _, row in whole_rows.rows]
    assert [step for step, _, _ in rows.rows] == list(range(24))
    assert second.group.get_extra_state().equal(whole.group.get_extra_state())
    assert torch.equal(second.model.weight, whole.model.weight)
    assert len(set(whole_rows["weight/kl"])) > 2


def test_any_tracker_of_accelerate_gets_the_rows(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accelerator = accelerate.Accelerator(cpu=True, log_with="tensorboard", project_dir=tmp_path)
    accelerator.init_trackers("vae")
    training = Training(accelerator, AccelerateLogger(accelerator))
    training.epoch()
    accelerator.end_training()

    events = EventAccumulator(str(tmp_path / "vae"))
    events.Reload()
    curve = [(event.step, event.value) for event in events.Scalars("loss/recon")]
    assert curve == [(step, losses["recon"]) for step, losses in enumerate(training.raw)]


# Accelerate starts the processes, as its launcher does, and they meet by gloo.
SCRIPT = """
import json, sys
from pathlib import Path

import torch
from accelerate import Accelerator, debug_launcher
from torch.utils.data import DataLoader, TensorDataset

from loss_loggers import MemoryLogger
from multi_loss_weighting import AutomaticWeightedLoss, CoVWeighting, LossGroup


def train(folder):
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    net, memory = torch.nn.Linear(4, 2), MemoryLogger()
    group = LossGroup(["recon", "kl"], memory, weighting=CoVWeighting())
    learned = LossGroup(["size"], weighting=AutomaticWeightedLoss(1))
    optimizer = torch.optim.SGD([{"params": net.parameters()}, learned.parameter_group()], lr=0.05)
    images = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    model, optimizer, loader = accelerator.prepare(
        net, optimizer, DataLoader(TensorDataset(images), batch_size=8)
    )
    for (batch,) in loader:
        with accelerator.accumulate(model):
            code = model(batch)
            losses = {"recon": ((code - 1) ** 2).mean(), "kl": code.exp().mean()}
            size = {"size": losses["kl"]}
            accelerator.backward(group.weigh(losses) + learned.weigh(size))
            group.accumulate(losses)
            learned.accumulate(size)
            if accelerator.sync_gradients:
                group.record()
                learned.record()
            optimizer.step()
            optimizer.zero_grad()
    result = {
        "rows": len(memory.rows),
        "weight": net.weight.tolist(),
        "learned": learned.weights,
        "state": group.get_extra_state().tolist(),
    }
    rank = accelerator.process_index
    Path(folder, f"rank{rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    debug_launcher(train, (sys.argv[1],), num_processes=2)
"""


def test_two_processes_train_as_one_and_rank_0_alone_writes(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)

    process = start(script, str(tmp_path), said=tmp_path / "said")

    assert end(process, 300) == 0, (tmp_path / "said").read_text()
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    assert (first.pop("rows"), second.pop("rows")) == (2, 0)
    assert first == second
    assert first["learned"]["size"] != 0.5
