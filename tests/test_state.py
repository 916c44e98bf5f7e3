from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    STATISTICS,
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    LossGroup,
    LossTracker,
    RatioSettings,
    StaticWeighting,
    Trackers,
    UncertaintyWeighting,
)
from multi_loss_weighting.statistics._many import MANY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.filterwarnings("ignore:loss 'b' is nan at step 4:RuntimeWarning")

STEPS = 12
NAMES = ("a", "b", "c")
MANY_NAMES = tuple(f"loss {index}" for index in range(MANY))
Measure = LossTracker | Trackers | LossGroup
OPTIONS: dict[str, Any] = {"block_size": 5, "decay": 0.9, "history": 4, "report": STATISTICS}


class Training:
    """A network, its optimizer, and what measures its losses."""

    def __init__(self, make: Callable[[MemoryLogger], Measure], seed: int) -> None:
        self.memory = MemoryLogger()
        self.measure = make(self.memory)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = nn.Linear(4, 3)
        learned = self.measure.parameters() if isinstance(self.measure, LossGroup) else ()
        self.optimizer = torch.optim.Adam([*self.network.parameters(), *learned], lr=0.01)

    def losses(self, step: int) -> dict[str, Tensor]:
        batch = np.random.default_rng(step).normal(1, 1, (8, 4))
        a, b, c = ((self.network(torch.tensor(batch).float()) - 1) ** 2).mean(dim=0)
        if step == 4:
            b = b * math.nan
        if step == 7:
            c = c * 1e4
        if step == 9:
            return {"a": a, "c": c}
        return {"a": a, "b": b, "c": c}

    def step(self, step: int) -> None:
        self.optimizer.zero_grad()
        losses = self.losses(step)
        if isinstance(self.measure, LossGroup):
            if len(self.measure) == MANY:
                losses |= dict.fromkeys(MANY_NAMES[3:], losses["a"] * (1 + step % 3))
            self.measure.update(losses, extra={"lr": 0.01}, samples=1 + step % 3)
        elif isinstance(self.measure, LossTracker):
            self.measure.update(losses.get("b", losses["a"]))
        else:
            for name, loss in losses.items():
                self.measure[name].update(loss, retain_graph=True)
            self.measure.step()
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "measure": self.measure.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.measure.load_state_dict(state["measure"])


