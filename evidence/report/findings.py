"""What the tables say, in sentences that are counted out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from evidence.predictor import EVERY, STEPS, claim_by_advice, claim_by_bounds
from loss_loggers.alerts import FAR, NEAR

from . import trades
from .markdown import bullets, counted, number, ratio, table
from .tables import (
    SHOWN,
    comparisons,
    failures,
    families,
    is_in_name,
    problems_with,
    ranked,
    sign,
    title,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .tables import Data


def in_short(results: Data) -> str:
    """The summary."""
    lines = [_of_family(results, *family) for family in families(results).items()]
    lines += trades.in_short(results)
    bounds, advice = claims_by_bounds(results), claims_by_advice(results)
    lines.append(
        f"`group.diagnose` foretold by its bounds {_tally(bounds)}, by its advice {_tally(advice)};"
        f" always the same answer would be right {same_answer(bounds)} and {same_answer(advice)}"
        " times."
    )
    return f"## In short\n\n{bullets(lines)}"


def _of_family(results: Data, family: str, problems: Sequence[str]) -> str:
    counts = ", ".join(
        f"{title(results, method)} {_won(results, problems, method)}"
        for method in SHOWN
        if method in results["methods"]
    )
    return f"Where weights {family} ({counted(len(problems), 'problem')}): {counts}."


def _won(results: Data, problems: Sequence[str], method: str) -> str:
    tried = [name for name in problems if name in problems_with(results, method)]
    all_of = [comparisons(results, name)[method].verdict for name in tried]
    losses, hollow = all_of.count("loss"), sum(is_in_name(results, it, method) for it in tried)
    wins = counted(all_of.count("win"), "win") + (f" ({hollow} in name alone)" if hollow else "")
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
    best = ", ".join(
        f"{title(results, name)} {ratio(of[name].ratio)}{sign(results, problem, name)}"
        for name in wins[:4]
    )
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
            f"; the worst is {results['problems'][worst]['title']}, {ratio(of[worst].ratio)}"
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
    heads = ("", "ratio", "of one size", "least cosine", "advice", "by the bounds", "by the advice")
    return f"""## Could it have been told before?

`group.diagnose` looks at gradients in the first {STEPS} steps of the plain sum, here every {EVERY}
steps at the middle learning rate. These claims were written down (`evidence/predictor.py`) before
the fits of this page; the bounds come from pilots before that.

- **by the bounds**: where the largest gradient norm is above {FAR:g} times the smallest (*ratio*),
  `GradientShareWeighting` wins; below {NEAR:g} times it does not; between, no claim.
- **by the advice**: what it tells you to try first wins; where it says "nothing", neither
  `NormalizedWeighting` nor `GradientShareWeighting` does. *of one size*: the ratio if each loss
  were divided by its mean.

{table(heads, _predictions(results))}
{_right_by_chance(results)}"""


class Claim(NamedTuple):
    """What was foretold of a problem: whether one of some methods wins; None for no claim."""

    says: bool | None
    came: bool

    @property
    def outcome(self) -> str:
        """Whether it was right."""
        if self.says is None:
            return "no claim"
        return "hit" if self.says == self.came else "**miss**"


def claims_by_bounds(results: Data) -> list[Claim]:
    """Of each problem."""
    return [
        _claim(results, name, ("shares",), claim_by_bounds(problem["advice"]))
        for name, problem in results["problems"].items()
    ]


def claims_by_advice(results: Data, *, strictly: bool = False) -> list[Claim]:
    """Of each problem; strictly, a win in name alone is none."""
    return [
        _claim(results, name, *claim_by_advice(problem["advice"]), strictly=strictly)
        for name, problem in results["problems"].items()
    ]


def _claim(
    results: Data,
    problem: str,
    methods: Sequence[str],
    says: bool | None,
    *,
    strictly: bool = False,
) -> Claim:
    of = comparisons(results, problem)
    known = [name for name in methods if name in of]
    won = any(
        of[name].verdict == "win" and not (strictly and is_in_name(results, problem, name))
        for name in known
    )
    return Claim(says if known else None, won)


def same_answer(claims: Sequence[Claim]) -> int:
    """How often who always says the same would have been right where there is a claim."""
    came = [claim.came for claim in claims if claim.says is not None]
    return max(sum(came), len(came) - sum(came))


def _predictions(results: Data) -> Iterator[tuple[str, ...]]:
    claims = zip(claims_by_bounds(results), claims_by_advice(results), strict=True)
    for problem, (bounds, told) in zip(results["problems"].values(), claims, strict=True):
        advice = problem["advice"]
        yield (
            problem["title"],
            number(advice["ratio"]),
            number(advice["ratio_of_one_size"]),
            f"{advice['least_cosine']:.2f}",
            advice["advice"] + ("" if advice["is_sure"] else " (not sure)"),
            bounds.outcome,
            told.outcome,
        )


def _right_by_chance(results: Data) -> str:
    bounds, advice = claims_by_bounds(results), claims_by_advice(results)
    lines = [
        f"By the bounds {_tally(bounds)}; who always claims that `GradientShareWeighting`"
        f" {_always(bounds)} would have {same_answer(bounds)} of the same claims right.",
        f"By the advice {_tally(advice)}; who always claims that what it names"
        f" {_always(advice)} would have {same_answer(advice)} right. It makes no claim where what"
        " it advises was not run.",
    ]
    strictly = claims_by_advice(results, strictly=True)
    if strictly != advice:
        lines.append(
            f"Without the win in name alone (†), by the advice {_tally(strictly)}, and"
            f" {same_answer(strictly)} by the same answer."
        )
    if NEW in results["problems"]:
        place = [*results["problems"]].index(NEW)
        lines.append(
            f'"{results["problems"][NEW]["title"]}" was added as the test of these claims:'
            f" {bounds[place].outcome} by the bounds, {advice[place].outcome} by the advice."
        )
    return bullets(lines)


NEW = "inverse_heat"
"""Nobody had tried weights on this problem."""


def _always(claims: Sequence[Claim]) -> str:
    came = [claim.came for claim in claims if claim.says is not None]
    return "wins" if 2 * sum(came) > len(came) else "does not win"


def _tally(claims: Sequence[Claim]) -> str:
    outcomes = [claim.outcome for claim in claims]
    hits, misses = outcomes.count("hit"), outcomes.count("**miss**")
    none = len(outcomes) - hits - misses
    return f"{counted(hits, 'hit')}, {counted(misses, 'miss')}, {none} without a claim"
