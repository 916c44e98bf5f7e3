"""What is kept of losses on an accelerator. On the CPU its numbers can be read."""

from __future__ import annotations

import copy
import math
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from multi_loss_weighting import History, RatioSettings
from multi_loss_weighting.accelerator._history import DeviceHistory
from multi_loss_weighting.statistics._record import LossRecord
from multi_loss_weighting.statistics._scalar import add, cov_shares
from multi_loss_weighting.statistics._settings import StatisticsSettings

from .cases import Dispatched

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CPU = torch.device("cpu")
BOTH = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
VECTORS = (
    *("count", "first", "mean", "variance", "std", "cov", "minimum", "maximum"),
    *("ratio_count", "ratio_mean", "ratio_std", "ratio_cov"),
)


def new_history(
    count: int = 2,
    settings: RatioSettings | None = None,
    *,
    records: Sequence[LossRecord] = (),
    dtype: torch.dtype = torch.float64,
    device: torch.device = CPU,
) -> DeviceHistory:
    """Of so many losses, which the host knows as `records`, with all that can be kept."""
    known = records or [LossRecord()] * count
    names = tuple(f"loss {index}" for index in range(count))
    history = DeviceHistory(names, known, settings or RatioSettings(), device, lambda: known, dtype)
    history.ratios()
    history.moments()
    return history


def taught(history: DeviceHistory, losses: Any) -> DeviceHistory:
    for row in torch.as_tensor(losses):
        history.use(history.prepare(row, 1))
    return history


def wild(steps: int, count: int = 2) -> Any:
    losses = np.random.default_rng(0).lognormal(0, 1, (steps, count))
    losses[5::9, 0], losses[7::11, 1], losses[20:, 0] = math.nan, 0, losses[20:, 0] * 1e4
    return losses


def numbers_of(history: History) -> list[Any]:
    return [np.asarray(getattr(history, name)).tolist() for name in VECTORS]


@pytest.mark.parametrize(
    ("dtype", "tolerance", "steps"), [(torch.float64, 1e-10, 2_000), (torch.float32, 1e-5, 20_000)]
)
def test_the_numbers_stay_true_over_many_steps(
    dtype: torch.dtype, tolerance: float, steps: int
) -> None:
    losses = torch.from_numpy(np.random.default_rng(0).lognormal(0, 0.3, (steps, 2))).to(dtype)
    rules = StatisticsSettings().rules(None)
    records: list[Any] = [LossRecord()] * 2
    for row in losses.tolist():
        records = [add(one, loss, 1, 0, 1, rules) for one, loss in zip(records, row, strict=True)]
    host = History(("a", "b"), records)

    device = taught(new_history(dtype=dtype), losses)

    for name in VECTORS:
        ours, theirs = getattr(device, name).numpy(), getattr(host, name)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, err_msg=name)
    assert device.count.tolist() == device.ratio_count.tolist() == [steps, steps]


@BOTH
def test_it_counts_beyond_what_float32_can(dtype: torch.dtype) -> None:
    many = 2**24
    record = LossRecord(
        count=many, samples=many, running_mean=1.0, ratio_count=many, reference=1.0
    )._replace(ratio_running_mean=1.0)

    history = taught(new_history(1, records=[record], dtype=dtype), torch.ones(3, 1))

    assert history.ratio_count.tolist() == history.count.tolist() == [many + 3]
    assert history.moments().all.samples.tolist() == [many + (3 if dtype.itemsize == 8 else 4)]


@BOTH
def test_a_step_shows_when_it_is_taken_over_and_once_only(dtype: torch.dtype) -> None:
    losses = wild(30)
    history, other = (taught(new_history(dtype=dtype), losses[:29]) for _ in range(2))
    before = numbers_of(history)

    history.prepare(torch.full((2,), 1e3), 5)
    index = history.prepare(torch.from_numpy(losses[29]), 1)

    np.testing.assert_equal(numbers_of(history), before)
    history.use(index)
    history.use(index)
    np.testing.assert_equal(numbers_of(history), numbers_of(taught(other, losses[29:])))


def test_a_prepared_step_that_failed_is_forgotten() -> None:
    losses = wild(31)
    history, other = (taught(new_history(), losses[:29]) for _ in range(2))
    used = history.prepare(torch.from_numpy(losses[29]), 1)
    history.use(used)

    history.prepare(torch.ones(2), 1)
    history.use(used)

    np.testing.assert_equal(numbers_of(history), numbers_of(taught(other, losses[29:30])))


def test_the_vectors_stay_where_they_are() -> None:
    """A CUDA graph reads them at the addresses that it recorded."""
    history = taught(new_history(), wild(3))
    before = [row.data_ptr() for row in (*history.moments().all, history.ratios().variance)]

    taught(history, wild(4))

    after = [row.data_ptr() for row in (*history.moments().all, history.ratios().variance)]
    assert after == before


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_that_was_kept_stays_as_it_was(name: str) -> None:
    history = taught(new_history(), wild(5))
    kept = getattr(history, name)
    before = kept.clone()

    taught(history, wild(4))

    assert torch.equal(kept, before)


