"""Fill into a results file what it was made without: `python -m evidence.fill`.

That is what problems say of themselves, and the parts of their metrics for the methods of the
summary and those that won: the fits that were chosen are trained again, and have to give the same
metric.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import choice
from .fit import Fit, train
from .gather import parts_of
from .problems import PROBLEMS
from .report.tables import SHOWN, comparisons

FILE = Path(__file__).parent / "results.json"
IN_PARTS = ("digits_unit", "digits_255", "circuit_raw")
NEAR = 0.005
"""Fits differ by no more than this part of the metric, from one processor to another."""

Data = dict[str, Any]


def fill(results: Data) -> None:
    """Add what is not there yet."""
    for name, problem in results["problems"].items():
        problem["measures"] = PROBLEMS[name].measures
    for name in IN_PARTS:
        won = [method for method, one in comparisons(results, name).items() if one.verdict == "win"]
        for method in dict.fromkeys(["plain", *SHOWN, *won]):
            is_known = results["problems"][name]["methods"][method].get("parts")
            if method != "frozen" and not is_known:
                _add_parts(results, name, method)


def _add_parts(results: Data, name: str, method: str) -> None:
    problem = results["problems"][name]
    own, seeds = problem["methods"][method], tuple(range(results["seeds"]))
    fits = [
        _chosen(problem, Fit(name, method, one["rate"], seeds, problem["steps"]), one["weights"])
        for one in own["chosen"]
    ]
    numbers = {fit: train(fit) for fit in dict.fromkeys(fits)}
    middle = len(seeds) // 2
    halves = list(
        zip((numbers[fit] for fit in fits), (seeds[:middle], seeds[middle:]), strict=True)
    )
    again = np.concatenate([choice.log_metrics(one)[0][-1, list(places)] for one, places in halves])
    if not np.allclose(again, own["logs"][-1], rtol=0, atol=NEAR):
        msg = f"{method} on {name} gives another metric: {again} for {own['logs'][-1]}"
        raise ValueError(msg)
    own["parts"] = parts_of(halves)


def _chosen(problem: Data, fit: Fit, weights: dict[str, float]) -> Fit:
    """The fit with its constant; all of them 1 is the plain sum."""
    if fit.method != "constant":
        return fit
    own = tuple((name, weights[name]) for name in problem["constants"])
    is_plain = all(weight == 1 for _, weight in own)
    how = ("plain", ()) if is_plain else (fit.method, own)
    return Fit(fit.problem, how[0], fit.rate, fit.seeds, fit.steps, how[1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    known = json.loads(FILE.read_text(encoding="utf-8"))
    fill(known)
    FILE.write_text(json.dumps(known) + "\n", encoding="utf-8")
