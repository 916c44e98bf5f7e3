from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import History, LossGroup, Weighted, weighted_sum


class InverseMean:
    """A weighting as a user would write it."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        return weighted_sum(losses, 1 / np.nan_to_num(history.mean, nan=1.0))


class Softmax(nn.Module):
    """Another, learned."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(count))

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        weights = self.logits.softmax(0)
        return Weighted(weights.dot(losses), weights.detach())


class Counting:
    """A third, with a memory and settings."""

    def __init__(self, gain: float) -> None:
        self.gain = gain
        self.asked = 0

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        return weighted_sum(losses, np.full(len(history.names), self.gain))

    def hyperparams(self) -> dict[str, Any]:
        return {"gain": self.gain}

    def state_dict(self) -> dict[str, Any]:
        return {"gain": self.gain}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.gain = state["gain"]


def test_a_weighting_of_ones_own_takes_a_few_lines() -> None:
    group = LossGroup(["a", "b"], weighting=InverseMean())

    totals = [group.update({"a": 2.0, "b": 4.0}, do_backwards=False).item() for _ in range(2)]

    assert totals == [6.0, 2.0]
    assert group.weights == {"a": 0.5, "b": 0.25}


def test_it_may_learn() -> None:
    group = LossGroup(["a", "b"], weighting=Softmax(2))

    losses = torch.tensor([2.0, 4.0], requires_grad=True)
    group.update({"a": losses[0], "b": losses[1]})

    (logits,) = group.parameter_group()["params"]
    assert logits.grad.tolist() == [-0.5, 0.5]
    assert group.weights == {"a": 0.5, "b": 0.5}
    assert "weighting.logits" in group.state_dict()


def test_it_may_have_settings_and_a_memory() -> None:
    group = LossGroup(["a"], memory := MemoryLogger(), weighting=Counting(3.0))
    group.update({"a": 1.0}, do_backwards=False)

    other = LossGroup(["a"], weighting=Counting(1.0))
    other.load_state_dict(group.state_dict())

    assert memory.hyperparameters["weighting"] == {"method": "Counting", "gain": 3.0}
    assert other.weigh({"a": 1.0}).item() == 3.0


def test_it_sees_the_steps_before_and_which_losses_take_part() -> None:
    seen: list[tuple[int, list[float], list[bool] | None]] = []

    class Curious:
        def weigh(self, losses: Tensor, history: History, /) -> Weighted:
            present = None if history.present is None else history.present.tolist()
            seen.append((history.step, history.count.tolist(), present))
            return weighted_sum(losses, np.ones(2))

    group = LossGroup(["a", "b"], weighting=Curious())
    group.update({"a": 1.0, "b": 2.0}, do_backwards=False)
    group.update({"b": 2.0}, do_backwards=False)
    group.update({"a": 1.0, "b": 2.0}, do_backwards=False, step=7)

    assert seen == [(0, [0, 0], None), (1, [1, 1], [False, True]), (7, [1, 2], None)]


def test_it_can_ask_for_every_statistic() -> None:
    group = LossGroup(["a", "b"], weighting=InverseMean(), block_size=2, decay=0.5)
    for a, b in ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0)):
        group.update({"a": a, "b": b}, do_backwards=False)
    seen = group.history

    for name, expected in {
        "count": [3, 3],
        "value": [5.0, 6.0],
        "mean": [3.0, 4.0],
        "variance": [8 / 3, 8 / 3],
        "std": [np.sqrt(8 / 3)] * 2,
        "cov": [np.sqrt(8 / 3) / 3, np.sqrt(8 / 3) / 4],
        "minimum": [1.0, 2.0],
        "maximum": [5.0, 6.0],
        "exponential_mean": [3.5, 4.5],
        "block_mean": [2.0, 3.0],
        "ratio_count": [3, 3],
        "ratio_mean": [(1 + 3 + 2.5) / 3, (1 + 2 + 2) / 3],
    }.items():
        assert getattr(seen, name).tolist() == pytest.approx(expected), name


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_a_weighted_sum_has_the_precision_and_the_gradient_of_its_losses(
    dtype: torch.dtype,
) -> None:
    losses = torch.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)

    weighted = weighted_sum(losses, np.array([0.1, 0.25]))
    weighted.total.backward()  # type: ignore[no-untyped-call]

    assert weighted.total.dtype == dtype
    assert losses.grad is not None
    assert torch.equal(losses.grad, torch.tensor([0.1, 0.25], dtype=dtype))


def test_weights_that_are_no_vector_change_nothing() -> None:
    class Wrong:
        def weigh(self, losses: Tensor, history: History, /) -> Weighted:
            return Weighted(losses.sum(), [1.0])  # type: ignore[arg-type]

    group = LossGroup(["a"], weighting=Wrong())

    with pytest.raises(AttributeError, match="tolist"):
        group.update({"a": 1.0}, do_backwards=False)

    assert (group.step, group["a"].count) == (0, 0)


class Watching(nn.Module):
    """A fourth, which wants to know when a step is over, and checks its state itself."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        self.heard.append("weigh")
        return weighted_sum(losses, np.ones(len(history.names)))

    def recorded(self) -> None:
        self.heard.append("recorded")

    def get_extra_state(self) -> dict[str, Any]:
        return {"heard": len(self.heard)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.heard = ["loaded"] * state["heard"]

    def check_state(self, state: dict[str, Any]) -> None:
        if state["heard"] > 2:
            msg = "too much"
            raise ValueError(msg)


def test_a_weighting_hears_when_a_step_is_over() -> None:
    weighting = Watching()
    group = LossGroup(("a",), weighting=weighting)

    group.update({"a": 1.0}, do_backwards=False)
    group.weigh({"a": 1.0})
    group.record({"a": 1.0})

    assert weighting.heard == ["weigh", "recorded", "weigh", "weigh", "recorded"]


def test_a_state_that_the_weighting_refuses_changes_nothing() -> None:
    first, second = (LossGroup(("a",), weighting=Watching()) for _ in range(2))
    for _ in range(2):
        first.update({"a": 1.0}, do_backwards=False)

    with pytest.raises(ValueError, match="too much"):
        second.load_state_dict(first.state_dict())

    assert second.step == 0
