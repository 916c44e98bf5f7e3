"""Weights that you give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ._base import Weighted, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

    from multi_loss_weighting.statistics._history import History

Schedule = Callable[[int], float]


class StaticWeighting:
    """sum w_i L_i with weights of your own: numbers, or schedules from the step to a number.

    A weight can be set during a run: `weighting["kl"] = 0.5`.

    Args:
        weights: From the name of a loss to its weight; a loss without one has the weight 1.
        **more: The same, by keyword.

    Raises:
        ValueError: If a weight is not finite.

    >>> weighting = StaticWeighting({"recon": 2.0}, kl=lambda step: min(1, step / 1000))
    >>> weighting["recon"] = 1.5
    >>> weighting.weights_at(500, ("recon", "kl", "adv"))
    [1.5, 0.5, 1.0]
    """

    def __init__(
        self, weights: Mapping[str, float | Schedule] | None = None, /, **more: float | Schedule
    ) -> None:
        self._weights: dict[str, float | Schedule] = {}
        for name, weight in {**(weights or {}), **more}.items():
            self[name] = weight

    def __getitem__(self, name: str) -> float | Schedule:
        return self._weights.get(name, 1.0)

    def __setitem__(self, name: str, weight: float | Schedule) -> None:
        self._weights[name] = weight if callable(weight) else _checked(weight, name)

    def weights_at(self, step: int, names: tuple[str, ...]) -> list[float]:
        """The weights of the losses `names` at a step.

        Raises:
            ValueError: If there is a weight for a loss that is not among them, or a schedule gives
                a weight that is not finite.
        """
        unknown = [name for name in self._weights if name not in names]
        if unknown:
            msg = f"there are the losses {', '.join(names)}; got weights for {', '.join(unknown)}"
            raise ValueError(msg)
        return [self._at(step, name) for name in names]

    def _at(self, step: int, name: str) -> float:
        weight = self[name]
        return _checked(weight(step), f"{name} at step {step}") if callable(weight) else weight

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times their weights at this step."""
        return weighted_sum(losses, np.array(self.weights_at(history.step, history.names)))

    def hyperparams(self) -> dict[str, Any]:
        """The weights; a schedule is just called that."""
        weights = {
            name: "schedule" if callable(weight) else weight
            for name, weight in self._weights.items()
        }
        return {"weights": weights}

    def state_dict(self) -> dict[str, float]:
        """The weights that are numbers; schedules are code."""
        return {name: weight for name, weight in self._weights.items() if not callable(weight)}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take over the numbers of `state_dict()`."""
        self._weights |= {name: _checked(weight, name) for name, weight in state.items()}


def _checked(weight: float, name: str) -> float:
    if not math.isfinite(weight):
        msg = f"the weight of {name} is a finite number; got {weight}"
        raise ValueError(msg)
    return float(weight)
