"""Weigh losses by a scalarizer of TorchJD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from multi_loss_weighting.batch._value import read
from multi_loss_weighting.weighting._base import Weighted

from ._memory import Memory, look
from ._method import Method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multi_loss_weighting.statistics._history import History


class Shown(NamedTuple):
    """The losses of a step, as a method sees them.

    Attributes:
        names: Their names, n of the K that the method was made for.
        values: Their values [K]; one that takes no part stands at its mean.
        present: Which take part, a bool tensor [K], or None where all do.
    """

    names: tuple[str, ...]
    values: Tensor
    present: Tensor | None


class Scalarizer(Method):
    """Weighs by how the number that a method makes of the losses changes with each of them."""

    def __init__(self, module: nn.Module, seed: int) -> None:
        super().__init__(module, seed)
        self._weighed: Shown | None = None
        self._memory: Memory | None = None  # of what was weighed
        self.step: Shown | None = None

    @property
    def device(self) -> torch.device:
        """Where the losses will be, or were last."""
        learned = next(self.module.parameters(), None)
        return self._at if learned is None else learned.device

    def weigh(self, losses: Tensor, history: History) -> Weighted:
        """The objective: the number itself."""
        # A validation asks in inference mode, in which there are no gradients by the losses.
        with torch.inference_mode(False), torch.enable_grad():
            losses = losses.clone() if losses.is_inference() else losses
            shown = self._show(losses, history.present, history)
            ask = lambda: _total_and_weights(self.module, shown)  # noqa: E731
            (total, weights), self._memory = self._ask(ask, history.names, losses)
        self._weighed = shown._replace(values=shown.values.detach())
        total = total if torch.is_grad_enabled() else total.detach()
        return Weighted(total, weights[: len(history.names)])

    def end_step(self, losses: Tensor | None, history: History | None) -> None:
        """A step is over.

        Its losses may be means over micro-batches or ranks, which the method has not seen yet.
        """
        weighed, memory = self._weighed, self._memory
        step = weighed
        if losses is not None and history is not None:
            like = losses if weighed is None else weighed.values
            step = self._show_recorded(losses.detach().to(like), history)
        if step is None:
            return
        if any(look(self.module)) and not _are_same(step, weighed):
            ask = lambda: self.module(step.values)  # noqa: E731
            _, memory = self._ask(ask, step.names, step.values)
        self._end(step.names, memory)
        self.step, self._weighed, self._memory = step, None, None

    def give_up(self) -> None:
        """What was weighed counts for nothing, and nothing is to be learned after it."""
        self._weighed = self._memory = None
        self.step = Shown((), torch.empty(0, device="cpu"), None)

    def _show_recorded(self, losses: Tensor, history: History) -> Shown:
        """The losses of a step that is over; those that are not finite took no part in it."""
        present = losses.isfinite()
        if history.present is not None:
            present = present & history.present.to(losses.device)
        # On an accelerator that would wait for the values.
        is_whole = present.is_cpu and bool(present.all())
        return self._show(losses, None if is_whole else present, history)

    def _show(self, losses: Tensor, present: Tensor | None, history: History) -> Shown:
        missing = (self.capacity or 0) - len(losses)
        if missing > 0:  # those that are to come count as losses that take no part
            present = torch.ones_like(losses, dtype=torch.bool) if present is None else present
            present = torch.cat([present, present.new_zeros(missing)])
            losses = torch.cat([losses, losses.new_ones(missing)])
        if present is not None:
            usual = torch.ones_like(losses.detach())
            means = torch.as_tensor(history.mean, device=losses.device)
            usual[: len(history.names)] = means.nan_to_num(nan=1.0)
            losses = torch.where(present, losses, usual)
        return Shown(history.names, losses, present)

    def state_dict(self) -> dict[str, Any]:
        """The last step, too, for FAMO."""
        step = None if self.step is None else [list(self.step.names), *self.step[1:]]
        return {**super().state_dict(), "step": step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        super().load_state_dict(state)
        self._weighed = self._memory = self.step = None
        if state["step"] is not None:
            names, values, present = state["step"]
            present = None if present is None else present.to(self.device)
            self.step = Shown(tuple(names), values.to(self.device), present)


def _are_same(step: Shown, weighed: Shown | None) -> bool:
    """Whether they are known to be the same, without waiting for an accelerator."""
    if weighed is None or step is weighed:
        return weighed is not None
    known = step.names == weighed.names and step.present is weighed.present is None
    return known and step.values.is_cpu and torch.equal(step.values, weighed.values)


def _total_and_weights(method: nn.Module, losses: Shown) -> tuple[Tensor, Tensor]:
    values = losses.values
    if not values.requires_grad:
        values = values.clone().requires_grad_()  # with a tangent of forward-mode AD
    total = _call(method, values, losses.present)
    (weights,) = torch.autograd.grad(total, values, retain_graph=True, materialize_grads=True)
    if losses.present is not None:
        total = total - torch.where(losses.present, 0.0, weights * values).sum().detach()
    return total, weights


def _call(method: nn.Module, values: Tensor, present: Tensor | None) -> Any:
    if present is None:
        return method(values)
    # The learned weight of a loss that takes no part gets no gradient.
    learned = {
        name: torch.where(present, parameter, parameter.detach())
        for name, parameter in method.named_parameters()
        if parameter.shape == present.shape
    }
    return torch.func.functional_call(method, learned, (values,))


def values_after(before: Shown, losses: Mapping[str, Any]) -> Tensor:
    """The losses [K] computed anew; one that took no part or is not finite counts as unchanged.

    Raises:
        TypeError: If a loss is no number.
        ValueError: If a loss has more than one element.
    """
    after = list(before.values)
    for index, name in enumerate(before.names):
        if name in losses:
            after[index] = _number(losses[name], name, like=before.values)
    values = torch.stack(after)
    changed = values.isfinite() if before.present is None else values.isfinite() & before.present
    return torch.where(changed, values, before.values)


def _number(loss: Any, name: str, *, like: Tensor) -> Tensor:
    if isinstance(loss, Tensor) and not loss.is_cpu and loss.numel() == 1:
        return loss.detach().reshape(()).to(like)  # without waiting for its value
    return like.new_tensor(read(loss, name))
