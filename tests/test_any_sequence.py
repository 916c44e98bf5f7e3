"""Trackers through any sequence of what can be done to them, beside a model of theirs.

The model keeps every loss and works its numbers out anew, in float64 and from the definitions.
"""

from __future__ import annotations

import copy
import io
import math
import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    STATISTICS,
    LossTracker,
    RatioSettings,
    StatisticsSettings,
    Trackers,
)
from multi_loss_weighting.tensors._state import unpack

from .states import plain

pytestmark = pytest.mark.filterwarnings("ignore:loss '[GD]' is:RuntimeWarning")

# Squares of smaller ones are subnormal, and have few digits to agree in.
FINITE = st.one_of(
    st.floats(0.01, 10),
    st.floats(-3, -1e-100) | st.floats(1e-100, 3),
    st.sampled_from([0.0, 1e-9, 1e6, -1e6, 1e9]),
)
LOSS = st.one_of(FINITE, FINITE, FINITE, st.sampled_from([math.nan, math.inf, -math.inf]))
SAMPLES = st.sampled_from([1, 1, 1, 2, 0.5, 64])
STEP = st.one_of(st.none(), st.none(), st.integers(0, 1000))
OPTIONS = st.fixed_dictionaries(
    {
        "weight": st.sampled_from([1.0, 0.25]),
        "max_loss": st.sampled_from([math.inf, 2.0]),
        "block_size": st.sampled_from([None, 1, 3]),
        "warmup": st.sampled_from([math.inf, 0, 4]),
        "statistics": st.builds(
            StatisticsSettings,
            history=st.sampled_from([0, 3, 1000]),
            decay=st.sampled_from([None, 0.7]),
            # No ratio of short numbers is just as large.
            ratio=st.builds(
                RatioSettings,
                decay=st.sampled_from([None, 0.8]),
                spike=st.sampled_from([100.0123, 2.9371]),
                patience=st.sampled_from([1, 3]),
            ),
        ),
    }
)
LOG_EVERY = st.sampled_from([None, 1, 4, 1000])
"""With a number, losses take the way of those on an accelerator."""


# The model.


class Came(NamedTuple):
    """A loss that came."""

    value: float
    samples: float
    step: int


def average(values: list[float], weights: list[float]) -> tuple[float, float]:
    """Mean and population variance; nan of nothing."""
    if not values:
        return math.nan, math.nan
    total = math.fsum(weights)
    mean = math.fsum(v * w for v, w in zip(values, weights, strict=True)) / total
    squares = (w * (v - mean) ** 2 for v, w in zip(values, weights, strict=True))
    return mean, math.fsum(squares) / total


def fading(count: int, decay: float | None) -> list[float]:
    """What each of `count` values weighs: all alike, until 1 / (1 - decay) came."""
    weights: list[float] = []
    for number in range(1, count + 1):
        share = max(1 / number, 0 if decay is None else 1 - decay)
        weights = [weight * (1 - share) for weight in weights] + [share]
    return weights


class Ratios:
    """The ratios of all losses since they began, and what the guards made of the others."""

    def __init__(self, own: RatioSettings, losses: list[float]) -> None:
        self.decay, self.spike, self.spikes = own.decay, own.spike, 0
        self.sizes: list[float] = []
        self.ratios: list[float] = []
        streak = 0
        for size in map(abs, losses):
            if not self.sizes:
                if size:
                    self.sizes, self.ratios, streak = [size], [1.0], 0
                continue
            ratio = size / self.reference()
            if self.is_near(ratio):
                self.sizes.append(size)
                self.ratios.append(ratio)
                streak = 0
                continue
            self.spikes += 1
            streak += 1
            if streak == own.patience:
                self.sizes = []

    def reference(self) -> float:
        return average(self.sizes, fading(len(self.sizes), self.decay))[0]

    def is_near(self, ratio: float) -> bool:
        return ratio <= self.spike and (self.decay is None or ratio >= 1 / self.spike)

    def cov(self) -> float | None:
        """The CoV of the ratios; None of fewer than two."""
        if len(self.sizes) < 2:
            return None
        mean, variance = average(self.ratios, fading(len(self.ratios), self.decay))
        return math.sqrt(variance + 1e-8) / mean


