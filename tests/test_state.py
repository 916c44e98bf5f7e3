from __future__ import annotations

import copy
import io
import math
import pickle
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
    StatisticsSettings,
    Trackers,
    UncertaintyWeighting,
)

from .methods import methods
from .states import plain

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:loss 'b' is nan at step 4:RuntimeWarning")

STEPS = 12
NAMES = ("a", "b", "c")
MANY_NAMES = (*NAMES, *(f"loss {index}" for index in range(13)))
Measure = LossTracker | Trackers | LossGroup
OPTIONS: dict[str, Any] = {
    "block_size": 5,
    "statistics": StatisticsSettings(history=4, decay=0.9),
    "report": STATISTICS,
}


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
            if "loss 0" in self.measure:
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


def copied(state: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(state)


def numbers_of(training: Training) -> dict[str, Any]:
    """All that a checkpoint has, number by number."""
    state = training.state()
    return state | {key: plain(state[key]) for key in ("network", "measure")}


def tracker(logger: MemoryLogger) -> Measure:
    return LossTracker("b", logger, weight=0.5, max_loss=3.0, warmup=6, **OPTIONS)


def trackers(logger: MemoryLogger) -> Measure:
    return Trackers(NAMES, logger, weight={"b": 0.5}, max_loss=3.0, warmup={"c": 6}, **OPTIONS)


def group(weighting: Callable[[], Any], names: Any = NAMES) -> Callable[[MemoryLogger], Measure]:
    return lambda logger: LossGroup(
        names, logger, weighting=weighting(), max_loss={"b": 3.0}, **OPTIONS
    )


def falling(step: int) -> float:
    return 1 / (1 + step)


MEASURES: dict[str, Callable[[MemoryLogger], Measure]] = {
    "tracker": tracker,
    "trackers": trackers,
    "plain sum": group(lambda: None),
    "equal": group(EqualWeighting),
    "static": group(lambda: StaticWeighting(a=0.5, b=falling)),
    "cov": group(CoVWeighting),
    "cov that forgets": group(lambda: CoVWeighting(decay=0.9, patience=2, spike=3.0)),
    "automatic": group(lambda: AutomaticWeightedLoss(3)),
    "uncertainty": group(lambda: UncertaintyWeighting(3, half=True)),
    "without names": group(CoVWeighting, None),
    "many": group(CoVWeighting, MANY_NAMES),
    **{name: group(make) for name, make in methods("a b c").items()},
}


@pytest.mark.parametrize("through", [through_torch, copied])
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
        assert repr(numbers_of(resumed)) == repr(numbers_of(whole))
        assert all(map(torch.equal, resumed.network.parameters(), whole.network.parameters()))


@pytest.mark.parametrize("kind", MEASURES)
def test_a_state_is_a_snapshot(kind: str) -> None:
    training = Training(MEASURES[kind], seed=0)
    training.step(0)
    state = {
        key: value
        for key, value in training.measure.state_dict().items()
        if not key.endswith(".params")  # torch's own, which the optimizer changes
    }
    before = plain(state)

    training.step(1)

    assert plain(state) == before


def trained(make: Callable[[MemoryLogger], Measure]) -> Measure:
    training = Training(make, seed=0)
    for step in range(3):
        training.step(step)
    return training.measure


LACKING = LossTracker("b", statistics=StatisticsSettings(decay=0.9))
BAD_TRACKER: dict[str, tuple[Callable[[], Any], str]] = {
    "of another loss": (LossTracker("G", **OPTIONS).state_dict, r"loss 'b' differs: loss 'b'.*'G'"),
    "without blocks": (LACKING.state_dict, "loss 'b' differs: block_size 0 .here it is 5"),
    "without decay": (LossTracker("b", block_size=5).state_dict, r"differs: decay 0\.0"),
    "of a group": (
        lambda: {"state": LossGroup(["b"], **OPTIONS).state_dict()["_extra_state"]},
        r"must be of a LossTracker, got that of a group with PlainSum",
    ),
    "cast": (lambda: {"state": trained(tracker).state_dict()["state"].half()}, "was cast to"),
    "cut": (lambda: {"state": trained(tracker).state_dict()["state"][:-1]}, "was cut to"),
    "no tensor": (lambda: {"state": 1.0}, "must be a tensor, got float"),
    "of something else": (lambda: {"weight": torch.ones(2)}, "must be the state_dict.. of a Loss"),
    "nothing": (lambda: None, "must be the state_dict.. of a LossTracker, got None"),
}


@pytest.mark.parametrize("bad", BAD_TRACKER)
def test_a_tracker_refuses_a_state_that_is_not_its_own(bad: str) -> None:
    own = trained(tracker)
    before = plain(own.state_dict())
    make, message = BAD_TRACKER[bad]

    with pytest.raises(ValueError, match=message) as caught:
        own.load_state_dict(make())

    assert "strict=False" not in str(caught.value)  # which a tracker does not take
    assert plain(own.state_dict()) == before


def test_a_tracker_without_blocks_refuses_a_state_with_blocks() -> None:
    own = LACKING

    with pytest.raises(ValueError, match=r"block_size 5 \(here it is 0"):
        own.load_state_dict(trained(tracker).state_dict())

    assert own.count == 0


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "d"), ("a", "b", "c", "d")])
def test_trackers_refuse_the_state_of_others(names: tuple[str, ...]) -> None:
    own = Trackers(names, **OPTIONS)
    before = plain(own.state_dict())

    with pytest.raises(ValueError, match="the state of the trackers must have the keys"):
        own.load_state_dict(trained(trackers).state_dict())

    assert plain(own.state_dict()) == before