def through_torch(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    """The numbers go through JSON, the tensors through torch."""
    state = through_torch(state)
    measure = {
        key: value if isinstance(value, Tensor) else json.loads(json.dumps(value))
        for key, value in state["measure"].items()
    }
    return state | {"measure": measure}


def tracker(logger: MemoryLogger) -> Measure:
    return LossTracker("b", logger, weight=0.5, max_loss=3.0, warmup=6, **OPTIONS)


def trackers(logger: MemoryLogger) -> Measure:
    return Trackers(NAMES, logger, weight={"b": 0.5}, max_loss=3.0, warmup={"c": 6}, **OPTIONS)


def group(weighting: Callable[[], Any], names: Any = NAMES) -> Callable[[MemoryLogger], Measure]:
    return lambda logger: LossGroup(
        names, logger, weighting=weighting(), max_loss={"b": 3.0}, **OPTIONS
    )


MEASURES: dict[str, Callable[[MemoryLogger], Measure]] = {
    "tracker": tracker,
    "trackers": trackers,
    "plain sum": group(lambda: None),
    "equal": group(EqualWeighting),
    "static": group(lambda: StaticWeighting(a=0.5, b=lambda step: 1 / (1 + step))),
    "cov": group(CoVWeighting),
    "cov that forgets": group(lambda: CoVWeighting(decay=0.9, patience=2, spike=3.0)),
    "automatic": group(lambda: AutomaticWeightedLoss(3)),
    "uncertainty": group(lambda: UncertaintyWeighting(3, half=True)),
    "without names": group(CoVWeighting, None),
    "many": group(CoVWeighting, (*NAMES, *MANY_NAMES[3:])),
}


@pytest.mark.parametrize("through", [through_torch, through_json])
@pytest.mark.parametrize("kind", MEASURES)
def test_a_run_that_was_interrupted_at_any_step_goes_on_as_if_it_were_not(
    kind: str, through: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    whole = Training(MEASURES[kind], seed=0)
    saved = []
    for step in range(STEPS):
        saved.append(through(whole.state()))
        whole.step(step)
    rows = [(step, repr(row)) for step, _, row in whole.memory.rows]

    for interrupted_at, state in enumerate(saved):
        resumed = Training(MEASURES[kind], seed=1)
        resumed.load(state)
        for step in range(interrupted_at, STEPS):
            resumed.step(step)

        its_rows = [(step, repr(row)) for step, _, row in resumed.memory.rows]
        assert its_rows == rows[interrupted_at:]
        assert repr(resumed.state()) == repr(whole.state())
        assert all(map(torch.equal, resumed.network.parameters(), whole.network.parameters()))


@pytest.mark.parametrize("kind", MEASURES)
def test_a_state_is_a_snapshot(kind: str) -> None:
    training = Training(MEASURES[kind], seed=0)
    training.step(0)
    measure = training.measure.state_dict()
    before = repr({key: value for key, value in measure.items() if not isinstance(value, Tensor)})

    training.step(1)

    after = repr({key: value for key, value in measure.items() if not isinstance(value, Tensor)})
    assert after == before


def trained(make: Callable[[MemoryLogger], Measure]) -> Measure:
    training = Training(make, seed=0)
    for step in range(3):
        training.step(step)
    return training.measure


def changed(state: Mapping[str, Any], *path: str, to: Any) -> dict[str, Any]:
    """A copy of a state with another value at one place; `...` takes it away."""
    first, *rest = path
    if rest:
        return {**state, first: changed(state[first], *rest, to=to)}
    if to is ...:
        return {key: value for key, value in state.items() if key != first}
    return {**state, first: to}


BAD_TRACKER = [
    (("name",), "G", "the state of loss 'b' is needed; got that of 'G'"),
    (("step",), ..., "needs the keys name, .*, step, device; got"),
    (("more",), 1, "needs the keys .* got .* more"),
    (("step",), "three", "'step', needs a number; got 'three'"),
    (("statistics",), {}, r"'statistics', needs the keys .*; got \(none\)"),
    (("statistics",), None, "'statistics', needs the keys .*; got None"),
    (("statistics", "moments", "count"), ..., "'moments', needs the keys"),
    (("statistics", "recent"), [1.0, "2.0"], "'recent', needs a list of numbers"),
    (("statistics", "blocks"), {}, "'blocks', needs the keys position"),
    (("device",), {}, r"'device', needs the keys ratios, moments; got \(none\)"),
    (("device", "ratios"), [1.0], "'ratios', needs no numbers, or 8 or 11; got 1"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD_TRACKER)
def test_a_tracker_refuses_the_state_of_another(
    path: tuple[str, ...], value: Any, message: str
) -> None:
    own = trained(tracker)
    before = repr(own.state_dict())

    with pytest.raises(ValueError, match=message):
        own.load_state_dict(changed(own.state_dict(), *path, to=value))

    assert repr(own.state_dict()) == before


def test_a_tracker_without_blocks_refuses_a_state_with_blocks() -> None:
    own = LossTracker("b")

    with pytest.raises(ValueError, match=r"'blocks', needs the keys \(none\); got position"):
        own.load_state_dict(trained(tracker).state_dict())

    assert own.count == 0


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "d"), ("a", "b", "c", "d")])
def test_trackers_refuse_the_state_of_others(names: tuple[str, ...]) -> None:
    own = Trackers(names, **OPTIONS)
    before = repr(own.state_dict())

    with pytest.raises(ValueError, match="the state of the trackers"):
        own.load_state_dict(trained(trackers).state_dict())

    assert repr(own.state_dict()) == before


AWL = group(lambda: AutomaticWeightedLoss(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (group(CoVWeighting, ("a", "b")), "needs the keys a, b; got a, b, c"),
        (group(CoVWeighting, ("a", "b", "d")), "needs the keys a, b, d; got a, b, c"),
        (group(CoVWeighting, ("a", "b", "c", "d")), "needs the keys a, b, c, d; got a, b, c"),
        (group(EqualWeighting), "a EqualWeighting is needed; got that of a CoVWeighting"),
        (AWL, "a AutomaticWeightedLoss is needed; got that of a CoVWeighting"),
        (lambda logger: LossGroup(NAMES, logger, weighting=CoVWeighting()), "needs the keys"),
    ],
)
@pytest.mark.parametrize("is_named", [True, False])
def test_a_group_refuses_the_state_of_another(
    make: Callable[[MemoryLogger], Measure], message: str, is_named: bool
) -> None:
    own = trained(make) if is_named and make is AWL else make(MemoryLogger())
    before = repr(own.state_dict())

    with pytest.raises(ValueError, match=message):
        own.load_state_dict(trained(MEASURES["cov"]).state_dict())

    assert repr(own.state_dict()) == before


