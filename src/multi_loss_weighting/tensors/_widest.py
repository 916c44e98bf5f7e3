"""The most precise floating dtype that a device has."""

from __future__ import annotations

import torch


def widest(device: torch.device) -> torch.dtype:
    """The most precise floating dtype that a device has."""
    return torch.float32 if device.type == "mps" else torch.float64
