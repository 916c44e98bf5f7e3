"""Tensors that change all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


class Twin:
    """Tensors, `now`, and others of the same shapes, `next`, in which the next step is prepared.

    Each lie in one piece of memory, so that one launch takes the step over. The addresses of `now`
    stay, since a CUDA graph may have recorded them. Larger dtypes come first, for their alignment.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._memory, self.now = _in_one_piece(tensors)
        self._prepared, self.next = _in_one_piece(tensors)

    def take_over(self) -> None:
        """Make what was prepared the present."""
        self._memory.copy_(self._prepared)


def _in_one_piece(tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    pieces = [tensor.contiguous().flatten().view(torch.uint8) for tensor in tensors]
    memory = torch.cat(pieces)
    parts = torch.split(memory, [len(piece) for piece in pieces])
    return memory, [
        part.view(tensor.dtype).view(tensor.shape)
        for part, tensor in zip(parts, tensors, strict=True)
    ]
