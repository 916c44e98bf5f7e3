"""Weigh inside a function that torch.compile compiles, as one graph.

The graph must not depend on what was measured, or each step would need a new one. So the weights
that come from measured losses are asked for by an operator, which torch runs at each step and does
not look into; and what is done about a loss that is not finite, or above its limit, is arithmetic
without a branch.
"""

from __future__ import annotations

import math
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._group import LossGroup

_groups: WeakValueDictionary[int, LossGroup] = WeakValueDictionary()
_keys = count()


def register(group: LossGroup) -> int:
    """A key by which a compiled graph finds the group."""
    key = next(_keys)
    _groups[key] = group
    return key


@torch.library.custom_op("multi_loss_weighting::weights", mutates_args=())
def weights_of(key: int, length: int) -> Tensor:
    """The weights [K] of the step that begins, float64 on the CPU."""
    weights = torch.tensor(list(_groups[key].next_weights().values()), dtype=torch.float64)
    assert len(weights) == length
    return weights


@weights_of.register_fake
def _(key: int, length: int) -> Tensor:  # noqa: ARG001, the signature of the operator
    return torch.empty(length, dtype=torch.float64)


def stack(losses: Mapping[str, Any], limits: Mapping[str, float], keeps_nonfinite: bool) -> Tensor:
    """The losses as they enter the objective, [K]: 0 where there is none or it is not finite.

    Raises:
        ValueError: If a loss is unknown, or none was given.
    """
    unknown = [name for name in losses if name not in limits]
    if unknown or not losses:
        msg = f"the losses of this group are {', '.join(limits)}; got {', '.join(losses) or 'none'}"
        raise ValueError(msg)
    zero = torch.zeros_like(next(iter(losses.values())), requires_grad=False)
    stacked = torch.stack([losses.get(name, zero).reshape(()) for name in limits])
    if not keeps_nonfinite:
        stacked = stacked.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    if any(limit < math.inf for limit in limits.values()):
        most = stacked.new_tensor(list(limits.values()))
        values = stacked.detach()
        stacked = stacked * torch.where(values > most, most / values, 1.0)
    return stacked


def present(losses: Mapping[str, Any], names: Mapping[str, float], stacked: Tensor) -> Tensor:
    """Which losses take part in the step, a bool tensor [K]."""
    zero = stacked.new_full((), math.nan)
    raw = torch.stack(
        [losses[name].detach().reshape(()) if name in losses else zero for name in names]
    )
    return raw.isfinite()
