"""Losses with everything that a guard of CoV-Weighting is for, and what a group makes of them."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from multi_loss_weighting import CoVWeighting, LossGroup

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = ("a", "b", "c", "d")
SETTINGS: list[dict[str, Any]] = [
    {},
    {"decay": 0.9},
    {"decay": 0.99, "sum_to": "K", "warmup": 7},
    {"spike": 5.0, "patience": 3},
    {"spike": math.inf},
]


def troubled_losses(steps: int, dtype: Any = np.float64) -> NDArray[Any]:
    """Losses with everything that a guard is for."""
    losses = np.random.default_rng(0).lognormal(0, [0.1, 0.3, 0.6, 1.0], (steps, 4))
    losses[0, 1] = 0
    losses[50, 0] = 1e6
    losses[70:72, 2] = [np.nan, np.inf]
    losses[80:, 3] -= 1
    losses[90:130, 0] = 0
    losses[150:, 1] *= 1e5
    result: NDArray[Any] = losses.astype(dtype)
    return result


def fed(losses: NDArray[Any], **settings: Any) -> tuple[NDArray[Any], LossGroup]:
    group = LossGroup(NAMES, weighting=CoVWeighting(**settings))
    weights = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "loss 'c' is", RuntimeWarning)
        for row in losses.tolist():
            group.update(dict(zip(NAMES, row, strict=True)), do_backwards=False)
            weights.append(list(group.weights.values()))
    return np.array(weights), group