@pytest.mark.parametrize(
    ("key", "by", "message"),
    [
        ("tracker c", "tracker b", "the state of loss 'c' differs"),
        ("tracker c", "step", "a state of losses is needed"),
        ("step", "tracker c", "'step' must be the step of the trackers"),
    ],
)
def test_trackers_refuse_all_of_a_state_where_a_part_is_not_its_own(
    key: str, by: str, message: str
) -> None:
    own, saved = trackers(MemoryLogger()), trained(trackers).state_dict()
    before = plain(own.state_dict())

    with pytest.raises(ValueError, match=message):
        own.load_state_dict({**saved, key: saved[by]})
    with pytest.raises(ValueError, match="was cast to") as caught:
        own.load_state_dict({**saved, key: saved[key].half()})

    assert "strict=False" not in str(caught.value)
    assert plain(own.state_dict()) == before


def test_learned_weights_of_more_losses_are_said_and_the_others_are_loaded() -> None:
    saved = trained(group(lambda: AutomaticWeightedLoss(3))).state_dict()
    own = LossGroup(None, weighting=AutomaticWeightedLoss(2), **OPTIONS)

    unexpected = own.load_state_dict(saved, strict=False).unexpected_keys

    assert ["loss 'c'" in key for key in unexpected] == [True]
    assert (own.names, own.step) == (("a", "b"), 3)
    assert own.weighting.params.equal(saved["weighting.params"][:2])  # type: ignore[attr-defined]
    own.update({"a": 1.0, "b": 2.0}, do_backwards=False)
    assert own["b"].updates == 4


def test_a_group_that_knows_its_losses_misses_them_in_the_state_of_one_that_does_not() -> None:
    own, empty = LossGroup(NAMES), LossGroup()

    with pytest.raises(RuntimeError, match=r"Missing key.*loss 'a'.*loss 'b'.*loss 'c'"):
        own.load_state_dict(empty.state_dict())


def test_a_group_takes_no_statistics_from_a_tracker() -> None:
    own, other = LossGroup(["b"], **OPTIONS), trained(tracker)

    with pytest.raises(RuntimeError, match=r"(?s)weighting PlainSum.*weighting LossTracker"):
        own.load_state_dict({"_extra_state": other.state_dict()["state"]})


@pytest.mark.parametrize("updates", [0, 1, 4, 7, 12])
@pytest.mark.parametrize("here", [0, 2, 5, 10])
@pytest.mark.parametrize("there", [0, 2, 5, 10])
def test_a_history_of_another_length_goes_on_with_the_values_that_were_kept(
    there: int, here: int, updates: int
) -> None:
    one, other = (LossTracker("b", statistics=StatisticsSettings(history=n)) for n in (there, here))
    for loss in range(updates):
        one.update(float(loss), do_backwards=False)
    kept = one.get_history()

    other.load_state_dict(one.state_dict())

    for loss in range(100, 112):
        assert other.get_history() == kept[max(0, len(kept) - here) :]
        other.update(float(loss), do_backwards=False)
        kept.append(float(loss))


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
    one, other = (
        LossTracker("b", statistics=StatisticsSettings(ratio=RatioSettings(spike=spike)))
        for spike in (3.0, 50.0)
    )
    one.update(1.0, do_backwards=False)

    other.load_state_dict(one.state_dict())
    other.update(10.0, do_backwards=False)

    assert other.spikes == 0


