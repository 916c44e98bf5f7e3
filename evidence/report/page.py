"""The page, made from the results file alone: `python -m evidence.report.page`."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

from evidence.compare import TIE

from .details import details
from .figure import CAPTION, draw
from .findings import did_not_help, helped, in_short, predicted
from .limits import beside_the_counts, limits
from .markdown import counted, marked, table
from .published import section
from .tables import (
    BOTH_FAILED,
    after_holm,
    compared,
    comparisons,
    costs,
    failures,
    families,
    in_name,
    others,
    ranked,
    sign,
    timed,
    title,
    verdicts,
)
from .trades import trades

if TYPE_CHECKING:
    from collections import Counter

    from .tables import Data

TOP = Path(__file__).parents[2]


def page(results: Data) -> str:
    """The whole page, in Markdown."""
    parts = (
        _head(results),
        in_short(results),
        _by_method(results),
        _by_problem(results),
        helped(results),
        did_not_help(results),
        predicted(results),
        details(results),
        section(results),
        limits(results),
        _again(),
    )
    return "\n".join(parts)


def _head(results: Data) -> str:
    problems, count = results["problems"], len(others(results))
    steps = sorted(problem["steps"] for problem in problems.values())
    left_out = results["left_out"]
    not_run = f" Not in this run: {'; '.join(left_out)}." if left_out else ""
    return f"""# Evidence

When does it help to weigh losses? {counted(len(problems), "problem")}, {count} ways to weigh and
the plain sum, {results["seeds"]} seeds each: {compared(results)} comparisons with the plain sum, of
{count * len(problems)} possible ones. `make evidence` makes this page and each number on it from
one results file; this is its {results["mode"]} run, {steps[0]:,} to {steps[-1]:,} steps a
fit.{not_run}

- **The metric is never the training objective itself**: it is an error against a known solution or
  the truth, or a held-out form of the losses. *All numbers* says which for each problem.
- **A number is a ratio** to the plain sum with the same seed, the geometric mean over seeds: .50 is
  half the error. In brackets: its 95 % Student interval. **Bold** is a win (all of the interval
  below 1, and better by {100 * TIE:.0f} % or more), *italics* a loss, all else a tie; {BOTH_FAILED}
  stands for a tie where *both failed* with half of their seeds or more{_in_name_too(results)}.
- **Each method has its own learning rate** for Adam, constant, out of three. For a seed it is
  chosen on the seeds of the other half, by the metric, and so is the best constant of a grid.
  *edge*: the smallest or largest rate that was tried was the best.
- **A seed fails** with a NaN, a trivial solution, an error of its method, or no better than
  untrained. It is counted, and stays in the means: as untrained, or with the metric of its trivial
  solution.
{_placebo(results)}{_METHODS}"""


_METHODS = """\
- Methods have the package's defaults, unless the row says otherwise. They look at gradients on
  weights that all losses share: all matrices of a network that solves an equation (for heat not
  those of the conductivity), else one layer. A `reference` is the first loss of a problem, and for
  equations also tried with `weighted=True`. Learned weights have the rate of the network. An epoch
  of DWA has 25 steps.
"""


def _in_name_too(results: Data) -> str:
    return "; † is a win in name alone" if in_name(results) else ""


def _placebo(results: Data) -> str:
    if "equal" not in results["methods"]:
        return ""
    return """\
- **`EqualWeighting` is the placebo**: Adam takes the same steps for a sum and for a K-th of it, so
  its row shows rounding and the choice of the rate, and no other chance.
"""


def _by_method(results: Data) -> str:
    heads = (
        *("", "tried", "wins", "ties", "losses", "both failed", "after Holm", "at equal time"),
        *("failed seeds", "cost of a step"),
    )
    all_seeds = results["seeds"] * len(results["problems"])
    left = after_holm(results)
    return f"""## Wins, ties, losses

Against the plain sum after as many steps. *After Holm*: the wins / losses that are left by his
correction for the number of all comparisons. *At equal time*: wins / ties / losses after the time
that the plain sum's steps take. The cost is in steps of the plain sum, for one network: the median
over problems, and their range. The plain sum itself failed with {failures(results, "plain")} of
{all_seeds} seeds. Rows are in the order of wins less losses; what was tried on few problems is near
the middle whatever it does.

