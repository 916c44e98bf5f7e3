"""Ranks share losses by name: real processes, that talk over gloo."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multi_loss_weighting.distributed._names import LateSignals
from multi_loss_weighting.distributed._sums import means_of, read_tally, tally

from .ranks.by_name import FAULTS
from .ranks.launch import run_once

if not torch.distributed.is_available():
    pytest.skip("this torch was built without torch.distributed", allow_module_level=True)

WORK = Path(__file__).parent / "ranks" / "by_name.py"
STOPPED = "RuntimeError: rank 1 stopped at this step: TypeError: the loss 'b' is no number"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return run_once(tmp_path_factory, "two", 2, WORK)[0]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return run_once(tmp_path_factory, "three", 3, WORK)[0]


def exact(means: dict[str, str]) -> dict[str, float]:
    return {name: float.fromhex(mean) for name, mean in means.items()}


@pytest.mark.parametrize(
    ("kind", "names", "expected"),
    [
        ("another order", "ab", [{"a": 2, "b": 200}] * 3),
        ("another set", "abc", [{"a": 2, "b": 100, "c": 7000}] * 3),
        ("one less", "ab", [{"a": 1, "b": 200}] * 3),
        ("nothing at first", "ba", [{"b": 3, "a": 1}] * 2),
        ("nothing at all", "ba", [{}, {"b": 1, "a": 3}]),
        ("news on one", ["a", "kl"], [{"a": 2}, {"a": 2, "kl": 5}, {"a": 2}]),
        ("news on both", "acb", [{"a": 2}, {"a": 2, "c": 3, "b": 7}] * 2),
        ("a loss gone", "ab", [{"a": 2, "b": 3}, {"b": 3}]),
        ("huge", "ab", [{"a": 1.7e308, "b": 0}]),
    ],
)
def test_means_are_those_of_the_losses_of_that_name(
    two: list[Any], kind: str, names: str, expected: list[dict[str, float]]
) -> None:
    steps = two[0]["sets"][kind]

    assert steps == two[1]["sets"][kind]
    assert [exact(step["means"]) for step in steps] == expected
    assert steps[-1]["names"] == list(names)
    assert not any(any(step["nonfinite"]) for step in steps)


def test_three_ranks_with_random_sets_agree_to_the_last_bit(three: list[Any]) -> None:
    every = zip(*(rank["random"] for rank in three), strict=True)

    for by_rank in every:
        assert by_rank[0]["shared"] == by_rank[1]["shared"] == by_rank[2]["shared"]
        means = exact(by_rank[0]["shared"]["means"])
        values = [one["mine"] for one in by_rank]
        assert means == pytest.approx(
            {
                name: fmean(one[name] for one in values if name in one)
                for name in set().union(*values)
            }
        )


def test_a_batch_of_no_samples_counts_as_nothing(two: list[Any]) -> None:
    weighed, *empty_on_one, empty = two[0]["samples"]

    assert two[0]["samples"] == two[1]["samples"]
    assert exact(weighed["means"]) == {"a": (1 * 1 + 3 * 2) / 4}
    assert [exact(step["means"]) for step in empty_on_one] == [{"a": 3.0}, {"a": 3.0}]
    assert empty["means"] == {}
    assert [step["nonfinite"] for step in two[0]["samples"]] == [[0]] * 4


def test_a_step_takes_one_collective_and_news_a_gather_and_one_more(two: list[Any]) -> None:
    calls = two[0]["collectives"]

    # [all_reduce, all_gather_object] after the first step, a usual one, one with news, a usual one
    assert calls == two[1]["collectives"] == [[1, 1], [2, 1], [4, 2], [5, 2]]


def learned_by_one(steps: list[list[dict[str, float]]]) -> dict[str, float]:
    """What one process learns from the mean over two of the gradient of exp(-s) L + s."""
    names = list(dict.fromkeys(name for step in steps for rank in step for name in rank))
    params = {name: torch.zeros((), requires_grad=True) for name in names}
    optimizer = torch.optim.SGD(params.values(), lr=0.01)
    for step in steps:
        optimizer.zero_grad()
        terms = [(-params[n]).exp() * v + params[n] for rank in step for n, v in rank.items()]
        (torch.stack(terms).sum() / 2).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return {name: param.item() for name, param in params.items()}


ORDERS: list[list[dict[str, float]]] = [[{"a": 1, "b": 100}, {"b": 300, "a": 3}]] * 4
NEWS: list[list[dict[str, float]]] = [[{"b": 4, "kl": 7}, {"c": 9, "b": 4}]] * 3


@pytest.mark.parametrize(("kind", "steps"), [("learned", ORDERS), ("learned late", ORDERS + NEWS)])
def test_learned_weights_stay_in_step_by_name(
    two: list[Any], kind: str, steps: list[list[dict[str, float]]]
) -> None:
    learned = two[0][kind]

    assert learned == two[1][kind]
    assert exact(learned) == pytest.approx(learned_by_one(steps), rel=1e-5)


def test_learned_weights_without_names_need_one_order(two: list[Any]) -> None:
    result = two[0]["without names"]

    assert result == two[1]["without names"]
    assert result["mean"] == result["gradient"] == [[1.5, 1.5], [1.5, 1.5]]
    assert "same order on all ranks: rank 0 has a, b, rank 1 has b, a" in result["other order"]
    assert result["again"] == result["other order"]


def test_an_error_on_one_rank_is_raised_on_all_and_the_next_step_is_right(
    two: list[Any], three: list[Any]
) -> None:
    for results in (two, three):
        for rank, result in enumerate(results):
            stopped = STOPPED.removeprefix("RuntimeError: rank 1 stopped at this step: ")
            at_first, right, later, with_news, last = result["stop"]

            assert at_first == later == with_news == (stopped if rank == 1 else STOPPED)
            assert exact(right) == {"a": 1.0}
            assert exact(last) == {"a": fmean(1.0 + other for other in range(len(results)))}


def test_given_names_may_differ_in_order_and_in_nothing_else(two: list[Any]) -> None:
    result = two[0]["given"]

    assert result == two[1]["given"]
    assert exact(result["order"]["means"]) == {"a": 2.0, "b": 3.0}
    assert result["set"].endswith("all ranks: rank 0 has no 'c'; rank 1 has no 'b'")
    assert result["set"].startswith("ValueError")
    assert result["again"] == result["set"]


def test_more_losses_than_learned_weights_is_an_error_on_all_ranks(two: list[Any]) -> None:
    message = two[0]["given"]["too many"]

    assert message == two[1]["given"]["too many"]
    assert message.startswith("ValueError: the weighting was made for 2 losses")
    assert message.endswith("3: a, b, c")


def test_where_nothing_may_be_read_a_new_loss_joins_all_ranks_at_one_step(two: list[Any]) -> None:
    # It came at step 1; ranks look every 3 steps at what was sent 3 steps before.
    assert two[0]["late"]["losses"] == two[1]["late"]["losses"] == [1] * 6 + [2] * 6


def test_losses_on_the_cpu_that_are_read_late_have_their_errors_on_all_ranks_at_once(
    two: list[Any],
) -> None:
    right = {"a": (1.0).hex()}
    told = "RuntimeError: rank 1 stopped at this step: TypeError: no number"

    assert two[0]["late"]["errors"] == [right, told, right, right, right, right]
    assert two[1]["late"]["errors"] == [right, "TypeError: no number", right, right, right, right]


def test_on_an_accelerator_an_error_of_another_rank_is_raised_where_signals_are_read() -> None:
    signals = LateSignals(every=2)
    for signal in (0.0, 3.0, 0.0):
        assert not signals.have_news(ranks=2)
        signals.add(torch.tensor([signal]))

    signals.add(torch.tensor([0.0]))
    with pytest.raises(RuntimeError, match="another rank stopped some steps ago"):
        signals.have_news(ranks=2)


@pytest.mark.parametrize("late", [None, 2])
@pytest.mark.parametrize(
    ("way", "fault"), [(way, fault) for way, faults in FAULTS.items() for fault in faults]
)
def test_whatever_stops_a_rank_in_a_step_is_told_on_all_of_them(
    two: list[Any], way: str, fault: str, late: int | None
) -> None:
    (heard, *after), (own, *own_after) = (
        rank["stop a group"][f"{way}, {fault}, {late}"] for rank in two
    )

    assert own
    assert heard == f"RuntimeError: rank 1 stopped at this step: {own}"
    assert after == own_after == [4, 2.0]


def test_a_tracker_without_a_backward_on_one_rank_is_an_error_on_all(two: list[Any]) -> None:
    first, second = (rank["stop a tracker"] for rank in two)
    for (heard, *after), (own, *own_after) in zip(first, second, strict=True):
        assert own
        assert heard == f"RuntimeError: rank 1 stopped at this step: {own}"
        assert after == own_after == [1, 1.5]


def test_ranks_share_a_validation_as_they_share_the_training(two: list[Any]) -> None:
    assert [one["follow"]["shared"] for one in two] == [3.0, 3.0]
    assert two[0]["follow"]["alone"] == 7.0


def test_extra_gives_way_to_a_loss_that_another_rank_brings(two: list[Any]) -> None:
    assert two[0]["name of another"] == [99.0, 7.0]


def test_a_rank_may_begin_without_a_loss_and_not_all_of_them(two: list[Any]) -> None:
    error = "losses must be one or more, got none"

    assert two[0]["nothing"] == two[1]["nothing"] == [error, [2.5, 2, 2]] * 2


def test_a_copy_agrees_anew(two: list[Any]) -> None:
    assert two[0]["copy"] == two[1]["copy"] == [["a"], ["b"], ["c"]]


def test_a_rank_that_does_not_come_is_an_error_that_says_so(two: list[Any]) -> None:
    assert "needs each rank to record each step" in two[0]["alone"]


@given(
    st.lists(st.tuples(st.floats(-1.79e308, 1.79e308), st.integers(0, 64)), min_size=1, max_size=9)
)
def test_means_of_finite_losses_are_finite_and_between_them(batches: list[Any]) -> None:
    sums = torch.zeros(5, 1, dtype=torch.float64)
    for value, samples in batches:
        sums += tally(torch.tensor([value], dtype=torch.float64), None, samples)

    (mean,), *_ = read_tally(sums.flatten().tolist())

    counted = [value for value, samples in batches if samples]
    if counted:
        slack = 1e-12 * max(map(abs, counted)) + 1e-312  # the latter for subnormal numbers
        assert min(counted) - slack <= mean <= max(counted) + slack
        assert means_of(sums)[0].item() == mean
    else:
        assert math.isnan(mean)


@pytest.mark.parametrize("samples", [0, 3])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bool])
def test_samples_as_a_tensor_count_like_a_number(samples: int, dtype: torch.dtype) -> None:
    losses = torch.tensor([1.5, torch.nan, 2.0], dtype=torch.float64)
    as_tensor = torch.tensor(samples).to(dtype)

    by_tensor = tally(losses, [True, True, False], as_tensor)

    assert torch.equal(by_tensor, tally(losses, [True, True, False], float(as_tensor)))
