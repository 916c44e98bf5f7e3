"""What the results file says, as numbers that the page and the figure show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from evidence.compare import Comparison, at_equal_time, compare

Data = dict[str, Any]
"""The results file, as `gather` made it."""

Compared = Callable[[Data, str], dict[str, Comparison]]


def comparisons(results: Data, problem: str) -> dict[str, Comparison]:
    """Each method against the plain sum after as many steps."""
    plain, others = _logs(results, problem)
    return {name: compare(logs[-1], plain[-1]) for name, logs in others.items()}


def timed(results: Data, problem: str) -> dict[str, Comparison]:
    """Each method against the plain sum after as much time."""
    plain, others = _logs(results, problem)
    cost = partial(cost_of, results, problem)
    return {name: at_equal_time(logs, plain, cost(name)) for name, logs in others.items()}


def _logs(results: Data, problem: str) -> tuple[Any, dict[str, Any]]:
    methods = results["problems"][problem]["methods"]
    logs = {name: np.array(method["logs"]) for name, method in methods.items()}
    return logs.pop("plain"), logs


def cost_of(results: Data, problem: str, method: str) -> float:
    """A step in steps of the plain sum."""
    cost = results["problems"][problem]["methods"][method]["cost"]
    return 1.0 if cost is None else float(cost["ratio"])


def title(results: Data, method: str) -> str:
    """What a method is called."""
    return str(results["methods"][method]["title"])


def others(results: Data) -> list[str]:
    """All methods but the plain sum."""
    return [name for name in results["methods"] if name != "plain"]


def problems_with(results: Data, method: str) -> list[str]:
    """The problems that a method was tried on."""
    return [name for name, one in results["problems"].items() if method in one["methods"]]


FAMILIES = ("should matter", "might matter", "should not matter")


def families(results: Data) -> dict[str, list[str]]:
    """From what was expected of weights to the problems."""
    problems = results["problems"]
    found = {
        family: [name for name, one in problems.items() if one["family"] == family]
        for family in FAMILIES
    }
    return {family: names for family, names in found.items() if names}


def at_edge(results: Data) -> tuple[int, int]:
    """In how many of all rows the best rate was the smallest or largest one that was tried."""
    rows = [row for one in results["problems"].values() for row in one["methods"].values()]
    return sum(row["is_at_edge"] for row in rows), len(rows)


def verdicts(results: Data, method: str, of: Compared = comparisons) -> Counter[str]:
    """How often a method won, tied and lost."""
    return Counter(of(results, name)[method].verdict for name in problems_with(results, method))


def ranked(results: Data) -> list[str]:
    """Methods by wins less losses."""

    def losses_less_wins(name: str) -> int:
        count = verdicts(results, name)
        return count["loss"] - count["win"]

    return sorted(others(results), key=losses_less_wins)


def failures(results: Data, method: str) -> int:
    """How many seeds failed, over all problems."""
    problems = results["problems"]
    return sum(
        sum(problems[name]["methods"][method]["failed"]) for name in problems_with(results, method)
    )


def costs(results: Data, method: str) -> tuple[float, float, float]:
    """What a step costs: the least over problems, the median, the most."""
    all_of = sorted(cost_of(results, name, method) for name in problems_with(results, method))
    return all_of[0], median(all_of), all_of[-1]
