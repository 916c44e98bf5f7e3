"""What was published on one of the problems, beside ours."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from evidence.methods import METHODS

from .details import absolute
from .markdown import counted, table
from .tables import title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tables import Data

STEPS = 40_000
"""Of each run in arXiv:2001.04536."""

PUBLISHED = (
    ("Helmholtz, 3 layers of 30", 2.44e-1, 5.39e-2),
    ("Helmholtz, 3 layers of 50", 1.06e-1, 1.12e-2),
    ("Helmholtz, 5 layers of 50", 1.40e-1, 7.43e-3),
    ("Helmholtz, 7 layers of 100", 8.14e-2, 4.52e-3),
    ("Klein-Gordon, 5 layers of 50", 1.79e-1, 1.06e-2),
)
"""Its tables 2 and 3: the relative L2 error of the plain sum and of learning-rate annealing."""

OURS = ("helmholtz", "klein_gordon")
ROWS = ("plain", "annealing", "weighted", "shares", "constant")


def section(results: Data) -> str:
    """Ours beside the published tables."""
    rows = ((name, f"{plain:.3g}", f"{own:.3g}") for name, plain, own in PUBLISHED)
    own = "\n".join(_ours(results))
    return f"""## Beside published tables

Learning-rate annealing in [2001.04536](https://arxiv.org/abs/2001.04536) (tables 2 and 3), relative
L2 error, means of ten runs of {STEPS:,} steps:

{table(("", "plain sum", "annealing"), rows)}
{own}

What differs: three layers of 32, 128 points inside and 64 on each kind of edge, Adam at a constant
rate where theirs decays, norms of the gradients where theirs has their largest and mean entries,
and guards. `GradientShareWeighting` with a `reference` is our form of it.
"""


def _ours(results: Data) -> Iterator[str]:
    line = results.get("published")
    if line is not None:
        errors = line["errors"]
        plain, own = map(fmean, errors.values())
        gain, theirs = plain / own, PUBLISHED[0][1] / PUBLISHED[0][2]
        shown = "; ".join(f"{METHODS[row].title} {_mean(one)}" for row, one in errors.items())
        yield (
            f"- **Ours, Helmholtz, {line['steps']:,} steps**, Adam at {line['rate']:g}, means of"
            f" {counted(len(errors['plain']), 'run')}: {shown}. Their first line is of this size:"
            f" three layers of 30. There the error becomes {theirs:.1f} times smaller, here"
            f" {gain:.1f} times."
        )
    for name in OURS:
        if line is not None and name == line["problem"]:
            continue
        if name not in results["problems"]:
            yield f"- {name.replace('_', '-').title()} was not run: it is part of `ARGS=--full`."
            continue
        problem = results["problems"][name]
        shown = "; ".join(
            f"{title(results, row)} {absolute(problem['methods'][row])}"
            for row in ROWS
            if row in problem["methods"]
        )
        short = "" if problem["steps"] >= STEPS else ", so this is no reproduction of the table"
        yield f"- Ours, {problem['title']}, {problem['steps']:,} steps{short}: {shown}."


def _mean(errors: list[float]) -> str:
    """As in its paper, the mean itself, which the worst seed makes."""
    return f"{fmean(errors):.3g} (seeds {min(errors):.2g} to {max(errors):.2g})"
