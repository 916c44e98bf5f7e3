"""The page says what the results file says, and nothing by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from evidence.report.findings import did_not_help, helped, in_short, predicted
from evidence.report.page import page

TOP = Path(__file__).parents[2]
SEEDS = 10


def method(ratio: float, *, cost: float = 1.0, failed: int = 0) -> dict[str, Any]:
    """A method whose metric is about so many times that of the plain sum, 0.5."""
    noise = np.linspace(-0.01, 0.01, SEEDS) if ratio != 1 else np.zeros(SEEDS)
    logs = np.log(0.5 * ratio) + noise
    return {
        "logs": [(logs + 1).tolist(), logs.tolist()],
        "failed": [1] * failed + [0] * (SEEDS - failed),
        "chosen": [{"rate": 0.1, "weights": {"a": 1.0, "b": 2.0}}] * 2,
        "is_at_edge": failed > 0,
        "cost": {"ratio": cost},
    }


def problem(title: str, family: str, advice: dict[str, Any], **methods: Any) -> dict[str, Any]:
    told = {"ratio_of_one_size": 2.0, "least_cosine": 0.1, "is_sure": True}
    return {
        "title": title,
        "family": family,
        "losses": ["a", "b"],
        "metric": "error",
        "steps": 100,
        "rates": [0.1],
        "constants": {"b": [1.0, 2.0]},
        "targets": {},
        "advice": told | advice,
        "methods": {"plain": method(1.0), "equal": method(1.0), **methods},
    }


RESULTS = {
    "mode": "standard",
    "seeds": SEEDS,
    "left_out": ["A long one"],
    "methods": {
        name: {"title": f"`{name}`"} for name in ("plain", "equal", "normalized", "shares", "cov")
    },
    "problems": {
        "apart": problem(
            "Apart",
            "should matter",
            {"ratio": 100.0, "advice": "one size"},
            normalized=method(1.0),
            shares=method(0.5, cost=2.0),
            cov=method(1.5, failed=3),
        ),
        "alike": problem(
            "Alike",
            "should not matter",
            {"ratio": 2.0, "advice": "nothing"},
            normalized=method(1.0),
            shares=method(1.0),
            cov=method(1.0),
        ),
    },
}


def test_the_page_in_the_repository_is_that_of_the_results_in_it() -> None:
    results = json.loads((TOP / "evidence" / "results.json").read_text(encoding="utf-8"))

    assert (TOP / "docs" / "evidence.md").read_text(encoding="utf-8") == page(results)


def test_wins_are_bold_and_losses_in_italics() -> None:
    text = page(RESULTS)

    assert "| `shares` | **.50** |" in text
    assert "| `cov` | *1.50* |" in text
    assert "| `normalized` | 1.00 |" in text
    assert "| `cov` | 0 | 1 | 1 | 0 / 1 / 1 | 3 | 1.0 |" in text


def test_at_equal_time_a_method_of_twice_the_cost_is_read_at_half_of_its_steps() -> None:
    assert "| `shares` | **.50 [.50, .50]** | *1.36 [1.35, 1.37]* |" in page(RESULTS)


def test_what_helped_and_what_did_not_are_counted() -> None:
    assert "- Apart: `shares` .50.\n- Alike: nothing did.\n" in helped(RESULTS)
    assert "- `cov`: 0 wins of 2, 1 loss; the worst is Apart, 1.50; 3 seeds failed.\n" in (
        did_not_help(RESULTS)
    )
    assert "`shares`" not in did_not_help(RESULTS)


def test_hits_and_misses_of_the_predictor_are_counted() -> None:
    text = predicted(RESULTS)

    assert "| Apart | 100 | 2.00 | 0.10 | one size | hit | **miss** |" in text
    assert "| Alike | 2.00 | 2.00 | 0.10 | nothing | hit | hit |" in text
    assert "By the bounds 2 hits, 0 misses, 0 without a claim; who always" in text
    assert "does not win would have 1 of the same claims right." in text
    assert "by its advice 1 hit, 1 miss, 0 without a claim" in in_short(RESULTS)
