"""Learned weights on their way through a collective, by the names of their losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multi_loss_weighting.weighting._learned import LearnedWeighting

from ._names import completed

if TYPE_CHECKING:
    from collections.abc import Iterator


class LearnedWeights:
    """The learned weights that are whole on each rank; sharded ones are in step by themselves.

    Where there is one per loss, it is packed and written back in the order of the names that the
    ranks agreed on.

    Args:
        weighting: The weighting; one that learns nothing has none.
    """

    def __init__(self, weighting: object) -> None:
        modules = [*weighting.modules()] if isinstance(weighting, nn.Module) else []
        owned = modules[0].parameters() if modules else ()
        self._parameters = [one for one in owned if one.requires_grad and type(one) is nn.Parameter]
        named = (one.params for one in modules if isinstance(one, LearnedWeighting))
        self._named = next(named, None)  # also in a wrapper

    @property
    def capacity(self) -> int | None:
        """How many losses there can be; None for any number."""
        return None if self._named is None else len(self._named)

    @property
    def is_positional(self) -> bool:
        """Whether there are some that have no names."""
        return any(one is not self._named for one in self._parameters)

    def packed(self, names: tuple[str, ...], agreed: tuple[str, ...]) -> list[Tensor]:
        """The gradient and the value of each.

        Args:
            names: The losses of this rank, in the order of its weights.
            agreed: Those of all ranks. What else there is stays here.
        """
        return [
            tensor.reshape(-1)[: len(agreed) if one is self._named else None]
            for one in self._parameters
            for tensor in self._ordered(one, names, agreed)
        ]

    def write_back(
        self, means: Iterator[Tensor], names: tuple[str, ...], agreed: tuple[str, ...]
    ) -> None:
        """Take over the means of what was packed. From now on the order is that of `agreed`."""
        for one in self._parameters:
            gradient, value = next(means), next(means)
            if len(gradient) < one.numel():
                kept = (tensor[len(agreed) :] for tensor in self._ordered(one, names, agreed))
                gradient, value = (
                    torch.cat([mean.to(rest), rest])
                    for mean, rest in zip((gradient, value), kept, strict=True)
                )
            one.grad = gradient.reshape(one.shape).to(one)
            one.data.copy_(value.reshape(one.shape))

    def _ordered(
        self, one: nn.Parameter, names: tuple[str, ...], agreed: tuple[str, ...]
    ) -> tuple[Tensor, Tensor]:
        """Its gradient and value; where there is one per loss, in the order of `agreed`."""
        value = one.data
        gradient = torch.zeros_like(value) if one.grad is None else one.grad.data
        if one is not self._named or names[: len(agreed)] == agreed:
            return gradient, value
        own = completed(names, agreed)
        order = [own.index(name) for name in completed(agreed, own)]
        places = torch.tensor([*order, *range(len(own), len(one))], device=one.device)
        return gradient[places], value[places]
