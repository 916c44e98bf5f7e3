"""Warn at the line of the user's code."""

from __future__ import annotations

import sys
import warnings

_INSIDE = (
    "multi_loss_weighting",
    "torch",
    "accelerate",
    "ignite",
    "lightning",
    "pytorch_lightning",
    "transformers",
    "huggingface_hub",
    "safetensors",
)


def warn_user(message: str) -> None:
    """A RuntimeWarning at the first line outside of this package and the frameworks it runs in."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, RuntimeWarning, stacklevel=level)


def warned(message: str) -> list[str]:
    """Warn the user; where warnings are errors, the message, for an error when all is done."""
    try:
        warn_user(message)
    except RuntimeWarning:
        return [message]
    return []
