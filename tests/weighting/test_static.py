from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import CsvLogger, read_run
from multi_loss_weighting import LossGroup, StaticWeighting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AB = ("a", "b")
ONES = {"a": 1.0, "b": 1.0}


def totals(group: LossGroup, steps: int) -> list[float]:
    return [group.update(ONES, do_backwards=False).item() for _ in range(steps)]


def test_losses_are_weighed_by_the_numbers_given() -> None:
    group = LossGroup(AB, weighting=StaticWeighting({"a": 2.0}, b=0.5))

    total = group.update({"a": 3.0, "b": 4.0}, do_backwards=False)

    assert total.item() == 8.0
    assert group.weights == {"a": 2.0, "b": 0.5}


def test_a_loss_without_a_weight_weighs_one() -> None:
    assert totals(LossGroup(AB, weighting=StaticWeighting(b=0.5)), 1) == [1.5]
    assert totals(LossGroup(AB, weighting=StaticWeighting()), 1) == [2.0]


def test_a_weight_that_waits_for_its_loss_is_no_part_of_a_group_without_it() -> None:
    old = LossGroup(weighting=StaticWeighting(b=0.5, adv=0.25))
    old.record({"a": 1.0, "b": 1.0})
    state = old.state_dict()
    strict, loose, open_ = LossGroup(["a"]), LossGroup(["a"]), LossGroup()
    for group in (strict, loose, open_):
        group.weighting = StaticWeighting()

    with pytest.raises(RuntimeError, match=r"weight of adv \(there is no such loss"):
        strict.load_state_dict(state)
    loose.load_state_dict(state, strict=False)
    open_.load_state_dict(state)

    assert loose.update({"a": 3.0}, do_backwards=False).item() == 3.0
    both = {"a": 1.0, "b": 1.0, "adv": 1.0}
    assert open_.update(both, do_backwards=False).item() == 1.75


def test_a_subclass_keeps_a_state_of_its_own() -> None:
    class Phased(StaticWeighting):
        phase = 0

        def state_dict(self) -> dict[str, float]:
            return {**super().state_dict(), "_phase": self.phase}

        def load_state_dict(self, state: Mapping[str, float]) -> None:
            self.phase = int(state["_phase"])
            super().load_state_dict({"a": state["a"]})

    old, new = Phased(a=2.0), Phased(a=2.0)
    old.phase = 3

    LossGroup(AB, weighting=new).load_state_dict(LossGroup(AB, weighting=old).state_dict())

    assert new.phase == 3


def test_a_schedule_is_asked_at_every_step() -> None:
    group = LossGroup(AB, weighting=StaticWeighting(a=lambda step: min(1, step / 2), b=0.0))

    assert totals(group, 4) == [0.0, 0.5, 1.0, 1.0]


def test_weights_can_be_set_during_a_run() -> None:
    weighting = StaticWeighting(a=1.0, b=0.0)
    group = LossGroup(AB, weighting=weighting)

    before = totals(group, 1)
    weighting["a"] = 0.25
    between = totals(group, 1)
    weighting["a"] = lambda step: float(step)

    assert (before, between, totals(group, 2)) == ([1.0], [0.25], [2.0, 3.0])
    assert weighting["b"] == 0.0


def test_a_weight_may_be_negative() -> None:
    assert totals(LossGroup(AB, weighting=StaticWeighting(a=-3.0)), 1) == [-2.0]


def test_a_weight_for_an_unknown_loss_is_an_error() -> None:
    group = LossGroup(AB, weighting=StaticWeighting(k1=0.5))

    with pytest.raises(ValueError, match="weights must be of the losses a, b, got weights for k1"):
        totals(group, 1)

    assert group.step == 0


@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_is_a_finite_number(weight: float) -> None:
    weighting = StaticWeighting(a=lambda _: weight)

    with pytest.raises(ValueError, match="the weight of b must be a finite number"):
        weighting["b"] = weight
    with pytest.raises(ValueError, match="the weight of a at step 0 must be a finite number"):
        totals(LossGroup(AB, weighting=weighting), 1)


def test_the_weights_reach_the_record_of_the_run(tmp_path: Path) -> None:
    weighting = StaticWeighting(a=0.5, b=lambda step: float(step))

    with CsvLogger(tmp_path / "run") as logger:
        totals(LossGroup(AB, logger, weighting=weighting), 1)

    expected: dict[str, Any] = {
        "method": "StaticWeighting",
        "weights": {"a": 0.5, "b": "schedule"},
    }
    assert read_run(tmp_path / "run").info["hyperparameters"]["weighting"] == expected


def test_a_state_has_the_numbers_and_leaves_schedules_to_the_code() -> None:
    weighting = StaticWeighting(a=0.5, b=lambda step: float(step))

    new = StaticWeighting(b=lambda step: step + 1.0)
    new.load_state_dict(weighting.state_dict())

    assert new["a"] == 0.5
    assert new.weights_at(3, AB) == [0.5, 4.0]


def test_a_schedule_of_the_script_stays_where_the_state_has_a_number() -> None:
    saved = LossGroup(AB, weighting=StaticWeighting(a=0.5, b=0.1))
    group = LossGroup(AB, weighting=StaticWeighting(a=2.0, b=lambda step: step + 1.0))

    group.load_state_dict(saved.state_dict())

    assert totals(group, 2) == [1.5, 2.5]


def recorded_run(path: Path) -> None:
    with CsvLogger(path) as logger:
        ours = LossGroup(AB, logger, weighting=StaticWeighting(a=lambda step: float(step)))
        theirs = LossGroup(["a", "c"], logger, scope="val", weighting=StaticWeighting(c=5.0))
        for step in range(5):
            ours.record({"a": 1.0, **({"b": 2.0} if step > 2 else {})}, extra={"lr": 0.1})
            theirs.record({"a": 1.0, "c": 2.0})


def test_it_may_be_the_mean_weights_of_a_recorded_run(tmp_path: Path) -> None:
    recorded_run(tmp_path / "run")

    whole = StaticWeighting.from_run(tmp_path / "run")
    late = StaticWeighting.from_run(tmp_path / "run", start=3)
    theirs = StaticWeighting.from_run(tmp_path / "run", scope="val")

    assert whole.hyperparams() == {"weights": {"a": 2.0, "b": 1.0}}
    assert late.hyperparams() == {"weights": {"a": 3.5, "b": 1.0}}
    assert theirs.hyperparams() == {"weights": {"a": 1.0, "c": 5.0}}
    assert totals(LossGroup(AB, weighting=whole), 1) == [3.0]


def test_a_loss_that_joined_late_is_among_the_weights_of_a_recorded_run(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "run") as logger:
        group = LossGroup(logger=logger, weighting=StaticWeighting(a=2.0, b=0.25))
        for step in range(6):
            group.record({"a": 1.0, **({"b": 2.0} if step > 3 else {})}, extra={"lr": 0.1})

    frozen = StaticWeighting.from_run(tmp_path / "run")

    assert frozen.hyperparams() == {"weights": {"a": 2.0, "b": 0.25}}


def test_a_run_without_such_weights_is_an_error(tmp_path: Path) -> None:
    recorded_run(tmp_path / "run")

    with pytest.raises(ValueError, match="weights of the scope 'gen' from step 0 on, got"):
        StaticWeighting.from_run(tmp_path / "run", scope="gen")
    with pytest.raises(ValueError, match="weights from step 9 on, got"):
        StaticWeighting.from_run(tmp_path / "run", start=9)
    with pytest.raises(FileNotFoundError, match="a run is a folder"):
        StaticWeighting.from_run(tmp_path / "other")
