"""Read the number out of a loss, and check the numbers that come beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

WIDE = frozenset((torch.float32, torch.float64))
# Nothing public tells a tensor inside of `torch.func` from a plain one.
is_transformed = torch._C._functorch.is_functorch_wrapped_tensor  # noqa: SLF001
_TRACED = ("Tracer", "SymbolicTensor")


def read(loss: Any, name: str, what: str = "loss") -> float:
    """The value of a loss: a Python number, a numpy scalar or an array of one element.

    The array may be PyTorch's, JAX's, TensorFlow's or Keras's, of any real dtype.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it has no or more than one element.
    """
    try:
        return float(loss.item() if isinstance(loss, torch.Tensor) else number(loss))
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise explained(loss, f"{what} {name!r}", error) from error


def number(loss: Any) -> float:
    """The value of what is no tensor of PyTorch's; any error says that there is none."""
    if hasattr(loss, "item"):
        loss = loss.item()
    elif hasattr(loss, "numpy"):  # TensorFlow's; a 0-d bfloat16 has no working __array__
        loss = np.asarray(loss.numpy()).item()
    if isinstance(loss, (str, bytes)) or not hasattr(loss, "__float__"):
        raise TypeError
    return float(loss)


def explained(loss: Any, label: str, error: Exception) -> Exception:
    """The error that says why `loss` is no number of a step."""
    if any(mark in type(loss).__name__ for mark in _TRACED):
        msg = (
            f"{label} has no value yet while jax.jit or tf.function traces it: return it and"
            " record it outside, or weigh inside with multi_loss_weighting.functional"
        )
        return TypeError(msg)
    shape = getattr(loss, "shape", None)
    if shape is not None and math.prod(shape) != 1:
        msg = (
            f"{label} must be one number for the whole batch: call .mean() or .sum() on it first,"
            f" got the shape {tuple(shape)}"
        )
        return ValueError(msg)
    kind = repr(type(loss))
    if isinstance(loss, torch.Tensor):
        kind = f"a tensor of {loss.dtype}, {loss.layout}"
    msg = f"{label} must be a number, a numpy scalar or a tensor of one element, got {kind}"
    return TypeError(f"{msg} ({error})" if str(error) else msg)


def read_metrics(extra: Any) -> dict[str, Any]:
    """Numbers of the user's own, as they go into a row.

    One on a device is not read yet, but copied: a learning rate there is changed in place.

    Raises:
        TypeError: If `extra` is no dict from name to number.
        ValueError: If a number has more than one element.
    """
    if not isinstance(extra, Mapping) or not all(isinstance(name, str) for name in extra):
        msg = f"extra must be a dict from name to number, got {extra!r}"
        raise TypeError(msg)
    return {
        name: value.detach().clone() if lives_elsewhere(value) else _exact(value, name)
        for name, value in extra.items()
    }


def _exact(value: Any, name: str) -> float:
    """A number of the user's own; a whole one for which a float is too short stays one."""
    number = read(value, name, "extra")
    if abs(number) < 2**53:
        return number
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, int) else number


def device_of(losses: Mapping[str, Any]) -> torch.device | None:
    """Where the losses are: the accelerator, if one is; None for plain numbers."""
    devices = [loss.device for loss in losses.values() if isinstance(loss, torch.Tensor)]
    return next((device for device in devices if device.type != "cpu"), None) or next(
        iter(devices), None
    )


def lives_elsewhere(loss: Any) -> bool:
    """Whether reading it would make the host wait."""
    return isinstance(loss, torch.Tensor) and not loss.is_cpu


def check_loss(loss: torch.Tensor, name: str, device: torch.device) -> None:
    """Raise unless it is one plain number on this device. That is seen without reading it.

    Raises:
        TypeError: If it is complex or sparse, one inside of `torch.func`, or spread over devices.
        ValueError: If it has no or more than one element, or is on another device.
    """
    if loss.numel() != 1 or loss.is_complex() or loss.layout != torch.strided:
        raise explained(loss, f"loss {name!r}", TypeError())
    if is_transformed(loss):
        msg = (
            f"loss {name!r} must be a number outside of torch.func (grad, vmap), got one inside:"
            " return it and record it outside, or weigh inside with multi_loss_weighting.functional"
        )
        raise TypeError(msg)
    if hasattr(loss, "full_tensor"):
        msg = f"loss {name!r} must be a plain tensor, got a DTensor: pass loss.full_tensor()"
        raise TypeError(msg)
    if loss.device != device:
        msg = f"the losses of a step must be on one device, {device}, got {name!r} on {loss.device}"
        raise ValueError(msg)


def checked_step(step: Any) -> int:
    """`step` as a plain int, if it counts something."""
    try:
        is_whole = not isinstance(step, (str, bytes)) and int(step) == step
    except (TypeError, ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        msg = f"step must be a whole number, got {step!r}"
        raise ValueError(msg)
    return int(step)


def checked_samples(samples: Any) -> Any:
    """`samples` as a plain number, if a loss can be the mean of so many; one on a device as it is.

    Raises:
        ValueError: If it is below 0, or no number.
    """
    if lives_elsewhere(samples):
        return samples.detach().reshape(())
    try:
        value = math.nan if isinstance(samples, (str, bytes)) else float(samples)
    except (TypeError, ValueError, RuntimeError):
        value = math.nan
    if not 0 <= value < math.inf:
        msg = f"samples must be a number, 0 or more, got {samples!r}"
        raise ValueError(msg)
    return value


def losses_by_name(losses: Any) -> Mapping[str, Any]:
    """The losses themselves, if each has a name."""
    if not isinstance(losses, Mapping):
        kind = type(losses).__name__
        msg = f'losses must be a dict from name to loss, {{"recon": recon, ...}}, got {kind}'
        raise TypeError(msg)
    return losses


def widened(loss: Any) -> Any:
    """A tensor in float32 or wider: half precision rounds weights, and sums of losses."""
    if isinstance(loss, torch.Tensor) and loss.dtype not in WIDE:
        return loss.float()
    return loss
