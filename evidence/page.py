"""The page, made from the results file alone: `python -m evidence.page`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from numpy import exp

from loss_loggers.alerts import FAR, NEAR

from . import published, tables
from .compare import TIE, Comparison
from .figure import draw
from .predictor import EVERY, STEPS, claim_by_advice, claim_by_bounds
from .tables import Data, comparisons, timed, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HERE = Path(__file__).parent


def page(results: Data) -> str:
    """The whole page, in Markdown."""
    parts = (
        _head(results),
        _by_method(results),
        _by_problem(results),
        _figure(),
        _helped(results),
        _predicted(results),
        _each(results),
        published.section(results),
        _threats(results),
        _again(),
    )
    return "\n".join(parts)


def _head(results: Data) -> str:
    problems, methods = results["problems"], results["methods"]
    kinds = _counted("family", problems)
    steps = sorted(problem["steps"] for problem in problems.values())
    return f"""# Evidence

When does weighing losses help? {len(problems)} problems ({kinds}), {len(methods)} ways to weigh,
{results["seeds"]} seeds each, all held against the plain sum. Each number on this page is made by
`make evidence` from one results file; this is its {results["mode"]} run: {steps[0]:,} to
{steps[-1]:,} steps a fit.

- **The metric is none of the losses**: an error against a known solution, on held-out data, or
  against the truth. A seed that ends with a NaN, a trivial solution, or worse than untrained has
  failed: it is counted, and stands in all means as untrained.
- **Each method has its own learning rate**, out of three: Adam, constant. For a seed it is chosen on
  the seeds of the other half, and so is the best constant of a grid. *edge*: the best rate was the
  smallest or largest one that was tried.
- **A number is a ratio** to the plain sum with the same seed, the geometric mean over seeds: .50 is
  half the error. In brackets its 95 % Student interval. Below 1 is a **win**, above 1 a *loss*, and a
  tie where the interval has 1 in it or the ratio is within {100 * TIE:.0f} %.
- **`EqualWeighting` is the placebo**: Adam takes the same steps for a sum and for its K-th part, so
  what its row shows is chance.
- Methods have the package's defaults; nothing was tuned for them but the rate.
"""


def _counted(key: str, problems: Data) -> str:
    kinds: dict[str, int] = {}
    for problem in problems.values():
        kinds[problem[key]] = kinds.get(problem[key], 0) + 1
    return ", ".join(f"{count} where {kind}" for kind, count in kinds.items())


# Tables.


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def number(value: float) -> str:
    """Two digits, as short as they can be."""
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.2f}".lstrip("0") if value < 9.995 else f"{value:.1f}"


def marked(one: Comparison, text: str | None = None) -> str:
    """Bold for a win, in italics for a loss."""
    mark = {"win": "**", "tie": "", "loss": "*"}[one.verdict]
    return f"{mark}{number(one.ratio) if text is None else text}{mark}"


def _others(results: Data) -> list[str]:
    return [name for name in results["methods"] if name != "plain"]


def _title(results: Data, method: str) -> str:
    return str(results["methods"][method]["title"])


def _by_method(results: Data) -> str:
    rows = []
    for name in _ranked(results):
        count, late = verdicts(results, name), verdicts(results, name, of=timed)
        costs = tables.costs(results, name)
        cost = f"{tables.middle_cost(results, name):.1f}"
        spread = "" if costs[-1] - costs[0] < 0.15 else f" ({costs[0]:.1f} to {costs[-1]:.1f})"
        rows.append(
            (
                _title(results, name),
                *_three(count),
                f"{late['win']} / {late['tie']} / {late['loss']}",
                tables.failures(results, name),
                cost + spread,
            )
        )
    heads = ("", "wins", "ties", "losses", "at equal time", "failed seeds", "cost of a step")
    plain = tables.failures(results, "plain")
    return f"""## Wins, ties, losses

Against the plain sum after as many steps; *at equal time*: after the time that its steps take. A
step's cost is in steps of the plain sum, for one network, the median over problems. The plain sum
itself failed with {plain} of {_seeds(results)} seeds.

