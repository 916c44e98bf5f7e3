"""What a weighting is."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from multi_loss_weighting.statistics._history import History


class Weighted(NamedTuple):
    """The objective of a step, a 0-d tensor, and the weights [K] that made it.

    On an accelerator the weights are read back later: no tensor that changes in place meanwhile.
    """

    total: Tensor
    weights: Tensor | NDArray[np.float64]


class Weighting(Protocol):
    """Turns the losses of a step into one objective.

    Where there is more to it, a weighting has more: learned weights make it an `nn.Module`, and
    what must survive a restart goes through its `state_dict` and `load_state_dict`. What else a
    `LossGroup` looks for: `ratio_settings`, a `RatioSettings`, says how the loss ratios of the
    history are kept; `hyperparams()` returns the settings that loggers record; `recorded()` is
    called once a step is over, so that a method can learn from what it was shown last; and
    `check_state(state)` looks at its extra state before anything is loaded.
    """

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The objective for `losses`, a tensor [K] in the order of `history.names`.

        It changes nothing: the same losses and history give the same objective. On an accelerator
        the vectors of the history are tensors there; weights that are numpy all the same say that
        the objective is the weighted sum. Compiled code asks
        for the weights alone and shows it zeros for losses, unless it is an `nn.Module`, which is
        compiled itself.
        """
        ...


_NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}


def weighted_sum(losses: Tensor, weights: Tensor | NDArray[np.float64]) -> Weighted:
    """The sum of `losses` [K] times `weights` [K] that are known before.

    >>> weighted_sum(torch.tensor([1.0, 2.0]), np.array([0.5, 0.25])).total
    tensor(1.)
    """
    if isinstance(weights, Tensor):
        return Weighted(losses.dot(weights.to(losses.dtype)), weights)
    # Rounding in numpy costs a fifth of what a conversion between tensors does.
    numpy_type = _NUMPY_TYPES.get(losses.dtype)
    if losses.is_cpu and numpy_type is not None:
        constant = torch.from_numpy(weights.astype(numpy_type))
    else:
        constant = _on_device(
            np.asarray(weights, np.float64).tobytes(), losses.dtype, losses.device
        )
    return Weighted(losses.dot(constant), weights)


@lru_cache(maxsize=64)
def _on_device(weights: bytes, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights on the device of the losses, sent again only when they change."""
    # Made in inference mode, it could not be used in training.
    with torch.inference_mode(False):
        values = torch.frombuffer(bytearray(weights), dtype=torch.float64)
        return values.to(dtype).to(device, non_blocking=True)


def checked_weighting(weighting: Any) -> Weighting:
    """`weighting` itself, if it can weigh.

    Raises:
        TypeError: If it is a class, or has no method `weigh`.
    """
    if isinstance(weighting, type) or not callable(getattr(weighting, "weigh", None)):
        kind = f"the class {weighting.__name__}" if isinstance(weighting, type) else repr(weighting)
        msg = f"a weighting is an object with weigh(losses, history); got {kind}"
        raise TypeError(msg)
    checked: Weighting = weighting
    return checked


def checked_weighted(
    result: Any, weighting: object, names: Sequence[str], *, is_finite: bool
) -> Weighted:
    """What `weighting` made of the losses `names`, if it is an objective and a weight for each.

    Args:
        result: What it returned. Weights that are a plain sequence become a vector.
        weighting: The weighting.
        names: The losses.
        is_finite: Whether the weights have to be, since the losses are. That takes a look at them.

    Raises:
        TypeError: If it is no `Weighted` of a tensor and of numbers.
        ValueError: If the total has more than one element, or there is not one weight for each
            loss, or one that is not finite.
    """
    if type(result) is Weighted and _fits(*result, len(names), is_finite):
        return result
    method = type(weighting).__name__
    if not isinstance(result, Weighted):
        msg = f"{method}.weigh returns Weighted(total, weights); got a {type(result).__name__}"
        raise TypeError(msg)
    total = _checked_total(result.total, method)
    weights = _vector(result.weights, method)
    if weights.shape != (len(names),):
        needed = f"{method} gives a weight to each of the losses {', '.join(names)}"
        msg = f"{needed}, a vector [{len(names)}]; got the shape {tuple(weights.shape)}"
        raise ValueError(msg)
    if is_finite and not math.isfinite(sum(weights.tolist())):
        by_name = dict(zip(names, weights.tolist(), strict=True))
        msg = f"the weights that {method} gives to finite losses are finite; got {by_name}"
        raise ValueError(msg)
    return Weighted(total, weights)


def _fits(total: Any, weights: Any, count: int, is_finite: bool) -> bool:
    """The usual case, fast."""
    try:
        return (
            weights.shape == (count,)
            and total.numel() == 1
            and (not is_finite or math.isfinite(sum(weights.tolist())))
        )
    except (AttributeError, TypeError):
        return False


def _checked_total(total: Any, method: str) -> Tensor:
    if not isinstance(total, Tensor):
        msg = f"the total of {method} is a tensor; got {total!r}"
        raise TypeError(msg)
    if total.numel() != 1:
        msg = f"the total of {method} has one element; got the shape {tuple(total.shape)}"
        raise ValueError(msg)
    return total


def _vector(weights: Any, method: str) -> Tensor | NDArray[np.float64]:
    if isinstance(weights, Tensor):
        return weights
    try:
        return np.asarray(weights, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"the weights of {method} are a tensor or an array of numbers; got {weights!r}"
        raise TypeError(msg) from error


def settings_of(weighting: Any) -> dict[str, Any]:
    """The method and its settings, as loggers record them."""
    hyperparams = getattr(weighting, "hyperparams", dict)
    return {"method": type(weighting).__name__, **hyperparams()}
