"""Losses on an accelerator. There is none here: what cannot wait is shown on other devices.

A meta tensor has no value, so whatever looks at one raises. And with `log_every` losses on the CPU
take the way of those on an accelerator, so that its numbers can be compared.
"""

from __future__ import annotations

import copy
import gc
import math
import os
import pickle
import subprocess
import sys
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    History,
    LossGroup,
    LossTracker,
    RatioSettings,
    StaticWeighting,
    Trackers,
    UncertaintyWeighting,
    Weighted,
    weighted_sum,
)
from multi_loss_weighting._device_history import DeviceHistory
from multi_loss_weighting._ratio import LossRatio
from multi_loss_weighting._statistics import Statistics
from multi_loss_weighting._value import read_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

NEVER = 10**6
NAMES = ["a", "b", "c"]


class InverseMean:
    """A weighting of a user's own, from the history."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        spread = history.std + history.variance + history.cov + history.maximum - history.minimum
        return weighted_sum(losses, (1 + 0 * spread) / history.mean)


class RatioSpread:
    """A weighting of a user's own, from the ratios of the history."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        mean, std = torch.as_tensor(history.ratio_mean), torch.as_tensor(history.ratio_std)
        return weighted_sum(losses * mean, std)


class OwnWeights(torch.nn.Module):
    """Learned weights of a user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.ones(1))

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        return Weighted(losses.dot(self.weights), self.weights)


WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "plain": lambda: None,
    "equal": EqualWeighting,
    "schedule": lambda: StaticWeighting(a=lambda step: step / 100),
    "cov": CoVWeighting,
    "cov that forgets": lambda: CoVWeighting(decay=0.98, sum_to="K"),
    "cov of few": lambda: CoVWeighting(warmup=5, spike=3.0, patience=2),
    "automatic": lambda: AutomaticWeightedLoss(3),
    "uncertainty": lambda: UncertaintyWeighting(3),
}


class Dispatched(TorchDispatchMode):
    """Counts the operations that torch hands to a device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _forget_what_has_no_value() -> Iterator[None]:
    """A meta tensor can never be read back, so at the end nobody shall try."""
    from multi_loss_weighting import _backlog

    yield
    for backlog in _backlog._waiting:
        backlog._steps.clear()
    _backlog._waiting.clear()


