"""A compiled step of the array form is one of the scalar form, within 4 units in the last place."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from multi_loss_weighting import RatioSettings
from multi_loss_weighting.functional import State, cov_weighting

from .streams import COUNT, STREAMS, Stream, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = 1e-290
"""Compilers take for 0 what is subnormal."""

# Each is compiled, which takes longer than all that follows.
SETTINGS = [
    RatioSettings(spike=4.0, patience=2),
    RatioSettings(decay=0.8, spike=4.0, patience=1),
]
INEXACT = 4 * np.finfo(np.float64).eps
LIBRARIES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "jax": (jnp.asarray, jax.jit),
    "tensorflow": (tf.constant, tf.function),
}


@cache
def compiled(library: str, ratio: RatioSettings) -> tuple[Any, Any]:
    """The same weighting, as numpy takes it and as the library compiled it."""
    decay, spike, patience = ratio.decay, ratio.spike, ratio.patience
    cov = cov_weighting(decay=decay, spike=spike, patience=patience)
    return cov, LIBRARIES[library][1](cov.update)


def moved(as_array: Callable[[Any], Any], state: Any) -> Any:
    """The state of another library."""
    return State(*(type(part)(*map(as_array, part)) for part in state))


@pytest.mark.parametrize("library", LIBRARIES)
@settings(max_examples=50)
@given(STREAMS, st.sampled_from(SETTINGS))
def test_each_step_is_that_of_numpy(library: str, stream: Stream, ratio: RatioSettings) -> None:
    cov, update = compiled(library, ratio)
    as_array, _ = LIBRARIES[library]
    state = cov.init(np.zeros(COUNT))

    for step in steps_of(stream, ratio):
        losses = np.where(np.abs(step.values) < TINY, 0.0, step.values)
        with np.errstate(over="ignore"):
            expected, its_weights = cov.update(state, losses)
        with jax.enable_x64(True):
            ours, weights = update(moved(as_array, state), as_array(losses))

            np.testing.assert_allclose(np.asarray(weights), its_weights, rtol=INEXACT)
            for one, other, before in zip(ours, expected, state, strict=True):
                for field, its_field, old in zip(one, other, before, strict=True):
                    assert_close(np.asarray(field), its_field, old)
        state = expected


def assert_close(ours: Any, theirs: Any, before: Any) -> None:
    """Beside the larger of the numbers that were added up: they may cancel each other."""
    size = np.fmax(np.abs(before), np.abs(theirs)) + TINY
    with np.errstate(invalid="ignore"):
        is_close = np.abs(ours - theirs) <= INEXACT * size
    assert (is_close | (ours == theirs)).all(), f"{ours} {theirs}"
