"""How an aggregator of TorchJD tells the weights by which it sums gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable


def find_weights_of(method: Any) -> Callable[[Any, Tensor], Tensor] | None:
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
    if isinstance(method, Aggregator):
        msg = (
            f"no weighted sum of the losses has the gradient of {type(method).__name__}: call"
            " torchjd.autojac.backward(losses) and jac_to_grad(parameters, aggregator) yourself,"
            " and group.record(losses)"
        )
    elif isinstance(method, Weighting):
        msg = f"put it into an aggregator: GramianWeightedAggregator({method}); got {method!r}"
    else:
        msg = (
            "a scalarizer or an aggregator of torchjd is needed, e.g. DWA() or UPGrad(); got"
            f" {method!r}"
        )
    raise TypeError(msg)


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
