"""What weightings with learned weights have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multi_loss_weighting._warn import warn_user

from ._base import Weighted

if TYPE_CHECKING:
    from multi_loss_weighting.statistics._history import History

# Long enough for a learning rate that warms up and for gradients that accumulate.
_PATIENCE = 100


class MovementWatch:
    """Warns once if learned weights have not moved by the time that they should have."""

    def __init__(self) -> None:
        self._steps = 0
        self._version = 0
        self._before: Tensor | None = None

    def step(self, params: Tensor, owner: str, advice: str) -> None:
        """Count a step of training."""
        if self._steps > _PATIENCE or not (params.requires_grad and torch.is_grad_enabled()):
            return
        if self._steps == 0:
            self._version = params._version
            self._before = params.detach().clone()
        if self._steps == _PATIENCE and not self._have_moved(params):
            warn_user(f"the weights of {owner} have not moved in {_PATIENCE} steps: {advice}")
        self._steps += 1

    def _have_moved(self, params: Tensor) -> bool:
        # Torch counts how often a tensor was written to: to know that, nobody waits for a device.
        if self._version != params._version or self._before is None:
            return True
        if params.is_meta:  # it has no values
            return False
        # A fused optimizer writes past that count: where it stands still, the values decide.
        return not torch.equal(self._before.to(params), params)


GIVE_TO_OPTIMIZER = "give its parameters to the optimizer, with weight_decay 0"


class LearnedWeighting(nn.Module):
    """A weighting with one parameter per loss, `params` [K], learned with the network."""

    def __init__(self, params: Tensor) -> None:
        super().__init__()
        self.params = nn.Parameter(params)
        self._watch = MovementWatch()

    @abstractmethod
    def weights_and_penalty(self) -> tuple[Tensor, Tensor]:
        """The weights [K], and [K] what is added so that they do not all go to 0."""

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The objective; a loss that takes no part in this step adds nothing to it."""
        self._check_count(len(history.names))
        weights, penalty = self.weights_and_penalty()
        terms = weights * losses + penalty
        if history.present is not None:
            terms = torch.where(history.present, terms, 0.0)
        return Weighted(terms.sum(), weights.detach())

    def forward(self, *losses: Tensor | float) -> Tensor:
        """The objective for the losses, one argument each: tensors or plain numbers."""
        self._check_count(len(losses))
        if not torch.compiler.is_compiling():
            self.recorded()
        weights, penalty = self.weights_and_penalty()
        return (weights * torch.stack([self._tensor(loss) for loss in losses]) + penalty).sum()

    def _tensor(self, loss: Tensor | float) -> Tensor:
        if isinstance(loss, Tensor):
            return loss.reshape(())
        return self.params.new_tensor(loss)

    def _check_count(self, count: int) -> None:
        if count != len(self.params):
            msg = f"{type(self).__name__} was made for {len(self.params)} losses; got {count}"
            raise ValueError(msg)

    def recorded(self) -> None:
        """Count a step of training, and warn once if by now the weights should have moved."""
        self._watch.step(self.params, type(self).__name__, GIVE_TO_OPTIMIZER)


def checked_count(count: int) -> int:
    """`count` itself, if there can be so many losses."""
    if count < 1:
        msg = f"there is one loss or more; got {count}"
        raise ValueError(msg)
    return count
