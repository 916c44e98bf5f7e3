from __future__ import annotations

import pytest
import torch

from multi_loss_weighting import LossGroup, TorchJDWeighting
from multi_loss_weighting.weighting.torchjd._method import seed_of_step

from .torchjd_methods import (
    AGGREGATORS,
    BASES,
    METHODS,
    NAMES,
    SCALARIZERS,
    WITHOUT_WEIGHTS,
    Net,
    Run,
    aggregation,
    history,
    made,
    make,
    scalarization,
)

# Half precision.


def test_all_that_torchjd_has_is_tried_here() -> None:
    aggregators = {name.removesuffix("Weighting") for name in aggregation.__all__} - {""}
    assert aggregators - BASES - WITHOUT_WEIGHTS == set(AGGREGATORS)
    assert set(scalarization.__all__) - {"Scalarizer"} == set(SCALARIZERS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", METHODS)
def test_a_model_in_half_precision_is_weighed_with_the_digits_of_float32(
    name: str, dtype: torch.dtype
) -> None:
    run = Run(made(name))
    run.net.to(dtype)
    run.group.to(dtype)
    known = history(*NAMES)
    reference = TorchJDWeighting(made(name), None if "aggr" not in name else run.net.parameters())
    for number in range(3):
        losses = [loss.to(dtype) for loss in run.net(number, dtype).values()]
        run.net.zero_grad()

        total, weights = run.weighting.weigh(torch.stack(losses), known)
        total.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        run.weighting.recorded(torch.stack(losses).detach(), torch.as_tensor(weights), known)

        widened = torch.stack([loss.float() for loss in losses])
        assert torch.equal(
            torch.as_tensor(weights), torch.as_tensor(reference.weigh(widened, known).weights)
        )
        reference.recorded(widened.detach(), torch.as_tensor(weights), known)
        assert total.dtype == torch.as_tensor(weights).dtype == torch.float32
        assert all(
            one.grad is not None and one.grad.isfinite().all() for one in run.net.parameters()
        )
    assert all(one.dtype.itemsize >= 4 for one in run.weighting.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", AGGREGATORS)
def test_an_aggregator_is_shown_gradients_of_half_precision_in_float32(
    name: str, dtype: torch.dtype
) -> None:
    if name == "ConFIG":
        pytest.skip("it does not tell its weights")
    run, theirs = Run(make(AGGREGATORS, name)), make(AGGREGATORS, name)
    run.net.to(dtype)
    losses = run.net(0, dtype)
    rows = [
        torch.autograd.grad(
            loss, list(run.net.parameters()), retain_graph=True, materialize_grads=True
        )
        for loss in losses.values()
    ]
    matrix = torch.stack([torch.cat([part.flatten().float() for part in row]) for row in rows])

    run.group.update(losses)

    torch.manual_seed(seed_of_step(0, 0))
    assert list(run.group.weights.values()) == pytest.approx(theirs.weighting(matrix).tolist())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_means_over_an_epoch_keep_their_digits(dtype: torch.dtype) -> None:
    dwa = scalarization.DWA(2.0)
    group = LossGroup(["a", "b"], weighting=TorchJDWeighting(dwa))
    for epoch in range(2):
        for batch in range(1000):
            values = {"a": 1.0, "b": 4.0 if epoch and batch >= 500 else 1.0}
            losses = {name: torch.tensor(value, dtype=dtype) for name, value in values.items()}
            group.update(losses, do_backwards=False)
        dwa.step()

    expected = 2 * torch.softmax(torch.tensor([1.0, 2.5]) / 2, 0)
    assert list(group.next_weights().values()) == pytest.approx(expected.tolist())


# Reentrant checkpoints.


@pytest.mark.parametrize("part", ["", "shared", "all_heads"])
@pytest.mark.parametrize("name", AGGREGATORS)
def test_a_reentrant_checkpoint_is_an_error_to_an_aggregator(name: str, part: str) -> None:
    net = Net()
    method = make(AGGREGATORS, name)
    weighting = TorchJDWeighting(method, net.get_submodule(part).parameters())
    group = LossGroup(NAMES, weighting=weighting)

    with pytest.raises(RuntimeError, match=r"reentrant checkpoint .*use_reentrant=False"):
        group.update(net(0, reentrant=True))

    assert group.step == 0
    assert all(one.grad is None for one in net.parameters())


@pytest.mark.parametrize("name", AGGREGATORS)
def test_another_checkpoint_changes_no_weight(name: str) -> None:
    plain, run = Run(make(AGGREGATORS, name)), Run(make(AGGREGATORS, name))

    plain.group.update(plain.net(0))
    run.group.update(run.net(0, reentrant=False))

    assert run.group.weights == pytest.approx(plain.group.weights, rel=1e-4)
