"""GradientDiagnostics: which loss pulls how hard, and which pull against each other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from loss_loggers.arguments import checked_count, checked_kind

from ._per_loss import Start, gradient_matrix, scaled, watched, widened, without_autocast

if TYPE_CHECKING:
    from collections.abc import Iterable


class GradientDiagnostics:
    """Norms and cosines of the gradients of the losses, measured at every `every`-th step.

    At its first call and at every `every`-th after it, `measure` runs one extra backward per loss
    and reads one vector back; at the others it does nothing. For the losses G and D it gives

    - `gradient_norm/G`: the Euclidean norm of the gradient of the loss, without its weight;
    - `gradient_share/G`: this norm over the sum of the finite ones;
    - `gradient_cosine/G-D`: 1 for the same direction, below 0 where a step that helps one loss
      harms the other.

    All are computed in float32 or wider. A loss without a gradient on the parameters has norm 0
    and cosines 0. A gradient that is not finite gives nan. The graph is kept for the backward that
    follows.

    Args:
        parameters: What to differentiate by, e.g. the last layer that all losses share, or an
            activation that requires a gradient. Fewer cost less.
        every: Calls from one measurement to the next.
        scope: Stands before the loss, as in a group of that scope.

    Raises:
        ValueError: If none of the parameters requires a gradient, or `every` is no whole number of
            1 or more.
        TypeError: If a parameter is no tensor.

    >>> from multi_loss_weighting import LossGroup
    >>> weight = torch.tensor([1.0, 1.0], requires_grad=True)
    >>> group, gradients = LossGroup(["G", "D"]), GradientDiagnostics([weight], every=100)
    >>> losses = {"G": 3 * weight[0], "D": -weight.sum()}
    >>> total = group.update(losses, extra=gradients.measure(losses))
    >>> gradients.measure(losses)
    {}
    """

    def __init__(
        self, parameters: Iterable[Tensor] | Tensor, *, every: int = 100, scope: str = ""
    ) -> None:
        self.every = checked_count(every, 1, "every", "calls")
        self.scope = scope
        self._watched = watched(parameters)
        self._calls = 0

    def measure(self, losses: Mapping[str, Any]) -> dict[str, float]:
        """Numbers for `update(losses, extra=...)`; an empty dict between two measurements.

        Call it before backward, which frees the graph.

        Args:
            losses: From name to loss; plain numbers have no gradient.

        Raises:
            ValueError: If a loss has more than one element.
            RuntimeError: If the losses depend on a reentrant activation checkpoint, which hides
                gradients: use `checkpoint(..., use_reentrant=False)`.
        """
        measured = {} if self._calls % self.every else self._measure(losses)
        self._calls += 1
        return measured

    def _measure(self, losses: Mapping[str, Any]) -> dict[str, float]:
        starts = [_start(loss, name) for name, loss in losses.items()]
        matrix = gradient_matrix(starts, self._watched)
        if matrix is None:
            matrix = torch.zeros(len(losses), 1, dtype=torch.float32, device="cpu")
        prefix = f"{self.scope}/" if self.scope else ""
        alone, pairs = [*losses], [f"{one}-{other}" for one, other in combinations(losses, 2)]
        kinds = ("norm", alone), ("share", alone), ("cosine", pairs)
        names = [f"gradient_{kind}/{prefix}{of}" for kind, listed in kinds for of in listed]
        return dict(zip(names, compare(matrix).tolist(), strict=True))

    def state_dict(self) -> dict[str, Tensor]:
        """How often it was called, so that a resumed run measures at the same steps."""
        return {"calls": torch.tensor(self._calls, device="cpu")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`.

        Raises:
            ValueError: If it is something else; nothing has changed.
            TypeError: If it is no mapping.
        """
        calls = checked_kind(state, Mapping, "state").get("calls")
        if len(state) != 1 or not isinstance(calls, Tensor) or calls.shape != ():
            msg = (
                f"the state of GradientDiagnostics must be {{'calls': tensor of one}}, got {state}"
            )
            raise ValueError(msg)
        self._calls = int(calls)


def compare(gradients: Tensor) -> Tensor:
    """K norms, K shares and the K (K - 1) / 2 cosines of gradients [K, n], in one vector."""
    units, largest = scaled(widened(gradients))
    with without_autocast(units.device):
        products = units @ units.T
    lengths = products.diagonal().sqrt()
    norms = lengths * largest
    one, other = torch.triu_indices(len(norms), len(norms), offset=1, device=norms.device)
    cosines = _ratio(products[one, other], lengths[one] * lengths[other]).clamp(-1, 1)
    return torch.cat([norms, _ratio(norms, norms[norms.isfinite()].sum()), cosines])


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """0 out of 0 is 0; nan stays what it is."""
    return torch.where((part == 0) & (whole == 0), 0.0, part / whole)


def _start(loss: Any, name: str) -> Start | None:
    if not isinstance(loss, Tensor):
        return None
    if loss.numel() != 1:
        msg = (
            f"loss {name!r} must be one number for the whole batch, got the shape"
            f" {tuple(loss.shape)}: call .mean() or .sum() on it first"
        )
        raise ValueError(msg)
    return Start(loss)
