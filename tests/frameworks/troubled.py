"""Losses with everything that a guard of CoV-Weighting is for, and their scalar statistics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from multi_loss_weighting import CoVWeighting, History
from multi_loss_weighting.statistics._record import LossRecord
from multi_loss_weighting.statistics._scalar import add
from multi_loss_weighting.statistics._settings import StatisticsSettings

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


def fed(losses: NDArray[Any], **settings: Any) -> tuple[NDArray[Any], History]:
    """The weights of each step, and what is known after the last, in the scalar form."""
    weighting = CoVWeighting(**settings)
    rules = StatisticsSettings(ratio=weighting.ratio_settings).rules(block_size=None)
    history, weights = History(NAMES, [LossRecord()] * len(NAMES)), []
    for step, row in enumerate(losses.tolist()):
        weights.append(np.asarray(weighting.weigh(torch.zeros(len(NAMES)), history).weights))
        history.records = [
            add(record, loss, 1, step, 1.0, rules)
            for record, loss in zip(history.records, row, strict=True)
        ]
    return np.array(weights), history
