"""What a metric of several tasks hides: each of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evidence.compare import TIE

from .markdown import table
from .tables import SHOWN, comparisons, title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tables import Data


def trades(results: Data) -> str:
    """A table of parts for each problem that has them; empty where none has."""
    known = [name for name in results["problems"] if _known(results, name)]
    if not known:
        return ""
    tables = "\n".join(_of_problem(results, name) for name in known)
    return f"""### What a win is made of

The metric of these is the mean over tasks, and a gain in it may cost one of them. Here are the
tasks: errors at the last step, means over seeds, in brackets beside the plain sum's where they
differ by {100 * TIE:.0f} % or more. {_counted(results)}

{tables}"""


def in_short(results: Data) -> Iterator[str]:
    """The trade that costs a task most, in a sentence."""
    worst = max(_losses(results), default=None)
    if worst is not None:
        change, problem, method, task = worst
        yield (
            f"A win may be a trade. {_counted(results)} The worst: {title(results, method)} on"
            f" {results['problems'][problem]['title']}, where `{task}` is {100 * change:.0f} %"
            " worse."
        )


def _counted(results: Data) -> str:
    wins = [
        (problem, method)
        for problem in results["problems"]
        for method in _known(results, problem)
        if method != "plain" and comparisons(results, problem)[method].verdict == "win"
    ]
    losing = {(problem, method) for _, problem, method, _ in _losses(results)}
    return f"Of {len(wins)} wins with known parts {len(losing)} make a task worse."


def _losses(results: Data) -> Iterator[tuple[float, str, str, str]]:
    """By how much a win makes a task worse."""
    for problem in results["problems"]:
        of = comparisons(results, problem)
        for method in _known(results, problem):
            if method == "plain" or of[method].verdict != "win":
                continue
            for task, change in _changes(results, problem, method).items():
                if change >= TIE:
                    yield change, problem, method, task


def _known(results: Data, problem: str) -> list[str]:
    """The plain sum, the methods of the summary and those that won; none where nothing won."""
    methods, of = results["problems"][problem]["methods"], comparisons(results, problem)
    known = [name for name, one in methods.items() if one.get("parts")]
    won = {name for name in known if name in of and of[name].verdict == "win"}
    return [name for name in known if name in {"plain", *SHOWN, *won}] if won else []


def _means(results: Data, problem: str, method: str) -> dict[str, float]:
    parts = results["problems"][problem]["methods"][method]["parts"]
    return {task: float(np.mean(values)) for task, values in parts.items()}


def _changes(results: Data, problem: str, method: str) -> dict[str, float]:
    plain = _means(results, problem, "plain")
    return {
        task: value / plain[task] - 1 for task, value in _means(results, problem, method).items()
    }


def _of_problem(results: Data, problem: str) -> str:
    rows = [
        (
            title(results, method),
            *(
                f"{value:.3f}{_beside(_changes(results, problem, method)[task])}"
                for task, value in _means(results, problem, method).items()
            ),
        )
        for method in _known(results, problem)
    ]
    return table((results["problems"][problem]["title"], *_means(results, problem, "plain")), rows)


def _beside(change: float) -> str:
    return "" if abs(change) < TIE else f" ({100 * change:+.0f} %)"
