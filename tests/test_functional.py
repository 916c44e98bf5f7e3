"""The pure functions give what the scalar form gives, on NumPy and PyTorch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    EqualWeighting,
    History,
    LossGroup,
    NormalizedWeighting,
    UncertaintySoftmax,
    UncertaintyWeighting,
)
from multi_loss_weighting.functional import (
    LossStatistics,
    PureWeighting,
    RatioStatistics,
    State,
    automatic_weighted_loss,
    cov_weighting,
    equal_weighting,
    normalized_weighting,
    static_weighting,
    uncertainty_softmax_loss,
    uncertainty_weighted_loss,
)

from .frameworks.troubled import NAMES, SETTINGS, fed, troubled_losses

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


RATIO_NAMES = {
    "count": "ratio_count",
    "mean": "ratio_mean",
    "variance": "ratio_variance",
    "streak": "rare.streak",
    "reference": "reference",
    "spikes": "spikes",
    "restarts": "restarts",
}
KINDS: dict[str, Callable[[NDArray[Any]], Any]] = {"numpy": np.asarray, "torch": torch.from_numpy}


def run(pure: PureWeighting, losses: Any) -> tuple[State, NDArray[Any]]:
    state = pure.init(losses[0])
    weights = []
    for row in losses:
        state, these = pure.update(state, row)
        weights.append(np.asarray(these))
    return state, np.array(weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
def test_weights_and_statistics_are_those_of_the_scalar_form(
    kind: str, settings: dict[str, Any], dtype: Any, tolerance: float
) -> None:
    losses = troubled_losses(200, dtype)
    expected, history = fed(losses, **settings)

    state, weights = run(cov_weighting(**settings), KINDS[kind](losses))

    np.testing.assert_allclose(weights, expected, rtol=tolerance)
    assert weights.dtype == dtype
    for name in ("count", "mean", "variance", "minimum", "maximum"):
        ours, theirs = np.asarray(getattr(state.losses, name)), getattr(history, name)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, err_msg=name)
    for name, its_name in RATIO_NAMES.items():
        ours, theirs = np.asarray(getattr(state.ratios, name)), history.gather(its_name)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=1e-12, err_msg=name)
    assert state.losses.nonfinite.tolist() == [0, 0, 2, 0]


def test_the_troubled_losses_bring_every_guard_to_act() -> None:
    _, history = fed(troubled_losses(200))

    assert history.gather("spikes").tolist()[:2] == [1, 10]
    assert history.gather("restarts").tolist()[:2] == [0, 1]


def test_float32_stays_true_over_many_steps() -> None:
    losses = 1 + 0.01 * np.random.default_rng(1).normal(size=(3000, 4)).astype(np.float32)
    expected, history = fed(losses)

    state, weights = run(cov_weighting(), losses)

    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state.losses.mean, history.mean, rtol=1e-7)
    np.testing.assert_allclose(state.losses.variance, history.variance, rtol=1e-5)


@pytest.mark.parametrize("mean", [1e3, 1e6])
def test_float32_finds_a_spread_that_is_small_beside_the_mean(mean: float) -> None:
    """That of NIST's NumAcc3, at 1e6, of which float32 has no digit to waste."""
    losses = np.array([[mean + 0.25], *[[mean + 0.125], [mean + 0.375]] * 500], np.float32)

    state, _ = run(cov_weighting(), losses)

    np.testing.assert_allclose(state.losses.mean, losses.astype(float).mean(0), rtol=1e-7)
    np.testing.assert_allclose(state.losses.variance, losses.astype(float).var(0), rtol=1e-6)


@pytest.mark.parametrize(("dtype", "huge"), [(np.float32, 3e38), (np.float64, 1.7e308)])
def test_huge_losses_bring_no_nan(dtype: Any, huge: float) -> None:
    losses = np.array([[huge], [-huge], [1.0], [huge], [huge], [0.0]] * 5, dtype)

    with np.errstate(over="ignore", invalid="ignore"):
        state, _ = run(cov_weighting(), losses)

    expected = (losses.astype(np.longdouble) / len(losses)).sum()
    np.testing.assert_allclose(state.losses.mean, float(expected), rtol=1e-6)
    assert state.losses.variance == math.inf
    assert not any(np.isnan(field).any() for part in state for field in part)


