"""Tensors of several steps, packed into one for each device and on their way to the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from multi_loss_weighting.tensors._grad_mode import without_grad
from multi_loss_weighting.tensors._sent import Sent
from multi_loss_weighting.tensors._widest import widest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


class Transfer:
    """Sends tensors to the host, where the device allows while it goes on working.

    Args:
        steps: The tensors of each step.
    """

    def __init__(self, steps: Sequence[Sequence[Tensor]]) -> None:
        self._steps = steps
        self._kinds: dict[torch.device, dict[Any, list[Tensor]]] = {}
        for tensors in steps:
            for tensor in tensors:
                kinds = self._kinds.setdefault(tensor.device, {})
                kinds.setdefault(_kind(tensor), []).append(tensor)
        self._sent = {device: Sent(_packed(own, device)) for device, own in self._kinds.items()}

    def has_arrived(self) -> bool:
        """Whether `open` would not wait."""
        return all(sent.has_arrived() for sent in self._sent.values())

    def open(self) -> list[list[list[float]]]:
        """The values of the tensors of each step."""
        values = {device: self._values(device) for device in self._kinds}
        return [
            [next(values[tensor.device][_kind(tensor)]) for tensor in tensors]
            for tensors in self._steps
        ]

    def _values(self, device: torch.device) -> dict[Any, Iterator[list[float]]]:
        kinds, packed = self._kinds[device], self._sent[device].read()
        parts = torch.split(packed, [len(same) * same[0].numel() for same in kinds.values()])
        return {
            kind: iter(part.reshape(len(same), -1).tolist())
            for (kind, same), part in zip(kinds.items(), parts, strict=True)
        }


def _kind(tensor: Tensor) -> tuple[torch.dtype, torch.Size]:
    return tensor.dtype, tensor.shape


def _flat(tensors: list[Tensor], device: torch.device) -> Tensor:
    return torch.stack(tensors).reshape(-1).to(widest(device))


@without_grad
def _packed(kinds: dict[Any, list[Tensor]], device: torch.device) -> Tensor:
    return torch.cat([_flat(same, device) for same in kinds.values()])