def meta_losses(count: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    parameter = torch.ones((), device="meta", dtype=dtype, requires_grad=True)
    return {f"loss {index}": parameter * index for index in range(count)}


def on_meta(weighting: Any) -> Any:
    return weighting.to("meta") if isinstance(weighting, torch.nn.Module) else weighting


@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("nonfinite", ["skip", "keep", "raise"])
def test_a_step_looks_at_no_value(kind: str, nonfinite: Any) -> None:
    group = LossGroup(
        NAMES,
        MemoryLogger(),
        weighting=on_meta(WEIGHTINGS[kind]()),
        max_loss={"a": 10.0},
        nonfinite=nonfinite,
        log_every=NEVER,
    )
    for step in range(4):
        parameter = torch.ones((), device="meta", requires_grad=True)
        losses = dict.fromkeys(NAMES, parameter * step)
        group.update(losses, extra={"norm": parameter * 2, "lr": 0.1}, retain_graph=True)
        group.weigh(losses).backward()  # type: ignore[no-untyped-call]
        group.record({"a": losses["a"]}, samples=3)
        group.accumulate(losses)
        group.record()
        assert parameter.grad is not None
        assert group.finite.device.type == "meta"

    assert group.step == 12
    with pytest.raises(NotImplementedError, match="meta"):
        group.flush()


def test_whether_learned_weights_move_is_known_without_a_look_at_them() -> None:
    weighting = AutomaticWeightedLoss(1).to("meta")
    group = LossGroup(["loss 0"], weighting=weighting, log_every=NEVER)

    def train() -> None:
        for _ in range(101):
            group.record(meta_losses(1))

    with pytest.warns(RuntimeWarning, match="have not moved in 100 steps"):
        train()


def test_a_weighting_of_the_users_own_looks_at_no_value_either() -> None:
    names = [f"loss {index}" for index in range(3)]
    group = LossGroup(names, weighting=InverseMean(), log_every=NEVER)

    for _ in range(3):
        group.update(meta_losses(3))

    assert group.step == 3


@pytest.mark.parametrize("warmup", [2, math.inf])
def test_an_update_of_a_tracker_looks_at_no_value(warmup: float) -> None:
    tracker = LossTracker("G", MemoryLogger(), weight=0.5, max_loss=3, warmup=warmup)

    for step in range(20):
        parameter = torch.ones((), device="meta", requires_grad=True)
        weighted = tracker.update(parameter * step)
        if step < warmup - 1:
            tracker.weight = 0.25

        assert parameter.grad is not None
        assert weighted.device.type == "meta"


def test_a_step_of_trackers_looks_at_no_value() -> None:
    trackers = Trackers(["G", "D"], MemoryLogger(), warmup=3)

    for _ in range(10):
        for tracker in trackers.values():
            tracker.update(torch.ones((), device="meta", requires_grad=True) * 2)
        trackers.step(extra={"norm": torch.ones((), device="meta")})

    assert trackers["G"].step == 10


@pytest.mark.parametrize("count", [1, 3, 32, 256])
@pytest.mark.parametrize(
    ("kind", "most"),
    [("plain", 3), ("equal", 3), ("schedule", 3), ("cov", 30), ("cov that forgets", 34)],
)
def test_a_step_is_a_few_operations_for_any_number_of_losses(
    kind: str, most: int, count: int
) -> None:
    losses = meta_losses(count)
    weighting = StaticWeighting() if kind == "schedule" else WEIGHTINGS[kind]()
    group = LossGroup(list(losses), weighting=weighting, log_every=NEVER)
    group.record(losses)

    with Dispatched() as dispatched:
        group.record(losses)

    assert len(dispatched.names) <= most, dispatched.names


def test_with_log_every_nothing_is_read_on_the_cpu_either() -> None:
    group = LossGroup(NAMES, MemoryLogger(), weighting=CoVWeighting(), log_every=NEVER)
    tracker = LossTracker("G", MemoryLogger(), warmup=2, log_every=NEVER)

    with Dispatched() as dispatched:
        for step in range(5):
            losses = {name: torch.tensor(1.0 + step) for name in NAMES}
            group.update(losses, do_backwards=False)
            tracker.update(losses["a"], do_backwards=False)

    assert not [name for name in dispatched.names if "_local_scalar_dense" in name]


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_a_recorded_graph_of_weigh_follows_the_weights_but_for_schedules(kind: str) -> None:
    """What a CUDA graph records are operations and the addresses of tensors: so does `make_fx`."""
    group = LossGroup(NAMES, weighting=WEIGHTINGS[kind](), max_loss=2.0, log_every=NEVER)
    data = np.random.default_rng(0).lognormal(0, 1, (30, 3))
    steps = [dict(zip(NAMES, torch.tensor(row).unbind(), strict=True)) for row in data]
    for losses in steps[:8]:
        group.record(losses)

    graph = make_fx(lambda *losses: group.weigh(dict(zip(NAMES, losses, strict=True))))(
        *steps[8].values()
    )
    is_same = []
    for losses in steps[8:]:
        is_same.append(torch.equal(graph(*losses.values()), group.weigh(losses)))
        group.record(losses)
        for parameter in group.parameters():
            parameter.data.mul_(0.9)

    assert all(is_same) == (kind != "schedule")


# The numbers are those of the CPU.


def wild(steps: int = 400, seed: int = 0) -> NDArray[np.float64]:
    """Losses with everything that can happen to them."""
    random = np.random.default_rng(seed)
    losses = random.lognormal(0, 0.5, (steps, 3)) * [1, 1e-3, 50]
    losses[:3, 2] = 0
    losses[20, 1], losses[21, 2], losses[22:25, 0] = math.nan, math.inf, -math.inf
    losses[30, 0], losses[40, 0], losses[50, 2] = 1e9, -3, 0
    losses[100:, 1] *= 1e5
    losses[200:212, 2] = 1e-9
    return losses


def rows_of(group: LossGroup, losses: Iterable[Any], dtype: torch.dtype) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for step, row in enumerate(losses):
            tensors = dict(zip(NAMES, torch.tensor(row, dtype=dtype).unbind(), strict=True))
            if step % 7 == 3:
                del tensors["b"]
            group.update(tensors, do_backwards=False, extra={"lr": 1 / (1 + step)})


@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_rows_are_those_of_the_cpu(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    ours, theirs = MemoryLogger(), MemoryLogger()
    options: dict[str, Any] = {"max_loss": {"c": 60.0}, "block_size": 9}
    device = LossGroup(NAMES, ours, weighting=WEIGHTINGS[kind](), log_every=64, **options)
    host = LossGroup(NAMES, theirs, weighting=WEIGHTINGS[kind](), **options)

    rows_of(device, wild(), dtype)
    rows_of(host, wild(), dtype)
    device.flush()

    assert len(ours.rows) == len(theirs.rows) == 400
    for (step, _, row), (its_step, _, its_row) in zip(ours.rows, theirs.rows, strict=True):
        assert (step, list(row)) == (its_step, list(its_row))
        np.testing.assert_allclose(list(row.values()), list(its_row.values()), rtol=tolerance)
    assert device["b"].statistics.loss_ratio.restarts == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_accumulates_in_high(dtype: torch.dtype) -> None:
    group = LossGroup(["a"], log_every=100)

    for _ in range(1000):
        group.record({"a": torch.tensor(1.0, dtype=dtype)})

    assert (group["a"].mean, group["a"].std, group["a"].count) == (1.0, 0.0, 1000)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_what_is_kept_on_a_device_stays_true_over_many_steps(
    dtype: torch.dtype, tolerance: float
) -> None:
    losses = np.random.default_rng(0).lognormal(0, 0.3, (20_000, 2))
    host = History(("a", "b"), [Statistics(), Statistics()])
    device = DeviceHistory(
        History(("a", "b"), [Statistics(), Statistics()]),
        RatioSettings(),
        torch.device("cpu"),
        lambda: None,
        dtype=dtype,
    )
    device.ratios()
    device.moments()

    for row, tensor in zip(losses.tolist(), torch.tensor(losses, dtype=dtype), strict=True):
        host.add(row, None, 1, 0)
        device.take_in(tensor, 1)

    for name in ("mean", "std", "minimum", "maximum", "ratio_mean", "ratio_std", "ratio_cov"):
        np.testing.assert_allclose(
            getattr(device, name).numpy(), getattr(host, name), rtol=tolerance, err_msg=name
        )
    assert device.count.tolist() == device.ratio_count.tolist() == [20_000, 20_000]


def test_a_float32_device_counts_beyond_what_float32_can() -> None:
    ratio = LossRatio()
    ratio.add(1.0)
    ratio.count = 2**24
    statistics = Statistics(loss_ratio=ratio)
    statistics.count, statistics.samples = 2**24, 2**24
    history = History(("a",), [statistics])
    device = DeviceHistory(
        history, RatioSettings(), torch.device("cpu"), lambda: None, dtype=torch.float32
    )

    device.ratios()
    device.moments()
    for _ in range(3):
        device.take_in(torch.ones(1), 1)

    assert device.ratio_count.tolist() == device.count.tolist() == [2**24 + 3]


# Gradients.


def test_gradients_are_those_of_the_cpu() -> None:
    gradients = []
    for log_every in (None, 10):
        group = LossGroup(NAMES, weighting=CoVWeighting(), max_loss=2.0, log_every=log_every)
        x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        for step in range(30):
            losses = {"a": (x**2).sum(), "b": (x * step).cos().sum(), "c": x.exp().mean()}
            group.update(losses)
        assert x.grad is not None
        gradients.append(x.grad)

    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_loss_that_is_not_finite_takes_no_part() -> None:
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    group = LossGroup(["a", "b"], log_every=10)

    total = group.update({"a": x[0], "b": x[1] * math.inf})

    assert (total.item(), group.finite.item()) == (2.0, False)
    with pytest.warns(RuntimeWarning, match="'b' is inf at step 0"):
        group.flush()
    assert x.grad is not None
    assert x.grad[0] == 1.0
    assert group["b"].nonfinite == 1
    group.update({"a": x[0]})
    assert group.finite


def test_raise_raises_when_it_is_known() -> None:
    group = LossGroup(["a"], nonfinite="raise", log_every=3)
    group.record({"a": torch.tensor(math.nan)})
    group.record({"a": torch.tensor(1.0)})

    with pytest.raises(FloatingPointError, match="'a' is nan at step 0"):
        group.record({"a": torch.tensor(1.0)})

    assert (group.step, group["a"].count) == (3, 2)
    group.record({"a": torch.tensor(1.0)})


def test_a_scaler_finds_a_nan_that_is_kept() -> None:
    x = torch.ones((), requires_grad=True)
    group = LossGroup(["a"], nonfinite="keep", log_every=10)

    assert group.weigh({"a": x * math.nan}).isnan()


def test_a_weighting_may_read_all_of_the_ratios() -> None:
    """They go on while the objective waits for its backward."""
    totals, gradients = [], []
    for log_every in (None, 10):
        group = LossGroup(["a", "b"], weighting=RatioSpread(), log_every=log_every)
        x = torch.ones((), dtype=torch.float64, requires_grad=True)
        assert np.isnan(group.weigh({"a": 1.0, "b": 2.0}).item())
        group.record({"a": 1.0, "b": 2.0})
        for step in range(5):
            total = group.update({"a": x * (1 + step), "b": x.exp()}, do_backwards=False)
            total.backward()  # type: ignore[no-untyped-call]
            totals.append(total.item())
        gradients.append(x.grad.item() if x.grad is not None else None)

    np.testing.assert_allclose(totals[5:], totals[:5], rtol=1e-12)
    assert gradients[1] == pytest.approx(gradients[0], rel=1e-12)


def test_a_mean_of_nothing_leaves_the_moments_as_they_are() -> None:
    group = LossGroup(["a", "b"], weighting=InverseMean(), log_every=10)

    for missing in ((), ("b",), ()):
        losses = {"a": torch.tensor(2.0), "b": torch.tensor(4.0)}
        group.accumulate({name: losses[name] for name in losses if name not in missing})
        group.record()

    assert group.next_weights() == {"a": 0.5, "b": 0.25}


def test_a_step_lets_go_of_the_graph() -> None:
    group = LossGroup(["a"], log_every=10)
    activation = torch.ones(8, requires_grad=True).exp()
    is_there = weakref.ref(activation)

    group.update({"a": (activation * activation).sum()}, do_backwards=False)
    del activation

    assert is_there() is None


@pytest.mark.parametrize("kind", ["cov", "user's own"])
def test_a_validation_before_training_may_be_in_inference_mode(kind: str) -> None:
    weighting = CoVWeighting() if kind == "cov" else InverseMean()
    group = LossGroup(["a", "b"], weighting=weighting, max_loss=3.0, log_every=10)
    x = torch.ones((), requires_grad=True)
    with torch.inference_mode():
        group.weigh({"a": x, "b": x * 2})

    for step in range(3):
        group.update({"a": x, "b": x * step})

    assert group["b"].mean == 1.0


# When rows come.


def test_no_step_is_missing_and_each_has_its_own_time() -> None:
    logger = MemoryLogger()
    group = LossGroup(["a"], logger, log_every=4)

    for step in range(10):
        group.record({"a": torch.tensor(float(step))})
        assert len(logger.rows) == (step + 1) // 4 * 4
    group.flush()

    assert logger["loss/a"] == [(step, float(step)) for step in range(10)]
    times = [moment for _, moment, _ in logger.rows]
    assert times == sorted(times)
    assert len(set(times)) == 10


def test_what_interrupts_a_read_loses_one_step_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = MemoryLogger()
    group = LossGroup(["a"], logger, log_every=10)
    for value in range(6):
        group.record({"a": torch.tensor(float(value))})

    def interrupt(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(group._steps.members, "row", interrupt)
    with pytest.raises(KeyboardInterrupt):
        group.flush()
    group.flush()

    assert group["a"].count == 6
    assert logger.values("loss/a") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("log_every", [None, 2])
def test_a_warning_that_is_an_error_comes_after_its_row(log_every: int | None) -> None:
    logger = MemoryLogger()
    group = LossGroup(["a"], logger, log_every=log_every)
    raised = []

    def record(value: float) -> None:
        try:
            group.record({"a": torch.tensor(value)})
        except RuntimeWarning as warning:
            raised.append(str(warning))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (math.nan, 1.0, 2.0, 3.0):
            record(value)

    assert (len(raised), group.step, group["a"].count) == (1, 4, 3)
    assert [step for step, _, _ in logger.rows] == [0, 1, 2, 3]


def test_a_device_that_is_gone_says_how_many_steps_are_lost() -> None:
    group = LossGroup(["a"], MemoryLogger(), log_every=2)
    group.record({"a": torch.ones((), device="meta")})
    backlog = group._intake.backlog

    with pytest.warns(RuntimeWarning, match="losses of the last 1 steps could not be read back"):
        backlog.try_to_catch_up()

    assert not backlog


@pytest.mark.parametrize("steps", [3, 4])
def test_a_group_that_is_dropped_goes_unless_it_has_rows_to_report(steps: int) -> None:
    gone = []
    for logger in (None, MemoryLogger()):
        group = LossGroup(["a"], logger, log_every=4)
        for _ in range(steps):
            group.record({"a": torch.tensor(1.0)})
        gone.append(weakref.ref(group))
        del group
    gc.collect()

    assert gone[0]() is None
    assert (gone[1]() is None) == (steps == 4)


def test_a_row_has_the_weights_of_its_own_step() -> None:
    logger, weighting = MemoryLogger(), OwnWeights()
    group = LossGroup(["a"], logger, weighting=weighting, log_every=10)

    for _ in range(3):
        group.record({"a": torch.tensor(1.0)})
        with torch.no_grad():
            weighting.weights.add_(1)
    group.flush()

    assert logger.values("weight/a") == [1, 2, 3]


def test_a_number_of_ones_own_is_that_of_its_step() -> None:
    rate = torch.ones((), device="meta")

    kept = read_metrics({"lr": rate})["lr"]

    assert kept.untyped_storage()._cdata != rate.untyped_storage()._cdata


def test_reading_waits_for_what_is_on_its_way() -> None:
    group = LossGroup(["a"], log_every=100)
    kept = LossGroup(["a"], log_every=100)["a"]
    tracker = LossTracker("a", log_every=100)

    for value in (1.0, 3.0):
        group.record({"a": torch.tensor(value)})
        tracker.update(torch.tensor(value), do_backwards=False)

    assert (group["a"].mean, group["a"].get_history()) == (2.0, [1.0, 3.0])
    assert (tracker.mean, tracker.value, tracker.weighted) == (2.0, 3.0, 3.0)
    assert math.isnan(kept.mean)
    assert "a=3" in repr(group)


def test_a_record_that_is_closed_has_every_row(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "run") as logger:
        group = LossGroup(["a"], [logger, MemoryLogger()], log_every=100)
        for step in range(7):
            group.record({"a": torch.tensor(float(step))})

    assert read_run(tmp_path / "run")["a"]["loss"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert logger.failed == 0


def test_any_logger_that_is_closed_has_every_row() -> None:
    with MemoryLogger() as logger:
        group = LossGroup(["a"], logger, log_every=100)
        group.record({"a": torch.tensor(2.0)})

    assert logger.values("loss/a") == [2.0]


def test_rows_outlive_the_group() -> None:
    logger = MemoryLogger()
    for _ in range(3):
        LossGroup(["a"], logger, log_every=100).record({"a": torch.tensor(1.0)})

    from multi_loss_weighting import _backlog

    for backlog in list(_backlog._waiting):
        backlog.catch_up()
    assert len(logger.rows) == 3
    assert not _backlog._waiting


def test_trackers_share_rows_that_are_read_together() -> None:
    ours, theirs = MemoryLogger(), MemoryLogger()
    device = Trackers(["G", "D"], ours, warmup=4, log_every=8)
    host = Trackers(["G", "D"], theirs, warmup=4)

    for trackers in (device, host):
        for step, row in enumerate(wild(120)[60:85, :2] + 1):
            trackers["G"].update(torch.tensor(row[0]), do_backwards=False)
            if step % 3:
                trackers["D"].update(torch.tensor(row[1]), do_backwards=False)
            trackers.step(extra={"lr": torch.tensor(0.5)})
    assert 0 < len(ours.rows) < 25
    device.flush()

    assert len(ours.rows) == len(theirs.rows) == 25
    for (_, _, row), (_, _, its_row) in zip(ours.rows, theirs.rows, strict=True):
        assert list(row) == list(its_row)
        np.testing.assert_allclose(list(row.values()), list(its_row.values()), rtol=1e-10)


def test_the_weight_of_a_tracker_is_that_of_the_cpu() -> None:
    device, host = (LossTracker("a", warmup=5, max_loss=3, log_every=n) for n in (50, None))

    for loss in (wild(100)[:, 0] + 0.1).tolist():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            ours = device.update(torch.tensor(loss, dtype=torch.float64), do_backwards=False)
            theirs = host.update(torch.tensor(loss, dtype=torch.float64), do_backwards=False)
        assert float(ours) == pytest.approx(float(theirs), rel=1e-10)
    assert device.weight == pytest.approx(host.weight, rel=1e-10)


def test_losses_on_the_cpu_wait_for_those_elsewhere() -> None:
    """In trackers of one row, whose device is stood for by `log_every` of one of them."""
    logger = MemoryLogger()
    trackers = Trackers(["G", "D"], logger, log_every={"D": 50})

    for step in range(5):
        trackers["G"].update(float(step), do_backwards=False)
        trackers["D"].update(torch.tensor(10.0 + step), do_backwards=False)
        trackers.step()
    trackers.flush()

    assert logger.values("loss/G") == [0, 1, 2, 3, 4]
    assert logger.values("loss/D") == [10, 11, 12, 13, 14]


def test_plain_numbers_join_the_losses_on_a_device() -> None:
    tracker = LossTracker("a", log_every=NEVER)
    group = LossGroup(["a", "b"], log_every=NEVER)
    tracker.update(torch.ones((), device="meta"), do_backwards=False)
    group.record(dict.fromkeys("ab", torch.ones((), device="meta")))

    assert tracker.update(2.0, do_backwards=False).device.type == "meta"
    group.record({"b": 2.0})
    assert group.finite.device.type == "meta"


@pytest.mark.parametrize("log_every", [None, 10])
def test_a_tracker_says_whether_the_last_loss_was_finite(log_every: int | None) -> None:
    tracker = LossTracker("a", log_every=log_every)
    finite = [tracker.finite.item()]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for loss in (1.0, math.nan, 1.0, math.inf):
            tracker.update(torch.tensor(loss), do_backwards=False)
            finite.append(tracker.finite.item())
        tracker.flush()

    assert finite == [True, True, False, True, False]


# State.


def test_what_a_device_knew_ends_with_the_first_loss_on_the_cpu() -> None:
    device, host, again = (LossTracker("a", warmup=3, log_every=n) for n in (5, None, 5))
    losses = [torch.tensor(value, dtype=torch.float64) for value in wild(60)[52:, 2].tolist()]
    for loss in losses[:4]:
        device.update(loss, do_backwards=False)
    host.load_state_dict(device.state_dict())
    for loss in losses[4:]:
        host.update(loss, do_backwards=False)
    again.load_state_dict(host.state_dict())

    weighted = again.update(torch.ones((), dtype=torch.float64), do_backwards=False)

    assert weighted.item() == pytest.approx(host.weight, rel=1e-12)


def weights_from(group: LossGroup, losses: Iterable[Any]) -> list[Any]:
    totals = []
    for row in losses:
        tensors = dict(zip(NAMES, torch.tensor(row).unbind(), strict=True))
        totals.append(group.update(tensors, do_backwards=False).item())
    return [totals, repr(group.get_extra_state())]


@pytest.mark.parametrize("kind", ["cov", "cov that forgets", "uncertainty"])
def test_resuming_gives_the_same_numbers_to_the_last_bit(kind: str, tmp_path: Path) -> None:
    losses = wild(120)[60:]
    whole, first, second = (
        LossGroup(NAMES, weighting=WEIGHTINGS[kind](), log_every=16) for _ in range(3)
    )

    weights_from(whole, losses[:30])
    weights_from(first, losses[:30])
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))

    assert weights_from(second, losses[30:]) == weights_from(whole, losses[30:])


def test_micro_batches_go_on_from_a_state_on_another_device() -> None:
    group, resumed = LossGroup(["a"]), LossGroup(["a"], log_every=NEVER)
    group.accumulate({"a": 1.0})
    resumed.load_state_dict(group.state_dict())

    resumed.accumulate({"a": torch.ones((), device="meta")})
    resumed.record()

    assert resumed.step == 1


def test_a_state_goes_from_device_to_cpu_and_back() -> None:
    losses = wild(120)[60:]
    device, host, back = (
        LossGroup(NAMES, weighting=CoVWeighting(), log_every=n) for n in (16, None, 16)
    )
    weights_from(device, losses[:20])
    host.load_state_dict(device.state_dict())
    weights_from(host, losses[20:40])
    back.load_state_dict(host.state_dict())

    weights_from(device, losses[20:40])
    totals, _ = weights_from(back, losses[40:])
    its_totals, _ = weights_from(device, losses[40:])

    np.testing.assert_allclose(totals, its_totals, rtol=1e-12)


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_goes_on_from_where_the_original_is(make_copy: Callable[[Any], Any]) -> None:
    group = LossGroup(NAMES, weighting=CoVWeighting(), log_every=16)
    tracker = LossTracker("a", warmup=3, log_every=16)
    trackers = Trackers(["a", "b"], log_every=16)
    losses = wild(120)[60:]
    weights_from(group, losses[:20])
    for loss in losses[:20, 0].tolist():
        tracker.update(torch.tensor(loss), do_backwards=False)
        trackers["a"].update(torch.tensor(loss), do_backwards=False)
        trackers.step()

    other, other_tracker, others = make_copy(group), make_copy(tracker), make_copy(trackers)

    assert weights_from(other, losses[20:])[0] == pytest.approx(
        weights_from(group, losses[20:])[0], rel=1e-12
    )
    assert repr(other_tracker.state_dict()) == repr(tracker.state_dict())
    assert repr(others.state_dict()) == repr(trackers.state_dict())


def test_a_copy_of_one_loss_knows_what_is_on_its_way() -> None:
    group = LossGroup(["a"], log_every=16)
    group.record({"a": torch.tensor(2.0)})

    assert copy.deepcopy(group["a"]).mean == 2.0


def test_a_copy_of_trackers_reports_before_its_logger_closes() -> None:
    with MemoryLogger() as logger:
        trackers = copy.deepcopy(Trackers(["a"], logger, log_every=16))
        trackers["a"].update(torch.tensor(2.0), do_backwards=False)
        trackers.step()

    assert logger.values("loss/a") == [2.0]


def test_learned_weights_move_with_the_group() -> None:
    weighting = AutomaticWeightedLoss(3)
    group = LossGroup(NAMES, weighting=weighting, log_every=NEVER).to("meta")
    x = torch.ones((), device="meta", requires_grad=True)

    group.update(dict.fromkeys(NAMES, x * 2))

    assert weighting.params.grad is not None
    assert weighting.params.grad.device.type == "meta"


def test_losses_move_from_the_cpu_to_a_device() -> None:
    group = LossGroup(NAMES, weighting=CoVWeighting())
    for _ in range(3):
        group.record(dict.fromkeys(NAMES, 1.0))

    group.record({name: torch.ones((), device="meta") for name in NAMES})

    assert group.step == 4


# What cannot be.


def test_losses_on_several_devices_are_an_error() -> None:
    group = LossGroup(["a", "b"], log_every=NEVER)
    here, there = torch.ones(()), torch.ones((), device="meta")

    with pytest.raises(ValueError, match=r"on one device, meta; got 'a' on cpu"):
        group.update({"a": here, "b": there}, do_backwards=False)

    assert group.step == 0


def test_learned_weights_elsewhere_are_an_error() -> None:
    group = LossGroup(["a"], weighting=AutomaticWeightedLoss(1), log_every=NEVER)

    with pytest.raises(ValueError, match=r"losses are on meta and .* on cpu: call .*\.to"):
        group.update({"a": torch.ones((), device="meta")}, do_backwards=False)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (torch.ones(2, device="meta"), r"call \.mean\(\)"),
        (torch.ones(0, device="meta"), r"call \.mean\(\)"),
        (torch.ones((), dtype=torch.complex64, device="meta"), "is a number"),
        ("loss", "is a number"),
    ],
)
def test_what_is_no_loss_is_an_error_on_a_device_too(loss: Any, message: str) -> None:
    group = LossGroup(["a", "b"], log_every=NEVER)

    with pytest.raises((TypeError, ValueError), match=message):
        group.update({"a": loss, "b": torch.ones((), device="meta")}, do_backwards=False)

    assert group.step == 0