{table(heads, (_row(results, name, left[name]) for name in ranked(results)))}
{beside_the_counts(results)}"""


def _row(results: Data, name: str, left: Counter[str]) -> tuple[object, ...]:
    count, late = verdicts(results, name), verdicts(results, name, timed)
    least, middle, most = costs(results, name)
    spread = f" ({least:.1f} to {most:.1f})" if f"{least:.1f}" != f"{most:.1f}" else ""
    return (
        title(results, name),
        sum(count.values()),
        count["win"],
        count["tie"],
        count["loss"],
        count["both failed"] or "",
        f"{left['win']} / {left['loss']}",
        f"{late['win']} / {late['tie']} / {late['loss']}",
        failures(results, name) or "",
        f"{middle:.1f}{spread}",
    )


_GROUPS = """\
The three groups are what we expected before the runs. Blank: not run, since the method has nothing
to go by there, or is too dear: conflict methods run on some problems only and, like `GradNorm`,
for up to 8 losses.
"""


def _by_problem(results: Data) -> str:
    parts = [
        f"### Where weights {family}\n\n{_family(results, names)}"
        for family, names in families(results).items()
    ]
    alt = "the ratio of each seed to the plain sum as a dot, their mean and its interval"
    return "\n".join(
        [
            "## Problem by problem\n",
            _GROUPS,
            *parts,
            *filter(None, [trades(results)]),
            "### Seed by seed\n",
            CAPTION,
            "<picture>",
            '  <source media="(prefers-color-scheme: dark)" srcset="evidence-dark.png">',
            f'  <img src="evidence-light.png" alt="For each problem and method: {alt}">',
            "</picture>\n",
        ]
    )


def _family(results: Data, names: list[str]) -> str:
    of = {name: comparisons(results, name) for name in names}
    rows = (
        (
            title(results, method),
            *(
                marked(of[name][method], sign(results, name, method)) if method in of[name] else ""
                for name in names
            ),
        )
        for method in others(results)
        if any(method in of[name] for name in names)
    )
    heads = ("", *(results["problems"][name]["title"] for name in names))
    return table(heads, rows) + "".join(_plain_failures(results, name) for name in names)


def _plain_failures(results: Data, name: str) -> str:
    problem = results["problems"][name]
    failed = sum(problem["methods"]["plain"]["failed"])
    if not failed:
        return ""
    hollow = "".join(
        f" {_of_a_win_in_name(results, *one)}" for one in in_name(results) if one[0] == name
    )
    return f"\n{problem['title']}: the plain sum fails with {failed} seeds.{hollow}\n"


def _of_a_win_in_name(results: Data, problem: str, method: str) -> str:
    last = results["problems"][problem]["methods"][method]["logs"][-1]
    count = verdicts(results, method)
    return (
        f"† {title(results, method)} has {exp(min(last)):.2g} to {exp(max(last)):.2g}, which is of"
        " no use, and an interval of Student's does not suit errors that are 1 at most; without it"
        f" {counted(count['win'] - 1, 'win')} and {counted(count['loss'], 'loss')}."
    )


def _again() -> str:
    return """## Run it again

```text
make evidence                # the standard run, about an hour on two cores; no download
make evidence ARGS=--quick   # a minute, into .evidence/page/
make evidence ARGS=--full    # long fits: more than a day on two cores
make evidence ARGS="--problems circuit_raw --methods cov,shares --to mine"
make evidence ARGS="--full --problems helmholtz --methods annealing,weighted,constant"
.venv/bin/python -m evidence.published  # the line beside the published table, 40,000 steps
```

Each fit is kept in `.evidence/`, so that a run that was stopped goes on. `evidence/problems/` has
one file a family, `evidence/methods.py` the rows, `evidence/results.json` the numbers of each seed
for the rate and constant that were chosen. Those that were not chosen are not in it: to check the
choice, run it again.
"""


def write(results: Data, folder: Path) -> Path:
    """Write the page and its figure."""
    draw(results, folder)
    file = folder / "evidence.md"
    file.write_text(page(results), encoding="utf-8")
    return file


if __name__ == "__main__":
    known = json.loads((TOP / "evidence" / "results.json").read_text(encoding="utf-8"))
    write(known, TOP / "docs")
