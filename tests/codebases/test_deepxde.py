from __future__ import annotations

import deepxde as dde
import numpy as np

from loss_loggers import read_run

from .page import changes, run

(CHANGE,) = changes("DeepXDE")


def test_each_step_has_its_losses_and_weights_by_their_gradients() -> None:
    dde.config.set_random_seed(0)

    before, after = run(CHANGE.before, {}), run(CHANGE.after, {})

    recorded, history = read_run("runs/poisson"), after["model"].losshistory
    assert recorded["equation"]["step"].tolist() == [*range(20)]
    assert np.ptp(recorded["boundary"]["weight"]) > 0
    # What DeepXDE shows is what it showed before: the single losses.
    assert len(history.loss_train[-1]) == len(before["model"].losshistory.loss_train[-1]) == 2
    assert np.isclose(history.loss_train[0][0], recorded["equation"]["loss"][0], rtol=1e-4)
    assert history.loss_train[-1].sum() < history.loss_train[0].sum()


def test_with_weights_of_1_it_trains_as_before() -> None:
    same = CHANGE.after.replace("weighting=weighting", "weighting=None")
    losses = []
    for code in (CHANGE.before, same):
        dde.config.set_random_seed(0)
        losses.append(run(code, {})["model"].losshistory.loss_train[-1])

    assert np.allclose(losses[0], losses[1], rtol=1e-4)
