"""Rates are chosen on the other half of the seeds, and failures count as untrained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evidence import choice
from evidence.fit import Fit
from evidence.methods import METHODS
from evidence.plan import STANDARD, make_plan
from evidence.problems import PROBLEMS

PLAN = make_plan(STANDARD, ["circuit_unit"], ["cov", "shares", "frozen"])
PROBLEM = PROBLEMS["circuit_unit"]
SLOW, MIDDLE, FAST = PROBLEM.rates


def numbers(final: list[float], **more: Any) -> dict[str, Any]:
    return {
        "start": [1.0] * len(final),
        "curve": [[0.9] * len(final), final],
        "collapsed": [False] * len(final),
        "weights": {name: [1.0] * len(final) for name in PROBLEM.losses},
        **more,
    }


def results(of: dict[tuple[str, float], dict[str, Any]]) -> choice.Results:
    default = numbers([0.8] * 10)
    return lambda fit: of.get((fit.method, fit.rate), default)


def test_a_rate_is_chosen_for_a_half_on_the_other() -> None:
    good_first, good_last = [0.1] * 5 + [0.5] * 5, [0.5] * 5 + [0.1] * 5
    of = {("cov", SLOW): numbers(good_first), ("cov", FAST): numbers(good_last)}

    reported = choice.report(PLAN, PROBLEM, METHODS["cov"], results(of))

    assert [fit.rate for fit in reported.fits] == [FAST, SLOW]
    np.testing.assert_allclose(np.exp(reported.logs[-1]), 0.5)
    assert choice.is_at_edge(PLAN, PROBLEM, reported)


def test_no_edge_in_the_middle() -> None:
    of = {("cov", MIDDLE): numbers([0.1] * 10)}

    reported = choice.report(PLAN, PROBLEM, METHODS["cov"], results(of))

    assert not choice.is_at_edge(PLAN, PROBLEM, reported)


def test_a_seed_that_fails_is_counted_and_is_no_better_than_untrained() -> None:
    final = [0.5, float("nan"), 7.0, 0.9, 1.0]
    own = numbers(final, collapsed=[False, False, False, True, False])

    logs, failed = choice.log_metrics(own)

    assert np.exp(logs[-1]).tolist() == pytest.approx([0.5, 1, 1, 0.9, 1])
    assert failed.tolist() == [False, True, True, True, True]


def test_a_metric_of_0_has_a_logarithm() -> None:
    logs, failed = choice.log_metrics(numbers([0.0]))

    assert np.exp(logs[-1]).tolist() == pytest.approx([choice.LEAST])
    assert not failed.any()


def test_frozen_weights_are_those_of_the_best_moving_method_of_the_other_half() -> None:
    names = PROBLEM.losses
    cov = numbers([0.1] * 5 + [0.7] * 5, weights={name: [2.0] * 5 + [100.0] * 5 for name in names})
    shares = numbers(
        [0.7] * 5 + [0.1] * 5,
        weights={name: [100.0] * 5 + [3.0, 4.0] * 2 + [3.5] for name in names},
    )
    of = {("cov", SLOW): cov, ("shares", FAST): shares}

    for_first, for_last = choice.frozen(PLAN, PROBLEM, results(of))

    first, last = PLAN.halves
    steps = PROBLEM.steps
    assert for_first == Fit(
        PROBLEM.name, "frozen", FAST, first, steps, tuple((name, 3.5) for name in names)
    )
    assert for_last == Fit(
        PROBLEM.name, "frozen", SLOW, last, steps, tuple((name, 2.0) for name in names)
    )
