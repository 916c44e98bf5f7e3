"""Weigh inside a function that torch.compile compiles, as one graph.

The graph must not depend on what was measured, or each step would need a new one. So the weights
that come from measured losses are asked for by an operator, which torch runs at each step and does
not look into; and what is done about a loss that is not finite, or above its limit, is arithmetic
without a branch.
"""

from __future__ import annotations

import math
from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from multi_loss_weighting.batch._batch import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multi_loss_weighting._group import LossGroup
    from multi_loss_weighting.batch._batch import BatchReader

_groups: WeakValueDictionary[int, LossGroup] = WeakValueDictionary()
_keys = count()


def register(group: LossGroup) -> int:
    """A key by which a compiled graph finds the group."""
    key = next(_keys)
    _groups[key] = group
    return key


@torch.library.custom_op("multi_loss_weighting::weights", mutates_args=())
def weights_of(key: int, losses: Tensor) -> Tensor:
    """The weights [K] of the step that begins, for losses [K]."""
    return _groups[key].weights_for(losses)


@weights_of.register_fake
def _(key: int, losses: Tensor) -> Tensor:  # noqa: ARG001, the signature of the operator
    return torch.empty_like(losses)


def read(reader: BatchReader, losses: Mapping[str, Tensor], keeps_nonfinite: bool) -> Batch:
    """What `reader` reads, without a look at any value, which `values` therefore has none of.

    Raises:
        ValueError: If a loss is unknown, or none was given.
    """
    reader.check_names(losses)
    missing = torch.full_like(next(iter(losses.values())), math.nan, requires_grad=False)
    raw = torch.stack([losses.get(name, missing).reshape(()) for name in reader.limits])
    present = raw.detach().isfinite()
    if keeps_nonfinite:
        given = torch.tensor([name in losses for name in reader.limits], device=raw.device)
        present = present | given
    return Batch(_clamped(torch.where(present, raw, 0.0), reader.limits), [], present=present)


def _clamped(losses: Tensor, limits: Mapping[str, float]) -> Tensor:
    if not any(limit < math.inf for limit in limits.values()):
        return losses
    most = losses.new_tensor(list(limits.values()))
    values = losses.detach()
    is_high = (values > most) & (values < math.inf)
    return losses * torch.where(is_high, most / values, 1.0)
