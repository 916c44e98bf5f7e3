"""A tensor on its way from a device to the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Sent:
    """A copy of a tensor on the host, made where CUDA allows while the device goes on working."""

    def __init__(self, tensor: Tensor) -> None:
        self._event = None
        if not tensor.is_cuda:
            self._copy = tensor.cpu()
        else:
            self._copy = tensor.to("cpu", non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(tensor.device))

    def has_arrived(self) -> bool:
        """Whether `read` would not wait."""
        return self._event is None or self._event.query()  # type: ignore[no-untyped-call]

    def read(self) -> Tensor:
        """The copy, once it is whole."""
        if self._event is not None:
            self._event.synchronize()
        return self._copy
