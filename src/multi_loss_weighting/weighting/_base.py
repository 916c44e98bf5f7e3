"""What a weighting is."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loss_loggers.arguments import checked, checked_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multi_loss_weighting.statistics._history import History


Weights = Tensor | NDArray[np.float64] | list[float]


class Weighted(NamedTuple):
    """The objective of a step, a 0-d tensor, and the weights [K] that made it.

    On an accelerator the weights are read back later, so do not change that tensor in place.
    """

    total: Tensor
    weights: Weights


class Weighting(Protocol):
    """Turns the losses of a step into one objective.

    One that learns is an `nn.Module`. What else a `LossGroup` uses where a weighting has it:

    - `recorded(losses, weights, history)` is called once a step, when it is over, with the losses
      [K] and the weights [K] that training used, detached, so that a method can remember them; no
      more once `knows_enough` is true.
    - `state_dict()` and `load_state_dict(state)` have what must survive a restart: numbers, text,
      tensors, and lists and dicts of them.
    - `expect(names)` is called before `state_dict()`: have a place for each of these losses, so
      that the state of given losses has one size from the start.
    - `forget()` is called when the group forgets its losses.
    - `given_up()` is called instead when what was weighed counts for nothing: the backward raised,
      the step was forgotten or was of no sample, a state was loaded or another weighting set.
    - `num_losses` is the number of losses that it is made for.
    - `hyperparams()` returns the settings that loggers record.
    - `ratio_settings`, a `RatioSettings`, says how the loss ratios of the history are kept.
    - `to_average(names, device)` returns numbers [m, K] of this step of which `averaged(names,
      means)` gets the means over the ranks, before `recorded`. It is asked only where there are
      ranks; m is always the same.
    """

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The objective for `losses`, a tensor [K] in the order of `history.names`.

        Each call is one answer: `record` does not ask again. On an accelerator the vectors of the
        history are tensors there; weights may be plain numbers all the same. Compiled code asks for
        the weights alone, with losses that have no gradient; an `nn.Module` is compiled itself.
        """
        ...


_CODES = {torch.float32: "f", torch.float64: "d"}


def weighted_sum(losses: Tensor, weights: Weights) -> Weighted:
    """The sum of `losses` [K] times `weights` [K] that are known before.

    >>> weighted_sum(torch.tensor([1.0, 2.0]), np.array([0.5, 0.25])).total
    tensor(1.)
    """
    if isinstance(weights, Tensor):
        return Weighted(losses.dot(weights.to(losses.dtype)), weights)
    code = _CODES.get(losses.dtype)
    if code is not None and losses.is_cpu:  # a third of the time that `torch.tensor` takes
        constant = torch.frombuffer(array(code, weights), dtype=losses.dtype)
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


def checked_sum(sum_to: Any) -> Any:
    """What weights sum to, 1 or "K", the number of losses.

    Raises:
        ValueError: If it is neither.
    """
    return checked(sum_to, (1, "K").__contains__, "sum_to", '1 or "K"')


def checked_weighting(weighting: Any) -> Weighting:
    """`weighting` itself, if it can weigh.

    Raises:
        TypeError: If it is a class, or has no method `weigh`.
    """
    if isinstance(weighting, type) or not callable(getattr(weighting, "weigh", None)):
        kind = f"the class {weighting.__name__}" if isinstance(weighting, type) else repr(weighting)
        msg = f"weighting must be an object with weigh(losses, history), got {kind}"
        raise TypeError(msg)
    checked: Weighting = weighting
    return checked


def checked_weighted(
    result: Any, weighting: object, names: Sequence[str], *, is_finite: bool
) -> Weighted:
    """What `weighting` made of the losses `names`, if it is an objective and a weight for each.

    Args:
        result: What it returned. Weights that are a plain sequence become a vector, and those that
            were looked at a list.
        weighting: The weighting.
        names: The losses.
        is_finite: Whether the weights have to be, since the losses are. That takes a look at them.

    Raises:
        TypeError: If it is no `Weighted` of a tensor and of numbers.
        ValueError: If the total has more than one element, or there is not one weight for each
            loss, or one that is not finite.
    """
    try:  # the usual case, fast
        if type(result) is Weighted and result[0].numel() == 1:
            own = result[1]
            if len(own) == len(names) and (isinstance(own, list) or own.ndim == 1):
                if isinstance(own, list):
                    plain = own
                elif is_finite:
                    plain = own.tolist()
                else:  # no look at what may be on an accelerator
                    return result
                whole = sum(plain)
                # One tensor among the numbers would keep its graph alive in the record.
                if isinstance(whole, (float, int)) and (math.isfinite(whole) or not is_finite):
                    return result if plain is own else Weighted(result[0], plain)
    except (AttributeError, TypeError):
        pass  # what is wrong with it is said below
    method = type(weighting).__name__
    if not isinstance(result, Weighted):
        msg = f"{method}.weigh must return Weighted(total, weights), got {type(result).__name__}"
        raise TypeError(msg)
    total: Tensor = checked_kind(result.total, Tensor, f"the total of {method}")
    if total.numel() != 1:
        msg = f"the total of {method} must have one element, got the shape {tuple(total.shape)}"
        raise ValueError(msg)
    weights = _vector(result.weights, method)
    if weights.shape != (len(names),):
        needed = f"{method} must give a weight to each of the losses {', '.join(names)}"
        msg = f"{needed}, a vector [{len(names)}], got the shape {tuple(weights.shape)}"
        raise ValueError(msg)
    if is_finite and not math.isfinite(sum(weights.tolist())):
        by_name = dict(zip(names, weights.tolist(), strict=True))
        msg = f"the weights that {method} gives to finite losses must be finite, got {by_name}"
        raise ValueError(msg)
    return Weighted(total, weights)


def _vector(weights: Any, method: str) -> Tensor | NDArray[np.float64]:
    if isinstance(weights, Tensor):
        return weights
    try:
        if isinstance(weights, (list, tuple)):
            weights = [one.item() if isinstance(one, Tensor) else one for one in weights]
        return np.asarray(weights, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"the weights of {method} must be a tensor or an array of numbers, got {weights!r}"
        raise TypeError(msg) from error


class Tunable:
    """A weighting whose settings are attributes, called as the arguments that it was made with."""

    _settings: tuple[str, ...]

    def hyperparams(self) -> dict[str, Any]:
        """The settings, as loggers record them."""
        return {name: getattr(self, name) for name in self._settings}


def settings_of(weighting: Any) -> dict[str, Any]:
    """The method and its settings, as loggers record them."""
    hyperparams = getattr(weighting, "hyperparams", dict)
    return {"method": type(weighting).__name__, **hyperparams()}
