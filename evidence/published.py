"""What was published on one of the problems, beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy import exp

if TYPE_CHECKING:
    from .tables import Data

STEPS = 40_000
PUBLISHED = {
    "30, 30, 30": (2.44e-1, 5.39e-2),
    "50, 50, 50": (1.06e-1, 1.12e-2),
    "50, 50, 50, 50, 50": (1.40e-1, 7.43e-3),
    "100 seven times": (8.14e-2, 4.52e-3),
}
"""Helmholtz in arXiv:2001.04536, table 2: hidden layers, relative L2 error of the plain sum and of
learning-rate annealing, means of ten runs of 40,000 steps."""


def section(results: Data) -> str:
    """Ours beside the published table."""
    return f"""## Beside a published table

Helmholtz, relative L2 error, in [2001.04536](https://arxiv.org/abs/2001.04536) (table 2, means of ten
runs of {STEPS:,} steps): annealing the weights by gradients helps by {_least():.1f} to {_most():.0f}
times.

| hidden layers | plain sum | annealing |
|---|---|---|
{_rows()}
{_ours(results)}
"""


def _rows() -> str:
    return "\n".join(f"| {name} | {a:.3g} | {b:.2g} |" for name, (a, b) in PUBLISHED.items())


def _least() -> float:
    return min(a / b for a, b in PUBLISHED.values())


def _most() -> float:
    return max(a / b for a, b in PUBLISHED.values())


def _ours(results: Data) -> str:
    if "helmholtz" not in results["problems"]:
        return "This run has no Helmholtz, so nothing was reproduced."
    problem = results["problems"]["helmholtz"]
    shown = {
        name: float(exp(sum(logs[-1]) / len(logs[-1])))
        for name, one in problem["methods"].items()
        if (logs := one["logs"]) and name in ("plain", "annealing", "weighted", "constant")
    }
    numbers = ", ".join(
        f"{results['methods'][name]['title']} {value:.2g}" for name, value in shown.items()
    )
    return (
        f"Ours, {problem['title']}, {problem['steps']:,} steps, geometric means: {numbers}. What"
        " differs: Adam at a constant rate where theirs decays, fewer points a step, a smaller"
        " network, norms of gradients instead of their largest and mean entries, and guards."
        + (
            ""
            if problem["steps"] >= STEPS
            else f" At {problem['steps']:,} steps this is no reproduction: the {STEPS:,} steps are"
            " part of `ARGS=--full`, which was not run."
        )
    )
