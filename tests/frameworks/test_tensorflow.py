"""The pure functions inside tf.function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from multi_loss_weighting.functional import (
    automatic_weighted_loss,
    cov_weighting,
    static_weighting,
    uncertainty_weighted_loss,
)

from .troubled import SETTINGS, fed, troubled_losses


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance", "jit_compile"),
    [(tf.float64, 1e-10, False), (tf.float32, 1e-5, False), (tf.float32, 1e-5, True)],
)
def test_a_loop_in_a_graph_gives_the_weights_of_the_scalar_form(
    dtype: Any, tolerance: float, jit_compile: bool, settings: dict[str, Any]
) -> None:
    losses = troubled_losses(300, dtype.as_numpy_dtype)
    expected, history = fed(losses, **settings)
    cov = cov_weighting(**settings)

    @tf.function(jit_compile=jit_compile)
    def run(state: Any, losses: Any) -> Any:
        weights = tf.TensorArray(dtype, size=300)
        for step in tf.range(300):
            state, these = cov.update(state, losses[step])
            weights = weights.write(step, these)
        return state, weights.stack()

    state, weights = run(cov.init(tf.zeros(4, dtype)), tf.constant(losses))

    np.testing.assert_allclose(weights, expected, rtol=tolerance)
    np.testing.assert_allclose(state.losses.variance, history.variance, rtol=tolerance)
    assert state.ratios.spikes.numpy().tolist() == history.gather("spikes").tolist()


@pytest.mark.parametrize("weighting", [cov_weighting(), static_weighting(tf.range(4.0))])
def test_a_step_is_traced_once(weighting: Any) -> None:
    step = tf.function(weighting.update)
    state = weighting.init(tf.zeros(4))

    for losses in troubled_losses(160, np.float32):
        state, weights = step(state, tf.constant(losses))

    assert step.experimental_get_tracing_count() == 1
    assert weights.shape == (4,)
    assert int(state.losses.count[0]) == 160


def test_a_tape_sees_constant_weights() -> None:
    cov = cov_weighting()
    state = cov.init(tf.zeros(2))
    for losses in ([1.0, 1.0], [1.5, 2.5], [1.0, 0.5]):
        state, _ = cov.update(state, tf.constant(losses))
    x = tf.Variable(2.0)

    with tf.GradientTape() as tape:
        losses = tf.stack([x, x**3])
        _, weights = cov.update(state, losses)
        total = tf.tensordot(weights, losses, 1)

    assert float(tape.gradient(total, x)) == pytest.approx(float(weights[0] + 12 * weights[1]))


def test_no_gradient_flows_through_the_history() -> None:
    cov = cov_weighting()
    x = tf.Variable([1.0, 2.0])
    with tf.GradientTape() as tape:
        state, _ = cov.update(cov.init(x), x)
        state, _ = cov.update(state, x * x)
        later = cov.weights(state)[0]

    assert tape.gradient(later, x) is None


def test_learned_objectives_have_gradients() -> None:
    losses = tf.constant([1.0, 2.0])
    ones, zeros = tf.Variable([1.0, 1.0]), tf.Variable([0.0, 0.0])

    with tf.GradientTape() as tape:
        totals = automatic_weighted_loss(ones, losses), uncertainty_weighted_loss(zeros, losses)
    gradients = tape.gradient(totals, [ones, zeros])

    np.testing.assert_allclose(totals, [1.5 + 2 * np.log(2), 3.0], rtol=1e-6)
    np.testing.assert_allclose(gradients, [[0.0, -1.0], [0.0, -1.0]], atol=1e-6)
