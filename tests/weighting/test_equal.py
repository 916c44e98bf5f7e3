from __future__ import annotations

import pytest

from multi_loss_weighting import EqualWeighting, LossGroup

LOSSES = {"a": 1.0, "b": 2.0, "c": 6.0}


def test_it_is_the_mean_of_the_losses() -> None:
    group = LossGroup(weighting=EqualWeighting())

    assert group.update(LOSSES, do_backwards=False).item() == 3.0
    assert group.weights == pytest.approx(dict.fromkeys(LOSSES, 1 / 3))


def test_a_missing_loss_leaves_the_others_their_weight() -> None:
    group = LossGroup(tuple(LOSSES), weighting=EqualWeighting())

    assert group.update({"a": 1.0, "b": 2.0}, do_backwards=False).item() == 1.0
