"""What the results file says, as numbers that the page and the figure show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from evidence.compare import Comparison, at_equal_time, chance, compare, surviving

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


def compared(results: Data) -> int:
    """The number of comparisons with the plain sum."""
    return sum(len(problems_with(results, name)) for name in others(results))


def problems_with(results: Data, method: str) -> list[str]:
    """The problems that a method was tried on."""
    return [name for name, one in results["problems"].items() if method in one["methods"]]


SHOWN = ("constant", "normalized", "shares", "uncertainty", "cov")
"""The methods that the summary counts."""

FAMILIES = ("should matter", "might matter", "should not matter")


def families(results: Data) -> dict[str, list[str]]:
    """From what was expected of weights to the problems."""
    problems = results["problems"]
    found = {
        family: [name for name, one in problems.items() if one["family"] == family]
        for family in FAMILIES
    }
    return {family: names for family, names in found.items() if names}


def at_edge(results: Data) -> tuple[int, int, int]:
    """In how many rows the best rate was the smallest or largest one that was tried; all rows.

    The last number is of rows in which all seeds failed: they are not among the others.
    """
    rows = [row for one in results["problems"].values() for row in one["methods"].values()]
    known = [row for row in rows if not all(row["failed"])]
    return sum(row["is_at_edge"] for row in known), len(known), len(rows) - len(known)


def verdict(results: Data, problem: str, method: str, of: Compared = comparisons) -> str:
    """Win, tie or loss; for a tie of what failed "both failed"."""
    found = of(results, problem)[method].verdict
    methods = results["problems"][problem]["methods"]
    failed = all(2 * sum(methods[one]["failed"]) >= results["seeds"] for one in ("plain", method))
    return "both failed" if found == "tie" and failed else found


def verdicts(results: Data, method: str, of: Compared = comparisons) -> Counter[str]:
    """How often a method won, tied and lost, and how often both failed."""
    return Counter(verdict(results, name, method, of) for name in problems_with(results, method))


HARDLY = 0.05
"""A win by less than this part over a plain sum that failed with all seeds is one in name alone."""


def is_in_name(results: Data, problem: str, method: str) -> bool:
    """Whether a method won against nothing, and has next to nothing."""
    one = comparisons(results, problem)[method]
    plain = results["problems"][problem]["methods"]["plain"]
    return one.verdict == "win" and one.ratio > 1 - HARDLY and all(plain["failed"])


def in_name(results: Data) -> list[tuple[str, str]]:
    """Problems and methods of all wins in name alone."""
    return [
        (problem, method)
        for method in others(results)
        for problem in problems_with(results, method)
        if is_in_name(results, problem, method)
    ]


BOTH_FAILED = "\N{MULTIPLICATION SIGN}"


def sign(results: Data, problem: str, method: str) -> str:
    """What stands behind a ratio that is not what it seems."""
    if verdict(results, problem, method) == "both failed":
        return f" {BOTH_FAILED}"
    return " †" if is_in_name(results, problem, method) else ""


def after_holm(results: Data) -> dict[str, Counter[str]]:
    """How many wins and losses of each method are left by Holm's correction for all comparisons."""
    of = {
        (problem, method): one
        for problem in results["problems"]
        for method, one in comparisons(results, problem).items()
    }
    left = surviving({name: chance(one.ratios) for name, one in of.items()})
    return {
        method: Counter(of[name].verdict for name in left if name[1] == method)
        for method in others(results)
    }


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
