"""How an aggregator of TorchJD tells the weights by which it sums gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WeightsOf = Callable[[Any, Tensor], Tensor]
"""What gives the weights [K] of an aggregator for a matrix of gradients [K, n]."""


def find_weights_of(method: Any) -> WeightsOf | None:
    """What gives the weights for a matrix of gradients [K, n]; None for a scalarizer.

    Raises:
        ImportError: If torchjd is not installed.
        TypeError: If the method is neither, or an aggregator that sums no gradients.
    """
    try:
        from torchjd.aggregation import Aggregator, ConFIG, WeightedAggregator, Weighting
        from torchjd.scalarization import Scalarizer
    except ImportError as error:
        msg = "TorchJDWeighting needs torchjd: pip install 'multi-loss-weighting[torchjd]'"
        raise ImportError(msg) from error

    if isinstance(method, Scalarizer):
        return None
    if isinstance(method, WeightedAggregator):
        return _own_weights
    if isinstance(method, ConFIG):
        return _weights_of_rows
    raise TypeError(_why_not(method, Aggregator, Weighting))


def check_parameters(method: Any, parameters: object, weights_of: WeightsOf | None) -> None:
    """Raise a ValueError unless there are parameters for an aggregator, and for it alone."""
    name = type(method).__name__
    if parameters is None and weights_of is not None:
        msg = f"{name} looks at gradients: give it parameters, e.g. model.parameters()"
        raise ValueError(msg)
    if parameters is not None and weights_of is None:
        msg = f"{name} looks at losses only, so it takes no parameters"
        raise ValueError(msg)


def _why_not(method: Any, aggregator: type, weighting: type) -> str:
    if isinstance(method, aggregator):
        return (
            f"no weighted sum of the losses has the gradient of {type(method).__name__}: call"
            " torchjd.autojac.backward(losses) and jac_to_grad(parameters, aggregator) yourself,"
            " and group.record(losses)"
        )
    if isinstance(method, weighting):
        return (
            f"method must be an aggregator, got {method!r}: put it into one, e.g."
            f" GramianWeightedAggregator({method})"
        )
    return (
        "method must be a scalarizer or an aggregator of torchjd, e.g. DWA() or UPGrad(), got"
        f" {method!r}"
    )


def _own_weights(method: Any, matrix: Tensor) -> Tensor:
    weights: Tensor = method.weighting(matrix)
    return weights


def _weights_of_rows(method: Any, matrix: Tensor) -> Tensor:
    """The weights of the rows whose sum is the aggregation, which lies in their span."""
    norms = matrix.double().norm(dim=1)
    units = torch.where(norms[:, None] > 0, matrix / norms[:, None], 0.0)
    target = units @ method(matrix).double()
    weights = torch.linalg.pinv(units @ units.T, hermitian=True) @ target
    return torch.where(norms > 0, weights / norms, 0.0).to(matrix)
