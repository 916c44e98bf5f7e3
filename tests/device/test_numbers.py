"""Losses on an accelerator give the numbers and gradients of the CPU."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    CoVWeighting,
    LossGroup,
    LossRecord,
    LossTracker,
    RatioSettings,
    Trackers,
)
from multi_loss_weighting.accelerator._history import DeviceHistory

from .cases import NAMES, NEVER, WEIGHTINGS, InverseMean, RatioSpread, rows_of, wild


@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
def test_rows_are_those_of_the_cpu(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    ours, theirs = MemoryLogger(), MemoryLogger()
    options: dict[str, Any] = {"max_loss": {"c": 60.0}, "block_size": 9}
    device = LossGroup(NAMES, ours, weighting=WEIGHTINGS[kind](), log_every=64, **options)
    host = LossGroup(NAMES, theirs, weighting=WEIGHTINGS[kind](), **options)

    rows_of(device, wild(230), dtype)  # all that is wild is over by then
    rows_of(host, wild(230), dtype)
    device.flush()

    assert len(ours.rows) == len(theirs.rows) == 230
    for (step, _, row), (its_step, _, its_row) in zip(ours.rows, theirs.rows, strict=True):
        assert (step, list(row)) == (its_step, list(its_row))
        np.testing.assert_allclose(list(row.values()), list(its_row.values()), rtol=tolerance)
    assert device["b"].record.restarts == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_accumulates_in_high(dtype: torch.dtype) -> None:
    group = LossGroup(["a"], log_every=100)

    for _ in range(1000):
        group.record({"a": torch.tensor(1.0, dtype=dtype)})

    assert (group["a"].mean, group["a"].std, group["a"].count) == (1.0, 0.0, 1000)


def device_history(records: list[LossRecord], dtype: torch.dtype) -> DeviceHistory:
    names, device = tuple("ab"[: len(records)]), torch.device("cpu")
    return DeviceHistory(names, records, RatioSettings(), device, lambda: records, dtype)


def test_a_float32_device_counts_beyond_what_float32_can() -> None:
    many = 2**24
    record = LossRecord(
        many, many, 1.0, updates=many, reference=1.0, ratio_count=many, ratio_running_mean=1.0
    )
    device = device_history([record], torch.float32)

    device.ratios()
    device.moments()
    for _ in range(3):
        device.use(device.prepare(torch.ones(1), 1))

    assert device.ratio_count.tolist() == device.count.tolist() == [2**24 + 3]


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
