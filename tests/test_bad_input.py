"""Bad input is an error that says the argument and what came, and nothing has changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

import multi_loss_weighting
from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    CoVWeighting,
    GradientDiagnostics,
    GradientShareWeighting,
    GradNorm,
    LossGroup,
    LossTracker,
    RatioSettings,
    StaticWeighting,
    Statistics,
    StatisticsSettings,
    Trackers,
)

from .methods import methods

if TYPE_CHECKING:
    from collections.abc import Callable

ANY: Any = multi_loss_weighting  # what no type checker lets through
GOOD = {"a": 1.0, "b": 2.0}
STEPS = ["3", "x", [1], 1.5, math.inf, -math.inf, math.nan, {}, 1j, torch.tensor(1.5), b"1"]
SAMPLES = [-1, math.nan, math.inf, "x", "4", [1], {}, 1j, torch.tensor([1, 2]), torch.tensor(-1)]
EXTRAS: list[Any] = [
    [1],
    "lr",
    3,
    {1: 2},
    {"lr": "x"},
    {"lr": None},
    {"lr": [1.0]},
    {"lr": torch.ones(2)},
    {"lr": 1j},
    {"lr": torch.ones((), dtype=torch.complex64)},
    *({f"{key}/{own}": 9.0} for key in ("loss", "weight", "mean", "std") for own in ("v/a", "v/b")),
    *({f"{key}/v/a": 9.0} for key in ("weighted", "nonfinite", "cov", "cov_weight", "clamped")),
    *({f"{key}/v/a": 9.0} for key in ("block_mean", "block_std", "count", "epoch_loss")),
    {"epoch": 1},
    {"loss/v/total": 9.0},
]
LOSSES: list[Any] = [
    None,
    [1.0, 2.0],
    1.0,
    torch.ones(2),
    {},
    {"c": 1.0},
    {"a": 1.0, "b": 2.0, "c": 3.0},
    {"a": torch.ones(2), "b": 2.0},
    {"a": torch.ones(0), "b": 2.0},
    {"a": 1.0, "b": "x"},
    {"a": 1.0, "b": None},
    {"a": 1.0, "b": 1j},
    {"a": torch.ones((), dtype=torch.complex64), "b": 2.0},
    {"a": torch.ones(1).to_sparse(), "b": 2.0},
    {"a": 1.0, "b": [2.0, 3.0]},
]


def group_of(log_every: int | None) -> LossGroup:
    group = LossGroup(
        ["a", "b"],
        MemoryLogger(),
        weighting=CoVWeighting(),
        scope="v",
        log_every=log_every,
        block_size=2,
        statistics=StatisticsSettings(history=3, decay=0.5),
    )
    for step in range(3):
        group.record({"a": torch.tensor(1.0 + step), "b": torch.tensor(2.0)})
    return group


def tracker_of(log_every: int | None) -> LossTracker:
    tracker = LossTracker("v/a", MemoryLogger(), log_every=log_every, block_size=2)
    for step in range(3):
        tracker.update(torch.tensor(1.0 + step), do_backwards=False)
    return tracker


def message(raised: pytest.ExceptionInfo[Exception]) -> str:
    assert len(str(raised.value)) > 20
    return str(raised.value)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("step", step) for step in STEPS),
        *(("samples", samples) for samples in SAMPLES),
        *(("extra", extra) for extra in EXTRAS),
    ],
)
def test_a_bad_argument_changes_nothing(log_every: int | None, argument: str, value: Any) -> None:
    group, tracker = group_of(log_every), tracker_of(log_every)
    trackers = Trackers(["v/a"], MemoryLogger(), log_every=log_every, block_size=2)
    before = group.state_dict()["_extra_state"], tracker.state_dict()["state"]
    bad: dict[str, Any] = {argument: value}
    live = {name: torch.tensor(loss, requires_grad=True) for name, loss in GOOD.items()}
    calls: list[Callable[[], Any]] = [
        lambda: group.update(GOOD, do_backwards=False, **bad),
        lambda: group.update(live, **bad),
        lambda: group.record(GOOD, **bad),
    ]
    keys = map(str, value) if argument == "extra" and isinstance(value, dict) else ()
    is_of_the_group = any(key.endswith(("/b", "/total")) for key in keys)
    if not is_of_the_group:
        calls += [lambda: tracker.update(1.0, do_backwards=False, **bad)]
        calls += [lambda: tracker.update(live["a"], **bad)]
        if argument != "samples":
            calls += [lambda: trackers.step(**bad)]
    if argument == "step":
        calls.append(lambda: group.weigh(live, **bad))
    else:
        calls.append(lambda: group.accumulate(GOOD, **bad))

    for call in calls:
        with pytest.raises((TypeError, ValueError)) as raised:
            call()
        assert argument in message(raised)
    assert torch.equal(before[0], group.state_dict()["_extra_state"])
    assert torch.equal(before[1], tracker.state_dict()["state"])
    assert (group.step, tracker.step, trackers["v/a"].step) == (3, 3, 0)
    assert live["a"].grad is None
    with pytest.raises(ValueError, match="accumulate"):
        group.record()


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("losses", LOSSES)
def test_bad_losses_change_nothing(log_every: int | None, losses: Any) -> None:
    group = group_of(log_every)
    before = group.state_dict()["_extra_state"]
    for call in (group.weigh, group.update, group.accumulate, group.record):
        if losses is None and call == group.record:
            continue
        with pytest.raises((TypeError, ValueError)) as raised:
            call(losses)
        assert "loss" in message(raised)

    assert torch.equal(before, group.state_dict()["_extra_state"])
    group.record(GOOD)
    assert (group.step, group["a"].count, group["b"].count) == (4, 4, 4)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize(
    "loss",
    [
        *("x", None, [1.0, 2.0], 1j, torch.ones(2), torch.ones(0), {"a": 1.0}),
        torch.ones((), dtype=torch.complex64),
    ],
)
def test_a_bad_loss_of_a_tracker_changes_nothing(log_every: int | None, loss: Any) -> None:
    tracker = tracker_of(log_every)
    before = tracker.state_dict()["state"]
    for do_backwards in (True, False):
        with pytest.raises((TypeError, ValueError)) as raised:
            tracker.update(loss, do_backwards)
        assert "v/a" in message(raised)

    assert torch.equal(before, tracker.state_dict()["state"])


@pytest.mark.parametrize("log_every", [None, 2])
def test_a_loss_inside_a_transform_of_torch_is_refused(log_every: int | None) -> None:
    group, tracker = group_of(log_every), tracker_of(log_every)
    before = group.state_dict()["_extra_state"], tracker.state_dict()["state"]

    def inside(loss: torch.Tensor) -> torch.Tensor:
        for call in (group.weigh, group.record, group.accumulate, group.update):
            with pytest.raises(TypeError, match=r"loss 'a'.*torch\.func"):
                call({"a": loss, "b": loss})
        with pytest.raises(TypeError, match=r"'v/a'.*torch\.func.*multi_loss_weighting.functional"):
            tracker.update(loss, do_backwards=False)
        return loss

    torch.func.vmap(inside)(torch.ones(3))
    torch.func.grad(inside)(torch.ones(()))
    torch.func.jvp(inside, (torch.ones(()),), (torch.ones(()),))
    torch.func.hessian(inside)(torch.ones(()))
    assert torch.equal(before[0], group.state_dict()["_extra_state"])
    assert torch.equal(before[1], tracker.state_dict()["state"])


@pytest.mark.parametrize("kind", [LossGroup, LossTracker])
@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("block_size", [0, -1, 1.5, "3", math.nan, math.inf, False]),
        ("log_every", [0, -1, 1.5, "3", math.nan, math.inf]),
        ("max_loss", [0, -1, math.nan, "x", None, [1.0]]),
        ("nonfinite", ["", "drop", None, 3, ["skip"], {}]),
        ("report", ["losses", ["loss", "x"], 3, None, [3]]),
        ("statistics", [3, "x", {"history": 3}, RatioSettings()]),
        ("backward", [3, "x", [1]]),
        ("logger", [3, "x", object(), MemoryLogger]),
    ],
)
def test_a_bad_option_is_an_error_that_names_it(
    kind: Any, argument: str, values: list[Any]
) -> None:
    first: Any = ["a", "b"] if kind is LossGroup else "a"
    for value in values:
        with pytest.raises((TypeError, ValueError)) as raised:
            kind(first, **{argument: value})
        assert argument in message(raised), (value, str(raised.value))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        *((lambda value=value: ANY.LossGroup(value), "name") for value in ("ab", [], [1], [""], 3)),
        *((lambda value=value: ANY.LossGroup(value), "name") for value in (["a", "a"], ["a\nb"])),
        (lambda: ANY.LossGroup(["total"]), "name"),
        (lambda: ANY.LossGroup(["a"], scope=3), "scope"),
        (lambda: ANY.LossGroup(["a"], scope="a\nb"), "scope"),
        (lambda: ANY.LossGroup(["a"], ignore=3), "ignore"),
        (lambda: ANY.LossGroup(["a"], ignore=[["a"]]), "ignore"),
        (lambda: ANY.LossGroup(["a"], weighting=CoVWeighting), "weighting"),
        (lambda: ANY.LossGroup(["a"], weighting=3), "weighting"),
        *((lambda value=value: ANY.LossTracker(value), "name") for value in ("", 3, None, "a\nb")),
        *(
            (lambda value=value: ANY.LossTracker("a", weight=value), "weight")
            for value in (math.nan, math.inf, "x", None, [1.0])
        ),
        *(
            (lambda value=value: ANY.LossTracker("a", warmup=value), "warmup")
            for value in (-1, math.nan, "x", None)
        ),
        *(
            (lambda value=value: ANY.Trackers(value), "name")
            for value in ([], "ab", ["a", "a"], [3])
        ),
        (lambda: ANY.Trackers(["a"], weight={"b": 1.0}), "weight"),
        *(
            (lambda value=value: ANY.StatisticsSettings(history=value), "history")
            for value in (-1, 1.5, "x", None, math.nan, math.inf)
        ),
        *(
            (lambda value=value: ANY.StatisticsSettings(decay=value), "decay")
            for value in (0, 1, -1, math.nan, "x")
        ),
        (lambda: ANY.StatisticsSettings(ratio=3), "ratio"),
        *(
            (lambda value=value: ANY.RatioSettings(spike=value), "spike")
            for value in (1, 0, math.nan, "x", None)
        ),
        *(
            (lambda value=value: ANY.RatioSettings(patience=value), "patience")
            for value in (0, math.nan, "x", None, 1.5)
        ),
        (lambda: ANY.ReportSettings(["x"]), "report"),
        (lambda: ANY.ReportSettings(process_group="x"), "process_group"),
        *(
            (lambda value=value: ANY.CoVWeighting(warmup=value), "warmup")
            for value in (1, math.nan, "x", None)
        ),
        (lambda: ANY.CoVWeighting(sum_to=2), "sum_to"),
        (lambda: ANY.CoVWeighting(sum_to=[]), "sum_to"),
        *(
            (lambda value=value: ANY.AutomaticWeightedLoss(value), "num")
            for value in (0, -1, 1.5, "x", None)
        ),
        *(
            (lambda value=value: ANY.StaticWeighting(kl=value), "kl")
            for value in (math.nan, math.inf, "x", None, [1.0])
        ),
        (lambda: ANY.StaticWeighting([1.0]), "weights"),
        *(
            (lambda value=value: ANY.TargetWeighting(a=1.0, limits=value), "limits")
            for value in (3, (1, 2, 3), ("x", "y"), (2, 1), (0, 1), (1, math.inf), (math.nan, 1))
        ),
        *(
            (lambda value=value: ANY.GradNorm(value), "parameters")
            for value in (3, "ab", [3], [], torch.nn.Linear(1, 1), torch.nn.ReLU)
        ),
        *(
            (
                lambda value=value: ANY.GradientDiagnostics(
                    torch.nn.Linear(1, 1).weight, every=value
                ),
                "every",
            )
            for value in (0, 1.5, "x", None)
        ),
        (lambda: ANY.Statistics(block_size=0), "block_size"),
        (lambda: ANY.Statistics(3), "settings"),
    ],
)
def test_what_makes_no_sense_is_an_error_at_once(make: Callable[[], Any], word: str) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        make()
    assert word in message(raised)


@pytest.mark.parametrize("value", ["x", None, [1], 1.5, math.nan, math.inf])
def test_a_step_is_set_to_a_whole_number(value: Any) -> None:
    group, tracker = group_of(None), tracker_of(None)
    for one in (group, tracker):
        with pytest.raises(ValueError, match="step must be a whole number"):
            one.step = value
        assert one.step == 3


@pytest.mark.parametrize("value", ["x", None, math.nan, -1])
def test_a_warmup_is_set_to_a_number_of_updates(value: Any) -> None:
    tracker = tracker_of(None)
    with pytest.raises((TypeError, ValueError), match="warmup"):
        tracker.warmup = value
    assert tracker.warmup == math.inf


@pytest.mark.parametrize("value", ["x", -1.0, math.nan, math.inf])
def test_statistics_take_numbers_of_samples(value: Any) -> None:
    statistics = Statistics()
    statistics.add(1.0)
    with pytest.raises((TypeError, ValueError), match="samples must be"):
        statistics.add(1.0, samples=value)
    assert statistics.count == 1


@pytest.mark.parametrize("count", [-1, 1.5, "x"])
def test_how_many_values_is_a_whole_number(count: Any) -> None:
    tracker = tracker_of(None)
    with pytest.raises((TypeError, ValueError), match="count"):
        tracker.get_history(count)


def test_a_whole_number_may_be_a_float() -> None:
    group = LossGroup(["a", "b"], statistics=StatisticsSettings(history=2e0), block_size=2.0)  # type: ignore[arg-type]
    for step in range(3):
        group.record({"a": 1.0 + step, "b": 2.0})

    assert group["a"].get_history() == [2.0, 3.0]
    assert group["a"].recent.mean(1.0) == 3.0  # type: ignore[arg-type]
    assert ANY.UncertaintyWeighting(2.0).params.shape == (2,)


def test_no_loss_at_all_is_an_error_before_names_are_known() -> None:
    with pytest.raises(ValueError, match="losses must be one or more, got none"):
        LossGroup().record({})


def watched() -> list[torch.Tensor]:
    return [torch.ones(1, requires_grad=True)]


WITH_A_STATE: dict[str, Callable[[], Any]] = {
    "static": lambda: StaticWeighting(a=2.0),
    "diagnostics": lambda: GradientDiagnostics(watched()),
    "shares": lambda: GradientShareWeighting(watched()),
    "gradnorm": lambda: GradNorm(watched()),
    **{name: make for name, make in methods("a b").items() if name != "uncertainty softmax"},
}


@pytest.mark.parametrize("kind", WITH_A_STATE)
def test_what_is_no_state_is_an_error_and_changes_nothing(kind: str) -> None:
    one = WITH_A_STATE[kind]()
    before = repr(one.state_dict())

    for bad in (None, 5, "x", [1], {"a": "x"}):
        with pytest.raises((TypeError, ValueError, RuntimeError), match=r"state|weight of a"):
            one.load_state_dict(bad)

    assert repr(one.state_dict()) == before
