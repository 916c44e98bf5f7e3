"""What is told as the mean of some steps is the mean of the rows recorded at these steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from loss_dashboard.curves.comparison import compared


def run(**every: int) -> dict[str, dict[str, Any]]:
    """Losses that are recorded at every so many steps of 2001, each another curve."""
    steps = {name: np.arange(many - 1, 2001, many) for name, many in every.items()}
    return {name: {"step": own, "loss": own % 97 + len(name)} for name, own in steps.items()}


@pytest.mark.parametrize(("first", "last"), [(None, None), (500, 1250), (1234, 1777), (1900, None)])
@pytest.mark.parametrize(
    "runs",
    [
        [run(x=1, val=100), run(x=1, val=100)],
        [run(x=1), run(x=7)],
        [run(x=3, val=50), run(x=7, val=50), run(y=11)],
    ],
)
def test_means_are_of_the_steps_that_are_told(
    runs: list[Any], first: float | None, last: float | None
) -> None:
    told = compared(runs, first, last)

    begin, end = told[0]["first"], told[0]["last"]
    reached = [max(max(own["step"][own["step"] <= (last or 2000)]) for own in one.values())
               for one in runs]  # fmt: skip
    assert end == min(reached)
    for one, losses in ((one["losses"], losses) for one, losses in zip(told, runs, strict=True)):
        for name, mean in one.items():
            until = end if mean["last"] >= begin else mean["last"]
            length, steps = end - begin, losses[name]["step"]
            there = (steps >= until - length) & (steps <= until)
            assert mean["mean"] == pytest.approx(losses[name]["loss"][there].mean())
            assert mean["last"] == until
