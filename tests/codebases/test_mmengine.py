from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from loss_loggers import read_run

from .page import changes, run

(CHANGE,) = changes("MMEngine")


def trained(code: str) -> dict[str, Any]:
    torch.manual_seed(0)
    samples: Any = [{"inputs": torch.randn(4), "targets": torch.randn(2)} for _ in range(16)]
    return run(code, {"loader": DataLoader(samples, batch_size=4)})


def test_a_model_weighs_its_losses_and_has_the_group_in_its_checkpoints() -> None:
    runner = trained(CHANGE.after)["runner"]

    recorded = read_run("runs/mmengine")
    assert recorded["loss_cls"]["step"].tolist() == [*range(8)]
    assert recorded["loss_box"]["weight"][-1] != 0.5
    saved = torch.load("work/epoch_2.pth", weights_only=False)["state_dict"]
    state = saved["group._extra_state"]
    assert torch.equal(state, runner.model.state_dict()["group._extra_state"])


def test_with_weights_of_1_it_trains_as_before() -> None:
    same = CHANGE.after.replace("weighting=CoVWeighting()", "weighting=None")

    old, new = (
        nn.utils.parameters_to_vector(trained(code)["runner"].model.parameters())
        for code in (CHANGE.before, same)
    )

    assert torch.equal(old, new)
