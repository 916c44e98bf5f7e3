"""All numbers of each problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy import exp

from .markdown import table, with_interval
from .tables import comparisons, cost_of, sign, timed, title

if TYPE_CHECKING:
    from .tables import Data

_FEW = 6
"""The weights of so many losses are shown."""


def details(results: Data) -> str:
    """One folded table a problem."""
    parts = [_of_problem(results, name) for name in results["problems"]]
    return "\n".join(["## All numbers\n", *parts])


def _of_problem(results: Data, name: str) -> str:
    problem = results["problems"][name]
    of, late = comparisons(results, name), timed(results, name)
    rows = [
        (
            title(results, method),
            with_interval(of[method], sign(results, name, method)) if method in of else "1",
            with_interval(late[method]) if method in late else "1",
            sum(one["failed"]) or "",
            _rates(one),
            f"{cost_of(results, name, method):.1f}",
            _weights(problem, method),
        )
        for method, one in problem["methods"].items()
    ]
    heads = ("", "ratio", "at equal time", "failed", "learning rate", "cost", "mean weights")
    return f"""<details markdown="1">
<summary>{problem["title"]}: {problem["metric"]}, {problem["steps"]:,} steps</summary>

{_measures(problem)}The plain sum's: {absolute(problem["methods"]["plain"])}.
Losses: {_losses(problem)}. {_grid(problem)}

{table(heads, rows)}
</details>
"""


def absolute(method: Data) -> str:
    """The metric itself: the geometric mean over seeds, and its range."""
    last = method["logs"][-1]
    return f"{exp(sum(last) / len(last)):.3g} (seeds {exp(min(last)):.2g} to {exp(max(last)):.2g})"


def _measures(problem: Data) -> str:
    return f"Metric: {problem['measures']}.\n" if problem.get("measures") else ""


def _losses(problem: Data) -> str:
    names = problem["losses"]
    return ", ".join(names) if len(names) <= _FEW else f"{len(names)}"


def _grid(problem: Data) -> str:
    grids = [
        f"{loss} {', '.join(f'{weight:g}' for weight in weights)}"
        for loss, weights in problem["constants"].items()
    ]
    targets = "".join(f" Target: {loss} {it:g}." for loss, it in problem["targets"].items())
    return f"Grid of constants: {'; '.join(grids)}.{targets}" if grids else "No grid of constants."


def _rates(method: Data) -> str:
    rates = " / ".join(dict.fromkeys(f"{one['rate']:g}" for one in method["chosen"]))
    return rates + (" *edge*" if method["is_at_edge"] else "")


def _weights(problem: Data, method: str) -> str:
    one = problem["methods"][method]["chosen"][0]
    if method == "plain" or len(problem["losses"]) > _FEW:
        return ""
    of = f" (of {one['of']})" if "of" in one else ""
    return ", ".join(f"{value:.3g}" for value in one["weights"].values()) + of
