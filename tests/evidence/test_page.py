"""The page says what the results file says, and nothing by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evidence.problems import PROBLEMS
from evidence.report.figure import _places
from evidence.report.findings import did_not_help, helped, in_short, predicted
from evidence.report.page import page
from evidence.report.tables import after_holm, at_edge, verdict, verdicts

TOP = Path(__file__).parents[2]
SEEDS = 10


def method(
    ratio: float, *, cost: float = 1.0, failed: int = 0, parts: Any = None
) -> dict[str, Any]:
    """A method whose metric is about so many times that of the plain sum, 0.5."""
    noise = np.linspace(-0.01, 0.01, SEEDS) if ratio != 1 else np.zeros(SEEDS)
    logs = np.log(0.5 * ratio) + noise
    return {
        "logs": [(logs + 1).tolist(), logs.tolist()],
        "failed": [1] * failed + [0] * (SEEDS - failed),
        "chosen": [{"rate": 0.1, "weights": {"a": 1.0, "b": 2.0}}] * 2,
        "parts": {name: [value] * SEEDS for name, value in (parts or {}).items()},
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


WHOLE = json.loads((TOP / "evidence" / "results.json").read_text(encoding="utf-8"))


def test_the_page_in_the_repository_is_that_of_the_results_in_it() -> None:
    assert (TOP / "docs" / "evidence.md").read_text(encoding="utf-8") == page(WHOLE)


def test_each_problem_says_how_near_its_metric_is_to_the_losses() -> None:
    for name, one in WHOLE["problems"].items():
        assert one["measures"] == PROBLEMS[name].measures != ""


def test_wins_are_bold_and_losses_in_italics() -> None:
    text = page(RESULTS)

    assert "| `shares` | **.50** |" in text
    assert "| `cov` | *1.50* |" in text
    assert "| `normalized` | 1 |" in text
    assert "| `cov` | 2 | 0 | 1 | 1 |  | 0 / 1 | 0 / 1 / 1 | 3 | 1.0 |" in text


def with_a_plain_sum_that_fails(**methods: Any) -> dict[str, Any]:
    one = problem("Dead", "should matter", {"ratio": 2.0, "advice": "nothing"}, **methods)
    one["methods"]["plain"] = method(1.0, failed=SEEDS)
    titles = {name: {"title": f"`{name}`"} for name in ("plain", "equal", *methods)}
    return RESULTS | {"methods": titles, "problems": {"dead": one}}


def test_a_tie_of_what_both_failed_counts_apart() -> None:
    results = with_a_plain_sum_that_fails(
        cov=method(1.0, failed=SEEDS),
        shares=method(1.0, failed=5),
        normalized=method(1.0, failed=4),
    )

    assert [verdict(results, "dead", name) for name in ("cov", "shares", "normalized")] == [
        *("both failed", "both failed", "tie")
    ]
    assert "| `cov` | 1 \N{MULTIPLICATION SIGN} |" in page(results)
    assert "| `cov` | 1 | 0 | 0 | 0 | 1 | 0 / 0 | 0 / 0 / 0 | 10 | 1.0 |" in page(results)


def test_a_win_of_next_to_nothing_over_a_failure_is_marked() -> None:
    results = with_a_plain_sum_that_fails(normalized=method(0.96), shares=method(0.5))
    text = page(results)

    assert verdicts(results, "normalized") == {"win": 1}
    assert "| `normalized` | **.960** † |" in text
    assert "| `shares` | **.50** |" in text
    assert "without it 0 wins and 0 losses" in text
    assert "`normalized` 1 win (1 in name alone)" in text


def test_holm_leaves_what_is_sure_among_all() -> None:
    noisy = method(0.5)
    noisy["logs"][-1] = np.log(0.5 * np.linspace(0.4, 1.1, SEEDS)).tolist()  # a win by a little
    assert after_holm(with_a_plain_sum_that_fails(cov=noisy))["cov"] == {"win": 1}
    many = {f"also {number}": method(1.0) for number in range(2000)}
    results = with_a_plain_sum_that_fails(cov=noisy, shares=method(0.5), **many)

    left = after_holm(results)

    assert verdict(results, "dead", "cov") == "win"
    assert left["cov"] == {}
    assert left["shares"] == {"win": 1}


def test_rows_without_a_seed_that_learned_are_at_no_edge() -> None:
    results = with_a_plain_sum_that_fails(cov=method(1.0, failed=SEEDS), shares=method(1, failed=3))

    assert at_edge(results) == (1, 2, 2)


def test_a_win_that_costs_a_task_is_told() -> None:
    one = problem("Two", "should matter", {"ratio": 2.0, "advice": "nothing"})
    one["methods"] |= {
        "plain": method(1.0, parts={"a": 0.2, "b": 0.8}),
        "shares": method(0.5, parts={"a": 0.3, "b": 0.2}),
        "cov": method(1.0, parts={"a": 0.1, "b": 0.9}),
    }
    titles = {name: {"title": f"`{name}`"} for name in one["methods"]}
    text = page(RESULTS | {"methods": titles, "problems": {"two": one}})

    assert "| `shares` | 0.300 (+50 %) | 0.200 (-75 %) |" in text
    assert "Of 1 wins with known parts 1 make a task worse." in text
    assert "The worst: `shares` on Two, where `a` is 50 % worse." in text
    assert "What a win is made of" not in page(RESULTS)


@pytest.mark.parametrize("rows", [("plain", "cov"), ("plain", "constant", "cov", "shares")])
def test_a_page_of_a_few_rows_says_nothing_of_others(rows: tuple[str, ...]) -> None:
    results: dict[str, Any] = json.loads(json.dumps(WHOLE))
    results["methods"] = {name: results["methods"][name] for name in rows}
    for one in results["problems"].values():
        one["methods"] = {name: it for name, it in one["methods"].items() if name in rows}

    text = page(results)

    assert "placebo" not in text
    assert ("The best constant could hardly lose" in text) == ("constant" in rows)
    assert not any(name in text for name in ("PCGrad", "SoftAdapt", "knew its target", "good to"))


def test_panels_are_in_the_order_of_the_page() -> None:
    shown = [name for _, _, name in _places(WHOLE)]

    assert sorted(shown) == sorted(WHOLE["problems"])
    assert [WHOLE["problems"][name]["family"] for name in shown] == (
        ["should matter"] * 5 + ["might matter"] * 4 + ["should not matter"] * 4
    )


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
    assert "always the same answer would be right 1 and 2 times" in in_short(RESULTS)


def test_a_published_line_is_told_as_means_with_the_worst_seed() -> None:
    errors = {"plain": [0.1, 0.3], "shares": [0.01, 0.02]}
    line = {"problem": "helmholtz", "steps": 40_000, "rate": 1e-3, "errors": errors}

    told, without = page(RESULTS | {"published": line}), page(RESULTS)

    assert "Ours, Helmholtz, 40,000 steps**, Adam at 0.001, means of 2 runs: " in told
    assert "0.2 (seeds 0.1 to 0.3); `GradientShareWeighting` 0.015 (seeds 0.01 to 0.02)." in told
    assert "becomes 4.5 times smaller, here 13.3 times." in told
    assert "Helmholtz was not run" not in told
    assert "Helmholtz was not run" in without
