"""What is foretold is what `LossGroup.diagnose` tells a user."""

from __future__ import annotations

import pytest
import torch
from evidence.predictor import EVERY, STEPS, Observer, claim_by_advice, claim_by_bounds
from evidence.problems import PROBLEMS

from multi_loss_weighting import LossGroup


def test_an_observer_of_one_network_says_what_diagnose_says() -> None:
    problem = PROBLEMS["circuit_unit"]
    task = problem.make([0])
    group = LossGroup(problem.losses)
    diagnosis = group.diagnose(task.shared, steps=STEPS, every=EVERY)
    observer = Observer(problem.losses)
    optimizer = torch.optim.Adam(task.parameters, lr=0.01)

    for step in range(STEPS + 1):
        losses = task.losses(step)
        observer.look(torch.stack([*losses.values()], dim=1), task.shared, step)
        optimizer.zero_grad()
        group.update({name: loss[0] for name, loss in losses.items()})
        optimizer.step()

    ours, theirs = observer.advice(), diagnosis.advice
    assert ours.measurements == theirs.measurements == STEPS // EVERY
    assert ours.sentences == theirs.sentences
    assert ours.ratio == pytest.approx(theirs.ratio, rel=1e-4)


@pytest.mark.parametrize(("ratio", "claim"), [(31, True), (30, None), (4, None), (3.9, False)])
def test_a_claim_goes_by_the_bounds(ratio: float, claim: bool | None) -> None:
    assert claim_by_bounds({"ratio": ratio}) is claim


def test_the_advice_nothing_claims_that_neither_method_wins() -> None:
    assert claim_by_advice({"advice": "nothing"}) == (("normalized", "shares"), False)
    assert claim_by_advice({"advice": "one size"}) == (("normalized",), True)
