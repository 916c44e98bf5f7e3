from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from loss_loggers import MemoryLogger
from multi_loss_weighting import LossGroup, TargetWeighting

AB = ("recon", "kl")


def fed(stream: Any, weighting: TargetWeighting, log_every: int | None = None) -> LossGroup:
    group = LossGroup(AB, weighting=weighting, log_every=log_every)
    for kl in stream:
        group.update({"recon": 1.0, "kl": kl}, do_backwards=False)
    return group


@pytest.mark.parametrize("log_every", [None, 2])
def test_it_is_the_multiplier_of_geco(log_every: int | None) -> None:
    stream, target, rate, smoothing = [6.0, 5.0, 1.0, 0.5, 3.0, 2.0], 2.0, 0.2, 0.7
    mean, multiplier = stream[0], 1.0
    for index, kl in enumerate(stream):
        mean = smoothing * mean + (1 - smoothing) * kl if index else kl
        multiplier *= math.exp(rate / target * (mean - target))  # their rate is not relative

    group = fed(stream, TargetWeighting(kl=2.0, rate=rate, smoothing=smoothing), log_every)

    assert group.next_weights() == pytest.approx({"recon": 1.0, "kl": multiplier}, rel=1e-12)


@pytest.mark.parametrize("equal", [False, True])
def test_with_a_proportional_part_it_is_a_controller(equal: bool) -> None:
    stream, target = [6.0, 5.0, 1.0, 0.5, 3.0], -2.0
    errors = [(kl - target) / 2 for kl in stream]
    answer = 0.3 * errors[-1] + 0.1 * sum(errors)

    weighting = TargetWeighting(
        {"kl": target}, rate=0.1, proportional=0.3, smoothing=0.0, equal=equal
    )
    weight = fed(stream, weighting).next_weights()["kl"]

    assert weight == pytest.approx(1 + answer if equal else math.exp(answer), rel=1e-12)


def trained(steps: int, weighting: TargetWeighting) -> tuple[LossGroup, float]:
    """Two losses that pull at one number: x^2 / 2 wants 0, (x - 3)^2 wants 3."""
    group = LossGroup(["wish", "limit"], weighting=weighting)
    x = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        group.update({"wish": (x - 3).square(), "limit": x.square() / 2})
        optimizer.step()
    return group, x.item()


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("proportional", [0.0, 0.5])
def test_the_loss_is_held_at_its_target(equal: bool, proportional: float) -> None:
    weighting = TargetWeighting(
        limit=0.5, rate=0.1, proportional=proportional, smoothing=0.5, equal=equal
    )

    group, x = trained(500, weighting)

    assert group["limit"].value == pytest.approx(0.5, rel=0.02)
    assert group.weights["limit"] == pytest.approx(4, rel=0.05)  # 2 (3 - x) / x at x = 1
    assert x == pytest.approx(1, rel=0.02)


def test_below_the_target_the_others_have_their_way() -> None:
    group, x = trained(400, TargetWeighting(limit=50.0, rate=0.05))

    assert group.weights["limit"] < 1e-3
    assert x == pytest.approx(3, rel=1e-2)


def test_from_both_sides_the_loss_is_pushed_up_too() -> None:
    group, x = trained(400, TargetWeighting(limit=8.0, rate=0.1, smoothing=0.0, equal=True))

    assert group["limit"].value == pytest.approx(8, rel=0.02)
    assert group.weights["limit"] < 0
    assert x == pytest.approx(4, rel=0.02)


def test_a_target_out_of_reach_does_not_wind_up() -> None:
    weighting = TargetWeighting(kl=1.0, rate=1.0, smoothing=0.0, limits=(0.01, 100.0))
    group = fed([50.0] * 40, weighting)
    at_the_limit, limited = group.weights["kl"], dict(weighting.limited)

    for _ in range(25):
        group.update({"recon": 1.0, "kl": 0.5}, do_backwards=False)

    assert at_the_limit == pytest.approx(100)
    assert limited == {"kl": 40}
    assert group.weights["kl"] < 0.02


@pytest.mark.parametrize("proportional", [0.0, 1.0])
def test_a_loss_as_large_as_numbers_go_stops_no_later_step(proportional: float) -> None:
    group = LossGroup(["a", "b"], weighting=TargetWeighting(a=1e-5, proportional=proportional))

    for value in (1.0, 1e307, *[1.0] * 5):
        group.update({"a": value, "b": 1.0}, do_backwards=False)

    assert (group.step, group.weights["a"]) == (7, 1e4)


def test_a_target_of_zero_goes_by_the_difference() -> None:
    weighting = TargetWeighting({"kl": 0}, rate=0.5, smoothing=0.0)

    assert fed([2.0], weighting).next_weights()["kl"] == pytest.approx(math.e)


@pytest.mark.parametrize("kl", [None, math.nan])
@pytest.mark.filterwarnings("ignore:loss 'kl' is nan")
def test_a_step_without_the_loss_leaves_its_weight(kl: float | None) -> None:
    group = fed([6.0, 5.0], TargetWeighting(kl=2.0))
    before = group.next_weights()

    group.update({"recon": 1.0} | ({} if kl is None else {"kl": kl}), do_backwards=False)

    assert group.next_weights() == before


def test_targets_wait_for_a_loss_that_comes_late() -> None:
    group = LossGroup(weighting=TargetWeighting(late=2.0, start=0.5))
    group.update({"a": 1.0}, do_backwards=False)

    group.update({"a": 1.0, "late": 9.0}, do_backwards=False)

    assert group.weights == {"a": 1.0, "late": 0.5}
    assert group.next_weights()["late"] > 0.5


def test_the_settings_reach_the_loggers() -> None:
    memory = MemoryLogger()
    group = LossGroup(AB, memory, weighting=TargetWeighting(kl=2.0))

    group.update({"recon": 1.0, "kl": 2.0}, do_backwards=False)

    assert memory.hyperparameters["weighting"] == {
        "method": "TargetWeighting",
        "targets": {"kl": 2.0},
        "rate": 0.01,
        "proportional": 0.0,
        "smoothing": 0.9,
        "start": 1.0,
        "limits": [1e-4, 1e4],
        "equal": False,
    }


def test_a_target_for_an_unknown_loss_is_an_error() -> None:
    group = LossGroup(AB, weighting=TargetWeighting(k1=2.0))

    with pytest.raises(ValueError, match=r"targets must be of the losses recon, kl, got .* for k1"):
        group.update({"recon": 1.0, "kl": 2.0}, do_backwards=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"targets must be one or more, got \{\}: TargetWeighting\(kl=2.0\)"),
        ({"kl": math.nan}, "the target of kl must be a finite number, got nan"),
        ({"kl": 1.0, "rate": 0}, "rate must be above 0, got 0"),
        ({"kl": 1.0, "proportional": -1}, "proportional must be 0 or more, got -1"),
        ({"kl": 1.0, "smoothing": 1.0}, "smoothing must be 0 to below 1, got 1.0"),
        ({"kl": 1.0, "limits": (0, 5)}, r"limits must be .* above 0, got \(0, 5\)"),
        ({"kl": 1.0, "limits": (5, 1)}, r"limits must be .* smaller first"),
        ({"kl": 1.0, "start": 1e6}, r"start must be within limits \(0.0001, 10000.0\), got"),
    ],
)
def test_a_setting_without_sense_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TargetWeighting(**settings)
