"""What all ranks of a process group do at once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, distributed

if TYPE_CHECKING:
    from collections.abc import Callable

    ProcessGroup = distributed.ProcessGroup | Literal["default"] | None


class Collectives:
    """The ranks of a process group, and what they do together.

    Args:
        process_group: The ranks; "default" for all of them once `torch.distributed` is initialised,
            None for each by itself.
    """

    def __init__(self, process_group: ProcessGroup) -> None:
        self.process_group = process_group

    # Asked for at each step, and answered once: torch takes half a microsecond to say so.
    @cached_property
    def are_many(self) -> bool:
        """Whether there are ranks to take a mean over."""
        return self.process_group is not None and _is_initialized() and self.size > 1

    @cached_property
    def is_first(self) -> bool:
        """Whether this is the first of them, or there is no other."""
        return not _is_initialized() or distributed.get_rank(self._ours) == 0

    @cached_property
    def size(self) -> int:
        """How many there are."""
        return distributed.get_world_size(self._ours)

    def sum(self, packed: Tensor) -> Tensor:
        """The sum of a vector over the ranks, the same to the last bit on each of them.

        A backend that knows no CPU gets it on the current accelerator.

        Raises:
            RuntimeError: If a rank did not come: each has to record each step.
        """
        device = packed.device
        if device.type == "cpu" and not self._takes_cpu:
            packed = packed.to(torch.accelerator.current_accelerator())
        self._together(distributed.all_reduce, packed)
        return packed.to(device)

    def gather(self, told: Any, device: torch.device) -> list[Any]:
        """What each rank tells. It takes a while, and reads back: not for each step.

        Args:
            told: What this one does; it is pickled.
            device: Where its losses are. Without it all ranks of a host might use the first GPU.

        Raises:
            RuntimeError: If a rank did not come.
        """
        everything: list[Any] = [None] * self.size
        with torch.cuda.device(device if device.type == "cuda" else -1):
            self._together(distributed.all_gather_object, everything, told)
        return everything

    def _together(self, collective: Callable[..., Any], *values: Any) -> None:
        try:
            collective(*values, group=self._ours)
        except RuntimeError as error:
            msg = (
                "the mean of the losses over the ranks needs each rank to record each step, in the"
                " same order, and one did not: pass process_group=None to what one rank records"
                f" alone ({error})"
            )
            raise RuntimeError(msg) from error

    @property
    def _ours(self) -> Any:
        return None if self.process_group == "default" else self.process_group

    @cached_property
    def _takes_cpu(self) -> bool:
        return "cpu" in str(distributed.get_backend_config(self._ours))


def _is_initialized() -> bool:
    return distributed.is_available() and distributed.is_initialized()
