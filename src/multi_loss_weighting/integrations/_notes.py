"""What a group was called with since its last row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from multi_loss_weighting import LossGroup


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
        self._calls: list[tuple[Mapping[str, Any], int]] = []
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
        *earlier, (losses, samples) = calls
        for other, count in earlier:
            self.group.accumulate(other, samples=count)
        self.group.record(losses, step=step, samples=samples)
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