{_table(heads, rows)}"""


def _three(count: dict[str, int]) -> tuple[int, int, int]:
    return count["win"], count["tie"], count["loss"]


def _seeds(results: Data) -> int:
    return int(results["seeds"]) * len(results["problems"])


def _ranked(results: Data) -> list[str]:
    """Methods by wins less losses."""

    def balance(name: str) -> int:
        count = verdicts(results, name)
        return count["loss"] - count["win"]

    return sorted(_others(results), key=balance)


def _by_problem(results: Data) -> str:
    parts = ["## Problem by problem\n"]
    for family in dict.fromkeys(one["family"] for one in results["problems"].values()):
        names = [name for name, one in results["problems"].items() if one["family"] == family]
        of = {name: comparisons(results, name) for name in names}
        rows = [
            (_title(results, method), *(_cell(of[name].get(method)) for name in names))
            for method in _others(results)
        ]
        heads = ("", *(results["problems"][name]["title"] for name in names))
        parts.append(f"Where {family}:\n\n{_table(heads, rows)}")
    return "\n".join(parts)


def _cell(one: Comparison | None) -> str:
    return "" if one is None else marked(one)


def _figure() -> str:
    return """
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="evidence-dark.png">
  <img src="evidence-light.png" alt="For each problem and method: the ratio of each seed to the plain sum as a dot, and their mean with its interval">
</picture>
"""


# What the tables say, in sentences.


def _helped(results: Data) -> str:
    return f"""## What helped

{_bullets(_best_of(results, name) for name in results["problems"])}
## What did not

{_bullets(_did_not(results))}"""


def _bullets(lines: Iterable[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def _best_of(results: Data, problem: str) -> str:
    of = comparisons(results, problem)
    wins = sorted((name for name in of if of[name].verdict == "win"), key=lambda it: of[it].ratio)
    title = results["problems"][problem]["title"]
    if not wins:
        return f"{title}: nothing did."
    best = ", ".join(f"{_title(results, name)} {number(of[name].ratio)}" for name in wins[:3])
    more = f", and {len(wins) - 3} more" if len(wins) > 3 else ""
    return f"{title}: {best}{more}."


def _did_not(results: Data) -> Iterable[str]:
    for name in reversed(_ranked(results)):
        count, tried = verdicts(results, name), len(tables.problems_with(results, name))
        failed = tables.failures(results, name)
        if count["loss"] or not count["win"]:
            lost = [
                f"{results['problems'][problem]['title']} {number(of.ratio)}"
                for problem in tables.problems_with(results, name)
                if (of := comparisons(results, problem)[name]).verdict == "loss"
            ]
            worse = f"; worse on {', '.join(lost)}" if lost else ""
            fails = f"; {failed} seeds failed" if failed else ""
            yield f"{_title(results, name)}: {count['win']} wins of {tried}{worse}{fails}."


# The predictor.


def _predicted(results: Data) -> str:
    rows, by_bounds, by_advice = [], [0, 0, 0], [0, 0, 0]
    for name, problem in results["problems"].items():
        advice, of = problem["advice"], comparisons(results, name)
        bounds = _outcome(("shares",), claim_by_bounds(advice), of)
        told = _outcome(*claim_by_advice(advice), of)
        _count(by_bounds, bounds)
        _count(by_advice, told)
        rows.append(
            (
                problem["title"],
                number(advice["ratio"]),
                number(advice["ratio_of_one_size"]),
                f"{advice['least_cosine']:.2f}",
                advice["advice"] + ("" if advice["is_sure"] else " (not sure)"),
                bounds,
                told,
            )
        )
    heads = ("", "ratio", "of one size", "least cosine", "advice", "by the bounds", "by the advice")
    return f"""## Could it have been told before?

`group.diagnose` looks at gradients in the first {STEPS} steps of the plain sum, here each
{EVERY} steps at the middle learning rate. Its bounds and these claims were written down
(`evidence/predictor.py`) before the fits of this page:

- **by the bounds**: where the largest gradient norm is above {FAR:g} times the smallest (*ratio*),
  `GradientShareWeighting` wins; below {NEAR:g} times it does not; between, no claim.
- **by the advice**: what it tells you to try first wins; where it says "nothing", neither
  `NormalizedWeighting` nor `GradientShareWeighting` does. *of one size*: the ratio if each loss were
  divided by its mean.

