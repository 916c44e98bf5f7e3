"""The page, made from the results file alone: `python -m evidence.report.page`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from evidence.compare import TIE

from .details import details
from .figure import draw
from .findings import did_not_help, helped, in_short, predicted
from .markdown import counted, marked, table
from .published import section
from .tables import (
    at_edge,
    comparisons,
    costs,
    failures,
    families,
    others,
    ranked,
    timed,
    title,
    verdicts,
)

if TYPE_CHECKING:
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
        _threats(results),
        _again(),
    )
    return "\n".join(parts)


def _head(results: Data) -> str:
    problems, count = results["problems"], len(results["methods"])
    steps = sorted(problem["steps"] for problem in problems.values())
    left_out = results["left_out"]
    not_run = f" Not in this run: {'; '.join(left_out)}." if left_out else ""
    return f"""# Evidence

When does it help to weigh losses? {counted(len(problems), "problem")}, {count} ways to weigh,
{results["seeds"]} seeds each, all held against the plain sum. `make evidence` makes this page and
each number on it from one results file; this is its {results["mode"]} run, {steps[0]:,} to
{steps[-1]:,} steps a fit.{not_run}

- **The metric is none of the losses**: an error against a known solution, on held-out data, or
  against the truth.
- **A number is a ratio** to the plain sum with the same seed, the geometric mean over seeds: .50 is
  half the error. In brackets: its 95 % Student interval. **Bold** is a win (all of the interval
  below 1, and better by {100 * TIE:.0f} % or more), *italics* a loss, all else a tie.
- **Each method has its own learning rate** for Adam, constant, out of three. For a seed it is
  chosen on the seeds of the other half, and so is the best constant of a grid. *edge*: the smallest
  or largest rate that was tried was the best.
- **A seed fails** with a NaN, a trivial solution, an error of its method, or no better than
  untrained. It is counted, and stays in the means: as untrained, or with the metric of its trivial
  solution.
- **`EqualWeighting` is the placebo**: Adam takes the same steps for a sum and for a K-th of it, so
  what its row shows is chance.
- Methods have the package's defaults, unless the row says otherwise. They look at gradients on
  weights that all losses share: all of a network that solves an equation, else one layer. A
  `reference` is the first loss of a problem, and for equations also tried with `weighted=True`.
  Learned weights have the rate of the network. An epoch of DWA has 25 steps.
"""


def _by_method(results: Data) -> str:
    heads = ("", "wins", "ties", "losses", "at equal time", "failed seeds", "cost of a step")
    all_seeds = results["seeds"] * len(results["problems"])
    return f"""## Wins, ties, losses

Against the plain sum after as many steps; *at equal time*: after the time that its steps take. The
cost is in steps of the plain sum, for one network: the median over problems, and their range. The
plain sum itself failed with {failures(results, "plain")} of {all_seeds} seeds.

{table(heads, (_row(results, name) for name in ranked(results)))}"""


def _row(results: Data, name: str) -> tuple[object, ...]:
    count, late = verdicts(results, name), verdicts(results, name, timed)
    least, middle, most = costs(results, name)
    spread = f" ({least:.1f} to {most:.1f})" if f"{least:.1f}" != f"{most:.1f}" else ""
    return (
        title(results, name),
        count["win"],
        count["tie"],
        count["loss"],
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
            "### Seed by seed\n",
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
            *(marked(of[name][method]) if method in of[name] else "" for name in names),
        )
        for method in others(results)
        if any(method in of[name] for name in names)
    )
    heads = ("", *(results["problems"][name]["title"] for name in names))
    return table(heads, rows) + "".join(_plain_failures(results, name) for name in names)


def _plain_failures(results: Data, name: str) -> str:
    problem = results["problems"][name]
    failed = sum(problem["methods"]["plain"]["failed"])
    return f"\n{problem['title']}: the plain sum fails with {failed} seeds.\n" if failed else ""


def _threats(results: Data) -> str:
    number = sum(sum(verdicts(results, name).values()) for name in others(results))
    placebo, (edges, rows) = verdicts(results, "equal"), at_edge(results)
    return f"""## What may be wrong with this

- **Small networks and short runs**, float32, and one optimizer, Adam at a constant rate. A
  schedule, more steps or another optimizer may change who wins.
- **Defaults.** Whoever tunes a method will do better than its row. In {edges} of {rows} rows the
  best rate was the smallest or largest of its three for one half of the seeds or both.
- **The constant has a grid of its own**, so it was tried more often than any method. Its weight is
  chosen on other seeds than those it is reported for, as a user's would be.
- **{number} verdicts.** One in twenty true ties comes out as a win or a loss, unless the bound of
  {100 * TIE:.0f} % stops it. The placebo has {counted(placebo["win"], "win")} and
  {counted(placebo["loss"], "loss")}.
- **All rows of a problem share one plain sum.** Where its seeds were lucky, all rows look worse:
  compare a row with the placebo's.
- **The grids of rates** for digits and equations were moved after first fits had shown the best
  rate at their edge. Those fits had seeds that are reported here, too.
- **We chose the problems**, some of them since pilots had shown an effect there. The counts
  describe this list, not the world.
- **We wrote the package.** Its methods are tested against their papers or their authors' code.
- **Costs** are processor time on one machine, in turn with the plain sum. On networks this small,
  what a method computes looks dearer than it is beside a large one.
- Seeds train side by side in one batched network, each with a `LossGroup` of its own; a test holds
  that each trains as it would alone.
"""


def _again() -> str:
    return """## Run it again

```text
make evidence                # the standard run, about an hour on two cores; no download
make evidence ARGS=--quick   # a minute, into .evidence/page/
make evidence ARGS=--full    # long fits: more than a day on two cores
make evidence ARGS="--problems circuit_raw --methods cov,shares --to mine"
make evidence ARGS="--full --problems helmholtz --methods annealing,weighted,constant"
```

Each fit is kept in `.evidence/`, so that a run that was stopped goes on. `evidence/problems/` has
one file a family, `evidence/methods.py` the rows, `evidence/results.json` the numbers of each seed.
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