@pytest.mark.parametrize("log_every", [None, 5])
@pytest.mark.parametrize("names", [NAMES, None])
def test_a_state_from_between_micro_batches_has_those_before_it(
    names: Any, log_every: int | None
) -> None:
    memories = [MemoryLogger() for _ in range(3)]
    whole, half, resumed = (
        LossGroup(names, memory, weighting=CoVWeighting(), log_every=log_every, **OPTIONS)
        for memory in memories
    )

    def accumulate(one: LossGroup, step: int, half: int) -> None:
        losses = {name: torch.tensor(1.0 + (step * k + half) % 5) for k, name in enumerate(NAMES)}
        extra = {"lr": 0.1 + step / 7 + half, **({} if half else {"first": 1 / 3})}
        one.accumulate(losses, samples=1 + half, extra=extra)

    for one in (whole, half):
        for step in range(6):
            accumulate(one, step, 0)
            accumulate(one, step, 1)
            one.record()
        accumulate(one, 6, 0)

    resumed.load_state_dict(half.state_dict())

    for one in (whole, resumed):
        accumulate(one, 6, 1)
        one.record()
    assert resumed["c"].updates == 7
    assert plain(resumed.state_dict()) == plain(whole.state_dict())
    rows = [memory.rows[-1] for memory in (memories[0], memories[2])]
    assert (rows[0][0], repr(rows[0][2])) == (rows[1][0], repr(rows[1][2]))
    assert rows[0][2]["lr"] == (0.1 + 6 / 7 + 0.1 + 6 / 7 + 1) / 2
    assert rows[0][2]["first"] == 1 / 3


@pytest.mark.parametrize("log_every", [None, 5])
def test_numbers_of_the_users_own_add_nothing_to_a_state_between_two_steps(
    log_every: int | None,
) -> None:
    own = LossGroup(NAMES, log_every=log_every)
    losses = dict.fromkeys(NAMES, torch.tensor(1.0))
    own.accumulate(losses)
    before = own.get_extra_state()

    own.accumulate(losses, extra={"lr": 0.1})
    within = own.get_extra_state()
    own.record()

    assert own.get_extra_state().shape == before.shape != within.shape
    own.set_extra_state(before)  # one of before there was a place for them
    own.accumulate(losses, extra={"lr": 0.1})
    own.record()


def test_another_order_of_names_keeps_each_micro_batch_with_its_loss() -> None:
    one, other = LossGroup(["a", "b"]), LossGroup(["b", "a"])
    one.accumulate({"a": 1.0, "b": 3.0})

    other.load_state_dict(one.state_dict())
    other.accumulate({"a": 2.0, "b": 5.0})
    other.record()

    assert (other["a"].value, other["b"].value) == (1.5, 4.0)


@pytest.mark.parametrize("kind", MEASURES)
def test_after_a_reset_it_is_as_new_but_for_the_step(kind: str) -> None:
    training, fresh = (Training(MEASURES[kind], seed=0) for _ in range(2))
    for step in range(6):
        training.step(step)

    training.measure.reset()
    for one in (training, fresh):
        one.network.load_state_dict(Training(MEASURES[kind], seed=1).network.state_dict())
    learned, own = (list(getattr(one.measure, "parameters", list)()) for one in (training, fresh))
    with torch.no_grad():
        for parameter, other in zip(own, learned, strict=True):
            parameter.copy_(other)
    if isinstance(fresh.measure, Trackers):
        fresh.measure.step(5)
    elif kind != "without names":
        fresh.measure.step = 6

    if kind == "without names":
        assert isinstance(training.measure, LossGroup)
        assert (training.measure.names, training.measure.step) == (NAMES, 6)
        assert training.measure["a"].count == 0
    else:
        assert plain(training.measure.state_dict()) == plain(fresh.measure.state_dict())
    training.step(6)


def test_a_group_without_names_has_a_state_before_its_first_step() -> None:
    own, other, named = LossGroup(weighting=CoVWeighting()), LossGroup(), LossGroup(["x"])
    own.load_state_dict(LossGroup(weighting=CoVWeighting()).state_dict())
    other.load_state_dict(copy.deepcopy(other).state_dict())

    named.load_state_dict(other.state_dict(), strict=False)

    assert (own.names, other.names, named.names) == ((), (), ("x",))
    for one in (own, other):
        one.update({"a": 1.0, "b": 2.0}, do_backwards=False)
        assert one.names == ("a", "b")
    named.record({"x": 1.0})
    assert named["x"].mean == 1.0


@pytest.mark.parametrize("kind", MEASURES)
@pytest.mark.parametrize("through", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on_as_the_original(kind: str, through: Any) -> None:
    training = Training(MEASURES[kind], seed=0)
    for step in range(6):
        training.step(step)

    other = through(training.measure)

    losses = {"a": torch.tensor(1.0), "b": torch.tensor(2.0), "c": torch.tensor(0.5)}
    for measure in (training.measure, other):
        for _ in range(3):
            if isinstance(measure, LossTracker):
                measure.update(losses["b"], do_backwards=False)
            elif isinstance(measure, LossGroup):
                measure.update({n: losses.get(n, losses["a"]) for n in measure}, do_backwards=False)
            else:
                for name, loss in losses.items():
                    measure[name].update(loss, do_backwards=False)
                measure.step()
    assert plain(other.state_dict()) == plain(training.measure.state_dict())
