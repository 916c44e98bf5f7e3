"""What weightings have in common that remember numbers of each loss."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from loss_loggers.arguments import checked_kind
from multi_loss_weighting.statistics._array_library import Array, arrays_of
from multi_loss_weighting.tensors._widest import widest

from ._base import Tunable

if TYPE_CHECKING:
    from multi_loss_weighting.statistics._history import History

Numbers = dict[str, Array]
"""From what is remembered to a vector [K]."""

HOST = None
"""Where numbers are numpy arrays, whose operations take a third of the time of torch's."""


class Remembering(Tunable):
    """A weighting that remembers numbers of each loss, by its name.

    They are kept where the losses are, so that none is read back. A loss that is new begins with
    `starts`. On a device all numbers lie in one tensor that stays where it is, so that a recorded
    CUDA graph sees what `_keep` writes there, at once for all: hand out copies.

    >>> memory = Remembering(mean=0.0)
    >>> memory._keep(("G", "D"), {"mean": np.array([1.0, 2.0])})
    >>> memory._known(("D", "E"), HOST)["mean"].tolist()
    [2.0, 0.0]
    """

    def __init__(self, **starts: float) -> None:
        self._starts = starts
        self._expected: tuple[str, ...] = ()
        Remembering.forget(self)

    def forget(self) -> None:
        """Be as new, since the group forgets its losses."""
        self._put((), np.empty((len(self._starts), 0)))

    def _known(self, names: tuple[str, ...], device: torch.device | None) -> Numbers:
        """The numbers of these losses, in this order, on a device or the `HOST`."""
        known, table, numbers = self._kept
        if known == names and (table.device if isinstance(table, Tensor) else HOST) == device:
            return numbers
        return self._by_field(self._arranged(names, device))

    def _keep(self, names: tuple[str, ...], numbers: Numbers) -> None:
        """Remember these from now on, if they are not what is kept."""
        if numbers is self._kept[2]:
            return
        vectors = [numbers[field] for field in self._starts]
        if not isinstance(vectors[0], Tensor):
            self._put(names, np.array(vectors))
            return
        known, table, _ = self._kept
        new = torch.stack(vectors)
        if known == names and isinstance(table, Tensor) and table.device == new.device:
            table.copy_(new)
        else:
            with torch.inference_mode(False):  # in which nothing could be made for training
                self._put(names, new.clone())

    def _put(self, names: tuple[str, ...], table: Any) -> None:
        self._kept: tuple[tuple[str, ...], Any, Numbers] = names, table, self._by_field(table)

    def _by_field(self, table: Any) -> Numbers:
        return dict(zip(self._starts, table, strict=True))

    def _arranged(self, names: tuple[str, ...], device: torch.device | None) -> Any:
        known, table, _ = self._kept
        place = torch.device("cpu") if device is HOST else device
        rows = [[start] for start in self._starts.values()]
        fresh = torch.tensor(rows, dtype=torch.float64, device="cpu").to(place, widest(place))
        own = torch.as_tensor(table, dtype=fresh.dtype, device=place)
        places = {name: index for index, name in enumerate(known)}
        order = torch.tensor([places.get(name, len(known)) for name in names], device="cpu")
        arranged = torch.cat([own, fresh], dim=1)[:, order.to(place)]
        return arranged.double().numpy() if device is HOST else arranged

    def _counts(self, field: str) -> dict[str, int]:
        """What was counted of each loss. On an accelerator that waits for it."""
        names, _, numbers = self._kept
        return dict(zip(names, map(int, numbers[field].tolist()), strict=True))

    def expect(self, names: tuple[str, ...]) -> None:
        """These losses will come: have numbers of them, too, so that a state keeps its size."""
        self._expected = names

    def state_dict(self) -> dict[str, Any]:
        """What it remembers of each loss, as plain numbers by name."""
        # Not by `_known`: a group can also be made where no tensor has numbers.
        names, _, numbers = self._kept
        rows = zip(*(one.tolist() for one in numbers.values()), strict=True)
        known = {
            name: dict(zip(self._starts, row, strict=True))
            for name, row in zip(names, rows, strict=True)
        }
        return known | {name: dict(self._starts) for name in self._expected if name not in known}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`, with the same numbers bit for bit.

        Raises:
            ValueError: If it is the state of something else; nothing has changed.
            TypeError: If it is no mapping.
        """
        for name, numbers in checked_kind(state, Mapping, "state").items():
            if not isinstance(numbers, Mapping) or set(numbers) != set(self._starts):
                msg = f"the state of loss {name!r} must have {[*self._starts]}, got {numbers!r}"
                raise ValueError(msg)
        rows = [[numbers[field] for numbers in state.values()] for field in self._starts]
        self._put(tuple(state), np.array(rows, np.float64))

    def __getstate__(self) -> dict[str, Any]:
        """A copy has views into memory of its own."""
        return self.__dict__ | {"_kept": self._kept[:2]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._put(*state["_kept"])


class ByPastLosses(Remembering):
    """A weighting that goes by what it remembers of the losses of the steps before."""

    def _numbers(self, losses: Tensor, history: History) -> Numbers:
        """What it remembers of the losses, where they are."""
        return self._known(history.names, losses.device if history.is_on_device else HOST)

    @np.errstate(all="ignore")
    def recorded(self, losses: Tensor, weights: Tensor, history: History, /) -> None:  # noqa: ARG002
        """Take in the losses of a step."""
        values = vector(losses, history)
        came = abs(values) < math.inf  # which nan is not
        if history.present is not None:
            came = came & (history.present if history.is_on_device else history.present.numpy())
        old = self._numbers(losses, history)
        self._keep(history.names, self._taken_in(old, values, came, history))

    @abstractmethod
    def _taken_in(self, old: Numbers, now: Array, came: Array, history: History) -> Numbers:
        """What is remembered after a step with the losses `now` [K], of which some `came`."""


def vector(losses: Tensor, history: History) -> Array:
    """The losses [K] of a step, without gradient, in the kind of what is remembered of them."""
    if history.is_on_device:
        return losses.detach().to(widest(losses.device))
    return losses.detach().numpy().astype(np.float64)


def alike(like: Array, numbers: Any) -> Array:
    """Numbers in the kind of `like`."""
    if isinstance(like, Tensor):
        return torch.as_tensor(numbers, dtype=like.dtype, device=like.device)
    return np.asarray(numbers.detach() if isinstance(numbers, Tensor) else numbers, np.float64)


def softmax_shares(logits: Array, known: Array) -> Array:
    """Weights [K] that sum to 1: 1/K for a loss that is not `known`, a softmax among the others.

    >>> softmax_shares(np.array([2.0, 2.0, np.nan]), np.array([True, True, False])).round(3)
    array([0.333, 0.333, 0.333])
    """
    xp, count = arrays_of(logits), len(logits)
    logits = xp.where(known, logits, -math.inf)
    largest = xp.max(logits)
    powers = xp.exp(logits - xp.where(largest > -math.inf, largest, 0.0))
    total = xp.sum(powers)
    ones = xp.zeros_like(powers) + 1  # in torch a bool times 1.0 would be a float32
    shares = powers / xp.where(total > 0, total, 1.0) * (xp.sum(xp.where(known, ones, 0.0)) / count)
    return xp.where(known, shares, 1 / count)
