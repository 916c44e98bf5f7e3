"""Which fits there are."""

from __future__ import annotations

import pytest
from evidence.methods import METHODS
from evidence.plan import DEAR, FULL, QUICK, STANDARD, make_plan
from evidence.problems import PROBLEMS


def test_a_constant_has_a_fit_for_each_weight_and_rate_and_shares_those_of_the_plain_sum() -> None:
    plan = make_plan(STANDARD, ["digits_255"])
    problem = PROBLEMS["digits_255"]

    fits = plan.candidates(problem, METHODS["constant"])

    assert len(fits) == len(problem.rates) * len(problem.constants["draw"])
    assert {fit.method for fit in fits if not fit.weights} == {"plain"}
    assert [*plan.fits()].count(fits[0]) == 1


def test_all_methods_have_the_same_seeds_and_steps() -> None:
    for mode in (STANDARD, FULL, QUICK):
        plan = make_plan(mode)

        assert {fit.seeds for fit in plan.fits()} == {plan.seeds}
        for problem in plan.problems:
            own = {fit.steps for fit in plan.fits() if fit.problem == problem.name}
            assert own == {mode.steps(problem)}


def test_halves_are_all_seeds() -> None:
    one, other = make_plan(STANDARD).halves

    assert (*one, *other) == tuple(range(10))
    assert len(one) == len(other)


def test_what_is_dear_is_on_some_problems_of_the_standard_run_and_on_all_of_the_full_one() -> None:
    dear = {name for name, method in METHODS.items() if method.is_dear}
    of = {
        mode.name: {fit.problem for fit in make_plan(mode).fits() if fit.method in dear}
        for mode in (STANDARD, FULL)
    }

    assert of["standard"] == {*DEAR}
    assert of["full"] == {*PROBLEMS}


def test_some_problems_and_methods_are_what_was_asked_for_and_the_plain_sum() -> None:
    plan = make_plan(STANDARD, ["digits_unit"], ["cov"])

    assert {(fit.problem, fit.method) for fit in plan.fits()} == {
        ("digits_unit", "plain"),
        ("digits_unit", "cov"),
    }


def test_an_unknown_name_is_an_error_that_says_which_there_are() -> None:
    with pytest.raises(ValueError, match=r"method must be one of plain, equal, .*, got best"):
        make_plan(STANDARD, methods=["best"])
