"""What the results file says, as numbers that the page and the figure show."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

import numpy as np

from .compare import Comparison, at_equal_time, compare

Data = dict[str, Any]
"""The results file, as `gather` made it."""


def comparisons(results: Data, problem: str) -> dict[str, Comparison]:
    """Each method against the plain sum after as many steps."""
    plain, others = _logs(results, problem)
    return {name: compare(logs[-1], plain[-1]) for name, logs in others.items()}


def timed(results: Data, problem: str) -> dict[str, Comparison]:
    """Each method against the plain sum after as much time."""
    plain, others = _logs(results, problem)
    return {
        name: at_equal_time(logs, plain, cost_of(results, problem, name))
        for name, logs in others.items()
    }


def _logs(results: Data, problem: str) -> tuple[Any, dict[str, Any]]:
    methods = results["problems"][problem]["methods"]
    logs = {name: np.array(method["logs"]) for name, method in methods.items()}
    return logs.pop("plain"), logs


def cost_of(results: Data, problem: str, method: str) -> float:
    """A step in steps of the plain sum."""
    cost = results["problems"][problem]["methods"][method]["cost"]
    return 1.0 if cost is None else float(cost["ratio"])


def problems_with(results: Data, method: str) -> list[str]:
    """The problems that a method was tried on."""
    return [name for name, one in results["problems"].items() if method in one["methods"]]


def verdicts(results: Data, method: str, *, of: Any = comparisons) -> Counter[str]:
    """How often a method won, tied and lost."""
    return Counter(
        of(results, problem)[method].verdict for problem in problems_with(results, method)
    )


def failures(results: Data, method: str) -> int:
    """How many seeds failed, over all problems."""
    return sum(
        sum(results["problems"][problem]["methods"][method]["failed"])
        for problem in problems_with(results, method)
    )


def costs(results: Data, method: str) -> list[float]:
    """What a step costs on each problem, in order of size."""
    return sorted(cost_of(results, name, method) for name in problems_with(results, method))


def middle_cost(results: Data, method: str) -> float:
    """The median over problems."""
    return median(costs(results, method))