def test_a_loss_inside_vmap_is_refused() -> None:
    group = LossGroup(["a"], log_every=NEVER)

    def record(loss: Tensor) -> Tensor:
        return group.weigh({"a": loss})

    with pytest.raises(TypeError, match=r"outside of torch\.func"):
        torch.func.vmap(record)(torch.ones(3))


def test_log_every_counts() -> None:
    with pytest.raises(ValueError, match="1 or more; got 0"):
        LossGroup(["a"], log_every=0)


def test_one_dimension_integers_and_plain_numbers_are_losses() -> None:
    group = LossGroup(["a", "b", "c"], log_every=10)

    group.record({"a": torch.ones(1), "b": torch.tensor(2), "c": 3.0})
    group.record({"a": torch.ones(1, dtype=torch.float64), "b": torch.tensor(2.0), "c": 3})

    assert [group[name].mean for name in group] == [1.0, 2.0, 3.0]


def test_plain_numbers_are_not_rounded() -> None:
    group = LossGroup(["a", "b"], log_every=10)

    group.record({"a": 0.1, "b": 0.2})
    total = group.weigh({"a": 0.1, "b": torch.tensor(0.5)})

    assert (group["a"].value, group["b"].value) == (0.1, 0.2)
    assert total.dtype == torch.float32


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_does_not_report_what_its_parent_will(tmp_path: Path) -> None:
    script = tmp_path / "fork.py"
    script.write_text(
        "import os, sys, torch\n"
        "from multi_loss_weighting import LossGroup\n"
        "class Print:\n"
        "    def log_metrics(self, metrics, /, *, step):\n"
        "        print('row', step, flush=True)\n"
        "group = LossGroup(['a'], Print(), log_every=100)\n"
        "group.record({'a': torch.ones(())})\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
    )

    said = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True
    )

    assert said.stdout.splitlines() == ["row 0"]
