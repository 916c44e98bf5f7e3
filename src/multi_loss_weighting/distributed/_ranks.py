"""The ranks of a distributed run that share one objective."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ._collectives import Collectives
from ._learned import LearnedWeights
from ._names import LateSignals, Told, united
from ._sums import by_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ._collectives import ProcessGroup


class _Brought(NamedTuple):  # what this rank brings to a step
    names: tuple[str, ...]
    sums: Tensor
    learned: LearnedWeights
    weighting: Any
    error: Exception | None


class Ranks(Collectives):
    """Those that weigh alike, because they weigh by the mean of each loss over all of them.

    A loss is known by its name: ranks may have them in another order, or not all of them.

    Args:
        process_group: The ranks; "default" for all of them once `torch.distributed` is initialised,
            None for each by itself.
        report_all: Whether each reports its rows, and not the first of them alone.
        is_fixed: Whether the user gave the names, so that all ranks need the same.
        read_every: Steps on an accelerator between two looks for new losses.
    """

    def __init__(
        self,
        process_group: ProcessGroup,
        *,
        report_all: bool,
        is_fixed: bool = False,
        read_every: int = 50,
    ) -> None:
        super().__init__(process_group)
        self.agreed: tuple[str, ...] | None = None
        """The names of the losses, the same on all ranks; None before the first step."""
        self.report_all = report_all
        self._is_fixed = is_fixed
        self._late = LateSignals(read_every)

    @cached_property
    def is_reporter(self) -> bool:
        """Whether this rank reports rows."""
        return self.report_all or self.is_first

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy may come to life among other ranks, with whom it has agreed on nothing."""
        group = self.process_group if self.process_group in ("default", None) else "default"
        made = partial(
            Ranks,
            report_all=self.report_all,
            is_fixed=self._is_fixed,
            read_every=self._late.every,
        )
        return made, (group,)

    def forget(self) -> None:
        """Agree anew at the next step; every rank has to call this."""
        self.agreed = None

    def share(
        self,
        names: Sequence[str],
        sums: Tensor,
        weighting: object = None,
        *,
        error: Exception | None = None,
        is_late: bool | None = None,
    ) -> tuple[tuple[str, ...], Tensor]:
        """The sums of a tally over the ranks, of each loss that any of them has.

        Learned weights ride along, so that one collective is enough: their gradients become those
        of the mean losses, and the weights, which are alike, stay so even where something moved
        them on one rank only. Where there is one per loss, they are from then on in the order of
        the returned names, followed by names of this rank alone; so must its losses be.

        Args:
            names: The losses of this rank, in its order.
            sums: Their tally, [5, K]; zeros if it stops.
            weighting: The weighting.
            error: Why this rank stops at this step. It takes part all the same, so that no other
                waits for it, and then raises it.
            is_late: Whether nothing may be read back; None for where `sums` are on a device. A new
                loss is then in no sum until all ranks look for news, at most 2 `read_every` later.

        Returns:
            The names that the ranks agreed on, and the sums of these, the same on all ranks.

        Raises:
            ValueError: If these names, or their order, do not go together. All ranks raise it.
            RuntimeError: If another rank stopped, or did not come.
        """
        mine = _Brought(tuple(names), sums, LearnedWeights(weighting), weighting, error)
        is_late = not sums.is_cpu if is_late is None else is_late
        if not self.agreed or (is_late and self._late.have_news(self.size)):
            self._agree(mine)
        total, signal, measured, *learned = self._reduced(mine)
        # What is on the CPU can be read at once, so that none waits for one that stops.
        if is_late and not (signal.is_cpu and signal > self.size):
            self._late.add(signal)
        elif signal.item():  # All ranks see it, and none has changed anything yet.
            self._agree(mine)
            total, _, measured, *learned = self._reduced(mine)
        if error is not None:
            raise error
        assert self.agreed is not None
        means = (one / self.size for one in learned)
        mine.learned.write_back(means, mine.names, self.agreed)
        if measured.numel():
            mean = measured.reshape(-1, len(self.agreed)) / self.size
            mine.weighting.averaged(self.agreed, mean)
        return self.agreed, total.reshape(len(sums), -1)

    def _agree(self, mine: _Brought) -> None:
        """Gather the names of all ranks, or raise on each of them why one stops."""
        error = None if mine.error is None else f"{type(mine.error).__name__}: {mine.error}"
        capacity, is_positional = mine.learned.capacity, mine.learned.is_positional
        told = Told(mine.names, self._is_fixed, capacity, is_positional, error)
        everything = self.gather(told, mine.sums.device)
        if mine.error is not None:
            raise mine.error
        self.agreed = united(self.agreed or (), everything)
        self._late.clear()

    def _reduced(self, mine: _Brought) -> tuple[Tensor, ...]:
        """The sums over the ranks, all flat.

        They are those of the tally, the signal, what the weighting measured, and learned weights.
        """
        assert self.agreed is not None
        sums = by_name(mine.sums, mine.names, self.agreed).reshape(-1)
        signal, measured = sums.new_full((1,), self._signal(mine)), sums.new_empty(0)
        if hasattr(mine.weighting, "to_average"):
            measured = mine.weighting.to_average(self.agreed, sums.device).reshape(-1)
        learned = mine.learned.packed(mine.names, self.agreed)
        parts = [sums, signal, *(one.to(sums) for one in (measured, *learned))]
        packed = self.sum(torch.cat(parts))
        return torch.split(packed, [len(part) for part in parts])

    def _signal(self, mine: _Brought) -> int:
        """1 for news, and for an error more than the news of all ranks come to."""
        if mine.error is not None:
            return self.size + 1
        return int(mine.names != self.agreed and not set(mine.names) <= set(self.agreed or ()))
