"""What a weighting as pure functions is, and its step."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from multi_loss_weighting.statistics._array_library import Array, arrays_of
from multi_loss_weighting.statistics._array_ratios import RatioStatistics, add_ratios, no_ratios
from multi_loss_weighting.statistics._arrays import (
    LossStatistics,
    add_losses,
    finite_or_zero,
    no_losses,
)
from multi_loss_weighting.statistics._settings import RatioSettings

if TYPE_CHECKING:
    from collections.abc import Callable


class State(NamedTuple):
    """All that is known of K losses: what `update` returns and takes again, and what to save.

    `losses` are the statistics of the losses themselves, e.g. `state.losses.mean`; `ratios` those
    of their ratios, by which CoV-Weighting weighs. Each field of both is an array [K].
    """

    losses: LossStatistics
    ratios: RatioStatistics


class PureWeighting(NamedTuple):
    """A weighting as three functions that change nothing and run under `jit`.

    Arrays are those of NumPy, PyTorch, JAX or TensorFlow, and come back as what went in. The
    state is a tuple of arrays (a pytree) of constant size: it goes through `jax.jit`,
    `jax.lax.scan`, `tf.function`, `tf.while_loop` and `torch.compile`, and into any checkpoint.
    It is kept in float64 if `init` was given such an array, else in float32.

    Attributes:
        init: From an array [K], of which only the kind counts, to the state before any loss.
        update: From a state and the losses [K] of a step to the next state and the weights [K]
            of this step, in the order that `jax.lax.scan` takes. The weights come from the steps
            before, so that `weights @ losses` is the objective and no gradient goes through
            them. A loss that is not finite enters no statistic, and is counted.
        weights: From a state to the weights [K] of the step to come.
    """

    init: Callable[[Array], State]
    update: Callable[[State, Array], tuple[State, Array]]
    weights: Callable[[State], Array]


def pure_weighting(
    weights: Callable[[State], Array], settings: RatioSettings | None = None
) -> PureWeighting:
    """The weighting whose weights are this function of the state."""
    return PureWeighting(_init, partial(_update, weights, settings or RatioSettings()), weights)


def _init(like: Array) -> State:
    """The state of K losses before the first, in the kind of `like` [K]."""
    xp = arrays_of(like)
    if len(like.shape) != 1 or like.shape[0] < 1:
        msg = f"init needs one array [K] for K losses, e.g. zeros(3), got the shape {_shape(like)}"
        raise ValueError(msg)
    dtype = like.dtype if "float64" in str(like.dtype) else xp.float32

    # Each is an array of its own, so that a jitted step may be given their memory.
    def zeros() -> Array:
        return xp.cast(xp.zeros_like(like), dtype)

    def counts() -> Array:
        return xp.cast(xp.zeros_like(like), xp.int32)

    return State(no_losses(zeros, counts), no_ratios(zeros, counts))


def _update(
    weigh: Callable[[State], Array], settings: RatioSettings, state: State, losses: Array
) -> tuple[State, Array]:
    """The state with the losses [K] of a step taken in, and the weights of this step."""
    xp = arrays_of(losses)
    if _shape(losses) != _shape(state.losses.mean):
        msg = f"losses must be one array {_shape(state.losses.mean)}, got {_shape(losses)}"
        raise ValueError(msg)
    weights = weigh(state)
    losses = xp.cast(xp.stop_gradient(losses), state.losses.mean.dtype)
    losses, is_finite = finite_or_zero(xp, losses)
    new = State(
        add_losses(xp, state.losses, losses, is_finite),
        add_ratios(xp, state.ratios, losses, is_finite, settings),
    )
    return new, weights


def _shape(array: Array) -> list[int]:
    return list(array.shape)
