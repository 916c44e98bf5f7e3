from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from loss_loggers import read_run

from .page import changes, run

(CHANGE,) = changes("timm: distillation")


def what_is_open() -> dict[str, Any]:
    torch.manual_seed(0)
    student, teacher = (timm.create_model("resnet10t", num_classes=3) for _ in range(2))
    batches = [(torch.randn(4, 3, 32, 32), torch.randint(3, (4,))) for _ in range(3)]
    return {"student": student.train(), "teacher": teacher, "loader": batches}


def test_the_training_is_the_same_and_each_loss_is_recorded() -> None:
    before, after = run(CHANGE.before, what_is_open()), run(CHANGE.after, what_is_open())

    old, new = (
        nn.utils.parameters_to_vector(side["student"].parameters()) for side in (before, after)
    )
    recorded = read_run("runs/distillation")
    assert torch.allclose(old, new, atol=1e-5)
    assert recorded["task"]["step"].tolist() == recorded["kd"]["step"].tolist() == [0, 1, 2]
    assert recorded["kd"]["weight"].tolist() == [0.5] * 3
    assert recorded["total"]["loss"][-1] == pytest.approx(after["result"]["loss"].item(), rel=1e-5)
    assert recorded["kd"]["loss"][-1] == after["result"]["kd_loss"].item()
