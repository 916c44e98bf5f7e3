"""The ranks of a distributed run that share one objective."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import distributed, nn

if TYPE_CHECKING:
    from torch import Tensor

    ProcessGroup = distributed.ProcessGroup | Literal["default"] | None


class Ranks:
    """Those that weigh alike, because they weigh by the mean over all of them.

    Args:
        process_group: The ranks; "default" for all of them once `torch.distributed` is initialised,
            None for each by itself.
        report_all: Whether each reports its rows, and not the first of them alone.
    """

    def __init__(self, process_group: ProcessGroup, *, report_all: bool) -> None:
        self._group = process_group
        self._report_all = report_all

    # Asked for at each step, and answered once: torch takes half a microsecond to say so.
    @cached_property
    def are_many(self) -> bool:
        """Whether there are ranks to take a mean over."""
        return self._group is not None and _is_initialized() and self._size() > 1

    @cached_property
    def is_reporter(self) -> bool:
        """Whether this rank reports rows."""
        return self._report_all or not _is_initialized() or distributed.get_rank(self._ours()) == 0

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy may come to life among other ranks."""
        group = self._group if self._group in ("default", None) else "default"
        return partial(Ranks, report_all=self._report_all), (group,)

    def share(self, sums: Tensor, weighting: object) -> Tensor:
        """The sums of a tally over the ranks.

        Learned weights ride along, so that one collective is enough: their gradients become those
        of the mean losses, and the weights, which are alike, stay so even where something moved
        them on one rank only.
        """
        learned = _parameters(weighting)
        parts = [sums, *(_gradient(one) for one in learned), *(one.data for one in learned)]
        packed = torch.cat([part.reshape(-1).to(sums) for part in parts])
        shared = iter(torch.split(self.sum(packed), [part.numel() for part in parts]))
        total = next(shared).reshape(sums.shape)
        for one in learned:
            one.grad = (next(shared) / self._size()).reshape(one.shape).to(one)
        for one in learned:
            one.data.copy_((next(shared) / self._size()).reshape(one.shape))
        return total

    def sum(self, packed: Tensor) -> Tensor:
        """The sum of a vector over the ranks, the same to the last bit on each of them.

        A backend that knows no CPU gets it on the current accelerator.

        Raises:
            RuntimeError: If a rank did not come: each has to record each step.
        """
        device = packed.device
        if device.type == "cpu" and not _takes_cpu(self._ours()):
            packed = packed.to(torch.accelerator.current_accelerator())
        try:
            distributed.all_reduce(packed, group=self._ours())
        except RuntimeError as error:
            msg = (
                "the mean of the losses over the ranks needs each rank to record each step, in the"
                " same order, and one did not: pass process_group=None to what one rank records"
                f" alone ({error})"
            )
            raise RuntimeError(msg) from error
        shared: Tensor = packed.to(device)
        return shared

    def _size(self) -> int:
        return distributed.get_world_size(self._ours())

    def _ours(self) -> Any:
        return None if self._group == "default" else self._group


def _parameters(weighting: object) -> list[nn.Parameter]:
    """The learned weights that are whole on each rank; sharded ones are in step by themselves."""
    if not isinstance(weighting, nn.Module):
        return []
    return [
        one for one in weighting.parameters() if one.requires_grad and type(one) is nn.Parameter
    ]


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _is_initialized() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _takes_cpu(group: Any) -> bool:
    backend = distributed.get_backend_config(group)
    return "cpu" in str(backend)
