"""What each method reports: its learning rate is chosen for a seed on seeds of the other half."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .fit import Fit
from .methods import METHODS, Method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .plan import Plan
    from .problems import Problem

Numbers = Mapping[str, Any]
Results = Callable[[Fit], Numbers]
"""The numbers of a fit that is done."""

LEAST = 1e-6
"""A metric counts as no less than this part of that of the untrained network: 0 has no log."""


class Reported(NamedTuple):
    """What a method reports of a problem.

    Attributes:
        logs: The logarithm of the metric at each checkpoint, [checkpoints, seeds].
        failed: Whether a seed failed, [seeds].
        fits: What was chosen for the seeds of each half.
    """

    logs: NDArray[np.float64]
    failed: NDArray[np.bool_]
    fits: tuple[Fit, Fit]


def log_metrics(numbers: Numbers) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The logarithm of the metric, [checkpoints, seeds], and which seeds failed.

    A seed fails that ends with nan, no better than untrained, or with a trivial solution. The first
    two count as untrained; the last has its own metric, which no trivial solution wins.
    """
    start = np.array(numbers["start"])
    curve = np.array(numbers["curve"])
    bad = ~(curve < start)  # which nan is, too
    kept = np.where(bad, start, np.maximum(curve, LEAST * start))
    return np.log(kept), bad[-1] | np.array(numbers["collapsed"])


def score(numbers: Numbers, places: Sequence[int]) -> float:
    """How well some seeds of a fit did: the mean of the logarithm, smaller is better."""
    return float(log_metrics(numbers)[0][-1, list(places)].mean())


def best(fits: Sequence[Fit], results: Results, places: Sequence[int]) -> Fit:
    """The fit in which these seeds did best."""
    return min(fits, key=lambda fit: score(results(fit), places))


def report(plan: Plan, problem: Problem, method: Method, results: Results) -> Reported:
    """What a method reports."""
    if method.name == "frozen":
        fits = frozen(plan, problem, results)
    else:
        candidates = plan.candidates(problem, method)
        one, other = plan.halves
        fits = best(candidates, results, other), best(candidates, results, one)
    logs, failed = [], []
    for fit, half in zip(fits, plan.halves, strict=True):
        places = [fit.seeds.index(seed) for seed in half]
        own_logs, own_failed = log_metrics(results(fit))
        logs.append(own_logs[:, places])
        failed.append(own_failed[places])
    return Reported(np.concatenate(logs, axis=1), np.concatenate(failed), fits)


def frozen(plan: Plan, problem: Problem, results: Results) -> tuple[Fit, Fit]:
    """Fits with the mean weights of the method with moving weights that did best.

    Method, rate and weights for the seeds of one half are those of the other half.
    """
    one, other = plan.halves
    return _frozen_for(one, other, plan, problem, results), _frozen_for(
        other, one, plan, problem, results
    )


def _frozen_for(
    own: Sequence[int], other: Sequence[int], plan: Plan, problem: Problem, results: Results
) -> Fit:
    source = frozen_source(plan, problem, results, other)
    means = results(source)["weights"]
    weights = tuple((name, float(np.mean([means[name][i] for i in other]))) for name in means)
    return Fit(problem.name, "frozen", source.rate, tuple(own), source.steps, weights)


def frozen_source(plan: Plan, problem: Problem, results: Results, places: Sequence[int]) -> Fit:
    """The best fit of these seeds among the methods whose weights move."""
    fits = [
        fit
        for method in plan.methods_for(problem)
        if method.moves
        for fit in plan.candidates(problem, method)
    ]
    return best(fits, results, places)


def is_at_edge(plan: Plan, problem: Problem, reported: Reported) -> bool:
    """Whether a rate was chosen beyond which there was none to try."""
    rates = plan.rates(problem)
    return len(rates) > 1 and any(fit.rate in (rates[0], rates[-1]) for fit in reported.fits)


def can_freeze(plan: Plan, problem: Problem) -> bool:
    """Whether there is a method with weights that move."""
    methods = plan.methods_for(problem)
    return METHODS["frozen"] in methods and any(method.moves for method in methods)