def test_learned_weights_of_another_number_are_refused_with_all_the_rest() -> None:
    saved = trained(AWL).state_dict()
    own = LossGroup(None, weighting=AutomaticWeightedLoss(2), **OPTIONS)

    with pytest.raises(ValueError, match=r"weighting.params has the shape \(2,\); got \(3,\)"):
        own.load_state_dict(saved)

    assert (own.names, own.step) == ((), 0)
    assert own.weighting.params.tolist() == [1.0, 1.0]  # type: ignore[attr-defined]


def test_a_part_of_a_model_refuses_it_too() -> None:
    model = nn.ModuleDict({"losses": LossGroup(("a", "d"), **OPTIONS)})
    other = nn.ModuleDict({"losses": LossGroup(("a", "b"), **OPTIONS)})

    with pytest.raises(ValueError, match="needs the keys a, d; got a, b"):
        model.load_state_dict(other.state_dict())


def test_a_group_without_names_takes_those_of_the_state() -> None:
    saved = trained(MEASURES["cov"]).state_dict()
    own = LossGroup(weighting=CoVWeighting(), max_loss={"b": 3.0}, **OPTIONS)

    own.load_state_dict(saved)

    assert own.names == NAMES
    assert own.step == 3
    assert repr(own.state_dict()) == repr(saved)


def test_a_group_that_knows_its_losses_refuses_the_state_of_one_that_does_not() -> None:
    own, empty = LossGroup(NAMES), LossGroup()

    with pytest.raises(ValueError, match=r"needs the keys a, b, c; got \(none\)"):
        own.load_state_dict(empty.state_dict())


BAD_GROUP = [
    (("device",), [], r"'device', needs the keys ratios, moments; got"),
    (("device",), {"ratios": []}, "'device', needs the keys ratios, moments; got ratios"),
    (("device", "moments"), ["1"], "'device', 'moments', needs a list of numbers"),
    (("device", "ratios"), [0.0] * 8, "'ratios', needs no numbers, or 24 or 33; got 8"),
    (("device", "moments"), [0.0] * 19, "'moments', needs no numbers, or 18 or 24; got 19"),
    (("accumulated",), [1.0] * 4, "'accumulated', needs no numbers, or 12; got 4"),
    (("losses", "c", "name"), "b", "the state of loss 'c' is needed; got that of 'b'"),
    (("weighting", "a"), "much", "real number"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD_GROUP)
def test_a_group_refuses_a_state_with_one_bad_number(
    path: tuple[str, ...], value: Any, message: str
) -> None:
    make = group(lambda: StaticWeighting({"b": 0.5, "a": 0.25}))
    own = trained(make)
    bad = changed(own.state_dict(), "_extra_state", *path, to=value)
    other = make(MemoryLogger())
    before = repr(other.state_dict())

    with pytest.raises((ValueError, TypeError), match=message):
        other.load_state_dict(bad)

    assert repr(other.state_dict()) == before


@pytest.mark.parametrize(
    ("path", "value"), [(("name",), "b"), (("device", "moments"), [1.0]), (("device",), None)]
)
def test_trackers_refuse_all_of_a_state_where_one_refuses_its_own(
    path: tuple[str, ...], value: Any
) -> None:
    own = trackers(MemoryLogger())
    before = repr(own.state_dict())
    bad = changed(trained(trackers).state_dict(), "trackers", "c", *path, to=value)

    with pytest.raises(ValueError, match=r"'c'.*; got"):
        own.load_state_dict(bad)

    assert repr(own.state_dict()) == before


def test_a_shorter_history_keeps_the_last_values() -> None:
    long = LossTracker("b", history=10)
    for loss in range(5):
        long.update(float(loss), do_backwards=False)

    short = LossTracker("b", history=2)
    short.load_state_dict(long.state_dict())

    assert short.get_history() == [3.0, 4.0]


def test_a_weight_that_was_set_during_the_run_is_in_the_state() -> None:
    one = LossTracker("b", weight=0.1)
    one.weight = 0.7
    weighting = StaticWeighting(a=0.1)
    weighting["a"] = 0.7
    many = LossGroup(NAMES, weighting=weighting)

    other, others = LossTracker("b", weight=0.1), LossGroup(NAMES, weighting=StaticWeighting(a=0.1))
    other.load_state_dict(one.state_dict())
    others.load_state_dict(many.state_dict())

    assert other.weight == 0.7
    assert others.weights["a"] == 0.7


def test_the_settings_of_the_ratio_come_from_the_code() -> None:
    one = LossTracker("b", ratio=RatioSettings(spike=3.0))
    other = LossTracker("b", ratio=RatioSettings(spike=50.0))
    one.update(1.0, do_backwards=False)

    other.load_state_dict(one.state_dict())
    other.update(10.0, do_backwards=False)

    assert other.spikes == 0
