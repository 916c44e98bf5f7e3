"""Weigh inside a function that torch.compile compiles, as one graph.

The graph must not depend on what was measured, or each step would need a new one. So the weights
that come from measured losses are asked for by an operator, which torch runs at each step and does
not look into; and what is done about a loss that is not finite, or above its limit, is arithmetic
without a branch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence  # noqa: TC003, torch reads the types of the operator
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from multi_loss_weighting.batch._batch import Batch
from multi_loss_weighting.batch._value import device_of
from multi_loss_weighting.statistics._arrays import clamped
from multi_loss_weighting.statistics._history import History
from multi_loss_weighting.tensors._widest import widest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multi_loss_weighting.batch._batch import BatchReader


class Weigher(Protocol):
    """Who knows the weights of the step that begins."""

    def weights_for(
        self, losses: Tensor, given: list[bool] | None, step: int | None, remembers: bool
    ) -> Tensor:
        """The weights [K] for losses [K], which the next record is told if it `remembers`."""
        ...

    def statistic_of(self, name: str, device: torch.device) -> Tensor:
        """One number of each loss, [K], up to the step before; or "step", the step itself."""
        ...


class HasWeigher(Protocol):
    """Who has one, once it is complete: a copy is registered before."""

    @property
    def weighing(self) -> Weigher:
        """Who knows the weights."""
        ...


_steps: WeakValueDictionary[int, HasWeigher] = WeakValueDictionary()
_keys = count()


def register(step: HasWeigher) -> Tensor:
    """A key by which a compiled graph finds who weighs.

    It is a tensor, since a number would be a constant of the graph, and each group need its own.
    """
    key = next(_keys)
    _steps[key] = step
    return torch.tensor(key, dtype=torch.int64, device="cpu")


@torch.library.custom_op("multi_loss_weighting::weights", mutates_args=())
def weights_of(
    key: Tensor, losses: Tensor, given: Sequence[bool], step: int | None, remembers: bool
) -> Tensor:
    """The weights [K] of the step that begins, for losses [K]."""
    are_given = None if all(given) else list(given)
    return _steps[int(key.item())].weighing.weights_for(losses, are_given, step, remembers)


@weights_of.register_fake
def _(
    key: Tensor,  # noqa: ARG001, the signature of the operator
    losses: Tensor,
    given: Sequence[bool],  # noqa: ARG001
    step: int | None,  # noqa: ARG001
    remembers: bool,  # noqa: ARG001
) -> Tensor:
    return torch.empty_like(losses)


def read(
    reader: BatchReader, losses: Mapping[str, Any], keeps_nonfinite: bool
) -> tuple[Batch, list[bool]]:
    """What `reader` reads, without a look at any value, and which losses there are.

    Raises:
        ValueError: If a loss is unknown, or none was given.
    """
    reader.check_names(losses)
    given = [name in losses for name in reader.names]
    dtypes = [loss.dtype for loss in losses.values() if isinstance(loss, Tensor)]
    dtype = torch.float64 if torch.float64 in dtypes else torch.float32
    place = device_of(losses)
    found = [losses.get(name, math.nan) for name in reader.names]
    raw = torch.stack(
        [
            one.to(place, dtype).reshape(())
            if isinstance(one, Tensor)
            else torch.full((), one, dtype=dtype, device=place)  # no constant of the graph
            for one in found
        ]
    )
    present = raw.detach().isfinite()
    if keeps_nonfinite:
        present = present | torch.tensor(given, device=raw.device)
    live = torch.where(present, raw, 0.0)
    if any(limit < math.inf for limit in reader.limits):
        live = clamped(live, live.new_tensor(reader.limits))
    return Batch(live, [], present=present), given


@torch.library.custom_op("multi_loss_weighting::statistic", mutates_args=())
def statistic_of(key: Tensor, losses: Tensor, name: str) -> Tensor:
    """One number of each of the losses [K], e.g. their mean, up to the step before."""
    return _steps[int(key.item())].weighing.statistic_of(name, losses.device)


@statistic_of.register_fake
def _(key: Tensor, losses: Tensor, name: str) -> Tensor:  # noqa: ARG001
    return torch.empty_like(losses, dtype=widest(losses.device))


class CompiledHistory(History):
    """What a module that weighs inside of a graph may ask for: an operator for each vector."""

    is_on_device = True

    def __init__(
        self,
        names: tuple[str, ...],
        present: Tensor | None,
        step: int | None,
        key: Tensor,
        losses: Tensor,
    ) -> None:
        super().__init__(names, ())
        self.present = present
        self._key, self._losses = key, losses
        self.step = step

    @property
    def step(self) -> Any:
        """The step that is being weighed, a 0-d tensor unless the user gave it."""
        return self.gather("step")[0] if self._step is None else self._step

    @step.setter
    def step(self, step: int | None) -> None:
        self._step = step

    def gather(self, name: str) -> Any:
        """One number of each loss's record."""
        return statistic_of(self._key, self._losses, name)
