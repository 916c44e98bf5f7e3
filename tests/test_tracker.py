from __future__ import annotations

import copy
import math
import pickle
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger, Rename
from multi_loss_weighting import REPORT, STATISTICS, LossTracker, RatioSettings, StatisticsSettings

from .states import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Network(nn.Module):
    """One loss, some parameters."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
            self.batch = torch.randn(16, 4)

    def forward(self) -> Tensor:
        loss: Tensor = (self.layers(self.batch) ** 2).mean()
        return loss

    def gradient(self) -> Tensor:
        gradients = [weight.grad for weight in self.parameters()]
        return torch.cat([one.flatten() for one in gradients if one is not None])


def backward(loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]


def gradient_of(objective: Callable[[Tensor], Tensor]) -> Tensor:
    network = Network()
    backward(objective(network()))
    return network.gradient()


def train(tracker: LossTracker, network: Network, steps: int) -> None:
    for _ in range(steps):
        tracker.update(network())


def track(tracker: LossTracker, *losses: float) -> list[Any]:
    return [tracker.update(loss, do_backwards=False) for loss in losses]


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'ranks'}", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


# Backward.


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.0, -1.0])
def test_backward_runs_on_the_weighted_loss(weight: float) -> None:
    network = Network()

    LossTracker("G", weight=weight).update(network())

    assert torch.equal(network.gradient(), gradient_of(lambda loss: loss * weight))


def test_a_loss_may_have_one_element_in_any_shape() -> None:
    network = Network()

    LossTracker("G", weight=0.5).update(network().reshape(1, 1))

    assert torch.equal(network.gradient(), gradient_of(lambda loss: loss * 0.5))


def test_what_comes_back_is_detached_after_backward_and_live_without() -> None:
    network = Network()
    tracker = LossTracker("G", weight=0.5)

    after = tracker.update(network())
    live = tracker.update(network(), do_backwards=False)

    assert not after.requires_grad
    assert after.item() == live.item() == pytest.approx(network().item() / 2)
    network.zero_grad()
    live.backward()
    assert torch.equal(network.gradient(), gradient_of(lambda loss: loss * 0.5))


def test_losses_that_are_live_can_be_summed_for_one_backward() -> None:
    network = Network()
    one, other = LossTracker("one", weight=0.5), LossTracker("other", weight=0.25)
    loss = network()

    total = one.update(loss, do_backwards=False) + other.update(loss, do_backwards=False)
    total.backward()

    assert torch.equal(network.gradient(), gradient_of(lambda loss: loss * 0.5 + loss * 0.25))


def test_backward_may_be_ones_own() -> None:
    network = Network()
    scaled = []

    def own(loss: Tensor) -> None:
        scaled.append(loss.detach())
        backward(loss * 1024)

    returned = LossTracker("G", weight=0.5, backward=own).update(network())

    assert torch.equal(network.gradient(), gradient_of(lambda loss: loss * 0.5 * 1024))
    assert scaled == [returned]


def test_backward_may_be_that_of_a_gradient_scaler() -> None:
    network = Network()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    tracker = LossTracker("G", backward=lambda loss: backward(scaler.scale(loss)))

    tracker.update(network())

    assert torch.equal(network.gradient(), gradient_of(lambda loss: loss * 8))


def test_a_graph_can_be_kept_for_a_second_backward() -> None:
    network = Network()
    loss = network()
    tracker = LossTracker("G")

    tracker.update(loss, retain_graph=True)
    tracker.update(loss)

    torch.testing.assert_close(network.gradient(), gradient_of(lambda loss: loss * 2))
    with pytest.raises(RuntimeError, match="second time"):
        tracker.update(loss)


def test_backward_of_ones_own_is_told_to_keep_the_graph() -> None:
    told: list[dict[str, bool]] = []

    def backward(_: Tensor, **options: bool) -> None:
        told.append(options)

    tracker = LossTracker("G", backward=backward)
    tracker.update(Network()())
    tracker.update(Network()(), retain_graph=True)

    assert told == [{}, {"retain_graph": True}]


# Clamp, weight, warmup.


def test_a_clamped_loss_keeps_the_direction_of_its_gradient() -> None:
    network = Network()
    limit = network().item() / 4

    returned = LossTracker("G", max_loss=limit).update(network())

    torch.testing.assert_close(network.gradient(), gradient_of(lambda loss: loss) / 4)
    assert returned.item() == pytest.approx(limit)


def test_the_raw_loss_is_clamped_and_then_weighed() -> None:
    tracker = LossTracker("G", weight=0.5, max_loss=10.0)

    assert track(tracker, 40.0, 10.0, 4.0, -40.0) == [5.0, 5.0, 2.0, -20.0]
    assert tracker.clamped == 1


def test_statistics_see_the_raw_loss() -> None:
    tracker = LossTracker("G", weight=0.5, max_loss=10.0)

    track(tracker, 40.0, 20.0)

    assert (tracker.mean, tracker.value, tracker.weighted) == (30.0, 20.0, 5.0)


def test_infinity_is_not_finite_before_it_is_above_the_limit() -> None:
    tracker = LossTracker("G", max_loss=10.0)

    with pytest.warns(RuntimeWarning, match="loss 'G' is inf at step 0"):
        returned = track(tracker, math.inf)

    assert returned == [0.0]
    assert (tracker.clamped, tracker.nonfinite) == (0, 1)


def test_after_the_warmup_the_cov_weight_is_the_weight() -> None:
    losses = np.random.default_rng(0).lognormal(size=8).tolist()
    tracker = LossTracker("G", weight=0.1, warmup=5)
    weights = []

    for loss in losses:
        cov_weight = tracker.cov_weight
        tracker.update(loss, do_backwards=False)
        weights.append((tracker.last_weight, cov_weight))

    assert [used for used, _ in weights[:5]] == [0.1] * 5
    assert [used for used, _ in weights[5:]] == [cov_weight for _, cov_weight in weights[5:]]
    assert weights[5][0] != 0.1


def test_the_cov_weight_is_the_spread_of_the_ratio() -> None:
    tracker = LossTracker("G")
    ratios = [1.0, 1 / 2, 3 / 1.5]

    track(tracker, 2.0, 1.0, 3.0)

    expected = math.sqrt(np.var(ratios) + 1e-8) / np.mean(ratios)
    assert tracker.cov_weight == pytest.approx(expected, rel=1e-12)


def test_without_a_warmup_the_weight_waits_for_a_spread() -> None:
    tracker = LossTracker("G", weight=0.1, warmup=0)
    used = []

    for loss in (2.0, 1.0, 3.0):
        tracker.update(loss, do_backwards=False)
        used.append(tracker.last_weight)

    assert used[:2] == [0.1, 0.1]
    assert used[2] != 0.1


def test_a_loss_that_is_not_finite_counts_towards_warmup_and_blocks() -> None:
    tracker = LossTracker("G", weight=0.1, warmup=4, block_size=2)

    with pytest.warns(RuntimeWarning, match="nan"):
        track(tracker, 2.0, math.nan, 3.0, math.nan)

    assert tracker.weight == tracker.cov_weight != 0.1
    assert (tracker.block_mean, tracker.count, tracker.step) == (3.0, 2, 4)


def test_the_weight_can_be_set_during_a_run() -> None:
    tracker = LossTracker("G", weight=0.1)

    before = track(tracker, 2.0)
    tracker.weight = 0.5

    assert (before, track(tracker, 2.0), tracker.weight) == ([0.2], [1.0], 0.5)


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_is_finite(weight: float) -> None:
    tracker = LossTracker("G", weight=0.1)

    with pytest.raises(ValueError, match="finite number"):
        tracker.weight = weight

    assert tracker.weight == 0.1


# What a loss may be.


@pytest.mark.parametrize(
    "loss",
    [
        3,
        3.0,
        np.float32(3),
        np.float64(3),
        np.int64(3),
        np.array(3.0),
        np.array([3.0]),
        torch.tensor(3),
        torch.tensor(3.0),
        torch.tensor([3.0]),
        torch.tensor([[3.0]]),
        torch.tensor(3.0, dtype=torch.float16),
        torch.tensor(3.0, dtype=torch.bfloat16),
        torch.tensor(3.0, dtype=torch.float64),
        nn.Parameter(torch.tensor(3.0)),
    ],
    ids=repr,
)
def test_a_loss_is_any_one_number(loss: Any) -> None:
    tracker = LossTracker("G", weight=0.5, max_loss=2.0)

    weighted = tracker.update(loss, do_backwards=False)

    assert (weighted.item() if hasattr(weighted, "item") else weighted) == pytest.approx(1.0)
    assert (tracker.value, tracker.mean) == (3.0, 3.0)
    assert type(tracker.value) is float


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (
            [1.0],
            TypeError,
            "loss 'G' must be a number, a numpy scalar or a tensor .* got <class 'list'>",
        ),
        ("1.0", TypeError, "got <class 'str'>"),
        (np.str_("1.0"), TypeError, "got <class 'numpy.str_'>"),
        (None, TypeError, "got <class 'NoneType'>"),
        (1j, TypeError, "got <class 'complex'>"),
        (np.complex64(1), TypeError, "got <class 'numpy.complex64'>"),
        (torch.tensor(1j), TypeError, "a tensor of torch.complex64"),
        (10**400, TypeError, "too large"),
        (
            torch.ones(3),
            ValueError,
            r"call .mean\(\) or .sum\(\) on it first, got the shape \(3,\)",
        ),
        (torch.ones(2, 3), ValueError, r"got the shape \(2, 3\)"),
        (torch.ones(0), ValueError, r"got the shape \(0,\)"),
        (np.ones(3), ValueError, r"got the shape \(3,\)"),
        (np.ones((1, 3)), ValueError, r"got the shape \(1, 3\)"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("do_backwards", [True, False])
def test_anything_else_is_an_error_that_changes_nothing(
    loss: Any, error: type[Exception], message: str, do_backwards: bool
) -> None:
    tracker = LossTracker("G", memory := MemoryLogger(), block_size=2)
    track(tracker, 1.0)
    before = plain(tracker.state_dict())

    with pytest.raises(error, match=message):
        tracker.update(loss, do_backwards)

    assert plain(tracker.state_dict()) == before
    assert len(memory.rows) == 1


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (3.0, TypeError, "got a float: pass do_backwards=False"),
        (np.float32(3), TypeError, "got a float32: pass do_backwards=False"),
        (torch.tensor(3.0), ValueError, "'G' has no gradient: pass do_backwards=False"),
    ],
)
def test_backward_needs_a_gradient(loss: Any, error: type[Exception], message: str) -> None:
    tracker = LossTracker("G")

    with pytest.raises(error, match=message):
        tracker.update(loss)

    assert (tracker.count, tracker.step) == (0, 0)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("factor", [2.0, math.nan])
@pytest.mark.filterwarnings("ignore:loss 'G':RuntimeWarning")
def test_a_gradient_that_no_grad_hides_is_an_error_that_says_so(
    factor: float, log_every: int | None
) -> None:
    tracker = LossTracker("G", weight=0.5, log_every=log_every)
    weight = torch.ones((), requires_grad=True)

    outside = factor * weight
    with torch.no_grad():
        for loss in (outside, factor * weight):
            with pytest.raises(ValueError, match=r"is inside torch.no_grad\(\)"):
                tracker.update(loss)

    assert (tracker.updates, tracker.step, weight.grad) == (0, 0, None)


def test_if_backward_raises_nothing_has_changed() -> None:
    def backward(_: Tensor) -> None:
        msg = "out of memory"
        raise RuntimeError(msg)

    memory = MemoryLogger()
    tracker = LossTracker(
        "G",
        memory,
        max_loss=0.001,
        block_size=2,
        statistics=StatisticsSettings(decay=0.9),
        backward=backward,
    )
    track(tracker, 1.0, 2.0, 3.0)
    before = plain(tracker.state_dict())

    with pytest.raises(RuntimeError, match="out of memory"):
        tracker.update(Network()())

    assert plain(tracker.state_dict()) == before
    assert len(memory.rows) == 3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"extra": {"lr": "fast"}}, TypeError),
        ({"extra": {"lr": [0.1]}}, TypeError),
        ({"samples": -1}, ValueError),
        ({"samples": math.nan}, ValueError),
        ({"samples": math.inf}, ValueError),
        ({"step": "first"}, ValueError),
    ],
)
def test_a_bad_option_is_an_error_that_changes_nothing(
    options: dict[str, Any], error: type[Exception]
) -> None:
    network, tracker = Network(), LossTracker("G")

    with pytest.raises(error):
        tracker.update(network(), **options)

    assert (tracker.count, tracker.step) == (0, 0)
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("samples", [3, 3.0, np.int64(3), np.float32(3), torch.tensor(3)])
def test_a_sample_count_is_any_number(samples: Any) -> None:
    tracker = LossTracker("G")

    tracker.update(1.0, do_backwards=False, samples=samples)
    tracker.update(5.0, do_backwards=False, samples=1)

    assert tracker.mean == 2.0
    assert type(tracker.mean) is float
    assert type(tracker.record.samples) in (int, float)


# Losses that are not finite.


def test_a_loss_that_is_not_finite_leaves_the_network_alone() -> None:
    network, memory = Network(), MemoryLogger()
    tracker = LossTracker("G", memory)
    tracker.update(network())
    gradient, mean = network.gradient(), tracker.mean

    with pytest.warns(RuntimeWarning, match="loss 'G' is nan at step 1"):
        returned = tracker.update(network() * math.nan)

    assert returned.item() == 0
    assert torch.equal(network.gradient(), gradient)
    assert (tracker.mean, tracker.count, tracker.nonfinite, tracker.step) == (mean, 1, 1, 2)
    assert memory["nonfinite/G"] == [(1, 1)]
    assert math.isnan(memory.values("loss/G")[1])


def test_a_live_loss_that_is_left_out_can_be_summed_with_others() -> None:
    network = Network()

    with pytest.warns(RuntimeWarning, match="nan"):
        bad = LossTracker("bad").update(network() * math.nan, do_backwards=False)
    good = LossTracker("good").update(network(), do_backwards=False)
    (good + bad).backward()

    assert torch.equal(network.gradient(), gradient_of(lambda loss: loss))


def test_it_is_warned_about_once_at_the_line_of_the_user() -> None:
    tracker = LossTracker("G")

    with pytest.warns(RuntimeWarning) as caught:
        track(tracker, math.nan, math.inf, math.nan)

    assert [warning.filename for warning in caught] == [__file__]
    assert tracker.nonfinite == 3


def test_it_may_raise_once_it_is_on_record() -> None:
    network, memory = Network(), MemoryLogger()
    tracker = LossTracker("G", memory, nonfinite="raise")
    tracker.update(network())

    with pytest.raises(FloatingPointError, match="loss 'G' is inf at step 1"):
        tracker.update(network() * math.inf)

    assert memory["nonfinite/G"] == [(1, 1)]
    assert tracker.nonfinite == 1


def test_a_gradient_scaler_finds_out_and_skips_the_step() -> None:
    network = Network()
    before = [weight.clone() for weight in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    tracker = LossTracker("G", backward=lambda loss: backward(scaler.scale(loss)))

    with pytest.warns(RuntimeWarning, match="nan"):
        tracker.update(network() * math.nan)
    scaler.step(optimizer)
    scaler.update()

    assert scaler.get_scale() == 4.0
    assert all(map(torch.equal, network.parameters(), before))
    assert (tracker.count, tracker.nonfinite) == (0, 1)


@pytest.mark.usefixtures("process_group")
def test_among_ranks_backward_always_runs() -> None:
    network = Network()

    with pytest.warns(RuntimeWarning, match="nan"):
        LossTracker("G").update(network() * math.nan)

    assert network.gradient().isnan().all()


def test_raise_keeps_backward_from_a_loss_that_is_not_finite() -> None:
    ran: list[float] = []
    tracker = LossTracker("G", nonfinite="raise", backward=lambda loss: ran.append(loss.item()))

    with pytest.raises(FloatingPointError):
        tracker.update(Network()() * math.nan)

    assert ran == [0.0]


# Rows.


def test_a_row_has_these_numbers_by_default() -> None:
    memory = MemoryLogger()
    tracker = LossTracker("G", memory, weight=0.5, max_loss=3.0)

    track(tracker, 2.0, 4.0)

    (first, _, _), (second, _, row) = memory.rows
    assert (first, second) == (0, 1)
    assert row == {
        "loss/G": 4.0,
        "weight/G": 0.5,
        "weighted/G": 1.5,
        "mean/G": 3.0,
        "std/G": 1.0,
        "var/G": 1.0,
        "cov/G": pytest.approx(1 / 3),
        "cov_weight/G": tracker.cov_weight,
    }
    assert [name.partition("/")[0] for name in row] == list(REPORT)


def test_old_names_are_a_wrapper() -> None:
    memory = MemoryLogger()

    track(LossTracker("G", Rename("{loss}_{stat}", memory)), 2.0)

    assert {"G_loss", "G_cov", "G_cov_weight", "G_var", "G_std"} <= memory.rows[0][2].keys()


def test_what_a_row_reports_can_be_chosen() -> None:
    memory = MemoryLogger()
    tracker = LossTracker("G", memory, report=["ratio", "min", "loss"])

    track(tracker, 2.0, 4.0)

    assert memory.rows[1][2] == {"ratio/G": 2.0, "min/G": 2.0, "loss/G": 4.0}


def test_one_number_can_be_chosen_by_its_name() -> None:
    memory = MemoryLogger()

    track(LossTracker("G", memory, report="loss"), 2.0)

    assert memory.rows[0][2] == {"loss/G": 2.0}


def test_everything_can_be_reported() -> None:
    memory = MemoryLogger()
    tracker = LossTracker(
        "G", memory, report=STATISTICS, statistics=StatisticsSettings(decay=0.9), max_loss=3.0
    )

    track(tracker, 2.0, 4.0, 1000.0)

    row = {name.partition("/")[0]: value for name, value in memory.rows[2][2].items()}
    assert list(row) == list(STATISTICS)
    assert all(isinstance(value, int | float) for value in row.values())
    assert (row["count"], row["clamped"], row["spikes"]) == (3, 2, 1)
    assert (row["min"], row["max"], row["exponential_mean"]) == (2.0, 1000.0, tracker.mean)


def test_an_unknown_number_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"report must be among loss, .*, got 'variance'"):
        LossTracker("G", report=["loss", "variance"])


def test_numbers_of_ones_own_travel_in_the_row() -> None:
    memory = MemoryLogger()

    LossTracker("G", memory).update(
        1.0, do_backwards=False, extra={"lr": 0.1, "norm": torch.tensor(2.0)}
    )

    row = memory.rows[0][2]
    assert (row["lr"], row["norm"]) == (0.1, 2.0)
    assert type(row["norm"]) is float


def test_a_block_is_reported_when_it_ends() -> None:
    memory = MemoryLogger()
    tracker = LossTracker("G", memory, block_size=2)

    track(tracker, 1.0, 3.0, 5.0, 5.0, 7.0)

    assert memory["block_mean/G"] == [(1, 2.0), (3, 5.0)]
    assert memory["block_std/G"] == [(1, 1.0), (3, 0.0)]
    assert (tracker.block_mean, tracker.block_std) == (5.0, 0.0)


def test_the_step_is_the_trackers_own_or_the_users() -> None:
    memory = MemoryLogger()
    tracker = LossTracker("G", memory)

    for step in (None, None, 10, None, np.int64(12)):
        tracker.update(1.0, do_backwards=False, step=step)

    steps = [step for step, _ in memory["loss/G"]]
    assert steps == [0, 1, 10, 11, 12]
    assert {type(step) for step in steps} == {int}


@pytest.mark.parametrize("step", [0.5, np.float32(0.5), torch.tensor(0.5), "3"])
def test_a_step_that_is_no_whole_number_changes_nothing(step: Any) -> None:
    tracker, weight = LossTracker("G"), torch.ones((), requires_grad=True)

    with pytest.raises(ValueError, match=r"step must be a whole number, got .*(0\.5|3)"):
        tracker.update(weight * 2, step=step)

    assert (tracker.step, tracker.count, weight.grad) == (0, 0, None)
    tracker.update(weight * 2, step=3.0)  # type: ignore[arg-type]
    assert tracker.step == 4


def test_before_the_first_row_a_logger_hears_of_the_settings() -> None:
    memory = MemoryLogger()
    tracker = LossTracker("G", memory, weight=0.5, max_loss=3.0)
    assert memory.hyperparameters == {}

    track(tracker, 1.0)

    assert memory.hyperparameters == {"losses": ["G"], "G": {"weight": 0.5, "max_loss": 3.0}}


def test_it_hears_of_them_once() -> None:
    class Listener(MemoryLogger):
        heard = 0

        def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
            self.heard += 1

    listener = Listener()

    track(LossTracker("G", listener), 1.0, 2.0, 3.0)

    assert (listener.heard, len(listener.rows)) == (1, 3)


class Broken:
    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        msg = f"step {step} is lost"
        raise ConnectionError(msg)


def test_a_logger_that_raises_stops_neither_training_nor_the_others() -> None:
    network, memory = Network(), MemoryLogger()
    tracker = LossTracker("G", [Broken(), memory])

    with pytest.warns(RuntimeWarning, match=r"Broken failed \(ConnectionError: step 0") as caught:
        train(tracker, network, steps=5)

    assert len(caught) == 1
    assert len(memory["loss/G"]) == tracker.count == 5


def test_what_is_no_logger_is_an_error_at_once() -> None:
    with pytest.raises(TypeError, match=r"log_metrics\(metrics, \*, step\); got str"):
        LossTracker("G", "runs/gan")  # type: ignore[arg-type]


# What there is to read.


def test_every_number_has_its_name() -> None:
    tracker = LossTracker("G", statistics=StatisticsSettings(decay=0.9))

    track(tracker, 2.0, 4.0, 3.0)

    assert tracker.name == "G"
    assert (tracker.value, tracker.count, tracker.mean) == (3.0, 3, 3.0)
    assert tracker.var == tracker.variance == pytest.approx(2 / 3)
    assert tracker.std == pytest.approx(math.sqrt(2 / 3))
    assert tracker.cov == pytest.approx(tracker.std / 3)
    assert (tracker.minimum, tracker.maximum, tracker.ratio) == (2.0, 4.0, 1.0)
    assert tracker.exponential_mean == 3.0
    assert (tracker.spikes, tracker.clamped, tracker.nonfinite) == (0, 0, 0)


@pytest.mark.parametrize(
    "name",
    [
        *("value", "mean", "std", "var", "cov", "ratio", "cov_weight", "weighted", "last_weight"),
        *("minimum", "maximum", "exponential_mean", "block_mean", "block_std"),
    ],
)
def test_what_is_not_known_yet_is_nan(name: str) -> None:
    assert math.isnan(getattr(LossTracker("G"), name))


def test_the_history_has_a_bound() -> None:
    tracker = LossTracker("G", statistics=StatisticsSettings(history=3))

    track(tracker, 1.0, 2.0, 3.0, 4.0)

    assert tracker.get_history() == [2.0, 3.0, 4.0]
    assert tracker.get_history(2) == [3.0, 4.0]


def test_the_history_is_bounded_by_default() -> None:
    tracker = LossTracker("G")

    track(tracker, *[1.0] * 1500)

    assert len(tracker.get_history()) == 1000


def test_a_reset_forgets_every_loss_and_keeps_the_step() -> None:
    memory = MemoryLogger()
    kept = StatisticsSettings(history=3, decay=0.9, ratio=RatioSettings(spike=3.0))
    settings: dict[str, Any] = {"weight": 0.5, "block_size": 2, "statistics": kept}
    tracker = LossTracker("G", memory, max_loss=1.0, **settings)
    track(tracker, 1.0, 100.0, 3.0)

    tracker.reset()

    new = LossTracker("G", max_loss=1.0, **settings)
    new.step = 3
    assert tracker.step == 3
    assert plain(tracker.state_dict()) == plain(new.state_dict())
    track(tracker, 5.0, 30.0)
    assert memory["mean/G"][3] == (3, 5.0)
    assert (tracker.spikes, tracker.block_mean) == (1, 17.5)


def test_its_repr_is_one_line() -> None:
    tracker = LossTracker("G", weight=0.5)
    new = repr(tracker)

    track(tracker, 2.0, 4.0)

    assert new.startswith("LossTracker('G', step=0, loss=nan")
    assert repr(tracker) == (
        "LossTracker('G', step=2, loss=4, mean=3, std=1, cov=0.3333, weight=0.5)"
    )


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_its_own_way(copied: Callable[[LossTracker], LossTracker]) -> None:
    tracker = LossTracker("G", block_size=3, statistics=StatisticsSettings(decay=0.9))
    track(tracker, 1.0, 2.0)

    other = copied(tracker)
    track(other, 6.0)

    assert (tracker.get_history(), tracker.mean) == ([1.0, 2.0], 1.5)
    assert (other.get_history(), other.mean, other.block_mean) == ([1.0, 2.0, 6.0], 3.0, 3.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup": -1}, "warmup must be 0 or more updates, got -1"),
        ({"warmup": math.nan}, "warmup must be 0 or more updates, got nan"),
        ({"max_loss": 0}, "max_loss must be positive, got 0"),
        ({"max_loss": math.nan}, "max_loss must be positive, got nan"),
        ({"weight": math.nan}, "weight must be a finite number, got nan"),
        ({"block_size": 0}, "block_size must be .* 1 or more, got 0"),
        ({"nonfinite": "ignore"}, 'nonfinite must be "skip", "keep" or "raise", got \'ignore\''),
    ],
)
def test_a_setting_without_sense_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossTracker("G", **settings)


def test_a_name_is_one_line_of_text() -> None:
    with pytest.raises(TypeError, match="a loss must be a str, got 1"):
        LossTracker(1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one line of printable characters"):
        LossTracker("")
    with pytest.raises(ValueError, match="one line of printable characters"):
        LossTracker("a\nb")


def test_a_healthy_run_warns_of_nothing() -> None:
    network = Network()
    tracker = LossTracker("G", MemoryLogger(), warmup=2, max_loss=0.1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(tracker, network, steps=5)

    assert tracker.count == 5


def test_a_kept_nan_reaches_a_gradient_scaler_of_the_users() -> None:
    layer = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    scaler = torch.amp.GradScaler("cpu")
    tracker = LossTracker("G", nonfinite="keep")
    before = layer.weight.clone()

    with pytest.warns(RuntimeWarning, match="loss 'G' is"):
        loss = tracker.update(layer(torch.ones(2)).sum() * math.inf, do_backwards=False)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()

    assert torch.equal(layer.weight, before)
    assert scaler.get_scale() < 2.0**16
    assert (tracker.nonfinite, tracker.count) == (1, 0)


def test_a_weight_of_ones_own_is_refused_once_cov_has_taken_over() -> None:
    tracker = LossTracker("G", warmup=2)
    for loss in (1.0, 2.0, 3.0):
        tracker.update(loss, do_backwards=False)

    with pytest.raises(ValueError, match="weight of 'G' must be its cov_weight after warmup"):
        tracker.weight = 0.5
    tracker.warmup = math.inf
    tracker.weight = 0.5

    assert tracker.weight == 0.5


@pytest.mark.parametrize("log_every", [None, 1])
@pytest.mark.parametrize(("nonfinite", "part"), [("skip", "is left out of"), ("keep", "stays in")])
def test_the_warning_says_what_was_done(nonfinite: Any, part: str, log_every: int | None) -> None:
    tracker = LossTracker("G", nonfinite=nonfinite, log_every=log_every)

    with pytest.warns(RuntimeWarning, match=f"'G' is nan at step 0: it {part} the objective"):
        tracker.update(torch.tensor(math.nan), do_backwards=False)


@pytest.mark.parametrize("do_backwards", [True, False])
@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_what_the_caller_gets_may_be_written_to(do_backwards: bool, weight: float) -> None:
    loss = torch.ones((), requires_grad=True) * 2.0

    total = LossTracker("G", weight=weight).update(loss, do_backwards)
    total += 3.0

    assert total.item() == 2.0 * weight + 3.0
    assert loss.item() == 2.0


def test_a_number_of_any_kind_is_tracked() -> None:
    tracker = LossTracker("G")

    assert tracker.update(Decimal("1.5"), do_backwards=False) == Decimal("1.5")
    assert tracker.mean == 1.5