{_table(heads, rows)}
By the bounds {_tally(by_bounds)}. By the advice {_tally(by_advice)}.
"""


def _outcome(methods: Sequence[str], claim: bool | None, of: dict[str, Comparison]) -> str:
    known = [name for name in methods if name in of]
    if claim is None or not known:
        return "no claim"
    won = any(of[name].verdict == "win" for name in known)
    return "hit" if won == claim else "**miss**"


def _count(counts: list[int], outcome: str) -> None:
    counts[("hit", "**miss**", "no claim").index(outcome)] += 1


def _tally(counts: Sequence[int]) -> str:
    hits, misses, none = counts
    return f"{hits} hits, {misses} misses, {none} without a claim"


# Each problem.


def _each(results: Data) -> str:
    parts = ["## All numbers\n"]
    parts += [_details(results, name) for name in results["problems"]]
    return "\n".join(parts)


def _details(results: Data, name: str) -> str:
    problem = results["problems"][name]
    of, late = comparisons(results, name), timed(results, name)
    rows = [
        (
            _title(results, method),
            *_intervals(of.get(method), late.get(method)),
            sum(one["failed"]) or "",
            _rates(one),
            f"{tables.cost_of(results, name, method):.1f}",
            _weights(problem, method),
        )
        for method, one in problem["methods"].items()
    ]
    heads = ("", "ratio", "at equal time", "failed", "learning rate", "cost", "mean weights")
    grid = "; ".join(
        f"{loss} {', '.join(f'{weight:g}' for weight in weights)}"
        for loss, weights in problem["constants"].items()
    )
    return f"""<details markdown="1">
<summary>{problem["title"]}: {problem["metric"]}, {problem["steps"]:,} steps</summary>

The plain sum's: {_absolute(problem["methods"]["plain"])}. Losses: {", ".join(problem["losses"])}.
Grid of constants: {grid or "none"}.

{_table(heads, rows)}
</details>
"""


def _intervals(one: Comparison | None, late: Comparison | None) -> tuple[str, str]:
    if one is None or late is None:
        return "1", "1"
    return _with_interval(one), _with_interval(late)


def _with_interval(one: Comparison) -> str:
    return marked(one, f"{number(one.ratio)} [{number(one.low)}, {number(one.high)}]")


def _absolute(method: Data) -> str:
    last = method["logs"][-1]
    return f"{exp(sum(last) / len(last)):.3g} (seeds {exp(min(last)):.2g} to {exp(max(last)):.2g})"


def _rates(method: Data) -> str:
    rates = " / ".join(dict.fromkeys(f"{one['rate']:g}" for one in method["chosen"]))
    return rates + (" *edge*" if method["is_at_edge"] else "")


_SHOWN = 6
"""The weights of so many losses are shown."""


def _weights(problem: Data, method: str) -> str:
    one = problem["methods"][method]["chosen"][0]
    if method == "plain" or len(problem["losses"]) > _SHOWN:
        return ""
    of = f" (of {one['of']})" if "of" in one else ""
    return ", ".join(f"{value:.3g}" for value in one["weights"].values()) + of


# The end.


def _threats(results: Data) -> str:
    verdicts_ = sum(sum(verdicts(results, name).values()) for name in _others(results))
    placebo = verdicts(results, "equal") if "equal" in results["methods"] else None
    chance = (
        ""
        if placebo is None
        else (f" The placebo has {placebo['win']} wins and {placebo['loss']} losses.")
    )
    return f"""## What may be wrong with this

- **Small networks, short runs**, float32, one optimizer (Adam) at a constant rate. A schedule, more
  steps or another optimizer may change a winner. Defaults of each method; whoever tunes one will do
  better than its row.
- **The constant has a grid of its own**, so it was tried more often than any method; it is chosen on
  other seeds than those it is reported for, and that is what a user would do, too.
- **{verdicts_} verdicts**: with intervals of 95 %, one in twenty of true ties may come out as a win or
  a loss, apart from the bound of {100 * TIE:.0f} %.{chance}
- **We chose the problems**, among them ones on which pilots had shown an effect. Counts over problems
  are a summary of this list, no frequency in the world.
- **We wrote the package.** Its methods are held equal to their papers or authors' code in its tests.
- **Costs** were timed on a shared machine, in turn with the plain sum; small networks make what a
  method computes look dearer than it is beside a large one.
- Seeds are trained side by side in one batched network, each with a `LossGroup` of its own; a test
  holds that each trains as it would alone.
"""


def _again() -> str:
    return """## Run it again

```text
make evidence                  # the standard run: some 75 minutes on two cores, no download
make evidence ARGS=--quick     # a minute, into .evidence/page/
make evidence ARGS=--full      # long fits, hours
make evidence ARGS="--problems circuit_raw --methods cov,shares --to mine"
```

Each fit is kept in `.evidence/`, so that what was stopped goes on. `evidence/problems/` has one file a
family, `evidence/methods.py` the rows, `evidence/results.json` the numbers of each seed.
"""


def write(results: Data, folder: Path) -> Path:
    """Write the page and its figure."""
    draw(results, folder)
    file = folder / "evidence.md"
    file.write_text(page(results), encoding="utf-8")
    return file


if __name__ == "__main__":
    write(json.loads((HERE / "results.json").read_text(encoding="utf-8")), HERE.parent / "docs")
