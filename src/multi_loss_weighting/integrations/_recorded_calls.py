"""The losses that a group was called with since its last row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from multi_loss_weighting import LossGroup


class RecordedCalls:
    """Keeps the losses of each call `total = group(losses)`, and records their mean as one step.

    `group.weigh` is the same without being kept. Nothing is read from the device until `record`.

    Args:
        group: The group to listen to, until `stop`.
        samples: Asked at each call how much it counts in the mean, e.g. the size of the batch; 0
            for a call that is not kept. None for 1.

    >>> from multi_loss_weighting import LossGroup
    >>> group = LossGroup(["recon", "kl"])
    >>> calls = RecordedCalls(group)
    >>> for recon in (1.0, 3.0):
    ...     total = group({"recon": recon, "kl": 0.5})
    >>> calls.record(step=0)
    True
    >>> group["recon"].value, group["recon"].count
    (2.0, 1)
    """

    def __init__(self, group: LossGroup, samples: Callable[[], int] | None = None) -> None:
        self.group = group
        self._samples = samples
        self._calls: list[tuple[Mapping[str, Any], int]] = []
        self._last_step: int | None = None
        self._hook = group.register_forward_hook(self._keep, with_kwargs=True)

    # A copy of the group, such as a moving average of the model, is not listened to.

    def __deepcopy__(self, memo: dict[int, object]) -> RecordedCalls:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"group": None}

    def record(self, step: int) -> bool:
        """Record the mean of the calls as one step; False if there were none."""
        if not self._calls:
            return False
        calls, self._calls = self._calls, []
        *earlier, (losses, samples) = calls
        for other, count in earlier:
            self.group.accumulate(other, samples=count)
        self.group.record(losses, step=step, samples=samples)
        self._last_step = step
        return True

    def end_epoch(self) -> None:
        """End an epoch of the group, at the last step of it that was recorded, if one was."""
        if self._last_step is not None:
            self.group.step = self._last_step + 1
            self.group.end_epoch()
        self._last_step = None

    def clear(self) -> None:
        """Forget the calls since the last step, e.g. those of a step that was given up."""
        self._calls = []
        self.group.forget_accumulated()

    def stop(self) -> None:
        """Listen no longer."""
        self._hook.remove()

    def _keep(
        self, group: LossGroup, args: tuple[Any, ...], kwargs: dict[str, Any], _: Tensor
    ) -> None:
        if group is not self.group:
            return
        samples = 1 if self._samples is None else self._samples()
        if samples:
            losses = args[0] if args else kwargs["losses"]
            self._calls.append(({name: _detached(losses[name]) for name in losses}, samples))


def _detached(loss: Any) -> Any:
    return loss.detach() if isinstance(loss, Tensor) else loss
