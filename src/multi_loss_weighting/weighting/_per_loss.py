"""Numbers that a weighting remembers of each loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting.statistics._widest import widest

if TYPE_CHECKING:
    from collections.abc import Mapping

Numbers = dict[str, Tensor]
"""From what is remembered to a vector [K]."""


class PerLoss:
    """Numbers of each loss, by its name, kept where the losses are, so that none is read back.

    A loss that is new begins with `starts`. All numbers lie in one tensor that stays where it is,
    so that a recorded CUDA graph sees what `keep` writes there, at once for all: hand out copies.

    >>> memory = PerLoss(mean=0.0)
    >>> memory.keep(("G", "D"), {"mean": torch.tensor([1.0, 2.0])})
    >>> memory.of(("D", "E"), torch.device("cpu"))["mean"].tolist()
    [2.0, 0.0]
    """

    def __init__(self, **starts: float) -> None:
        self._starts = starts
        self._expected: tuple[str, ...] = ()
        self._kept: tuple[tuple[str, ...], Tensor, Numbers] = ((), torch.empty(0, device="cpu"), {})

    def of(self, names: tuple[str, ...], device: torch.device) -> Numbers:
        """The numbers of these losses, in this order, which the next `keep` may change."""
        known, table, numbers = self._kept
        if known == names and table.device == device:
            return numbers
        return self._by_field(self._arranged(names, device))

    def keep(self, names: tuple[str, ...], numbers: Numbers) -> None:
        """Remember these from now on."""
        new = torch.stack([numbers[field] for field in self._starts])
        known, table, _ = self._kept
        if known == names and table.device == new.device:
            table.copy_(new)
        else:
            with torch.inference_mode(False):  # in which nothing could be made for training
                self._put(names, new.clone())

    def _put(self, names: tuple[str, ...], table: Tensor) -> None:
        self._kept = names, table, self._by_field(table)

    def _by_field(self, table: Tensor) -> Numbers:
        return dict(zip(self._starts, table.unbind(), strict=True))

    def _arranged(self, names: tuple[str, ...], device: torch.device) -> Tensor:
        known, table, _ = self._kept
        starts = torch.tensor(
            [[start] for start in self._starts.values()], dtype=torch.float64, device="cpu"
        )
        fresh = starts.to(device, widest(device))
        table = torch.cat([table.to(fresh), fresh], dim=1) if known else fresh
        places = {name: place for place, name in enumerate(known)}
        order = torch.tensor([places.get(name, len(known)) for name in names], device="cpu")
        return table[:, order.to(device)]

    def __getstate__(self) -> dict[str, Any]:
        """A copy has views into memory of its own."""
        names, table, _ = self._kept
        return self.__dict__ | {"_kept": (names, table.clone())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        names, table = state["_kept"]
        self._kept = names, table, self._by_field(table) if names else {}

    def expect(self, names: tuple[str, ...]) -> None:
        """Have numbers of these losses, too, so that a state is as large as it will be."""
        self._expected = names

    def forget(self) -> None:
        """Be as new."""
        self._kept = ((), torch.empty(0, device="cpu"), {})

    def by_name(self, field: str) -> dict[str, float]:
        """One number of each loss. On an accelerator that waits for it."""
        names, _, numbers = self._kept
        values = numbers[field].tolist() if names else ()
        return dict(zip(names, values, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain numbers by name."""
        fields = {field: self.by_name(field) for field in self._starts}
        known = {
            name: {field: values[name] for field, values in fields.items()}
            for name in self._kept[0]
        }
        return known | {name: dict(self._starts) for name in self._expected if name not in known}

    def load_state_dict(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Take over the numbers of `state_dict()`.

        Raises:
            ValueError: If those of a loss are others; nothing has changed.
        """
        for name, numbers in state.items():
            if set(numbers) != set(self._starts):
                msg = f"the state of loss {name!r} must have {[*self._starts]}, got {[*numbers]}"
                raise ValueError(msg)
        rows = [[numbers[field] for numbers in state.values()] for field in self._starts]
        self._put(tuple(state), torch.tensor(rows, dtype=torch.float64, device="cpu"))


class Remembering:
    """A weighting that remembers numbers of each loss, in `memory`."""

    memory: PerLoss

    def expect(self, names: tuple[str, ...]) -> None:
        """These losses will come."""
        self.memory.expect(names)

    def forget(self) -> None:
        """Be as new, since the group forgets its losses."""
        self.memory.forget()

    def state_dict(self) -> dict[str, Any]:
        """What it remembers of each loss."""
        return self.memory.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`, with the same numbers bit for bit.

        Raises:
            ValueError: If it is the state of something else; nothing has changed.
        """
        self.memory.load_state_dict(state)


def took_part(losses: Tensor, present: Tensor | None) -> Tensor:
    """Which losses [K] of a step have a value, a bool tensor [K]."""
    is_finite = losses.isfinite()
    return is_finite if present is None else is_finite & present.to(losses.device)


def softmax_shares(logits: Tensor, known: Tensor) -> Tensor:
    """Weights [K] that sum to 1: 1/K for a loss that is not `known`, a softmax among the others.

    >>> softmax_shares(torch.tensor([2.0, 2.0, torch.nan]), torch.tensor([True, True, False]))
    tensor([0.3333, 0.3333, 0.3333])
    """
    count = len(logits)
    shares = torch.where(known, logits, -torch.inf).softmax(0) * known.sum() / count
    return torch.where(known, shares, 1 / count)