def test_weights_of_the_next_step_are_known_before_its_losses() -> None:
    cov = cov_weighting()
    state, _ = run(cov, troubled_losses(100))

    after, weights = cov.update(state, np.array([1.0, 9.0, 0.1, 2.0]))

    np.testing.assert_array_equal(weights, cov.weights(state))
    assert not np.allclose(weights, cov.weights(after))


def test_an_update_changes_nothing_that_went_in() -> None:
    cov = cov_weighting()
    losses = troubled_losses(200)
    state, _ = run(cov, losses[:100])
    kept = [np.copy(field) for part in state for field in part]

    first, second = (cov.update(state, losses[100])[1] for _ in range(2))

    np.testing.assert_array_equal(first, second)
    for field, before in zip([field for part in state for field in part], kept, strict=True):
        np.testing.assert_array_equal(field, before)


def test_equal_and_static_weights_are_constant() -> None:
    losses = troubled_losses(100)
    theirs = EqualWeighting().weigh(torch.zeros(4), History(NAMES, [])).weights

    equal, _ = run(equal_weighting(), losses[:50])
    _, static = run(static_weighting(np.array([1.0, 2.0, 3.0, 4.0])), losses)

    assert equal_weighting().weights(equal).tolist() == list(theirs)
    assert np.unique(static, axis=0).tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert equal.losses.count.tolist() == [50] * 4


def test_a_method_may_be_changed_in_the_middle_of_a_run() -> None:
    losses = troubled_losses(100)
    state, _ = run(equal_weighting(), losses)

    np.testing.assert_array_equal(
        cov_weighting().weights(state), cov_weighting().weights(run(cov_weighting(), losses)[0])
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_half_precision_are_counted_in_float32(dtype: torch.dtype) -> None:
    losses = torch.from_numpy(troubled_losses(300)[:, 1:3]).to(dtype)

    state, weights = run(cov_weighting(), losses)

    expected, _ = run(cov_weighting(), losses.float())
    assert weights.dtype == np.float32
    assert torch.equal(state.losses.mean, expected.losses.mean)


def test_no_gradient_goes_into_the_state_and_none_through_the_weights() -> None:
    cov = cov_weighting()
    state = cov.init(torch.zeros(2))
    for step in range(5):
        x = torch.tensor([1.0, 2.0 + step], requires_grad=True)
        state, weights = cov.update(state, x**2)
        (weights @ x**2).backward()

    assert not any(field.requires_grad for part in state for field in part)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 2 * weights * x.detach())


@pytest.mark.usefixtures("fresh_compiler")
def test_a_compiled_update_is_one_graph_for_all_steps() -> None:
    cov = cov_weighting()
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    losses = torch.from_numpy(troubled_losses(160))
    compiled = PureWeighting(
        cov.init, torch.compile(cov.update, fullgraph=True, backend=keep), cov.weights
    )

    _, weights = run(compiled, losses)

    np.testing.assert_array_equal(weights, run(cov, losses)[1])
    assert len(graphs) == 1


def test_a_state_is_saved_and_goes_on_to_the_last_bit(tmp_path: Any) -> None:
    cov = cov_weighting(decay=0.9)
    losses = torch.from_numpy(troubled_losses(200))
    halfway, _ = run(cov, losses[:100])

    torch.save([list(part) for part in halfway], tmp_path / "state.pt")
    losses_part, ratios_part = torch.load(tmp_path / "state.pt", weights_only=True)
    state = State(LossStatistics(*losses_part), RatioStatistics(*ratios_part))
    for row in losses[100:]:
        state, weights = cov.update(state, row)

    np.testing.assert_array_equal(weights, run(cov, losses)[1][-1])


