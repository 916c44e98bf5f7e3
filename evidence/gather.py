"""The results file: what the page is made of, and a sceptic can look at."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import choice
from .cost import Cost
from .methods import METHODS, Method
from .problems import PROBLEMS

if TYPE_CHECKING:
    from .plan import Plan
    from .problems import Problem

Costs = Callable[[Cost], dict[str, float]]


def gather(plan: Plan, results: choice.Results, costs: Costs) -> dict[str, Any]:
    """What all problems of a plan reported, with plain names, in plain numbers."""
    return {
        "mode": plan.mode.name,
        "seeds": plan.mode.seeds,
        "torch": torch.__version__.partition("+")[0],
        "python": platform.python_version(),
        "methods": {
            method.name: {"title": method.title, "is_dear": method.is_dear, "moves": method.moves}
            for method in plan.methods
            if any(method in plan.methods_for(problem) for problem in plan.problems)
        },
        "left_out": [it.title for it in PROBLEMS.values() if it not in plan.problems],
        "problems": {
            problem.name: _of_problem(plan, problem, results, costs) for problem in plan.problems
        },
    }


def _of_problem(
    plan: Plan, problem: Problem, results: choice.Results, costs: Costs
) -> dict[str, Any]:
    rates = plan.rates(problem)
    plain = plan.candidates(problem, METHODS["plain"])[len(rates) // 2]
    return {
        "title": problem.title,
        "family": problem.family,
        "losses": list(problem.losses),
        "metric": problem.metric,
        "measures": problem.measures,
        "steps": plan.mode.steps(problem),
        "rates": list(rates),
        "constants": {name: list(grid) for name, grid in problem.constants.items()},
        "targets": dict(problem.targets),
        "advice": results(plain)["advice"],
        "methods": {
            method.name: _of_method(plan, problem, method, results, costs)
            for method in plan.methods_for(problem)
            if method.name != "frozen" or choice.can_freeze(plan, problem)
        },
    }


def _of_method(
    plan: Plan, problem: Problem, method: Method, results: choice.Results, costs: Costs
) -> dict[str, Any]:
    reported = choice.report(plan, problem, method, results)
    chosen = [
        {"rate": fit.rate, "weights": _weights(results(fit)["weights"])} for fit in reported.fits
    ]
    if method.name == "frozen":
        for one, places in zip(chosen, reversed(plan.halves), strict=True):
            one["of"] = choice.frozen_source(plan, problem, results, places).method
    return {
        "logs": np.round(reported.logs, 4).tolist(),
        "failed": [int(failed) for failed in reported.failed],
        "chosen": chosen,
        "parts": parts_of(
            list(zip((results(fit) for fit in reported.fits), _places(plan, reported), strict=True))
        ),
        "is_at_edge": choice.is_at_edge(plan, problem, reported),
        "cost": None if _is_plain_sum(method) else costs(Cost(problem.name, method.name)),
    }


def _places(plan: Plan, reported: choice.Reported) -> list[list[int]]:
    """Where the seeds of each half are among those of its fit."""
    return [
        [fit.seeds.index(seed) for seed in half]
        for fit, half in zip(reported.fits, plan.halves, strict=True)
    ]


def parts_of(
    halves: Sequence[tuple[Mapping[str, Any], Sequence[int]]],
) -> dict[str, list[float]]:
    """What the metric is the mean of, for the seeds of both halves; older fits do not have it."""
    has_parts = all(one.get("parts") for one, _ in halves)
    names = halves[0][0]["parts"] if has_parts else ()
    return {
        name: [float(f"{one['parts'][name][i]:.4g}") for one, places in halves for i in places]
        for name in names
    }


def _is_plain_sum(method: Method) -> bool:
    return method.name in ("plain", "constant", "frozen")


def _weights(of_seeds: dict[str, list[float]]) -> dict[str, float]:
    """The mean weight of each loss, over steps and seeds."""
    return {name: float(f"{np.mean(values):.4g}") for name, values in of_seeds.items()}
