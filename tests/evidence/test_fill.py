"""Parts of a metric are filled in from fits that give the metric which was reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from evidence import fill

if TYPE_CHECKING:
    from evidence.fit import Fit

FILE = Path(__file__).parents[2] / "evidence" / "results.json"


@pytest.fixture
def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    del found["problems"]["digits_unit"]["methods"]["constant"]["parts"]
    return found


def trained(results: dict[str, Any], better: float) -> tuple[list[Fit], Any]:
    """A training that has the reported metric, or one so many times as good."""
    fits: list[Fit] = []

    def train(fit: Fit) -> dict[str, Any]:
        fits.append(fit)
        logs = results["problems"][fit.problem]["methods"]["constant"]["logs"][-1]
        return {
            "start": [10.0] * 10,
            "curve": [(np.exp(logs) / better).tolist()],
            "collapsed": [False] * 10,
            "parts": {"classify": [0.1 * seed for seed in range(10)], "draw": [1.0] * 10},
        }

    return fits, train


def test_the_chosen_fit_is_trained_again(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, train = trained(results, better=1.0)
    monkeypatch.setattr(fill, "train", train)

    fill.fill(results)

    (fit,) = fits
    assert (fit.problem, fit.method, fit.weights) == ("digits_unit", "constant", (("draw", 100.0),))
    parts = results["problems"]["digits_unit"]["methods"]["constant"]["parts"]
    assert parts["classify"] == pytest.approx([0.1 * seed for seed in range(10)])


def test_another_metric_is_an_error(
    results: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "train", trained(results, better=1.1)[1])

    with pytest.raises(ValueError, match="constant on digits_unit gives another metric"):
        fill.fill(results)
