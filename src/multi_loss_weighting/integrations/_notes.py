"""What a group was called with since its last row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from multi_loss_weighting import LossGroup

    Losses = Mapping[str, Any]


class Notes:
    """Notes the losses of each call `total = group(losses)`, and records their mean as one step.

    `group.weigh` is the same without a note. Nothing is read from the device until `record`.

    Args:
        group: The group to listen to, until `stop`.
        samples: Asked at each call how much it counts in the mean, e.g. the size of the batch; 0
            for a call that is not noted. None for 1.

    >>> from multi_loss_weighting import LossGroup
    >>> group = LossGroup(["recon", "kl"])
    >>> notes = Notes(group)
    >>> for recon in (1.0, 3.0):
    ...     total = group({"recon": recon, "kl": 0.5})
    >>> notes.record(step=0)
    True
    >>> group["recon"].value, group["recon"].count
    (2.0, 1)
    """

    def __init__(self, group: LossGroup, samples: Callable[[], int] | None = None) -> None:
        self.group = group
        self._samples = samples
        self._calls: list[tuple[Losses, int]] = []
        self._hook = group.register_forward_hook(self._note, with_kwargs=True)

    # A copy of the group, such as a moving average of the model, is not listened to.

    def __deepcopy__(self, memo: dict[int, object]) -> Notes:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"group": None}

    def record(self, step: int) -> bool:
        """Record the mean of what was noted as one step; False if that is nothing."""
        if not self._calls:
            return False
        calls, self._calls = self._calls, []
        self.group.record(calls[0][0] if len(calls) == 1 else _means(calls), step=step)
        return True

    def clear(self) -> None:
        """Forget what was noted."""
        self._calls = []

    def stop(self) -> None:
        """Listen no longer."""
        self._hook.remove()

    def _note(
        self, group: LossGroup, args: tuple[Any, ...], kwargs: dict[str, Any], _: Tensor
    ) -> None:
        if group is not self.group:
            return
        samples = 1 if self._samples is None else self._samples()
        if samples:
            (losses,) = (*args, *kwargs.values())
            self._calls.append(({name: _detached(losses[name]) for name in losses}, samples))


def _detached(loss: Any) -> Any:
    return loss.detach() if isinstance(loss, Tensor) else loss


def _means(calls: Sequence[tuple[Losses, int]]) -> dict[str, Any]:
    """The mean of each loss over the calls that had it."""
    names = {name: None for losses, _ in calls for name in losses}
    return {name: _mean([(one[name], n) for one, n in calls if name in one]) for name in names}


def _mean(values: Sequence[tuple[Any, int]]) -> Any:
    total = sum(_wide(value) * samples for value, samples in values)
    return total / sum(samples for _, samples in values)


def _wide(loss: Any) -> Any:
    """In float32 at least: a sum in bfloat16 has three digits."""
    if not isinstance(loss, Tensor):
        return loss
    return loss.to(torch.promote_types(loss.dtype, torch.float32))
