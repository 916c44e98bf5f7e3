from __future__ import annotations

import copy
import math
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import CsvLogger, MemoryLogger
from multi_loss_weighting import LossTracker, Trackers

if TYPE_CHECKING:
    from pathlib import Path


def track(trackers: Trackers, **losses: float) -> None:
    for name, loss in losses.items():
        trackers[name].update(loss, do_backwards=False)
    trackers.step()


def test_one_row_and_one_step_for_all() -> None:
    trackers = Trackers(["G", "D"], memory := MemoryLogger(), report=["loss", "mean"])

    track(trackers, G=1.0, D=2.0)
    track(trackers, G=3.0, D=4.0)

    assert [(step, row) for step, _, row in memory.rows] == [
        (0, {"loss/G": 1.0, "mean/G": 1.0, "loss/D": 2.0, "mean/D": 2.0}),
        (1, {"loss/G": 3.0, "mean/G": 2.0, "loss/D": 4.0, "mean/D": 3.0}),
    ]


def test_they_are_trackers_by_their_names() -> None:
    trackers = Trackers(["G", "D"])

    assert list(trackers) == ["G", "D"]
    assert len(trackers) == 2
    assert "G" in trackers
    assert all(isinstance(tracker, LossTracker) for tracker in trackers.values())


def test_a_setting_is_for_all_or_for_each() -> None:
    trackers = Trackers(["G", "D"], weight={"G": 0.5, "D": 0.25}, max_loss={"D": 2.0}, warmup=3)

    assert (trackers["G"].weight, trackers["D"].weight) == (0.5, 0.25)
    assert (trackers["G"].max_loss, trackers["D"].max_loss) == (math.inf, 2.0)
    assert (trackers["G"].warmup, trackers["D"].warmup) == (3, 3)


def test_each_calls_its_own_backward() -> None:
    weights = torch.ones(2, requires_grad=True)
    trackers = Trackers(["G", "D"], weight={"D": 0.5})

    trackers["G"].update(2 * weights[0])
    trackers["D"].update(4 * weights[1])
    trackers.step()

    assert weights.grad is not None
    assert weights.grad.tolist() == [2.0, 2.0]


def test_a_loss_that_was_not_updated_is_not_in_the_row() -> None:
    trackers = Trackers(["G", "D"], memory := MemoryLogger(), report="loss")

    track(trackers, G=1.0)
    track(trackers, D=2.0)
    track(trackers, G=3.0)

    assert (memory["loss/G"], memory["loss/D"]) == ([(0, 1.0), (2, 3.0)], [(1, 2.0)])


def test_a_loss_that_was_updated_twice_is_reported_as_it_was_last() -> None:
    trackers = Trackers(["G", "D"], memory := MemoryLogger(), report=["loss", "count"])

    trackers["D"].update(5.0, do_backwards=False)
    track(trackers, G=1.0, D=7.0)

    assert (memory["loss/D"], memory["count/D"]) == ([(0, 7.0)], [(0, 2)])


def test_the_step_is_its_own_or_the_users() -> None:
    trackers = Trackers(["G"], memory := MemoryLogger(), report="loss")

    for step in (None, 10, None):
        trackers["G"].update(1.0, do_backwards=False)
        trackers.step(step)

    assert [step for step, _ in memory["loss/G"]] == [0, 10, 11]


def test_a_step_that_is_no_whole_number_ends_none() -> None:
    trackers = Trackers(["G"], memory := MemoryLogger())
    trackers["G"].update(1.0, do_backwards=False)

    with pytest.raises(ValueError, match=r"a whole number, got 0\.5"):
        trackers.step(0.5)  # type: ignore[arg-type]
    trackers.step()

    assert memory["loss/G"] == [(0, 1.0)]


def test_a_loss_that_is_not_finite_knows_the_step_of_all() -> None:
    trackers = Trackers(["G", "D"])
    track(trackers, D=1.0)
    track(trackers, D=1.0)

    with pytest.warns(RuntimeWarning, match="loss 'G' is nan at step 2"):
        track(trackers, G=math.nan)

    assert trackers["G"].record.first_nonfinite_step == 2


@pytest.mark.filterwarnings("ignore:loss 'D':RuntimeWarning")
@pytest.mark.parametrize("log_every", [None, 8])
def test_a_loss_that_is_updated_twice_is_in_one_step_all_the_same(log_every: int | None) -> None:
    trackers = Trackers(["G", "D"], log_every=log_every)
    track(trackers, G=1.0, D=1.0)

    trackers["D"].update(1.0, do_backwards=False)
    track(trackers, G=1.0, D=math.nan)

    assert trackers["D"].record.first_nonfinite_step == 1


def test_numbers_of_ones_own_travel_in_the_row() -> None:
    trackers = Trackers(["G"], memory := MemoryLogger())

    trackers.step(extra={"lr": 0.1})

    assert memory.rows[0][2] == {"lr": 0.1}


@pytest.mark.parametrize("log_every", [None, 2])
def test_a_number_of_ones_own_for_one_of_them_is_an_error_as_it_would_be_in_no_row(
    log_every: int | None,
) -> None:
    trackers = Trackers(["G", "D"], log_every=log_every)

    with pytest.raises(ValueError, match=r"extra must be given .* trackers\.step\(extra=\.\.\.\)"):
        trackers["G"].update(1.0, do_backwards=False, extra={"lr": 0.1})

    assert trackers["G"].count == 0


def test_a_bad_number_of_ones_own_changes_nothing() -> None:
    trackers = Trackers(["G"], memory := MemoryLogger(), report="loss")
    trackers["G"].update(1.0, do_backwards=False)

    with pytest.raises(TypeError, match="'lr'"):
        trackers.step(extra={"lr": "fast"})
    trackers.step()

    assert memory["loss/G"] == [(0, 1.0)]


