"""The arrays of NumPy, PyTorch, JAX and TensorFlow, where their operators are not enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

Array = Any
"""An array or tensor of one of the libraries, or what stands for one while it is traced."""


class Arrays(NamedTuple):
    """What the arithmetic takes from an array library beside the operators."""

    float32: Any
    int32: Any
    where: Callable[..., Array]
    zeros_like: Callable[[Array], Array]
    sum: Callable[[Array], Array]
    max: Callable[[Array], Array]
    sqrt: Callable[[Array], Array]
    exp: Callable[[Array], Array]
    log: Callable[[Array], Array]
    log1p: Callable[[Array], Array]
    cast: Callable[[Array, Any], Array]
    stop_gradient: Callable[[Array], Array]


def arrays_of(array: Array) -> Arrays:
    """The functions of the library that `array` comes from.

    Raises:
        TypeError: If it is no array of numpy, torch, jax or tensorflow.
    """
    for kind in type(array).__mro__:
        library = kind.__module__.partition(".")[0]
        if library in _LIBRARIES:
            return _LIBRARIES[library]()
    msg = (
        "losses must be one array [K] of numpy, torch, jax or tensorflow, e.g."
        f" jnp.stack(losses), got {type(array).__name__}"
    )
    raise TypeError(msg)


def _jax() -> Arrays:
    import jax

    return _like_numpy(jax.numpy, jax.lax.stop_gradient)


def _like_numpy(xp: ModuleType, stop_gradient: Callable[[Array], Array]) -> Arrays:
    return Arrays(
        float32=xp.float32,
        int32=xp.int32,
        where=xp.where,
        zeros_like=xp.zeros_like,
        sum=xp.sum,
        max=xp.max,
        sqrt=xp.sqrt,
        exp=xp.exp,
        log=xp.log,
        log1p=xp.log1p,
        cast=lambda array, dtype: array.astype(dtype),
        stop_gradient=stop_gradient,
    )


def _tensorflow() -> Arrays:
    import tensorflow as tf

    # By itself it takes a Python number for a float32, and so does tf.cast.
    def where(condition: Array, one: Array, other: Array) -> Array:
        dtype = one.dtype if hasattr(one, "dtype") else other.dtype
        pair = (tf.convert_to_tensor(value, dtype) for value in (one, other))
        return tf.where(condition, *pair)

    return Arrays(
        float32=tf.float32,
        int32=tf.int32,
        where=where,
        zeros_like=tf.zeros_like,
        sum=tf.reduce_sum,
        max=tf.reduce_max,
        sqrt=tf.sqrt,
        exp=tf.exp,
        log=tf.math.log,
        log1p=tf.math.log1p,
        cast=tf.cast,
        stop_gradient=tf.stop_gradient,
    )


# Made once: a step asks for them several times.
_NUMPY = _like_numpy(np, lambda array: array)
_TORCH = _like_numpy(torch, torch.Tensor.detach)._replace(cast=lambda array, dtype: array.to(dtype))
_LIBRARIES: dict[str, Callable[[], Arrays]] = {
    "numpy": lambda: _NUMPY,
    "torch": lambda: _TORCH,
    "jax": _jax,
    "jaxlib": _jax,
    "tensorflow": _tensorflow,
}