def test_learned_objectives_are_those_of_the_modules() -> None:
    losses = torch.tensor([1.0, 2.0, 0.5], requires_grad=True)
    pairs: list[tuple[Any, Callable[..., Any]]] = [
        (AutomaticWeightedLoss(3), automatic_weighted_loss),
        (UncertaintyWeighting(3), uncertainty_weighted_loss),
        (
            UncertaintyWeighting(3, half=True),
            lambda params, losses: uncertainty_weighted_loss(params, losses, half=True),
        ),
    ]
    for module, function in pairs:
        with torch.no_grad():
            module.params += torch.tensor([0.1, 0.2, -0.3])
        expected, ours = module(*losses), function(module.params, losses)

        torch.testing.assert_close(ours, expected)
        torch.testing.assert_close(
            torch.autograd.grad(ours, [module.params, losses]),
            torch.autograd.grad(expected, [module.params, losses]),
        )


@pytest.mark.parametrize(
    ("losses", "error", "message"),
    [
        ([1.0, 2.0], TypeError, r"must be one array \[K\] of numpy, torch, jax or .* got list"),
        (np.ones(3), ValueError, r"losses must be one array \[2\], got \[3\]"),
        (np.float64(1.0), ValueError, r"losses must be one array \[2\], got \[\]"),
    ],
)
def test_losses_of_another_kind_are_an_error(
    losses: Any, error: type[Exception], message: str
) -> None:
    cov = cov_weighting()
    state = cov.init(np.zeros(2))

    with pytest.raises(error, match=message):
        cov.update(state, losses)


@pytest.mark.parametrize("like", [np.zeros(()), np.zeros((2, 2)), np.zeros(0)])
def test_a_state_is_made_from_one_array_for_all_losses(like: Any) -> None:
    with pytest.raises(ValueError, match=r"init needs one array \[K\]"):
        cov_weighting().init(like)


def test_a_setting_without_sense_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"warmup must be 2 or more .* got 1"):
        cov_weighting(warmup=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["mean", "first"])
def test_normalized_weights_are_those_of_the_scalar_form(kind: str, by: Any) -> None:
    losses = np.random.default_rng(0).lognormal(0, 1, (20, 3)) * [1.0, 1e3, 1e-3]
    group = LossGroup(["a", "b", "c"], weighting=NormalizedWeighting(by=by))

    _, weights = run(normalized_weighting(by=by), KINDS[kind](losses))

    assert weights[0] == pytest.approx(1 / 3)
    for row, ours in zip(losses, weights, strict=True):
        if group.step:
            assert [*group.next_weights().values()] == pytest.approx(ours, rel=1e-12)
        group.update(dict(zip("abc", row, strict=True)), do_backwards=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [0.01, 1.0, 30.0])
def test_the_uncertainty_softmax_is_that_of_the_scalar_form(kind: str, temperature: float) -> None:
    losses = np.random.default_rng(0).lognormal(0, 1, 3)
    group = LossGroup(["a", "b", "c"], weighting=UncertaintySoftmax(temperature=temperature))

    total = uncertainty_softmax_loss(KINDS[kind](losses), temperature=temperature)

    named = dict(zip("abc", losses, strict=True))
    assert float(total) == pytest.approx(group.weigh(named).item(), rel=1e-12)


def test_they_weigh_inside_of_a_transform_of_torch() -> None:
    cov = cov_weighting()
    state = cov.init(torch.zeros(2))
    for row in ([1.0, 2.0], [2.0, 2.5], [1.5, 4.0]):
        state, _ = cov.update(state, torch.tensor(row))

    def total(point: torch.Tensor) -> torch.Tensor:
        losses = torch.stack([point * 3, point.square()])
        return losses.dot(cov.weights(state)).add(uncertainty_softmax_loss(losses))

    points = torch.tensor([1.0, 2.0], requires_grad=True)
    gradients = torch.func.vmap(torch.func.grad(total))(points)

    for point, gradient in zip(points, gradients, strict=True):
        assert torch.autograd.grad(total(point), points)[0].sum().item() == pytest.approx(
            gradient.item()
        )
