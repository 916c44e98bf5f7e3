"""The methods of TorchJD, a library of scalarizations and of gradient aggregators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from multi_loss_weighting._warn import warned
from multi_loss_weighting.gradients._per_loss import watched, widened
from multi_loss_weighting.tensors._state import UnreadableStateError
from multi_loss_weighting.weighting._movement import InFullPrecision, MovementWatch

from ._aggregator import Aggregator
from ._scalarizer import Scalarizer, values_after
from ._state import in_order, pack_padded, unpack_padded
from ._weights import check_parameters, find_weights_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from multi_loss_weighting.statistics._history import History
    from multi_loss_weighting.weighting._base import Weighted


_CALL_UPDATE = "call update(losses) of the weighting after the optimizer's step"


class TorchJDWeighting(InFullPrecision):
    """Any scalarization or aggregation of TorchJD, with the names, rows and state of a group.

    A scalarizer makes one number of the losses; the weight of a loss is the derivative of that
    number. An aggregator looks at the gradient of each loss on `parameters` and chooses weights,
    by which the losses are summed: one backward for each loss, and one for their sum. So the total
    is an ordinary one, for any optimizer, gradient scaler or framework, and every parameter has
    its gradient, also those that the aggregator does not look at. Losses, gradients and weights
    are computed in float32 or wider.

    A loss that takes no part in a step has no gradient. A scalarizer sees it at its running mean,
    so that the others weigh what they would beside it; under an aggregator the others keep the
    weights of the step before. A loss may come later: under an aggregator it begins at 1/K. With a
    method that was made for K losses, or remembers a number for each, that is an error.

    The state of the group has what the method remembers, in a tensor whose shape rarely changes:
    with ExcessMTL at its first step, with others hardly ever. Random numbers are drawn apart from
    those of the program, and are the same in a resumed run.

    Call `DWA.step()` yourself at the end of an epoch, and with FAMO `update` after the optimizer's
    step.

    Args:
        method: A scalarizer, e.g. `torchjd.scalarization.DWA()`, or an aggregator, e.g.
            `torchjd.aggregation.UPGrad()`.
        parameters: What an aggregator looks at: those of the model, or those that the losses
            share.
        seed: For the method's random numbers. Ranks of one run need the same.

    Raises:
        ImportError: If torchjd is not installed.
        TypeError: If the method is neither, or an aggregator whose gradient is that of no weighted
            sum; the error says what to call instead.
        ValueError: If an aggregator comes without parameters, or a scalarizer with.

    >>> from multi_loss_weighting import LossGroup
    >>> from torchjd.aggregation import MGDA
    >>> weight = torch.ones(2, requires_grad=True)
    >>> group = LossGroup(["a", "b"], weighting=TorchJDWeighting(MGDA(), [weight]))
    >>> total = group.update({"a": weight[0], "b": 2 * weight[1]})
    >>> print({name: round(weight, 3) for name, weight in group.weights.items()}, weight.grad)
    {'a': 0.8, 'b': 0.2} tensor([0.8000, 0.4000])
    """

    def __init__(
        self,
        method: nn.Module,
        parameters: Iterable[Tensor] | Tensor | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        weights_of = find_weights_of(method)
        check_parameters(method, parameters, weights_of)
        self.method = method
        self._by: Scalarizer | Aggregator
        if weights_of is None or parameters is None:
            self._by = Scalarizer(method, seed)
        else:
            self._by = Aggregator(method, seed, weights_of, watched(parameters))
        self._watches = [MovementWatch() for _ in method.parameters()]

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The objective of the method.

        Raises:
            RuntimeError: Inside `torch.compile`; if no loss depends on the parameters of an
                aggregator; if a reentrant activation checkpoint hides gradients from it.
            ValueError: If the method cannot weigh these losses, e.g. since it was made for others.
        """
        if torch.compiler.is_compiling():
            msg = "TorchJDWeighting weighs outside of torch.compile: compile the model, not weigh"
            raise RuntimeError(msg)
        return self._by.weigh(widened(losses), history)

    def recorded(
        self,
        losses: Tensor | None = None,
        weights: Tensor | None = None,  # noqa: ARG002
        history: History | None = None,
        /,
    ) -> None:
        """A step is over: remember what the method made of it.

        Args:
            losses: Those of the step [K], e.g. means over ranks; nan for one that took no part.
                By default those that were weighed last.
            weights: Those of the step [K].
            history: Of these losses.
        """
        self._by.end_step(losses, history)
        advice = _CALL_UPDATE if hasattr(self.method, "update") else ""
        is_after = losses is not None
        for watch, parameter in zip(self._watches, self.method.parameters(), strict=True):
            watch.step(parameter, self._by.name, is_after_backward=is_after, advice=advice)

    def given_up(self) -> None:
        """The step will not be recorded, so the method remembers nothing of it."""
        self._by.give_up()

    def update(self, losses: Mapping[str, Any]) -> None:
        """Show FAMO the losses of the same batch after the optimizer's step.

        A loss that took no part in the step, or is not finite now, counts as unchanged. A group
        with `max_loss` showed the method clamped losses: clamp these alike.

        Args:
            losses: From name to loss, computed anew.

        Raises:
            TypeError: If the method does not learn in this way.
            RuntimeError: If there was no step before.
            ValueError: If a loss has more than one element.
        """
        learn = getattr(self.method, "update", None)
        if learn is None or not isinstance(self._by, Scalarizer):
            msg = f"method must learn after a step, as FAMO does, got {self.method}"
            raise TypeError(msg)
        if self._by.step is None:
            msg = "update needs a step of the group before it: call group.update(losses) first"
            raise RuntimeError(msg)
        if self._by.step.names:  # else it counts as nothing
            learn(values_after(self._by.step, losses))

    def hyperparams(self) -> dict[str, Any]:
        """The method and its settings, as loggers record them."""
        return {"torchjd": " ".join(repr(self.method).split())}

    def get_extra_state(self) -> Tensor:
        """What the method remembers, beside its parameters, in one tensor."""
        return pack_padded(self._by.state_dict())

    def set_extra_state(self, state: Tensor) -> None:
        """Continue from `get_extra_state()`, with the same numbers bit for bit.

        Raises:
            ValueError: If it is the state of something else; nothing has changed.
        """
        self._by.load_state_dict(self._unpacked(state))

    def vectors_of_losses(self) -> dict[str, Tensor]:
        """What of the method has a number for each loss, beside its memory."""
        own = self.method
        both = *own.named_parameters(recurse=False), *own.named_buffers(recurse=False)
        return {f"method.{name}": one for name, one in both if one.shape == (self._by.capacity,)}

    def state_for(self, names: Sequence[str], state: Tensor) -> Tensor | None:
        """A saved extra state with the losses in the order of `names`; None if it cannot be."""
        try:
            saved = in_order(self._unpacked(state), names, self._by.capacity)
        except ValueError:  # loading it says what is wrong
            return state
        return None if saved is None else pack_padded(saved)

    def _unpacked(self, state: Tensor) -> dict[str, Any]:
        return unpack_padded(state, list(self._by.state_dict()))

    def _load_from_state_dict(self, *args: Any) -> None:
        """A state that does not fit is one more key that strict loading refuses.

        An error would end the loading of the whole model, and torch tells no module whether it is
        strict. One that cannot be read, e.g. of an average of models, is only warned of.
        """
        _, prefix, *_, unexpected_keys, error_msgs = args
        try:
            super()._load_from_state_dict(*args)
        except UnreadableStateError as error:
            error_msgs += warned(str(error))
        except ValueError as error:
            unexpected_keys.append(f"{prefix}_extra_state ({error})")
