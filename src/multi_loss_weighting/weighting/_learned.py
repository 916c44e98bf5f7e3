"""What weightings with learned weights have in common."""

from __future__ import annotations

import sys
from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from loss_loggers.arguments import checked_count
from multi_loss_weighting.batch._value import explained

from ._base import Weighted
from ._movement import InFullPrecision, MovementWatch, is_half
from ._replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from multi_loss_weighting.statistics._history import History


class LearnedWeighting(InFullPrecision):
    """A weighting with one parameter per loss, `params` [K], learned with the network.

    The base of those that come with the package and of your own, which say in `terms_and_weights`
    what a step makes of parameters and losses.

    It takes losses in the order in which they appear, until it has K. The parameters stay in
    float32 where the model goes to half precision, in which small steps would be lost, go by the
    names of their losses between ranks and in a load, and warn once if they stand still in 100
    steps.

    Args:
        num: How many losses there are, K.
        start: What each parameter begins with.

    Raises:
        ValueError: If `num` is below 1.

    >>> class Softmax(LearnedWeighting):
    ...     def terms_and_weights(self, params, losses):
    ...         weights = len(params) * params.softmax(0)
    ...         return weights * losses + params.square(), weights.detach()
    >>> Softmax(2, start=0.0)(1, 2)
    tensor(3., grad_fn=<SumBackward0>)
    """

    def __init__(self, num: int, start: float) -> None:
        super().__init__()
        num = checked_count(num, 1, "num", "losses")
        default = torch.get_default_dtype()
        dtype = torch.float32 if is_half(default) else default
        self.params = nn.Parameter(torch.full((num,), start, dtype=dtype))
        self.num_losses = num
        self._initial = start
        self._watch = MovementWatch()
        self._replica = Replica()

    def vectors_of_losses(self) -> dict[str, Tensor]:
        """What has a number for each loss, which a load brings into the order of their names."""
        return {"params": self.params}

    def reset_parameters(self) -> None:
        """Begin anew, as torch asks of a module that was made on the meta device.

        >>> from multi_loss_weighting import AutomaticWeightedLoss
        >>> with torch.device("meta"):
        ...     awl = AutomaticWeightedLoss(2)
        >>> awl.to_empty(device="cpu").reset_parameters()
        >>> awl.params.tolist()
        [1.0, 1.0]
        """
        nn.init.constant_(self.params, self._initial)

    @abstractmethod
    def terms_and_weights(self, params: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        """The terms [n] of the objective, and the weights [n], detached, of n losses.

        A term is the weighted loss and a penalty, without which all weights would go to 0.

        Args:
            params: The parameters [n] of these losses.
            losses: The losses [n], with their gradients; 1 for one that takes no part.
        """

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The objective; a loss that takes no part in this step adds nothing to it.

        Raises:
            ValueError: If there are more losses than parameters, or not a term for each loss.
        """
        params, count = self._replica.leaf_of(self.params), len(history.names)
        if count != self.num_losses:
            self._check_names(history.names)
            params = params[:count]
        present = history.present
        if present is not None:  # a term need not have a slope at 0, and 0 * inf is nan
            losses = torch.where(present, losses, 1.0)
        terms, weights = self._terms_and_weights(params, losses)
        if present is not None:
            terms = torch.where(present, terms, 0.0)
        history.terms = terms.data  # detach() would be one more operation
        return Weighted(terms.sum(), weights)

    def forward(self, *losses: Tensor | float) -> Tensor:
        """The objective for the losses, one argument each: tensors or plain numbers.

        Raises:
            ValueError: If there is not one for each parameter, one has more than one element, or
                not each has a term.
        """
        if len(losses) != self.num_losses:
            name = type(self).__name__
            msg = f"{name} was made for {self.num_losses} losses, got {len(losses)}"
            raise ValueError(msg)
        if not torch.compiler.is_compiling():
            self.recorded()
        params = self.params
        stacked = torch.stack([_scalar(loss, i, params) for i, loss in enumerate(losses)])
        return self._terms_and_weights(params, stacked)[0].sum()

    def _terms_and_weights(self, params: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        terms, weights = self.terms_and_weights(params, losses)
        shape = terms.shape if isinstance(terms, Tensor) else None
        if shape != losses.shape:
            method = f"{type(self).__name__}.terms_and_weights"
            needed = f"{method} must give a term to each of the losses, a tensor [{len(losses)}]"
            got = type(terms) if shape is None else f"the shape {tuple(shape)}"
            msg = f"{needed}, got {got}"
            raise ValueError(msg)
        return terms, weights

    def _check_names(self, names: Sequence[str]) -> None:
        count = len(names)
        if count > self.num_losses:
            more = ", ".join(map(repr, names[self.num_losses :]))
            msg = (
                f"{type(self).__name__} was made for {self.num_losses} losses, got {count} with"
                f" {more}: make it with num={count}"
            )
            raise ValueError(msg)

    def recorded(self, *step: object) -> None:
        """Count a step of training, and warn once if by now the weights should have moved."""
        is_after_backward = bool(step)  # and not called by `forward`
        name = type(self).__name__
        self._watch.step(self.params, name, is_after_backward=is_after_backward)

    @property
    def knows_enough(self) -> bool:
        """Whether it needs not hear of more steps."""
        return self._watch.is_over and type(self).recorded is LearnedWeighting.recorded

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters, as of any module."""
        if not torch.compiler.is_compiling():
            self._replica.notice(sys._getframe(1))
        return super().named_parameters(prefix, recurse, remove_duplicate)


def _scalar(loss: Tensor | float, index: int, like: Tensor) -> Tensor:
    if not isinstance(loss, Tensor):
        loss = like.new_tensor(loss)
    if loss.numel() != 1:
        raise explained(loss, f"loss {index}", TypeError())
    # A stack of half precision and whole numbers would round these.
    return loss.reshape(()).to(torch.promote_types(loss.dtype, like.dtype))
