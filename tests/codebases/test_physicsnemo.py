from __future__ import annotations

import numpy as np
import torch
from torch import nn

from loss_loggers import read_run

from .page import changes, run

(CHANGE,) = changes("PhysicsNeMo")


def test_each_step_has_its_losses_and_weights_by_their_gradients() -> None:
    torch.manual_seed(0)

    after = run(CHANGE.after, {})

    recorded = read_run("runs/nemo")
    assert recorded["equation"]["step"].tolist() == [*range(20)]
    assert recorded["equation"]["loss"][-1] == after["losses"]["equation"].item()
    assert np.ptp(recorded["boundary"]["weight"]) > 0


def test_with_weights_of_1_it_trains_as_before() -> None:
    same = CHANGE.after.replace("weighting=weighting", "weighting=None")
    trained = []
    for code in (CHANGE.before, same):
        torch.manual_seed(0)
        trained.append(nn.utils.parameters_to_vector(run(code, {})["net"].parameters()))

    assert torch.equal(*trained)
