"""What the tables say, in sentences that are counted out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evidence.predictor import EVERY, STEPS, claim_by_advice, claim_by_bounds
from loss_loggers.alerts import FAR, NEAR

from .markdown import bullets, counted, number, table
from .tables import comparisons, failures, families, problems_with, ranked, title, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from evidence.compare import Comparison

    from .tables import Data

_SHOWN = ("constant", "normalized", "shares", "uncertainty", "cov")
"""The methods that the summary counts."""


def in_short(results: Data) -> str:
    """The summary."""
    lines = [_of_family(results, *family) for family in families(results).items()]
    hits = [outcome for row in _predictions(results) for outcome in row[-2:]]
    lines.append(
        f"`group.diagnose` foretold by its bounds {_tally(hits[::2])}; by its advice"
        f" {_tally(hits[1::2])}."
    )
    return f"## In short\n\n{bullets(lines)}"


def _of_family(results: Data, family: str, problems: Sequence[str]) -> str:
    of = [comparisons(results, name) for name in problems]
    counts = ", ".join(
        f"{title(results, method)} {_won(of, method)}"
        for method in _SHOWN
        if method in results["methods"]
    )
    return f"Where weights {family} ({counted(len(problems), 'problem')}): {counts}."


def _won(of: Iterable[dict[str, Comparison]], method: str) -> str:
    all_of = [one[method].verdict for one in of if method in one]
    wins, losses = counted(all_of.count("win"), "win"), all_of.count("loss")
    return f"{wins} and {counted(losses, 'loss')}" if losses else wins


def helped(results: Data) -> str:
    """The best methods of each problem."""
    return f"## What helped\n\n{bullets(_best_of(results, name) for name in results['problems'])}"


def _best_of(results: Data, problem: str) -> str:
    of = comparisons(results, problem)
    wins = sorted((name for name in of if of[name].verdict == "win"), key=lambda it: of[it].ratio)
    what = results["problems"][problem]["title"]
    if not wins:
        return f"{what}: nothing did."
    best = ", ".join(f"{title(results, name)} {number(of[name].ratio)}" for name in wins[:4])
    return f"{what}: {best}{f', and {len(wins) - 4} more' if len(wins) > 4 else ''}."


def did_not_help(results: Data) -> str:
    """The methods that won nothing, or lost more than they won."""
    return f"## What did not\n\n{bullets(_without_gain(results))}"


def _without_gain(results: Data) -> Iterator[str]:
    for name in reversed(ranked(results)):
        count, tried = verdicts(results, name), problems_with(results, name)
        if count["win"] and count["win"] >= count["loss"]:
            continue
        of = {problem: comparisons(results, problem)[name] for problem in tried}
        worst = max(tried, key=lambda problem: of[problem].ratio)
        at_worst = (
            f"; the worst is {results['problems'][worst]['title']}, {number(of[worst].ratio)}"
            if of[worst].verdict == "loss"
            else ""
        )
        failed = counted(failures(results, name), "seed")
        yield (
            f"{title(results, name)}: {counted(count['win'], 'win')} of {len(tried)},"
            f" {counted(count['loss'], 'loss')}{at_worst}"
            f"{'' if failed == '0 seeds' else f'; {failed} failed'}."
        )


def predicted(results: Data) -> str:
    """What 100 steps of the plain sum foretold, and what came."""
    rows = [*_predictions(results)]
    heads = ("", "ratio", "of one size", "least cosine", "advice", "by the bounds", "by the advice")
    return f"""## Could it have been told before?

`group.diagnose` looks at gradients in the first {STEPS} steps of the plain sum, here every {EVERY}
steps at the middle learning rate. These claims, with the bounds, were written down
(`evidence/predictor.py`) before the fits of this page:

- **by the bounds**: where the largest gradient norm is above {FAR:g} times the smallest (*ratio*),
  `GradientShareWeighting` wins; below {NEAR:g} times it does not; between, no claim.
- **by the advice**: what it tells you to try first wins; where it says "nothing", neither
  `NormalizedWeighting` nor `GradientShareWeighting` does. *of one size*: the ratio if each loss
  were divided by its mean.

{table(heads, rows)}
By the bounds {_tally([row[-2] for row in rows])}; who always claims that
`GradientShareWeighting` does not win would have {_never(results)} of the same claims right.
By the advice {_tally([row[-1] for row in rows])}. It makes no claim where what it
advises was not run.
"""


def _never(results: Data) -> int:
    """In how many problems with a claim by the bounds gradient shares did not win."""
    claimed = [
        comparisons(results, name)["shares"].verdict != "win"
        for name, problem in results["problems"].items()
        if claim_by_bounds(problem["advice"]) is not None and "shares" in problem["methods"]
    ]
    return sum(claimed)


def _predictions(results: Data) -> Iterator[tuple[str, ...]]:
    for name, problem in results["problems"].items():
        advice, of = problem["advice"], comparisons(results, name)
        yield (
            problem["title"],
            number(advice["ratio"]),
            number(advice["ratio_of_one_size"]),
            f"{advice['least_cosine']:.2f}",
            advice["advice"] + ("" if advice["is_sure"] else " (not sure)"),
            _outcome(("shares",), claim_by_bounds(advice), of),
            _outcome(*claim_by_advice(advice), of),
        )


def _outcome(methods: Sequence[str], claim: bool | None, of: dict[str, Comparison]) -> str:
    known = [name for name in methods if name in of]
    if claim is None or not known:
        return "no claim"
    won = any(of[name].verdict == "win" for name in known)
    return "hit" if won == claim else "**miss**"


def _tally(outcomes: Sequence[str]) -> str:
    hits, misses = outcomes.count("hit"), outcomes.count("**miss**")
    none = len(outcomes) - hits - misses
    return f"{counted(hits, 'hit')}, {counted(misses, 'miss')}, {none} without a claim"