def test_before_its_first_value_a_loss_has_no_numbers_as_on_the_host() -> None:
    host = History(("a", "b"), [LossRecord()] * 2)

    np.testing.assert_equal(numbers_of(new_history()), numbers_of(host))
    assert new_history().ratios().cov_shares(2).tolist() == cov_shares(host.records, 2)


def test_only_what_is_asked_for_is_kept_and_the_host_told_how_far_it_is() -> None:
    record = LossRecord(count=2, samples=2.0, running_mean=3.0, squares=2.0)
    waits: list[str] = []

    def wait() -> list[LossRecord]:
        waits.append("waited")
        return [record]

    history = DeviceHistory(("a",), [LossRecord()], RatioSettings(), CPU, wait)
    losses = torch.ones(1)

    with Dispatched() as nothing:
        history.use(history.prepare(losses, 1))
    asked = [(history.mean.item(), history.variance.item()) for _ in range(3)]

    assert nothing.names == []
    assert asked == [(3.0, 1.0)] * 3
    assert waits == ["waited"]
    assert (history.gather("samples").tolist(), len(waits)) == ([2.0], 2)


@BOTH
@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda history: loaded(history, history.numbers()),
        lambda history: loaded(history, pickle.loads(pickle.dumps(history.numbers()))),
    ],
)
def test_a_run_that_is_resumed_goes_on_bit_for_bit(
    copied: Callable[[DeviceHistory], DeviceHistory], dtype: torch.dtype
) -> None:
    losses = wild(60)
    history = taught(new_history(dtype=dtype), losses[:21])

    other = copied(history)
    taught(other, losses[21:])

    assert numbers_of(other) != numbers_of(history)
    taught(history, losses[21:])
    np.testing.assert_equal(numbers_of(other), numbers_of(history))
    assert torch.equal(other.numbers(), history.numbers())


def loaded(like: DeviceHistory, numbers: torch.Tensor) -> DeviceHistory:
    history, before = new_history(dtype=like.mean.dtype), numbers.clone()
    history.load_numbers(history.names, numbers)
    assert torch.equal(numbers, before)
    return history


def test_its_numbers_are_of_one_shape_whatever_is_kept_in_whichever_dtype() -> None:
    empty = DeviceHistory(("a", "b"), [], RatioSettings(), CPU, list)
    shapes = {
        one.numbers().shape for one in (empty, new_history(), new_history(dtype=torch.float32))
    }

    empty.load_numbers(empty.names, empty.numbers())

    assert len(shapes) == 1
    assert not empty.numbers().any()
    with pytest.raises(ValueError, match=r"of shape \(2, 21\), got \(3, 21\)"):
        empty.load_numbers(empty.names, new_history(3).numbers())


@BOTH
def test_numbers_find_their_loss_by_its_name(dtype: torch.dtype) -> None:
    losses = wild(40)
    history = taught(new_history(dtype=dtype), losses[:25])
    other = new_history(3, dtype=dtype)
    late = taught(new_history(1, dtype=dtype), losses[25:, :1])

    other.load_numbers(("loss 2", "loss 0"), history.numbers())
    taught(other, losses[25:, [1, 0, 0]])

    taught(history, losses[25:])
    for name in VECTORS:
        own = getattr(history, name)
        expected = torch.stack([own[1], getattr(late, name)[0], own[0]])
        np.testing.assert_array_equal(getattr(other, name), expected, err_msg=name)


def test_what_inference_mode_asks_for_first_training_writes_to() -> None:
    history = DeviceHistory(("a",), [LossRecord()], RatioSettings(), CPU, lambda: [LossRecord()])

    with torch.inference_mode():
        assert history.ratios().cov_shares(2).tolist() == [1.0]
        assert history.mean.isnan().all()
    taught(history, torch.ones(3, 1))

    assert (history.mean.item(), history.ratio_count.item()) == (1.0, 3)


@pytest.mark.parametrize("decay", [None, 0.98])
@pytest.mark.parametrize("count", [1, 3, 256])
@BOTH
def test_a_step_is_a_few_operations_for_any_number_of_losses_and_looks_at_no_value(
    dtype: torch.dtype, count: int, decay: float | None
) -> None:
    meta, known = torch.device("meta"), [LossRecord()] * count
    names = tuple(map(str, range(count)))
    history = DeviceHistory(names, known, RatioSettings(decay), meta, lambda: known, dtype)
    losses = torch.ones(count, device="meta")
    history.ratios()

    with Dispatched() as dispatched:
        history.ratios().cov_shares(2)
        history.use(history.prepare(losses, 1))

    assert len(dispatched.names) <= 30 + (decay is not None) + 2 * (dtype == torch.float32)


@pytest.mark.parametrize("huge", [1e149, 1e151, 1.7e308])
def test_huge_losses_bring_no_nan(huge: float) -> None:
    losses = [[huge, 1.0], [-huge, huge], [1.0, -1.0], [huge, huge]] * 5

    history = taught(new_history(), losses)

    assert not any(np.isnan(vector).any() for vector in numbers_of(history))
    assert history.ratios().cov_shares(2).sum().item() == pytest.approx(1)