def test_loggers_hear_of_the_losses_and_their_settings() -> None:
    trackers = Trackers(["G", "D"], memory := MemoryLogger(), weight={"D": 0.5})

    track(trackers, G=1.0)

    assert memory.hyperparameters == {
        "losses": ["G", "D"],
        "G": {"weight": 1.0},
        "D": {"weight": 0.5},
    }


def test_a_reset_forgets_every_loss_and_keeps_the_step() -> None:
    trackers = Trackers(["G", "D"], memory := MemoryLogger(), report=["loss", "mean"])
    track(trackers, G=1.0, D=2.0)

    trackers.reset()
    track(trackers, G=5.0)

    assert memory["mean/G"] == [(0, 1.0), (1, 5.0)]
    assert trackers["D"].count == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Trackers(["G", "G"]), ValueError, r"each different, got \['G', 'G'\]"),
        (lambda: Trackers([]), ValueError, "one or more"),
        (lambda: Trackers("G"), TypeError, "a list of str, got the one str 'G'"),
        (
            lambda: Trackers(["G", "D"], weight={"E": 1.0}),
            ValueError,
            "weight must name losses among G, D, got E",
        ),
        (lambda: Trackers(["G"], wait=1), TypeError, "unexpected keyword argument 'wait'"),
    ],
)
def test_what_makes_no_sense_is_an_error(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="E"):
        Trackers(["G", "D"])["E"]


def test_a_block_that_ends_inside_a_step_is_reported_with_it() -> None:
    logger = MemoryLogger()
    trackers = Trackers(["D"], logger, block_size=2)

    for first in (1.0, 4.0, 7.0):
        for loss in (first, first + 1, first + 2):
            trackers["D"].update(loss, do_backwards=False)
        trackers.step()

    assert logger["block_mean/D"] == [(0, 1.5), (1, 5.5), (2, 7.5)]


def out_of_step_by_an_end_of_its_own(trackers: Trackers, name: str) -> None:
    trackers[name].end_epoch()


def out_of_step_by_a_state(trackers: Trackers, name: str) -> None:
    solo = LossTracker(name)
    for _ in range(3):
        solo.update(1.0, do_backwards=False)
        solo.end_epoch()
    trackers[name].load_state_dict(solo.state_dict())


@pytest.mark.parametrize("name", ["G", "D"])
@pytest.mark.parametrize("log_every", [None, 8])
@pytest.mark.parametrize("out", [out_of_step_by_an_end_of_its_own, out_of_step_by_a_state])
def test_an_epoch_ends_for_all_also_for_one_that_was_out_of_step(
    out: Any, log_every: int | None, name: str
) -> None:
    trackers = Trackers(["G", "D"], memory := MemoryLogger(), log_every=log_every)
    out(trackers, name)

    for loss in (1.0, 10.0, 100.0):
        track(trackers, G=loss, D=2 * loss)
        assert trackers.end_epoch() == {"G": loss, "D": 2 * loss}

    epochs = [row["epoch"] for _, _, row in memory.rows if "epoch" in row]
    assert epochs == [epochs[0], epochs[0] + 1, epochs[0] + 2]


@pytest.mark.parametrize("log_every", [None, 8])
def test_one_that_is_reset_alone_has_a_row_for_each_update(log_every: int | None) -> None:
    trackers = Trackers(["G", "D"], memory := MemoryLogger(), log_every=log_every)

    for step in range(4):
        track(trackers, G=step, D=step)
        trackers["G"].reset()
    trackers.step()
    trackers.flush()

    assert memory["loss/G"] == memory["loss/D"] == [(step, step) for step in range(4)]


@pytest.mark.parametrize("log_every", [None, 8])
def test_one_that_is_loaded_alone_has_a_row_for_each_update(log_every: int | None) -> None:
    solo = LossTracker("G")
    solo.update(5.0, do_backwards=False)
    trackers = Trackers(["G", "D"], memory := MemoryLogger(), log_every=log_every)

    for step in range(3):
        trackers["D"].update(step, do_backwards=False)
        trackers["G"].load_state_dict(solo.state_dict())
        if step:
            trackers["G"].update(step, do_backwards=False)
        trackers.step()
    trackers.flush()

    assert memory["loss/G"] == [(1, 1.0), (2, 2.0)]
    assert memory["loss/D"] == [(0, 0.0), (1, 1.0), (2, 2.0)]


@pytest.mark.parametrize("log_every", [None, 8])
def test_a_copy_may_have_one_reset_alone_too(log_every: int | None) -> None:
    memory = MemoryLogger()
    copied = copy.deepcopy(Trackers(["G", "D"], memory, log_every=log_every))

    copied["G"].reset()
    track(copied, G=1.0, D=1.0)
    copied["G"].reset()
    track(copied, G=2.0)
    copied.flush()

    assert memory["loss/G"] == [(0, 1.0), (1, 2.0)]


@pytest.mark.parametrize("log_every", [None, 5])
@pytest.mark.parametrize("flushes", [True, False])
@pytest.mark.parametrize("steps", [True, False])
def test_trackers_whose_step_is_forgotten_say_so_once(
    steps: bool, flushes: bool, log_every: int | None, tmp_path: Path
) -> None:
    """Not before, for there may be hundreds of updates to a step."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with CsvLogger(tmp_path / "run") as logger:
            trackers = Trackers(["G", "D"], logger, log_every=log_every)
            for step in range(150):
                trackers["G"].update(1.0 + step, do_backwards=False)
            assert not caught
            if steps:
                trackers.step()
            if flushes:
                trackers.flush()

    said = [str(one.message) for one in caught]
    assert len(said) == (not steps)
    assert all("updated 150 times, and there is no row yet: their step()" in one for one in said)
