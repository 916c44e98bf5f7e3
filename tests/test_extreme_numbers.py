"""Numbers near the largest and the smallest float, steps of nan, and forward-mode derivatives."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    STATISTICS,
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    LossTracker,
    Statistics,
    StatisticsSettings,
    Trackers,
    UncertaintyWeighting,
)
from multi_loss_weighting.statistics._record import LossRecord
from multi_loss_weighting.statistics._scalar import add, begin_epoch

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = StatisticsSettings(history=4, decay=0.5)
MOST = 1.797e308
STREAMS = {
    "huge": [1e308, MOST, 1.5e308, MOST, MOST, MOST],
    "both signs": [MOST, -MOST, 1e308, -1e308, MOST, -MOST],
    "tiny": [1e-320, 5e-324, 3e-310, 1e-320, 2e-308, 1e-315],
    "far apart": [1e-320, 1e308, 1.0, 1e-320, 1e308, -1e308],
    "up and down": [1.0, 1e308, 1.0, 1e150, 1e-150, 2.0],
    "zeros": [0.0, 1e308, 0.0, 5e-324, 0.0, -MOST],
}


def by_update(group: LossGroup, losses: dict[str, Any]) -> None:
    group.update(losses, do_backwards=False)


def by_record(group: LossGroup, losses: dict[str, Any]) -> None:
    group.weigh(losses)
    group.record(losses)


def by_accumulate(group: LossGroup, losses: dict[str, Any]) -> None:
    group.accumulate(losses, samples=3)
    group.accumulate(losses, samples=5)
    group.record()


WAYS: dict[str, Callable[[LossGroup, dict[str, Any]], None]] = {
    "update": by_update,
    "record": by_record,
    "accumulate": by_accumulate,
}


def check(loss: Any, values: list[float], tolerance: float = 1e-9) -> None:
    """Its numbers are those of the values, and none is nan."""
    count = len(values)
    mean = math.fsum(value / count for value in values)
    scale = max(map(abs, values))
    assert loss.count == count
    assert abs(loss.mean - mean) <= tolerance * scale
    assert (loss.minimum, loss.maximum) == (min(values), max(values))
    assert abs(loss.epoch_mean - mean) <= tolerance * scale
    for name in ("std", "variance", "ratio", "ratio_mean", "ratio_std", "exponential_mean"):
        assert not math.isnan(getattr(loss, name)), name
    assert min(values) <= loss.exponential_mean <= max(values)
    assert not math.isnan(loss.cov_weight) or not any(values)
    recent = loss.recent
    own = values[-4:]
    assert recent.values() == own
    for number in (recent.mean(), recent.median()):
        assert min(own) <= number <= max(own)
    assert recent.std() >= 0
    for number in (loss.block_mean, loss.block_std):
        assert not math.isnan(number)


@pytest.mark.parametrize("stream", STREAMS)
def test_statistics_of_extreme_values_are_numbers(stream: str) -> None:
    for values in itertools.permutations(STREAMS[stream]):
        statistics = Statistics(SETTINGS, block_size=2)
        for value in values:
            statistics.add(value)
        check(statistics, list(values))


FINITE = st.floats(allow_nan=False, allow_infinity=False)
NEAR_THE_LARGEST = st.floats(1e308) | st.floats(1.7e308).map(lambda loss: -loss)
FEW_OR_MANY = st.sampled_from([1, 1, 3, 64, 0.5, 1e-3])


@given(
    st.lists(st.tuples(FINITE | NEAR_THE_LARGEST.filter(math.isfinite), FEW_OR_MANY, st.booleans()))
)
@example([(1.0000000000000002e308, 64, False), (9.999999999999998e307, 1, False)])
@example([(MOST, 1e-3, False), (MOST, 1, True), (MOST, 3, False)])
def test_a_spread_of_finite_losses_is_a_number(losses: list[tuple[float, float, bool]]) -> None:
    rules = SETTINGS.rules(block_size=None)
    record = LossRecord()

    for loss, samples, ends_an_epoch in losses:
        record = LossRecord._make(add(record, loss, samples, 0, 1.0, rules))
        assert math.isfinite(record.mean)
        assert math.isfinite(record.epoch_mean)
        assert record.std >= 0
        if ends_an_epoch:
            record = LossRecord._make(begin_epoch(record))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("as_number", [True, False])
def test_groups_take_extreme_values(
    way: str, log_every: int | None, stream: str, as_number: bool
) -> None:
    logger = MemoryLogger()
    group = LossGroup(
        ["a", "b"],
        logger,
        weighting=CoVWeighting(),
        log_every=log_every,
        block_size=2,
        statistics=SETTINGS,
        report=STATISTICS,
    )
    values = STREAMS[stream]
    for value in values:
        losses: dict[str, Any] = {"a": value, "b": 1.0}
        if not as_number:
            losses = {name: torch.tensor(one, dtype=torch.float64) for name, one in losses.items()}
        WAYS[way](group, losses)
    group.flush()

    rows = [row for _, _, row in logger.rows]
    taken = [row["loss/a"] for row in rows]
    # Sums of losses are scaled down by 2**-32, so that they round what is that small.
    smallest = 1e-313 if way == "accumulate" else 0
    assert taken == pytest.approx(values, rel=1e-9, abs=smallest)
    check(group["a"], taken)
    weights = group.next_weights()
    assert sum(weights.values()) == pytest.approx(1)
    for index, row in enumerate(rows):
        if index and any(taken[:index]):  # before that there is no ratio
            assert not any(map(math.isnan, row.values())), row
    assert group.end_epoch()["a"] == pytest.approx(group["a"].mean)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("stream", STREAMS)
def test_trackers_take_extreme_values(log_every: int | None, stream: str) -> None:
    tracker = LossTracker(
        "G", MemoryLogger(), warmup=2, block_size=2, log_every=log_every, statistics=SETTINGS
    )
    trackers = Trackers(["G"], MemoryLogger(), max_loss=10, log_every=log_every)
    for value in STREAMS[stream]:
        loss = torch.tensor(value, dtype=torch.float64)
        tracker.update(loss, do_backwards=False)
        weighted = trackers["G"].update(loss, do_backwards=False)
        trackers.step()
        assert float(weighted) == pytest.approx(min(value, 10.0), rel=1e-9, abs=0)
    check(tracker, STREAMS[stream])
    assert math.isfinite(tracker.weight)
    assert trackers["G"].mean == tracker.mean


@pytest.mark.parametrize("log_every", [None, 2])
def test_clamping_keeps_the_direction_of_extreme_losses(log_every: int | None) -> None:
    for value, limit in ((1e308, 1e-8), (1e308, 1e300), (1e30, 1e-8), (1e-300, 1e-320)):
        group = LossGroup(["a"], max_loss=limit, log_every=log_every)
        loss = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        total = group.update({"a": loss * 1}, do_backwards=False)
        total.backward()  # type: ignore[no-untyped-call]
        assert total.item() == pytest.approx(limit, rel=1e-3, abs=0)
        assert loss.grad is not None
        assert loss.grad.item() == pytest.approx(limit / value, rel=1e-3, abs=0)


# Forward-mode derivatives.

WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "sum": lambda: None,
    "CoV": CoVWeighting,
    "learned": lambda: AutomaticWeightedLoss(2),
    "uncertainty": lambda: UncertaintyWeighting(2),
}


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("nonfinite", [None, "a", "both"])
@pytest.mark.filterwarnings("ignore:no loss of this step", "ignore:loss '")
def test_a_tangent_goes_through_as_the_gradient_does(
    weighting: str, log_every: int | None, requires_grad: bool, nonfinite: str | None
) -> None:
    group = LossGroup(
        ["a", "b"], weighting=WEIGHTINGS[weighting](), log_every=log_every, max_loss=5
    )
    tracker = LossTracker("a", log_every=log_every, weight=0.5, max_loss=5)
    for step in range(3):
        group.record({"a": 1.0 + step, "b": 2.0 + step % 2})

    def losses_of(point: torch.Tensor) -> dict[str, torch.Tensor]:
        losses = {"a": point * 2, "b": point**3}
        if nonfinite is not None:
            losses["a"] = losses["a"] * math.nan
        if nonfinite == "both":
            losses["b"] = losses["b"] * math.inf
        return losses

    point = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    total = group.weigh(losses_of(point))
    gradient = torch.autograd.grad(total, point, allow_unused=True)[0]
    slope = 0.0 if gradient is None else gradient.item()
    with forward_ad.dual_level():
        primal = torch.tensor(2.0, dtype=torch.float64, requires_grad=requires_grad)
        make: Any = forward_ad.make_dual
        dual = make(primal, torch.ones((), dtype=torch.float64))
        totals = [
            group.weigh(losses_of(dual)),
            group.update(losses_of(dual), do_backwards=False),
        ]
        unpack: Any = forward_ad.unpack_dual
        tangents = [unpack(one).tangent for one in totals]
        weighted = tracker.update(losses_of(dual)["b"], do_backwards=False)
        own = unpack(weighted).tangent
        group.record(losses_of(dual))
        group.accumulate(losses_of(dual))
        group.record()

    if math.isfinite(slope):  # in a read that comes later 0 times nan stays nan
        for tangent in tangents[:1]:
            assert (0.0 if tangent is None else tangent.item()) == pytest.approx(slope)
    if nonfinite != "both":
        assert own is not None
        assert own.item() == pytest.approx(0.5 * 12.0 * 5 / 8)
    assert group.step == 6


# Steps of which no loss is finite.


def train_scaled(
    weigh: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    names: tuple[str, ...],
    parts: int = 1,
) -> nn.Linear:
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(6):
        optimizer.zero_grad()
        for part in range(parts):
            out = net(torch.randn(8, 3))
            losses = {"a": (out - 1).square().mean(), "b": out.abs().mean()}
            if step == 2 and part in (0, parts - 1):
                losses = {name: loss * math.nan for name, loss in losses.items()}
            scaler.scale(weigh({name: losses[name] for name in names}) / parts).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    return net


@pytest.mark.filterwarnings("ignore:no loss of this step", "ignore:loss '")
@pytest.mark.parametrize("names", [("a",), ("a", "b")])
@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("weighting", ["sum", "CoV"])
def test_a_gradient_scaler_goes_on_after_a_step_without_a_finite_loss(
    names: tuple[str, ...], parts: int, weighting: str
) -> None:
    group = LossGroup(names, weighting=WEIGHTINGS[weighting](), log_every=None)
    counted = itertools.count(1)

    def weigh(losses: dict[str, torch.Tensor]) -> torch.Tensor:
        total = group.weigh(losses)
        group.accumulate(losses)
        if next(counted) % parts == 0:
            group.record()
        return total

    net = train_scaled(weigh, names, parts)

    assert all(parameter.isfinite().all() for parameter in net.parameters())
    assert group.step == 6
    assert group["a"].nonfinite == 1
    assert group["a"].count == (5 if parts == 1 else 6)


@pytest.mark.filterwarnings("ignore:loss '")
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_the_warning_says_when_a_checkpoint_keeps_gradients_from_a_gradient_scaler(
    use_reentrant: bool,
) -> None:
    net, scaler, group = nn.Linear(3, 1), torch.amp.GradScaler("cpu"), LossGroup()
    optimizer = torch.optim.Adam(net.parameters())
    out = checkpoint(net, torch.ones(1, 3, requires_grad=True), use_reentrant=use_reentrant)

    with pytest.warns(RuntimeWarning, match="checkpoint only get with use_reentrant=False"):
        total = group.weigh({"a": out.mean() * math.nan, "b": out.sum() * math.inf})
    scaler.scale(total).backward()  # type: ignore[no-untyped-call]
    if use_reentrant:
        with pytest.raises(AssertionError, match="No inf checks"):
            scaler.step(optimizer)
    else:
        scaler.step(optimizer)
    assert (net.weight.grad is None) == use_reentrant


@pytest.mark.filterwarnings("ignore:loss '", "ignore:no loss of this step")
@pytest.mark.parametrize("finite", [True, False])
def test_an_embedding_with_sparse_gradients_keeps_them_after_a_nan(finite: bool) -> None:
    table, net = nn.Embedding(10, 4, sparse=True), nn.Linear(4, 1)
    sparse = torch.optim.SparseAdam(table.parameters())
    dense = torch.optim.Adam(net.parameters())
    group = LossGroup()
    for bad in (1.0, math.nan, 1.0):
        vector = table(torch.tensor([1, 2]))
        sparse.zero_grad()
        dense.zero_grad()
        group.update({"a": net(vector).mean() * (1.0 if finite else bad), "b": vector.sum() * bad})
        sparse.step()  # type: ignore[no-untyped-call]
        dense.step()

        assert table.weight.grad is not None
        assert table.weight.grad.layout is torch.sparse_coo
    assert table.weight.isfinite().all()


@pytest.mark.filterwarnings("ignore:loss '", "ignore:no loss of this step")
def test_gradients_of_losses_that_are_left_out_can_be_written_to() -> None:
    net, group = nn.Linear(3, 2), LossGroup()
    for parameter in net.parameters():
        parameter.register_hook(lambda gradient: gradient.clamp_(-1, 1))  # type: ignore[no-untyped-call]
    out = net(torch.ones(4, 3))

    group.update({"a": out.mean() * math.nan, "b": out.sum() * math.inf})

    assert nn.utils.clip_grad_norm_(net.parameters(), 1.0) == 0
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert parameter.grad.add_(torch.arange(2)[: len(parameter)].sum()).is_contiguous()


@pytest.mark.filterwarnings("ignore:loss '")
@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("other", ["number", "tensor", "network"])
def test_a_gradient_scaler_goes_on_where_an_optimizer_has_no_finite_loss(
    other: str, log_every: int | None
) -> None:
    nets = {"a": nn.Linear(3, 1), "b": nn.Linear(3, 1)}
    optimizers = {name: torch.optim.Adam(net.parameters()) for name, net in nets.items()}
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    group = LossGroup(["a", "b"], log_every=log_every)
    own = {name: net(torch.ones(1, 3)).mean() for name, net in nets.items()}
    others: dict[str, Any] = {"number": 1.0, "tensor": torch.tensor(1.0), "network": own["b"]}

    scaler.scale(group.weigh({"a": own["a"] + math.nan, "b": others[other]})).backward()  # type: ignore[no-untyped-call]
    for optimizer in [*optimizers.values()][: 2 if other == "network" else 1]:
        scaler.step(optimizer)
    scaler.update()

    assert nets["a"].weight.grad is not None
    assert nets["a"].weight.grad.tolist() == [[0.0] * 3]
    trained = nets["b"].weight.grad
    assert (trained is not None and trained.tolist() == [[1.0] * 3]) == (other == "network")


@pytest.mark.filterwarnings("ignore:loss '")
@pytest.mark.parametrize("is_one_of_several", [True, False])
def test_a_gradient_scaler_goes_on_after_a_nan_of_a_tracker(is_one_of_several: bool) -> None:
    trackers = Trackers(["a"])
    tracker = trackers["a"] if is_one_of_several else LossTracker("a")

    def weigh(losses: dict[str, torch.Tensor]) -> torch.Tensor:
        weighted: torch.Tensor = tracker.update(losses["a"], do_backwards=False)
        trackers.step()
        return weighted

    net = train_scaled(weigh, ("a",))

    assert all(parameter.isfinite().all() for parameter in net.parameters())
    assert (tracker.step, tracker.nonfinite, tracker.count) == (6, 1, 5)
