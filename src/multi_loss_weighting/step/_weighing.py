"""Weighing: the objective of a step, and what the weighting is told of it afterwards."""

from __future__ import annotations

import math
from itertools import repeat
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from multi_loss_weighting.batch._value import checked_step
from multi_loss_weighting.statistics._history import shown
from multi_loss_weighting.statistics._record import LossRecord
from multi_loss_weighting.tensors._grad_mode import without_grad
from multi_loss_weighting.tensors._widest import widest
from multi_loss_weighting.weighting._base import Weighted, checked_weighted

from ._memory import Weighed, as_list, as_vector, recall, remember, weighed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from multi_loss_weighting.batch._batch import Batch
    from multi_loss_weighting.weighting._base import Weighting

    from ._reading import Reading

_OURS = "multi_loss_weighting."


class Weighing:
    """Asks the weighting, and remembers what it said until the step is recorded.

    Args:
        weighting: How to weigh.
        reading: Knows the losses.

    Attributes:
        has_memory: Whether the weighting is to be told of each step.
    """

    def __init__(self, weighting: Weighting, reading: Reading) -> None:
        self.reading = reading
        self.recorder = reading.recorder
        self.use(weighting)

    def __getstate__(self) -> dict[str, Any]:
        """Nobody looks at the steps of a copy, whose weighting begins to hear of them."""
        own = {key: value for key, value in self.__dict__.items() if key != "weigh"}
        return own | {"has_memory": hasattr(self.weighting, "recorded")}

    def use(self, weighting: Weighting) -> None:
        """Ask this one from now on."""
        self.weighting = weighting
        self.has_memory = hasattr(weighting, "recorded")
        self._is_ours = type(weighting).__module__.startswith(_OURS)

    def weigh(self, batch: Batch, step: int, will_be_recorded: bool = True) -> Weighted:
        """The objective of a step."""
        if self.recorder.state.untold is not None:
            self.tell()
        weighting = self.weighting
        if batch.raw is not None and isinstance(weighting, nn.Module):
            _check_device(weighting, batch.raw.device)
        history = self.reading.history()
        history.step, history.present, history.terms = step, batch.present, None
        history.will_be_recorded = will_be_recorded
        # What is recorded shares no memory with what a weighting of the user's holds. Ours change
        # nothing in place, and each copy is a launch.
        losses = batch.losses if self._is_ours else batch.losses.clone()
        result = weighting.weigh(losses, history)
        if self._is_ours and type(result.weights) is list:
            return result  # what ours give fits
        result = checked_weighted(result, weighting, history.names, is_finite=batch.is_plain)
        if type(result.weights) is list:
            return result
        if batch.raw is None or not isinstance(result.weights, Tensor):
            return Weighted(result.total, as_list(result.weights))
        return result if self._is_ours else result._replace(weights=result.weights.detach().clone())

    def observe(self, look: Callable[[Tensor, tuple[str, ...], int], bool]) -> None:
        """Show `look` the losses of each step before they are weighed, until it says True.

        It stands before `weigh`, so that a step that nobody looks at costs nothing.
        """

        def weigh(batch: Batch, *step: Any) -> Weighted:
            state = self.recorder.state
            if look(batch.losses, state.losses.names, state.number):
                self.__dict__.pop("weigh", None)
            return Weighing.weigh(self, batch, *step)

        self.__dict__["weigh"] = weigh

    # Weights that the next record is told.

    def weigh_and_remember(self, losses: Mapping[str, Any], step: int | None) -> Tensor:
        """The objective of a step."""
        recorder = self.recorder
        with recorder.lock:
            before = recorder.state
            at = before.step if step is None else checked_step(step)
            batch, is_training = self.reading.read(losses), torch.is_grad_enabled()
            try:
                weighted = self.weigh(batch, at, is_training)
            except BaseException:
                self.reading.go_back(before)
                raise
            if is_training:
                self.remember(batch, weighted)
            else:
                self.reading.go_back(before)
        return weighted.total

    def remember(self, batch: Batch, weighted: Weighted) -> None:
        """Have the next record told of these weights and this total."""
        state = self.recorder.state
        terms = self.reading.history().terms
        self._keep(weighed(state.losses.names, batch, weighted, terms))

    def _keep(self, new: Weighed) -> None:
        self.recorder.change(remembered=remember(self.recorder.state.remembered, new))

    @without_grad
    def recalled(self, batch: Batch, step: int) -> tuple[Any, Any]:
        """The weights and the objective of a step, as they were used."""
        state = self.recorder.state
        ask = lambda: self.weigh(batch, step)  # noqa: E731
        weights, total = recall(state.remembered, state.losses.names, batch, ask)
        is_empty = batch.given is not None and not any(batch.given)
        return weights, 0.0 if is_empty else total

    # Weights by themselves.

    def weights(self, losses: Tensor, step: int, will_be_recorded: bool = False) -> Any:
        """The weights of a step of losses [K] that are all there; 0 for one that is not known."""
        return self.weigh(self.reading.read_vector(losses), step, will_be_recorded).weights

    def next_weights(self) -> dict[str, float]:
        """The weights that the next step will have, of losses that are all there.

        A method may have none for losses that it does not know yet, as a geometric mean: those of
        the last step then, or 1.
        """
        state = self.recorder.state
        zeros = torch.zeros(len(state.losses), device="cpu", dtype=torch.float32)
        weights = as_list(self.weights(zeros, state.step))
        if not math.isfinite(sum(weights)):
            records = map(LossRecord._make, self.recorder.wait())
            weights = [
                next(filter(math.isfinite, (weight, record.last_weight, 1.0)))
                for weight, record in zip(weights, records, strict=True)
            ]
        return dict(zip(state.losses.names, weights, strict=True))

    def weights_for(
        self,
        losses: Tensor,
        given: list[bool] | None = None,
        step: int | None = None,
        remembers: bool = False,
    ) -> Tensor:
        """The weights [K] of the step for compiled code, which the next record is told.

        They are never in half precision.
        """
        with self.recorder.lock:
            state = self.recorder.state
            at = state.step if step is None else checked_step(step)
            weights = as_vector(self.weights(losses, at, remembers))
            dtype = torch.promote_types(losses.dtype, torch.float32)
            vector = weights.to(losses.device, dtype, non_blocking=True, copy=True)
            if remembers:
                own = weights.tolist() if weights.is_cpu else weights
                now = losses.tolist() if losses.is_cpu else losses.clone()
                dot = losses.dot(vector)
                total = dot.item() if dot.is_cpu else dot
                self._keep(Weighed(state.losses.names, given, own, total, now))
        return vector

    def statistic_of(self, name: str, device: torch.device) -> Tensor:
        """One number of each loss for compiled code, a vector [K] of its own."""
        with self.recorder.lock:
            if name == "step":
                numbers: Any = [self.recorder.state.step] * len(self.recorder.state.losses)
            else:
                numbers = shown(self.reading.history(), name)
            vector = torch.as_tensor(numbers, device=device)
            return vector.to(widest(device), copy=True)

    # What a weighting with a memory of its own is told.

    def untold(self, batch: Batch, weights: Any) -> Any:
        """What it is to be told of a step; one that counts as nothing is given up."""
        if batch.given is not None and not any(batch.given):
            self.give_up()
            return None
        losses, own = batch.losses.detach(), as_vector(weights)
        if not self._is_ours:
            losses, own = losses.clone(), own.clone()
        return iter((losses,)), iter((own,))

    def tell(self) -> None:
        """Tell it, unless it was told before."""
        untold, hook = self.recorder.state.untold, getattr(self.weighting, "recorded", None)
        if untold is not None and hook is not None:
            history = self.reading.history()
            history.step = self.recorder.state.step - 1
            # In C, so that no interrupt comes between the call and the note that it was made.
            next(map(hook, *untold, repeat(history)), None)
            self.has_memory = not getattr(self.weighting, "knows_enough", False)
        self.recorder.change(untold=None)

    def give_up(self) -> None:
        """Tell it that what it weighed since the last step will not be recorded."""
        if hasattr(self.weighting, "given_up"):
            self.weighting.given_up()


def _check_device(weighting: nn.Module, device: torch.device) -> None:
    for parameter in weighting.parameters():
        if parameter.device != device:
            msg = (
                f"the losses are on {device} and the learned weights on {parameter.device}: call"
                f" group.to({str(device)!r}) before they go to the optimizer"
            )
            raise ValueError(msg)
