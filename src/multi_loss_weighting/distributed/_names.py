"""The names that ranks agree on: the same tuple on each of them."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import torch

from multi_loss_weighting.tensors._sent import Sent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor


class Told(NamedTuple):
    """What one rank tells all others when they agree on names.

    Attributes:
        names: Its losses, in its order.
        is_fixed: Whether the user gave them, so that all ranks need the same.
        capacity: How many losses its weighting has learned weights for; None for any number.
        is_positional: Whether it has learned weights that have no names.
        error: Why it stopped at this step; None if it did not.
    """

    names: tuple[str, ...]
    is_fixed: bool
    capacity: int | None
    is_positional: bool
    error: str | None


def united(agreed: Iterable[str], told: Sequence[Told]) -> tuple[str, ...]:
    """What is agreed already, then the rest in order of rank and of appearance.

    Raises:
        ValueError: If the ranks cannot go on with these names. All of them raise the same.
        RuntimeError: If one of them stops.
    """
    names = tuple(dict.fromkeys(chain(agreed, *(one.names for one in told))))
    _check_errors(told)
    _check_given(names, told)
    _check_capacity(names, told)
    _check_order(names, told)
    return names


def completed(names: Sequence[str], agreed: Iterable[str]) -> tuple[str, ...]:
    """The names of one rank, then those that it lacks.

    >>> completed(("adv", "recon"), ("recon", "adv", "kl"))
    ('adv', 'recon', 'kl')
    """
    return tuple(dict.fromkeys((*names, *agreed)))


def _check_errors(told: Sequence[Told]) -> None:
    stopped = {rank: one.error for rank, one in enumerate(told) if one.error is not None}
    if stopped:
        msg = "; ".join(f"rank {rank} stopped at this step: {why}" for rank, why in stopped.items())
        raise RuntimeError(msg)


def _check_given(names: Iterable[str], told: Sequence[Told]) -> None:
    lacking = [
        f"rank {rank} has no {', '.join(repr(name) for name in names if name not in one.names)}"
        for rank, one in enumerate(told)
        if one.is_fixed and not set(one.names).issuperset(names)
    ]
    if lacking:
        msg = f"the names given to a group must be the same on all ranks: {'; '.join(lacking)}"
        raise ValueError(msg)


def _check_capacity(names: Sequence[str], told: Sequence[Told]) -> None:
    capacity = min((one.capacity for one in told if one.capacity is not None), default=len(names))
    if len(names) > capacity:
        got = f"the ranks have {len(names)}: {', '.join(names)}"
        msg = f"the weighting was made for {capacity} losses, and {got}"
        raise ValueError(msg)


def _check_order(names: Iterable[str], told: Sequence[Told]) -> None:
    orders = [completed(one.names, names) for one in told]
    other = next((rank for rank, order in enumerate(orders) if order != orders[0]), None)
    if other is not None and any(one.is_positional for one in told):
        msg = (
            "the learned weights of this weighting have no names, so the losses must come in the"
            f" same order on all ranks: rank 0 has {', '.join(orders[0])}, rank {other} has"
            f" {', '.join(orders[other])}; give the group its names"
        )
        raise ValueError(msg)


class LateSignals:
    """Signals of the ranks that stay on an accelerator until all ranks read them, at one step.

    That step depends on nothing but the number of steps, and not on what a rank reads in between.

    Args:
        every: Steps between two reads. A signal is read `every` to twice as many steps later, so
            that nobody waits for it.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._kept: list[Tensor] = []
        self._sent: Sent | None = None

    def add(self, signal: Tensor) -> None:
        """Keep the signal of one step, the sum over the ranks."""
        self._kept.append(signal)

    def have_news(self, ranks: int) -> bool:
        """Whether a rank has a new loss, where this is a step to read at.

        Raises:
            RuntimeError: If one stopped since the last read. It may be gone: nobody asks it why.
        """
        if len(self._kept) < self.every:
            return False
        before, self._sent, self._kept = self._sent, Sent(torch.cat(self._kept).amax()), []
        signal = 0.0 if before is None else float(before.read())
        if signal > ranks:
            msg = "another rank stopped some steps ago: its own error says why"
            raise RuntimeError(msg)
        return signal > 0
