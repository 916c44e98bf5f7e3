"""The methods of TorchJD, a library of scalarizations and of gradient aggregators."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from multi_loss_weighting._warn import warn_user
from multi_loss_weighting.batch._value import read
from multi_loss_weighting.gradients._per_loss import gradient_matrix, roots, watched

from . import _memory
from ._aggregators import find_weights_of
from ._base import Weighted
from ._learned import GIVE_TO_OPTIMIZER, MovementWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from multi_loss_weighting.statistics._history import History


_CALL_UPDATE = "call update(losses) of the weighting after the optimizer's step"


class _Step(NamedTuple):
    """What a scalarizer was shown: the losses [K], and which of them took part."""

    names: tuple[str, ...]
    values: Tensor
    present: Tensor | None


class TorchJDWeighting(nn.Module):
    """Any scalarization or aggregation of TorchJD, with the names, rows and state of a group.

    A scalarizer makes one number of the losses; the weight of a loss is how the number changes
    with it. An aggregator looks at the gradient of each loss on `parameters` and chooses weights,
    by which the losses are then summed: one backward for each loss, and one for their sum. So the
    total is an ordinary one, for any optimizer, gradient scaler or framework, and every parameter
    has its gradient, also those that the aggregator does not look at.

    A loss that takes no part in a step has no gradient. To a scalarizer it stands at its running
    mean, so that the others weigh what they would beside it; under an aggregator the others keep
    the weights of the step before.

    What the method remembers goes into the state of the group, and random numbers come from a
    stream of its own: a resumed run goes on with the same numbers, and other random numbers of the
    program are what they were without it. `DWA.step()` is yours to call at the end of an epoch,
    and so is `update` after the optimizer's step, with FAMO.

    Args:
        method: A scalarizer, e.g. `torchjd.scalarization.DWA()`, or an aggregator, e.g.
            `torchjd.aggregation.UPGrad()`.
        parameters: What an aggregator looks at: those of the model, or those that the losses
            share.
        seed: Of the method's random numbers. Ranks of one run need the same.

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
        self._weights_of = find_weights_of(method)
        if (parameters is None) != (self._weights_of is None):
            name = type(method).__name__
            msg = (
                f"{name} looks at gradients: give it parameters, e.g. model.parameters()"
                if parameters is None
                else f"{name} looks at losses only, so it takes no parameters"
            )
            raise ValueError(msg)
        self.method = method
        for module in method.modules():
            # Those that begin as None cannot be loaded by torch; they go the way of other memory.
            module._non_persistent_buffers_set |= {
                n for n, b in module._buffers.items() if b is None
            }
        self._watched = None if parameters is None else watched(parameters)
        self._draws = torch.Generator().manual_seed(seed).get_state()
        self._next: tuple[_memory.Memory, Tensor] | None = None
        self._chosen: Tensor | None = None
        self._shown: _Step | None = None
        self._step: _Step | None = None
        self._watch = MovementWatch()
        self._warned = False

    # A step.

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The objective of the method.

        Raises:
            RuntimeError: Inside `torch.compile`, or if no loss has a gradient on the parameters.
        """
        if torch.compiler.is_compiling():
            msg = "TorchJDWeighting weighs outside of torch.compile: compile the model, not weigh"
            raise RuntimeError(msg)
        if self._weights_of is None:
            return self._scalarize(losses, history.present, history)
        return self._aggregate(losses, history.present)

    def recorded(self) -> None:
        """The step that was weighed last is over: remember what the method made of it."""
        if self._next is not None:
            memory, self._draws = self._next
            _memory.put(self.method, memory)
            self._next, self._step = None, self._shown
        for parameter in self.method.parameters():
            learns_by_itself = hasattr(self.method, "update")
            advice = _CALL_UPDATE if learns_by_itself else GIVE_TO_OPTIMIZER
            self._watch.step(parameter, type(self.method).__name__, advice)

    def _try(self, call: Callable[[], Any]) -> Any:
        """The result of a call of the method, which does not remember it until `recorded`."""
        before = _memory.take(self.method)
        generator = torch.default_generator
        draws = generator.get_state()
        generator.set_state(self._draws)
        try:
            result = call()
            self._next = _memory.look(self.method), generator.get_state()
        finally:
            generator.set_state(draws)
            _memory.put(self.method, before)
        return result

    def _scalarize(self, losses: Tensor, present: Tensor | None, history: History) -> Weighted:
        values = losses
        if present is not None:
            usual = torch.as_tensor(history.mean).nan_to_num(nan=1.0).to(losses)
            values = torch.where(present, losses, usual)
        with torch.enable_grad():
            if not values.requires_grad:
                values = values.detach().requires_grad_()
            total = self._try(lambda: self._call(values, present))
            (weights,) = torch.autograd.grad(
                total, values, retain_graph=True, materialize_grads=True
            )
        if present is not None:
            total = total - torch.where(present, 0.0, weights * values).sum().detach()
        self._shown = _Step(history.names, values.detach(), present)
        return Weighted(total if torch.is_grad_enabled() else total.detach(), weights)

    def _call(self, values: Tensor, present: Tensor | None) -> Any:
        if present is None:
            return self.method(values)
        learned = {
            name: torch.where(present, parameter, parameter.detach())
            for name, parameter in self.method.named_parameters()
            if parameter.shape == present.shape
        }
        return torch.func.functional_call(self.method, learned, (values,))

    def _aggregate(self, losses: Tensor, present: Tensor | None) -> Weighted:
        if self._chosen is None:
            self._chosen = torch.full_like(losses.detach(), 1 / len(losses))
        if present is not None and present.all():
            present = None
        if losses.requires_grad and present is None:
            self._choose(losses)
        elif present is not None and not self._warned:
            self._warned = True
            msg = (
                f"{type(self.method).__name__} weighs losses that are all there: in a step without"
                " one of them the others keep the weights of the step before"
            )
            warn_user(msg)
        weights = self._chosen.to(losses)
        return Weighted(losses.dot(weights), weights)

    def _choose(self, losses: Tensor) -> None:
        assert self._watched is not None
        assert self._weights_of is not None
        matrix = gradient_matrix(roots(losses), self._watched)
        if matrix is None:
            msg = (
                "an aggregator weighs by the gradients of the losses on its parameters; got losses"
                " of which none depends on them"
            )
            raise RuntimeError(msg)
        if matrix.isfinite().all():  # else no method has an answer, and the total shows it
            weights_of = self._weights_of
            self._chosen = self._try(lambda: weights_of(self.method, matrix)).detach()

    # FAMO learns from what a step did.

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
        if learn is None:
            msg = f"a method that learns after a step, FAMO, is needed; got {self.method}"
            raise TypeError(msg)
        if self._step is None:
            msg = "update shows the losses after a step of the group; got none before"
            raise RuntimeError(msg)
        learn(_after(self._step, losses))

    # What there is to tell, and what survives a restart.

    def hyperparams(self) -> dict[str, Any]:
        """The method and its settings, as loggers record them."""
        return {"torchjd": " ".join(repr(self.method).split())}

    def get_extra_state(self) -> dict[str, Any]:
        """What the method remembers, beside its parameters."""
        return {
            "torchjd": type(self.method).__name__,
            "memory": _memory.save(self.method),
            "draws": self._draws.clone(),
            "chosen": None if self._chosen is None else self._chosen.clone(),
            "step": None if self._step is None else [list(self._step.names), *self._step[1:]],
        }

    def check_state(self, state: Any) -> None:
        """Raise a ValueError unless the state is that of such a method."""
        own = self.get_extra_state()
        if not isinstance(state, dict) or set(state) != set(own):
            msg = f"the state of a TorchJDWeighting has {', '.join(own)}; got {state!r}"
            raise ValueError(msg)
        if state["torchjd"] != own["torchjd"]:
            msg = f"the state of a {own['torchjd']} is needed; got that of a {state['torchjd']}"
            raise ValueError(msg)
        _memory.check(self.method, state["memory"])

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continue from `get_extra_state()`, to the last bit.

        Raises:
            ValueError: If it is the state of another method; nothing has changed.
        """
        self.check_state(state)
        _memory.load(self.method, state["memory"])
        self._draws, self._chosen, self._next = state["draws"].cpu(), state["chosen"], None
        step = state["step"]
        self._step = None if step is None else _Step(tuple(step[0]), *step[1:])


def _after(step: _Step, losses: Mapping[str, Any]) -> Tensor:
    values = step.values.tolist()
    present = [True] * len(values) if step.present is None else step.present.tolist()
    for index, name in enumerate(step.names):
        after = read(losses[name], name) if name in losses and present[index] else math.nan
        values[index] = after if math.isfinite(after) else values[index]
    return step.values.new_tensor(values)