class Model:
    """What a tracker is to know."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.static_weight = options["weight"]
        self.forget()

    def forget(self) -> None:
        self.came: list[Came] = []
        self.last_weight = math.nan
        self.reported_blocks = 0

    def finite(self) -> list[Came]:
        return [one for one in self.came if math.isfinite(one.value)]

    def ratios(self) -> Ratios:
        return Ratios(self.options["statistics"].ratio, [one.value for one in self.finite()])

    def weight(self) -> float:
        cov = self.ratios().cov() if len(self.came) >= self.options["warmup"] else None
        return self.static_weight if cov is None else cov

    def update(self, value: float, samples: float, step: int) -> float:
        """What the loss weighs in at."""
        self.last_weight = self.weight()
        self.came.append(Came(value, samples, step))
        if not math.isfinite(value):
            return 0.0
        weighted: float = self.last_weight * min(value, self.options["max_loss"])
        return weighted

    def blocks(self) -> list[list[Came]]:
        size: int = self.options["block_size"] or len(self.came) + 1
        return [self.came[size * index :][:size] for index in range(len(self.came) // size)]

    def numbers(self) -> dict[str, float]:
        """By the names of a row, all that needs no care about rounding."""
        finite = self.finite()
        values = [one.value for one in finite]
        mean, variance = average(values, [one.samples for one in finite])
        last = self.came[-1].value if self.came else math.nan
        clamped = [value for value in values if value > self.options["max_loss"]]
        decay = self.options["statistics"].decay
        return {
            "loss": last,
            "weight": self.last_weight,
            "weighted": self.last_weight
            * (min(last, self.options["max_loss"]) if math.isfinite(last) else last),
            "mean": mean,
            "var": variance,
            "std": math.sqrt(variance),
            "min": min(values, default=math.nan),
            "max": max(values, default=math.nan),
            "count": len(values),
            "clamped": len(clamped),
            "spikes": self.ratios().spikes,
            "exponential_mean": math.nan
            if decay is None
            else average(values, fading(len(values), decay))[0],
        }

    def row(self, name: str) -> dict[str, float]:
        row = {f"{key}/{name}": value for key, value in self.numbers().items()}
        if len(self.came) > len(self.finite()):
            row[f"nonfinite/{name}"] = len(self.came) - len(self.finite())
        blocks = self.blocks()
        if len(blocks) > self.reported_blocks:
            self.reported_blocks = len(blocks)
            last = [one for one in blocks[-1] if math.isfinite(one.value)]
            mean, variance = average([one.value for one in last], [one.samples for one in last])
            row |= {f"block_mean/{name}": mean, f"block_std/{name}": math.sqrt(variance)}
        return row


def assert_close(ours: float, model: float, size: float, what: str) -> None:
    """Alike but for rounding, where losses were as large as `size`."""
    if math.isnan(model):
        assert math.isnan(ours), what
    else:
        assert ours == pytest.approx(model, rel=1e-9, abs=1e-12 * size), what


def assert_knows(tracker: LossTracker, model: Model) -> None:
    """The tracker knows what the model does."""
    for name, expected in model.numbers().items():
        ours = {"loss": "value", "weight": "last_weight", "min": "minimum", "max": "maximum"}
        assert_number(name, getattr(tracker, ours.get(name, name)), expected, model)
    bad = [one.step for one in model.came if not math.isfinite(one.value)]
    assert tracker.nonfinite == len(bad)
    assert tracker.record.first_nonfinite_step == (bad[0] if bad else None)
    assert tracker.record.last_nonfinite_step == (bad[-1] if bad else None)
    assert_close(tracker.weight, model.weight(), 1.0, "the next weight")
    history = model.options["statistics"].history
    kept = [one.value for one in model.came][-history or len(model.came) :]
    np.testing.assert_array_equal(tracker.get_history(), kept)


def assert_number(name: str, ours: float, expected: float, model: Model) -> None:
    size = max((abs(one.value) for one in model.finite()), default=0.0)
    # The root of what rounding leaves of a variance of 0 is far larger than that.
    scale = {"var": size**2, "std": 1e5 * size, "block_std": 1e5 * size}.get(name, size)
    assert_close(ours, expected, scale, name)


def assert_row(row: dict[str, float], expected: dict[str, float], model: Model) -> None:
    for key, value in expected.items():
        assert_number(key.partition("/")[0], row[key], value, model)


def known(tracker: LossTracker) -> dict[str, str]:
    """Its state bit for bit, but for what is kept on a device once it was asked for there."""
    state = unpack(tracker.state_dict()["state"])
    return {key: repr(own) for key, own in whole(state).items() if "device" not in key}


def whole(state: dict[str, Any]) -> dict[str, Any]:
    """With lists for arrays, whose repr leaves out most of a long one."""
    return {key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in state.items()}


def through_file(one: Any, make: Any) -> Any:
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other = make()
    other.load_state_dict(torch.load(file, weights_only=True))
    return other


def through_pickle(one: Any, _: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


def through_copy(one: Any, _: Any) -> Any:
    return copy.deepcopy(one)


KINDS: dict[str, Any] = {
    "number": float,
    "numpy": np.float64,
    "tensor": lambda value: torch.tensor(value, dtype=torch.float64),
    "batch of one": lambda value: torch.tensor([value], dtype=torch.float64),
}
BAD: list[tuple[Any, dict[str, Any]]] = [
    ("loss", {}),
    (None, {}),
    (torch.ones(2), {}),
    (1.0, {"samples": -1}),
    (1.0, {"samples": math.nan}),
    (1.0, {"extra": {"lr": "fast"}}),
    (1.0, {"do_backwards": True}),
    (torch.ones(()), {"do_backwards": True}),
]


def broken(_: Any) -> None:
    msg = "out of memory"
    raise RuntimeError(msg)


class TrackerMachine(RuleBasedStateMachine):
    """One tracker."""

    @initialize(options=OPTIONS, log_every=LOG_EVERY)
    def begin(self, options: dict[str, Any], log_every: int | None) -> None:
        self.options, self.log_every = options, log_every
        self.logger = MemoryLogger()
        self.tracker, self.model = self.make(), Model(options)
        self.step = 0
        self.expected: list[tuple[int, dict[str, float], Model]] = []

    def make(self) -> LossTracker:
        return LossTracker(
            "G", self.logger, log_every=self.log_every, report=STATISTICS, **self.options
        )

    def expect(self, value: float, samples: float, step: int | None) -> float:
        self.step = self.step if step is None else step
        weighted = self.model.update(value, samples, self.step)
        row = self.model.row("G")
        self.expected.append((self.step, row, copy.deepcopy(self.model)))
        self.step += 1
        return weighted

    @rule(value=LOSS, samples=SAMPLES, step=STEP, kind=st.sampled_from(sorted(KINDS)))
    def update(self, value: float, samples: float, step: int | None, kind: str) -> None:
        ours = self.tracker.update(
            KINDS[kind](value), do_backwards=False, samples=samples, step=step
        )

        weighted = self.expect(value, samples, step)

        assert_close(float(ours), weighted, 1.0, "the weighted loss")
        assert bool(self.tracker.finite) == math.isfinite(value)

    @rule(value=LOSS)
    def count_as_nothing(self, value: float) -> None:
        self.tracker.update(value, do_backwards=False, samples=0)

        self.model.last_weight = self.model.weight()
        self.expected.append((self.step, {}, copy.deepcopy(self.model)))
        self.step += 1

    @rule(value=FINITE)
    def call_backward(self, value: float) -> None:
        parameter = torch.ones((), dtype=torch.float64, requires_grad=True)
        self.tracker.update(parameter * value)

        weighted = self.expect(value, 1, None)

        assert parameter.grad is not None
        assert_close(parameter.grad.item(), weighted, 1.0, "the gradient")

    @rule()
    def fail_in_backward(self) -> None:
        loss = torch.ones((), requires_grad=True) * 2
        loss.register_hook(broken)  # type: ignore[no-untyped-call]
        before = known(self.tracker)

        with pytest.raises(RuntimeError, match="out of memory"):
            self.tracker.update(loss)

        assert known(self.tracker) == before

    @rule(bad=st.sampled_from(BAD))
    def refuse(self, bad: tuple[Any, dict[str, Any]]) -> None:
        before = known(self.tracker)
        loss, given = bad

        with pytest.raises((TypeError, ValueError)):
            self.tracker.update(loss, **{"do_backwards": False, **given})

        assert known(self.tracker) == before

    @rule(weight=st.sampled_from([0.5, 2.0, math.nan]))
    def set_weight(self, weight: float) -> None:
        is_late = len(self.model.came) >= max(self.options["warmup"], 1)
        if is_late or math.isnan(weight):
            with pytest.raises(ValueError, match=r"weight.* 'G'"):
                self.tracker.weight = weight
        else:
            self.tracker.weight = self.model.static_weight = weight

    @rule(through=st.sampled_from([through_file, through_pickle, through_copy]))
    def restart(self, through: Any) -> None:
        other = through(self.tracker, self.make)
        assert plain(other.state_dict()) == plain(self.tracker.state_dict())
        if through is not through_file:
            other.recorder.outbox.reporter.logger = self.logger
        self.tracker = other

    @rule(log_every=LOG_EVERY)
    def move(self, log_every: int | None) -> None:
        self.log_every = log_every
        self.tracker = through_file(self.tracker, self.make)

    @rule()
    def reset(self) -> None:
        self.tracker.reset()
        self.model.forget()

    @rule()
    def look(self) -> None:
        assert_knows(self.tracker, self.model)
        assert self.tracker.step == self.step

    def teardown(self) -> None:
        if not hasattr(self, "tracker"):
            return
        self.look()
        self.tracker.flush()
        assert len(self.logger.rows) == len(self.expected)
        for (step, _, row), (its_step, expected, model) in zip(
            self.logger.rows, self.expected, strict=True
        ):
            assert step == its_step
            assert set(expected) <= set(row)
            assert_row(row, expected, model)


class TrackersMachine(RuleBasedStateMachine):
    """Two trackers with one row and one step."""

    NAMES = ("G", "D")

    @initialize(options=OPTIONS, log_every=LOG_EVERY)
    def begin(self, options: dict[str, Any], log_every: int | None) -> None:
        self.options, self.log_every = options, log_every
        self.logger = MemoryLogger()
        self.trackers = self.make()
        self.models = {name: Model(options) for name in self.NAMES}
        self.updated: set[str] = set()
        self.step = 0
        self.expected: list[tuple[int, dict[str, tuple[dict[str, float], Model]]]] = []

    def make(self) -> Trackers:
        return Trackers(
            self.NAMES, self.logger, log_every=self.log_every, report=STATISTICS, **self.options
        )

    @rule(name=st.sampled_from(NAMES), value=LOSS, samples=SAMPLES, is_tensor=st.booleans())
    def update(self, name: str, value: float, samples: float, is_tensor: bool) -> None:
        loss = KINDS["tensor" if is_tensor else "number"](value)
        ours = self.trackers[name].update(loss, do_backwards=False, samples=samples)

        weighted = self.models[name].update(value, samples, self.step)

        assert_close(float(ours), weighted, 1.0, "the weighted loss")
        self.updated.add(name)

    @rule(step=STEP)
    def end_step(self, step: int | None) -> None:
        self.trackers.step(step, extra={"lr": 0.5})
        self.step = self.step if step is None else step
        parts = {
            name: (self.models[name].row(name), copy.deepcopy(self.models[name]))
            for name in self.NAMES
            if name in self.updated
        }
        self.expected.append((self.step, parts))
        self.updated.clear()
        self.step += 1

    @rule()
    def refuse(self) -> None:
        before = repr(plain(self.trackers.state_dict()))

        with pytest.raises(TypeError, match="lr"):
            self.trackers.step(extra={"lr": "fast"})

        assert repr(plain(self.trackers.state_dict())) == before

    @rule(log_every=LOG_EVERY)
    def restart(self, log_every: int | None) -> None:
        self.log_every = log_every
        other = through_file(self.trackers, self.make)
        self.trackers = other

    @rule()
    def reset(self) -> None:
        self.trackers.reset()
        for model in self.models.values():
            model.forget()
        self.updated.clear()

    @rule()
    def look(self) -> None:
        for name, tracker in self.trackers.items():
            assert_knows(tracker, self.models[name])

    def teardown(self) -> None:
        if not hasattr(self, "trackers"):
            return
        self.look()
        self.trackers.flush()
        assert len(self.logger.rows) == len(self.expected)
        for (step, _, row), (its_step, parts) in zip(self.logger.rows, self.expected, strict=True):
            assert step == its_step
            assert {key.partition("/")[2] for key in row if "/" in key} == set(parts)
            assert row["lr"] == 0.5
            for expected, model in parts.values():
                assert set(expected) <= set(row)
                assert_row(row, expected, model)


TestTracker = TrackerMachine.TestCase
TestTrackers = TrackersMachine.TestCase
TestTracker.settings = TestTrackers.settings = settings(max_examples=40, stateful_step_count=30)
