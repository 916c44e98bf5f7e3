"""What `weigh` used, for the row of the step that is recorded after it."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from multi_loss_weighting.tensors._widest import widest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from multi_loss_weighting.batch._batch import Batch
    from multi_loss_weighting.weighting._base import Weighted

    Used = tuple[Any, Any]
    """The weights [K] and the total, as plain numbers or as tensors on the device."""


class Weighed(NamedTuple):
    """One call of `weigh`: detached, so that nothing that the user holds can change it.

    Attributes:
        names: The losses of the group then.
        given: Which of them were weighed; None for all.
        weights: Their weights [K].
        total: The objective.
        losses: What was weighed, [K].
        terms: What each adds to the total, [K]; None where it is the loss times its weight.
        earlier: What was not finite in totals of micro-batches, and so is in that of the step.
    """

    names: tuple[str, ...]
    given: list[bool] | None
    weights: Any
    total: Any
    losses: Any
    terms: Any = None
    earlier: tuple[Any, ...] = ()

    def has(self, name: str) -> bool:
        """Whether this loss was weighed."""
        if name not in self.names:
            return False
        return self.given is None or self.given[self.names.index(name)]


def weighed(
    names: tuple[str, ...], batch: Batch, weighted: Weighted, terms: Tensor | None
) -> Weighed:
    """What to remember of a call."""
    weights, total = weighted.weights, weighted.total
    if batch.raw is None:
        losses = batch.values if batch.is_plain else batch.losses.tolist()
        own = None if terms is None else terms.tolist()
        return Weighed(names, batch.given, weights, total.item(), losses, own)
    now = batch.losses.detach()
    return Weighed(names, batch.given, weights, total.detach().clone(), now, terms)


def remember(remembered: tuple[Weighed, ...], new: Weighed) -> tuple[Weighed, ...]:
    """The calls so far, of which those are over whose losses were all weighed anew."""
    older = []
    for one in remembered:
        if one[:2] == new[:2] or all(new.has(name) for name in one.names if one.has(name)):
            new = new._replace(earlier=new.earlier + one.earlier)
        else:
            older.append(one)
    return (*older, new)


def counted(remembered: tuple[Weighed, ...]) -> tuple[Weighed, ...]:
    """The calls so far, of a micro-batch that counts."""
    return tuple(
        one._replace(earlier=(sum(one.earlier, _not_finite(one.total)),)) for one in remembered
    )


def _not_finite(total: Any) -> Any:
    if isinstance(total, Tensor):
        return total - total.nan_to_num(0.0, 0.0, 0.0)
    return 0.0 if math.isfinite(total) else total


def recall(
    remembered: Sequence[Weighed],
    names: tuple[str, ...],
    batch: Batch,
    ask: Callable[[], Weighted],
) -> Used:
    """The weights of a step and its total, of calls of `weigh` and, for what none had, of `ask`."""
    if not remembered:
        asked = ask()
        return asked.weights, asked.total
    now = batch.losses.detach() if batch.raw is not None else batch.losses.tolist()
    first = remembered[0]
    if len(remembered) == 1 and (first.names, first.given) == (names, batch.given):
        return first.weights, _total(first, now, range(len(names)), ())
    owner = {name: one for one in remembered for name in names if one.has(name)}
    given = [name for index, name in enumerate(names) if not batch.given or batch.given[index]]
    new = None if all(name in owner for name in given) else ask()
    weights: list[Any] = []
    total: Any = 0.0
    for index, name in enumerate(names):
        if name in owner or new is None:
            one = owner.get(name, remembered[-1])
            place = one.names.index(name) if name in one.names else None
            weights.append(0.0 if place is None else one.weights[place])
        else:
            weights.append(new.weights[index])
            total = total + weights[-1] * now[index]
    for one in remembered:
        kept = {name for name in given if owner.get(name) is one}
        mine = [index for index, name in enumerate(names) if name in kept]
        lost = [i for i, name in enumerate(one.names) if one.has(name) and name not in kept]
        total = total + _total(one, now, mine, lost, names)
    return _vector(weights, batch), total


def _total(
    one: Weighed,
    now: Any,
    mine: Sequence[int],
    lost: Sequence[int],
    names: tuple[str, ...] | None = None,
) -> Any:
    """The objective of a call, moved from the losses that it weighed to those of the step.

    By no loss that was not finite in one of them: what training used has it already, or never had.
    """
    places = mine if names is None else [one.names.index(names[index]) for index in mine]
    weights, then, terms, total = one.weights, one.losses, one.terms, sum(one.earlier, one.total)
    if isinstance(now, Tensor):
        weights, then = as_tensor(weights, now), as_tensor(then, now)
    if isinstance(now, Tensor) and [*places] == [*mine] and len(mine) == len(then) == len(now):
        moves = weights * (now - then)  # all at once
        return total + moves.nan_to_num_(0.0, 0.0, 0.0).sum()
    moves = [weights[i] * (now[j] - then[i]) for i, j in zip(places, mine, strict=True)]
    moves += [-weights[i] * then[i] if terms is None else -terms[i] for i in lost]
    if isinstance(now, Tensor):
        return total + sum(move.nan_to_num(0.0, 0.0, 0.0) for move in moves)
    return total + sum(filter(math.isfinite, moves))


def _vector(weights: list[Any], batch: Batch) -> Any:
    if batch.raw is None:
        return [float(weight) for weight in weights]
    place = batch.losses.device  # in whose widest type they are, as those of one call
    like = torch.empty((), dtype=widest(place), device=place)
    return torch.stack([as_tensor(one, like) for one in weights])


def as_tensor(numbers: Any, like: Tensor) -> Tensor:
    """Plain numbers or a tensor, in the dtype of `like` and where it is."""
    given = numbers
    if not isinstance(given, Tensor):
        given = torch.tensor(given, dtype=like.dtype, device="cpu")
    return given.to(like, non_blocking=True)


def as_list(weights: Any) -> list[float]:
    """Weights as plain numbers."""
    return weights if type(weights) is list else weights.tolist()


def as_vector(weights: Any) -> Tensor:
    """Weights as a tensor [K], detached; plain numbers keep their digits."""
    if isinstance(weights, Tensor):
        return weights.detach()
    if type(weights) is list and weights:  # a third of the time that `as_tensor` takes
        return torch.frombuffer(array("d", weights), dtype=torch.float64)
    return torch.as_tensor(weights, dtype=torch.float64, device="cpu")
