"""The way of a step's losses: where they are read, what they are weighed by, what is taken in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from multi_loss_weighting.accelerator._history import check_kept
from multi_loss_weighting.accelerator._means import widest
from multi_loss_weighting.accelerator._reader import OnDevice
from multi_loss_weighting.batch._batch import Batch
from multi_loss_weighting.batch._value import device_of
from multi_loss_weighting.distributed._sums import means_of, read_tally, tally
from multi_loss_weighting.weighting._base import checked_weighted

if TYPE_CHECKING:
    from collections.abc import Callable

    from multi_loss_weighting._state import State
    from multi_loss_weighting.distributed._ranks import Ranks
    from multi_loss_weighting.statistics._history import History
    from multi_loss_weighting.weighting import Weighted, Weighting

    from ._losses import Members
    from ._recorder import Intake

_CPU = torch.device("cpu")
# torch.distributed.checkpoint loads what is there already: empty lists, but no missing keys.
_NOTHING_KEPT: State = {"ratios": [], "moments": []}


class Steps:
    """Reads the losses of each step of a group, weighs them, and takes them in.

    Losses on the CPU are read at once. On an accelerator a step leaves what it has to tell in the
    backlog, and the weighting gets a history that is kept there. Where there are several
    micro-batches or ranks, their mean counts as the loss of the step.

    Args:
        make_members: Makes the losses out of their names.
        names: Their names, if they are known.
        intake: Takes in what was weighed.
        ranks: Who shares the objective.
        keeps_nonfinite: Whether a loss that is not finite stays in the objective.
        is_always_late: Whether losses on the CPU take the way of those on an accelerator, too.
    """

    def __init__(
        self,
        make_members: Callable[..., Members],
        names: Any,
        *,
        intake: Intake,
        ranks: Ranks,
        keeps_nonfinite: Callable[[], bool],
        is_always_late: bool,
    ) -> None:
        self.intake = intake
        self._make_members = make_members
        self.members = None if names is None else self.make_members(names)
        self._ranks = ranks
        self._keeps_nonfinite = keeps_nonfinite
        self._is_always_late = is_always_late
        self._place: OnDevice | None = None
        self._saved: State = {}
        self._sums: Tensor | None = None

    def make_members(self, names: Any) -> Members:
        """The losses of these names."""
        return self._make_members(names, backlog=self.intake.backlog)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the numbers of the device, and puts them there with its next losses."""
        return self.__dict__ | {"_place": None, "_saved": self.device_state()}

    # A step is read and weighed.

    def read(self, losses: Mapping[str, Any]) -> tuple[Members, Batch]:
        """The losses of one step in order, and whose they are."""
        members = self.members or self.make_members(losses_by_name(losses))
        batch = self._read(members, losses)
        if self.members is None:
            self.members = members
        return members, batch

    def _read(self, members: Members, losses: Mapping[str, Any]) -> Batch:
        if self._place is None and not self._is_always_late and isinstance(losses, dict):
            batch = members.reader.read_plain(losses)
            if batch is not None:
                return batch
        losses_by_name(losses)
        if not losses and self.members is not None and self._ranks.are_many:
            return (self._place or members.reader).read_nothing()
        if self.can_read_now(losses):
            return members.reader.read_carefully(losses, self._keeps_nonfinite())
        return self._at(self._device_of(losses), members).read(losses, self._keeps_nonfinite())

    def can_read_now(self, losses: Mapping[str, Any]) -> bool:
        """Whether these losses need no backlog. If so, those before them are taken in first."""
        if self._is_always_late or self._device_of(losses) != _CPU:
            return False
        self.intake.backlog.catch_up()
        self._place, self._saved = None, {}
        return True

    def _device_of(self, losses: Mapping[str, Any]) -> torch.device:
        """Where the losses are; plain numbers join those before them."""
        return device_of(losses) or (_CPU if self._place is None else self._place.device)

    def come_late(self) -> None:
        """Have losses on the CPU take the way of those on an accelerator, too."""
        self._is_always_late = True

    def _at(self, device: torch.device, members: Members) -> OnDevice:
        if self._place is None or self._place.device != device:
            if self._place is not None:
                self.intake.backlog.catch_up()
            state = self.device_state()
            self._place = OnDevice(members, device, self.intake.backlog.catch_up)
            self._place.history.load_state_dict(state)
        return self._place

    def history(self, members: Members) -> History:
        """What the weighting knows, where the losses are."""
        return members.history if self._place is None else self._place.history

    def weigh(self, weighting: Weighting, members: Members, batch: Batch, step: int) -> Weighted:
        """The objective of a step."""
        if batch.raw is not None and isinstance(weighting, nn.Module):
            _check_device(weighting, batch.raw.device)
        history = members.history if self._place is None else self._place.history
        history.step, history.present = step, batch.present
        result = weighting.weigh(batch.losses, history)
        return checked_weighted(result, weighting, history.names, is_finite=batch.is_plain)

    def weights(self, weighting: Weighting, members: Members, losses: Tensor, step: int) -> Any:
        """The weights of a step of losses [K] that are all there."""
        zeros = torch.zeros_like(losses)
        if losses.is_cpu and self._place is None:
            batch = Batch(zeros, zeros.tolist())
        elif self._place is not None and losses.is_cpu:
            batch = self._place.read_means(zeros.to(self._place.device))
        else:
            batch = self._at(losses.device, members).read_means(zeros)
        return self.weigh(weighting, members, batch, step).weights

    def why_no_backward(self, losses: Mapping[str, Any]) -> str:
        """What to say where no loss of a step has a gradient."""
        names = ", ".join(losses) or "no loss"
        msg = f"update calls backward, and none of {names} has a gradient: pass do_backwards=False"
        if self._ranks.are_many:
            return f"{msg}, and give DDP, which waits, a backward of 0 times the sum of parameters"
        return f"{msg} to track them only"

    # A step is taken in.

    def record(
        self,
        weighting: Weighting,
        members: Members,
        batch: Batch,
        weighted: Weighted | None,
        samples: float,
        extra: dict[str, Any],
        step: int,
        weighed_at: int,
    ) -> None:
        """Take in a step, which ends the micro-batches before it; `weighted` if it is known.

        It was weighed at the step `weighed_at`, and its row is of `step`.
        """
        if self._sums is not None or self._ranks.are_many:
            sums = self._with(batch, samples)
            self._record_sums(sums, weighting, members, extra, step, weighed_at)
            return
        if weighted is None:
            weighted = self._weigh_again(weighting, members, batch, weighed_at)
        if batch.raw is None:
            self._saved = {}
            self.intake.take_in(members, batch, weighted, samples, extra, step)
        else:
            assert self._place is not None
            self._place.history.take_in(batch.raw, samples)
            self.intake.is_finite = partial(self._place.are_finite, batch.raw, batch.given)
            self.intake.take_in_later(
                members, batch.raw, batch.given, weighted, samples, extra, step
            )

    def accumulate(self, batch: Batch, samples: float) -> None:
        """Add one micro-batch to the step."""
        self._sums = self._with(batch, samples)

    def _with(self, batch: Batch, samples: float) -> Tensor:
        """The sums of the step with one more micro-batch."""
        if batch.raw is None:
            losses = torch.tensor(batch.values, dtype=torch.float64)
        else:
            losses = batch.raw.to(widest(batch.raw.device))
        sums = tally(losses, batch.given, samples)
        return sums if self._sums is None else self._sums.to(sums) + sums

    def forget_accumulated(self) -> None:
        """Take back the micro-batches since the last step."""
        self._sums = None

    # Outside of the path of `update`, for which it is too slow.
    @torch.no_grad()
    def _weigh_again(
        self, weighting: Weighting, members: Members, batch: Batch, step: int
    ) -> Weighted:
        """The objective for the record alone."""
        return self.weigh(weighting, members, batch, step)

    def record_means(
        self,
        weighting: Weighting,
        members: Members,
        extra: dict[str, Any],
        step: int,
        weighed_at: int,
    ) -> None:
        """Take in a step whose losses are the means of those that were accumulated.

        Raises:
            ValueError: If nothing was accumulated.
        """
        if self._sums is None:
            msg = "record() is of the losses that were accumulated; got none: accumulate(losses)"
            raise ValueError(msg)
        self._record_sums(self._sums, weighting, members, extra, step, weighed_at)

    def _record_sums(
        self,
        sums: Tensor,
        weighting: Weighting,
        members: Members,
        extra: dict[str, Any],
        step: int,
        weighed_at: int,
    ) -> None:
        """Take in a step whose losses are means over micro-batches and ranks."""
        if self._ranks.are_many:
            sums = self._ranks.share(sums, weighting)
        if self._place is None:
            tallied = read_tally(sums.flatten().tolist())
            batch = members.reader.read_means(tallied.losses, tallied.given)
            weighted = self._weigh_again(weighting, members, batch, weighed_at)
            self._sums, self._saved = None, {}
            self.intake.take_in(members, batch, weighted, tallied, extra, step)
        else:
            means, samples = means_of(sums)
            batch = self._place.read_means(means)
            weighted = self._weigh_again(weighting, members, batch, weighed_at)
            self._sums = None
            self._place.history.take_in(means, samples)
            self.intake.is_finite = partial(torch.eq, sums[3].sum(), 0)
            self.intake.take_in_later(members, sums, None, weighted, None, extra, step)

    # What survives a restart.

    def reset(self) -> None:
        """Forget every loss."""
        self.intake.backlog.catch_up()
        if self.members is not None:
            self.members = self.make_members(tuple(self.members.losses))
        self._place = self._sums = None
        self._saved = {}

    def state_dict(self) -> State:
        """Every number that must survive a restart."""
        self.intake.backlog.catch_up()
        return {
            "losses": {} if self.members is None else self.members.state_dict(),
            "device": self.device_state(),
            "accumulated": [] if self._sums is None else self._sums.flatten().tolist(),
        }

    def device_state(self) -> State:
        """What is kept on the device alone: the last bits of it differ from those on the host."""
        kept = self._saved if self._place is None else self._place.history.state_dict()
        return {**_NOTHING_KEPT, **kept}

    def load_device_state(self, state: State) -> None:
        """Continue from `device_state()` when the next losses are on a device."""
        self._place = None
        self._saved = {name: numbers for name, numbers in state.items() if numbers}

    def fitting(self, state: State) -> Members | None:
        """The losses that a state is of: those of the group, or its own where they are unknown."""
        if self.members is None and state.get("losses"):
            return self.make_members(state["losses"])
        return self.members

    def check_state(self, state: State, members: Members | None, where: str) -> None:
        """Raise a ValueError unless the numbers in the state are of these losses."""
        losses = {} if members is None else members.losses
        for name, loss in losses.items():
            loss.check_state(state["losses"][name])
        check_kept(state["device"], len(losses), where)
        needed, got = 4 * len(losses), len(state["accumulated"])
        if got not in (0, needed):
            msg = f"{where}, 'accumulated', needs no numbers, or {needed}; got {got}"
            raise ValueError(msg)

    def load_state_dict(self, state: State, members: Members | None) -> None:
        """Continue from `state_dict()`, with the losses that fit it."""
        self.members = members
        if members is not None:
            members.load_state_dict(state["losses"])
        self.load_device_state(state["device"])
        sums = torch.tensor(state["accumulated"], dtype=torch.float64)
        self._sums = sums.reshape(4, -1) if len(sums) else None


def losses_by_name(losses: Any) -> Mapping[str, Any]:
    """The losses themselves, if each has a name."""
    if not isinstance(losses, Mapping):
        msg = f"the losses of a step are a dict from name to loss; got a {type(losses).__name__}"
        raise TypeError(msg)
    return losses


def _check_device(weighting: nn.Module, device: torch.device) -> None:
    for parameter in weighting.parameters():
        if parameter.device != device:
            msg = (
                f"the losses are on {device} and the learned weights on {parameter.device}: call"
                f" group.to({str(device)!r}) before they go to the optimizer"
            )
            raise ValueError(msg)
