"""Weigh losses by an aggregator of TorchJD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from multi_loss_weighting._warn import warn_user
from multi_loss_weighting.gradients._per_loss import Watched, gradients_of
from multi_loss_weighting.weighting._base import Weighted

from ._method import Method

if TYPE_CHECKING:
    from multi_loss_weighting.statistics._history import History

    from ._memory import Memory
    from ._weights import WeightsOf


class _Chosen(NamedTuple):
    names: tuple[str, ...]
    weights: Tensor
    memory: Memory


class Aggregator(Method):
    """Weighs by the gradients of the losses on some parameters.

    Args:
        module: The aggregator of TorchJD.
        seed: For its random numbers.
        weights_of: What `find_weights_of` found.
        parameters: Those that the gradients are of.
    """

    def __init__(
        self, module: nn.Module, seed: int, weights_of: WeightsOf, parameters: Watched
    ) -> None:
        super().__init__(module, seed)
        self._weights_of = weights_of
        self._parameters = parameters
        self._weights: Tensor | None = None
        self._chosen: _Chosen | None = None
        self._has_warned = False

    @property
    def device(self) -> torch.device:
        """Where the losses will be."""
        return self._parameters[0].device

    def weigh(self, losses: Tensor, history: History) -> Weighted:
        """The objective: the weighted sum."""
        # Aggregators wait for values anyway, also on an accelerator.
        if history.present is not None and not history.present.all():
            self._warn_of_missing()
        elif losses.requires_grad:
            matrix = gradients_of(losses, history.names, self._parameters)
            if matrix.isfinite().all():  # else no method has weights, and the total shows it
                weights = self._choose(matrix, losses, history.names)
                return Weighted(losses.dot(weights), weights)
        weights = self._weights_before(history.names, losses)
        return Weighted(losses.dot(weights), weights)

    def _choose(self, matrix: Tensor, losses: Tensor, names: tuple[str, ...]) -> Tensor:
        ask = lambda: self._weights_of(self.module, matrix)  # noqa: E731
        chosen, memory = self._ask(ask, names, losses)
        weights: Tensor = chosen.detach().to(losses, copy=True)
        self._chosen = _Chosen(names, weights, memory)
        return weights.clone()

    def _weights_before(self, names: tuple[str, ...], losses: Tensor) -> Tensor:
        """Those chosen last; a loss that had none begins at 1/K."""
        weights = torch.full_like(losses.detach(), 1 / len(names))
        known, last = self.names, self._weights
        if self._chosen is not None:  # in this step
            known, last, _ = self._chosen
        for index, name in enumerate(names):
            if last is not None and name in known:
                weights[index] = last[known.index(name)]
        return weights

    def end_step(self, *_: object) -> None:
        """A step is over: remember what was chosen last in it."""
        if self._chosen is None:
            self._end(self.names, None)
        else:
            names, self._weights, memory = self._chosen
            self._end(names, memory)
            self._chosen = None

    def give_up(self) -> None:
        """What was chosen counts for nothing."""
        self._chosen = None

    def state_dict(self) -> dict[str, Any]:
        """The weights of the last step, too."""
        return {**super().state_dict(), "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        super().load_state_dict(state)
        weights = state["weights"]
        self._weights, self._chosen = None if weights is None else weights.to(self.device), None

    def _warn_of_missing(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            warn_user(
                f"{self.name} weighs losses that are all there: in a step without one of"
                " them the others keep the weights of the step before"
            )
