"""The pure functions under JAX's transformations."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from multi_loss_weighting import AutomaticWeightedLoss, UncertaintyWeighting
from multi_loss_weighting.functional import (
    automatic_weighted_loss,
    cov_weighting,
    equal_weighting,
    static_weighting,
    uncertainty_weighted_loss,
)

from .troubled import SETTINGS, fed, troubled_losses

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("x64", [True, False])
def test_a_scan_gives_the_weights_of_the_scalar_form(x64: bool, settings: dict[str, Any]) -> None:
    losses = troubled_losses(400, np.float64 if x64 else np.float32)
    expected, history = fed(losses, **settings)
    cov = cov_weighting(**settings)

    with jax.enable_x64(x64):
        state, weights = jax.lax.scan(cov.update, cov.init(jnp.asarray(losses[0])), losses)
        variance = np.asarray(state.losses.variance)

    tolerance = 1e-10 if x64 else 1e-5
    np.testing.assert_allclose(weights, expected, rtol=tolerance)
    np.testing.assert_allclose(variance, history.variance, rtol=tolerance)
    assert state.ratios.spikes.tolist() == history.gather("spikes").tolist()
    assert state.losses.nonfinite.tolist() == [0, 0, 2, 0]


def test_float32_stays_true_over_many_compiled_steps() -> None:
    losses = np.random.default_rng(0).lognormal(0, [0.1, 0.3, 0.6, 1.0], (20_000, 4))
    losses = losses.astype(np.float32)
    expected, history = fed(losses)
    cov = cov_weighting()

    state, weights = jax.lax.scan(cov.update, cov.init(jnp.zeros(4)), losses)

    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(state.losses.mean, history.mean, rtol=1e-6)
    np.testing.assert_allclose(state.losses.variance, history.variance, rtol=1e-6)


@pytest.mark.parametrize(
    "weighting", [cov_weighting(), equal_weighting(), static_weighting(jnp.arange(4.0))]
)
def test_a_jitted_step_is_traced_once_and_may_take_the_memory_of_its_state(weighting: Any) -> None:
    traces = []

    def update(state: Any, losses: Any) -> Any:
        traces.append(1)
        return weighting.update(state, losses)

    step = jax.jit(update, donate_argnums=0)
    state = weighting.init(jnp.zeros(4))
    for losses in troubled_losses(160, np.float32):
        state, weights = step(state, losses)

    assert len(traces) == 1
    assert weights.shape == (4,)
    assert int(state.losses.count[0]) == 160


def test_the_objective_is_differentiated_with_constant_weights() -> None:
    cov = cov_weighting()
    state, _ = jax.lax.scan(cov.update, cov.init(jnp.zeros(4)), troubled_losses(100, np.float32))

    def objective(x: Any) -> Any:
        losses = x ** jnp.arange(1.0, 5.0)
        after, weights = cov.update(state, losses)
        return weights @ losses, (after, weights)

    gradient, (_, weights) = jax.jit(jax.grad(objective, has_aux=True))(2.0)

    assert gradient == pytest.approx(float(weights @ jnp.array([1.0, 4.0, 12.0, 32.0])))


def test_no_gradient_flows_through_the_history() -> None:
    cov = cov_weighting()

    def later_weights(x: Any) -> Any:
        losses = x * jnp.array([[1.0, 2.0], [1.5, 2.0], [1.0, 3.0]])
        state, _ = jax.lax.scan(cov.update, cov.init(losses[0]), losses)
        return cov.weights(state)[0]

    assert jax.grad(later_weights)(2.0) == 0


def test_many_runs_at_once_are_those_one_by_one() -> None:
    cov = cov_weighting(decay=0.9)
    runs = troubled_losses(300, np.float32).reshape(3, 100, 4)

    def run(losses: Any) -> Any:
        return jax.lax.scan(cov.update, cov.init(losses[0]), losses)[1]

    together = jax.jit(jax.vmap(run))(runs)

    for one, losses in zip(together, runs, strict=True):
        np.testing.assert_allclose(one, run(jnp.asarray(losses)), rtol=1e-5)


def test_a_state_is_saved_as_any_pytree_and_goes_on_to_the_last_bit() -> None:
    cov = cov_weighting()
    losses = troubled_losses(300, np.float32)
    step = jax.jit(cov.update)
    halfway = cov.init(jnp.zeros(4))
    for row in losses[:150]:
        halfway, _ = step(halfway, row)

    leaves, structure = jax.tree.flatten(halfway)
    saved = pickle.dumps([np.asarray(leaf) for leaf in leaves])
    restored = jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in pickle.loads(saved)])
    for row in losses[150:]:
        halfway, expected = step(halfway, row)
        restored, weights = step(restored, row)

    np.testing.assert_array_equal(weights, expected)


def test_losses_in_bfloat16_are_counted_in_float32() -> None:
    cov = cov_weighting()
    losses = jnp.asarray(troubled_losses(200, np.float32)).astype(jnp.bfloat16)

    state, weights = jax.lax.scan(cov.update, cov.init(losses[0]), losses)

    assert weights.dtype == state.losses.mean.dtype == jnp.float32
    np.testing.assert_allclose(weights, fed(np.asarray(losses, np.float32))[0], rtol=1e-5)


def test_learned_objectives_and_gradients_are_those_of_the_modules() -> None:
    losses = np.array([1.0, 2.0, 0.5], np.float32)
    pairs: list[tuple[Any, Callable[..., Any]]] = [
        (AutomaticWeightedLoss(3), automatic_weighted_loss),
        (UncertaintyWeighting(3), uncertainty_weighted_loss),
    ]
    for module, function in pairs:
        expected = module(*torch.from_numpy(losses))
        (theirs,) = torch.autograd.grad(expected, module.params)

        params = jnp.asarray(module.params.detach().numpy())
        total, ours = jax.jit(jax.value_and_grad(function))(params, losses)

        np.testing.assert_allclose(total, expected.detach(), rtol=1e-6)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
