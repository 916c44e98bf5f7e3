"""Trackers and groups read the scalars of JAX, TensorFlow and Keras."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf

from multi_loss_weighting import CoVWeighting, LossGroup, LossTracker

if TYPE_CHECKING:
    from collections.abc import Callable

SCALARS: dict[str, Callable[[Any], Any]] = {
    "jax": jnp.float32,
    "jax bfloat16": jnp.bfloat16,
    "jax [1]": lambda value: jnp.full(1, value),
    "tensorflow": tf.constant,
    "tensorflow bfloat16": lambda value: tf.constant(value, tf.bfloat16),
    "tensorflow float16": lambda value: tf.constant(value, tf.float16),
    "tensorflow [1]": lambda value: tf.fill([1], value),
    "tensorflow variable": tf.Variable,
    "keras": keras.ops.convert_to_tensor,
    "keras variable": keras.Variable,
    "numpy": np.float32,
    "numpy bfloat16": lambda value: np.asarray(jnp.bfloat16(value))[()],
}


@pytest.mark.parametrize("make", SCALARS.values(), ids=SCALARS)
def test_a_tracker_reads_a_number_and_gives_back_what_came(make: Callable[[Any], Any]) -> None:
    tracker = LossTracker("G", weight=0.5)

    weighted = [tracker.update(make(value), do_backwards=False) for value in (1.5, 2.5)]

    assert (tracker.value, tracker.mean) == (2.5, 2.0)
    assert type(tracker.value) is float
    assert float(np.ravel(np.asarray(weighted[-1], np.float32))[0]) == 1.25


@pytest.mark.parametrize("make", SCALARS.values(), ids=SCALARS)
def test_a_group_gives_weights_as_numbers(make: Callable[[Any], Any]) -> None:
    group = LossGroup(["calm", "wild"], weighting=CoVWeighting())
    plain = LossGroup(["calm", "wild"], weighting=CoVWeighting())
    for step in range(6):
        losses = {"calm": 1 + 0.125 * (step % 2), "wild": 1.0 + step % 3}
        group.update({name: make(loss) for name, loss in losses.items()}, do_backwards=False)
        plain.update(losses, do_backwards=False)

    assert group.weights == plain.weights
    assert group.next_weights() == plain.next_weights()
    assert all(type(weight) is float for weight in group.weights.values())


@pytest.mark.parametrize("make", [jnp.float32, tf.constant])
def test_a_loss_that_is_not_finite_is_counted(make: Callable[[Any], Any]) -> None:
    tracker = LossTracker("G")

    with pytest.warns(RuntimeWarning, match="loss 'G' is nan at step 0"):
        assert tracker.update(make(math.nan), do_backwards=False) == 0

    assert (tracker.nonfinite, tracker.count) == (1, 0)


@pytest.mark.parametrize("loss", [jnp.ones(2), tf.ones(2), tf.ones((3, 1))])
def test_a_loss_for_each_sample_is_an_error(loss: Any) -> None:
    with pytest.raises(
        ValueError, match=r"call \.mean\(\) or \.sum\(\) on it first, got the shape"
    ):
        LossTracker("G").update(loss, do_backwards=False)


@pytest.mark.parametrize("loss", [tf.constant("1.5"), tf.constant(1j), jnp.complex64(1)])
def test_what_is_no_number_is_an_error(loss: Any) -> None:
    with pytest.raises(TypeError, match="loss 'G' must be a number, a numpy scalar or a tensor"):
        LossTracker("G").update(loss, do_backwards=False)


@pytest.mark.parametrize("compile_", [jax.jit, tf.function])
def test_the_error_inside_compiled_code_says_where_to_go(compile_: Callable[..., Any]) -> None:
    tracker, group = LossTracker("G"), LossGroup(["G"])

    for update in (
        lambda loss: tracker.update(loss, do_backwards=False),
        lambda loss: group.update({"G": loss}, do_backwards=False),
    ):
        with pytest.raises(TypeError, match=r"loss 'G' has no value yet while .*functional"):
            compile_(update)(np.float32(1.0))

    assert tracker.step == group.step == 0


@pytest.mark.parametrize("make", [jnp.float32, tf.constant])
def test_backward_is_called_on_pytorch_alone(make: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="pass do_backwards=False"):
        LossTracker("G").update(make(1.0))
    with pytest.raises(ValueError, match="pass do_backwards=False"):
        LossGroup(["G"]).update({"G": make(1.0)})
