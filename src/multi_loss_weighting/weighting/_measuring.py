"""What weightings have in common that measure gradients, at one place, now and then."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from loss_loggers.arguments import checked_count, checked_kind
from multi_loss_weighting._warn import warn_user
from multi_loss_weighting.gradients._per_loss import gradient_norms, none_depends, roots, watched
from multi_loss_weighting.tensors._widest import widest

from ._per_loss import Numbers, Remembering

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multi_loss_weighting.statistics._history import History

NOT_MEASURED = -1.0
"""Stands for the norm of a loss that was not measured."""

_PATIENCE = 10
_NEVER = -1


class Measuring(Remembering):
    """A weighting by the norm of the gradient of each loss, measured once in `every` steps.

    Each loss is measured at its first step, and from then on when `every` steps have passed since.
    The first call of `weigh` in a step counts, so that an optimizer that asks again (LBFGS), or
    micro-batches, cost no more. On an accelerator nothing is read back.

    Args:
        place: What to differentiate by: parameters, or one tensor; None for one that is new at
            each step, which is given by `place`.
        every: Steps from one measurement to the next.
        **starts: What it remembers of a loss at first.

    Raises:
        TypeError: If a parameter is no tensor.
        ValueError: If none of them requires a gradient, or `every` is no whole number above 0.
    """

    def __init__(
        self, place: Iterable[Tensor] | Tensor | None, every: int, **starts: float
    ) -> None:
        super().__init__(**starts)
        self.every: int = checked_count(every, 1, "every", "steps")
        self._fixed = None if place is None else watched(place)
        self._at: tuple[Tensor, ...] | None = None
        self._steps = 0
        self._last: dict[str, int] = {}
        self._measured: dict[str, Tensor] = {}
        self._misses: int | None = 0

    @property
    def place(self) -> tuple[Tensor, ...] | None:
        """Where the gradients are taken; to be set before each step if it is a new tensor."""
        return self._at or self._fixed

    @place.setter
    def place(self, place: Iterable[Tensor] | Tensor) -> None:
        self._at = watched(place)

    def _measure(self, losses: Tensor, history: History) -> None:
        """Measure those of the losses [K] that are due; nothing else changes.

        Raises:
            RuntimeError: If there is no place, none of the losses depends on it, or a reentrant
                activation checkpoint hides gradients.
        """
        if not (losses.requires_grad and torch.is_grad_enabled()):
            return
        due = [
            index
            for index, name in enumerate(history.names)
            if self._is_due(name) and name not in self._measured
        ]
        if due and history.present is not None and not history.is_on_device:
            present = history.present.tolist()
            due = [index for index in due if present[index]]
        if not due:
            return
        starts = roots(losses)
        due = [index for index in due if starts[index] is not None]
        if self.place is None:
            msg = (
                "place must be set before each step that measures: weighting.place = output, the"
                " tensor that the gradients are taken at"
            )
            raise RuntimeError(msg)
        norms = gradient_norms([starts[index] for index in due], self.place)
        if due and len(due) == len(losses) and all(norm is None for norm in norms):
            raise none_depends(history.names)
        zero = torch.zeros((), dtype=widest(losses.device), device=losses.device)
        for index, norm in zip(due, norms, strict=True):
            self._measured[history.names[index]] = zero if norm is None else norm.to(zero)

    def _is_due(self, name: str) -> bool:
        last = self._last.get(name, _NEVER)
        return last == _NEVER or self._steps - last >= self.every

    def _norms(self, names: tuple[str, ...], device: torch.device) -> Tensor | None:
        """The norms [K] measured in this step, `NOT_MEASURED` for others; None if there are none.

        One that is not finite is 0.
        """
        if not self._measured:
            return None
        none = torch.full((), NOT_MEASURED, dtype=widest(device), device=device)
        norms = [self._measured.get(name, none).to(none) for name in names]
        return torch.stack(norms).nan_to_num(0.0, 0.0, 0.0)

    def recorded(self, losses: Tensor, weights: Tensor, history: History, /) -> None:  # noqa: ARG002
        """A step is over: go by what was measured in it from now on."""
        names, device = history.names, losses.device
        numbers, norms = self._known(names, device), self._norms(names, device)
        if norms is not None:
            if history.present is not None:  # a batch may be masked, which no host knows
                norms = torch.where(history.present, norms, NOT_MEASURED)
            numbers = self._moved(numbers, norms, losses, history)
        self._keep(names, numbers)
        self._last |= dict.fromkeys(self._measured, self._steps)
        self._complain()
        self._measured, self._at, self._steps = {}, None, self._steps + 1

    def given_up(self) -> None:
        """The step will not be recorded, so what was measured in it counts for nothing."""
        self._measured = {}

    @abstractmethod
    def _moved(self, old: Numbers, norms: Tensor, losses: Tensor, history: History) -> Numbers:
        """What is remembered of the losses [K] after a step in which `norms` were measured."""

    def _complain(self) -> None:
        """Warn once if the weights never move since no gradient is ever measured."""
        if self._misses is None or self._measured:
            self._misses = None
        elif all(last == _NEVER for last in self._last.values()):
            self._misses += 1
            if self._misses == _PATIENCE:
                warn_user(
                    f"{type(self).__name__} measured no gradient in {_PATIENCE} steps, so all"
                    " losses weigh 1: call weigh or update with losses that have one, outside of"
                    " torch.compile"
                )

    # Over the ranks.

    def to_average(self, names: tuple[str, ...], device: torch.device) -> Tensor:
        """What to take the mean of over ranks, [2, K]: the norms, and how many there are."""
        norms = self._norms(names, device)
        if norms is None:
            return torch.zeros(2, len(names), dtype=widest(device), device=device)
        return torch.stack([norms.clamp_min(0), (norms != NOT_MEASURED).to(norms)])

    def averaged(self, names: tuple[str, ...], means: Tensor) -> None:
        """Take over the means of all ranks, [2, K], so that all remember the same.

        On an accelerator a loss that was due counts as measured, since nobody looks whether it was.
        """
        norms, share = means
        values = torch.where(share > 0, norms / share, NOT_MEASURED).unbind()
        was_measured = (share > 0).tolist() if means.is_cpu else [True] * len(names)
        self._measured = {
            name: value
            for name, value, it in zip(names, values, was_measured, strict=True)
            if it and self._is_due(name)
        }

    # What survives a restart.

    def expect(self, names: tuple[str, ...]) -> None:
        """These losses will come."""
        super().expect(names)
        self._last = dict.fromkeys(names, _NEVER) | self._last

    def forget(self) -> None:
        """Be as new, since the group forgets its losses."""
        super().forget()
        self._steps, self._last, self._measured = 0, {}, {}

    def state_dict(self) -> dict[str, Any]:
        """What it remembers of each loss, and when each was measured."""
        measured = {"steps": self._steps, "measured_at": dict(self._last)}
        return {"of_losses": super().state_dict(), "of_norms": measured}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`, with the same numbers bit for bit.

        Raises:
            ValueError: If it is the state of something else; nothing has changed.
            TypeError: If it is no mapping.
        """
        measured = checked_kind(state, Mapping, "state").get("of_norms")
        is_ours = set(state) == {"of_losses", "of_norms"} and isinstance(measured, Mapping)
        if not is_ours or set(measured) != {"steps", "measured_at"}:
            msg = f"the state must be that of a {type(self).__name__}, got {state!r:.200}"
            raise ValueError(msg)
        steps, last = measured["steps"], dict(measured["measured_at"])
        super().load_state_dict(state["of_losses"])
        self._steps, self._last = steps, last
        self._measured, self._at = {}, None
