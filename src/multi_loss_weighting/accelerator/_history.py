"""What is known of the losses on an accelerator, for a weighting as tensors."""

from __future__ import annotations

import math
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor

from multi_loss_weighting.statistics._history import History
from multi_loss_weighting.statistics._record import LossRecord
from multi_loss_weighting.tensors._widest import widest

from ._in_place import Ratios
from ._moments import Moments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from multi_loss_weighting.statistics._record import Numbers
    from multi_loss_weighting.statistics._settings import RatioSettings


DEVICE_NUMBERS = 2 + Ratios.SIZE + Moments.SIZE
"""Numbers that are kept of each loss."""

Kept = Ratios | Moments
Part = TypeVar("Part", Ratios, Moments)


class DeviceHistory(History):
    """A `History` whose vectors are tensors [K] on the device of the losses, good for one step.

    Only what the weighting asks for is kept there, from the first time that it asks: the moments
    and the loss ratio. Anything else is read from the host, which waits for the device. What is
    kept is made outside of inference mode, where a validation may ask first, or no training could
    write to it.

    Args:
        names: The names of the losses.
        records: What the host knows of them.
        settings: How the loss ratios are kept.
        device: Where the losses are.
        wait: Reads back what the host does not know yet, and returns what it knows then.
        dtype: What to count in; by default the most precise that the device has.
    """

    is_on_device = True

    def __init__(
        self,
        names: tuple[str, ...],
        records: Sequence[Numbers],
        settings: RatioSettings,
        device: torch.device,
        wait: Callable[[], Sequence[Numbers]],
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(names, records)
        self.device = device
        self._dtype = dtype or widest(device)
        self._settings = settings
        self._wait = wait
        self._index = 0
        self._kept: dict[type[Kept], Kept] = {}
        self._shown: tuple[Tensor | None, Tensor | None] = (None, None)

    # A step.

    def show(self, raw: Tensor | None, given: Tensor | None = None) -> None:
        """The losses [K] of the step that is being weighed.

        Args:
            raw: As they are, nan for one that is missing; None where all that are given take part.
            given: Which are given, a bool tensor [K]; None for all.
        """
        self._shown = raw, given

    @property
    def present(self) -> Tensor | None:
        """Which losses take part in this step, a bool tensor [K], or None where all do."""
        raw, given = self._shown
        return given if raw is None else raw.eq(raw.nan_to_num(0.0, 0.0, 0.0))

    @present.setter
    def present(self, present: Tensor | None) -> None:
        """Nothing: on an accelerator it follows from the losses."""

    def prepare(self, losses: Tensor, samples: float | Tensor) -> int:
        """Work out one step, which shows once `use` is given the number that this returns.

        Without `use` in between, a second call replaces what the first worked out.

        Args:
            losses: The losses [K], nan for one that was not given.
            samples: How many samples each is the mean of.
        """
        for part in self._kept.values():
            part.prepare(losses, samples)
        return 1 - self._index

    def use(self, index: int) -> None:
        """Take over the step that `prepare` gave this number; a second time it does nothing."""
        if index != self._index:
            for part in self._kept.values():
                part.twin.take_over()
            self._index = index

    # What is kept here.

    def ratios(self) -> Ratios:
        """The loss ratios, kept from now on."""
        return self._part(Ratios)

    def moments(self) -> Moments:
        """The moments, kept from now on."""
        return self._part(Moments)

    def _part(self, kind: type[Part]) -> Part:
        part = self._kept.get(kind)
        if part is None:
            part = self._keep(kind, _columns(self._wait(), kind))
        return cast("Part", part)

    def _keep(self, kind: type[Kept], columns: Tensor) -> Kept:
        with torch.inference_mode(False):
            self._kept[kind] = kind(columns, self._settings, self.device, self._dtype)
        return self._kept[kind]

    def numbers(self) -> Tensor:
        """All numbers that are kept here, [K, 21] in float64 on the CPU, a row for each loss.

        They differ from those of the host by how they are rounded. It waits for the device.
        """
        parts = []
        for kind in (Ratios, Moments):
            part = self._kept.get(kind)
            size = (len(self), 1 + kind.SIZE)
            parts.append(torch.zeros(size, dtype=torch.float64, device="cpu"))
            if part is not None:
                parts[-1][:, 0] = 1
                parts[-1][:, 1:] = part.columns()
        return torch.cat(parts, dim=1)

    def load_numbers(self, names: tuple[str, ...], numbers: Tensor) -> None:
        """Continue from `numbers()` of losses of these names; what was not kept of all is not.

        Raises:
            ValueError: If there is not one row for each name.
        """
        if numbers.shape != (len(names), DEVICE_NUMBERS):
            needed = (len(names), DEVICE_NUMBERS)
            msg = f"numbers must be of shape {needed}, got {tuple(numbers.shape)}"
            raise ValueError(msg)
        self._kept, start = {}, 0
        for kind in (Ratios, Moments):
            is_kept, columns = numbers[:, start], numbers[:, start + 1 : start + 1 + kind.SIZE]
            if is_kept.any():
                own = _columns(self.records, kind)
                for index, name in enumerate(self.names):
                    if name in names and is_kept[names.index(name)]:
                        own[index] = columns[names.index(name)]
                self._keep(kind, own)
            start += 1 + kind.SIZE

    # The vectors.

    def gather(self, name: str) -> Any:
        """One number of each loss's record, which waits for the device."""
        self.records = self._wait()
        return torch.from_numpy(super().gather(name)).to(self._dtype).to(self.device)

    @property
    def count(self) -> Any:
        """How many finite values came."""
        return self.moments().all.count.clone()

    @property
    def first(self) -> Any:
        """The first finite value."""
        return self._known(self.moments().all.first)

    @property
    def mean(self) -> Any:
        """Mean."""
        return self._known(self.moments().all.mean)

    @property
    def variance(self) -> Any:
        """Population variance."""
        return self._known(self.moments().all.variance)

    @property
    def std(self) -> Any:
        """Standard deviation."""
        return self.variance.sqrt_()

    @property
    def cov(self) -> Any:
        """Coefficient of variation, std / |mean|."""
        return self.std.div_(self.moments().all.mean.abs())

    @property
    def minimum(self) -> Any:
        """Smallest value."""
        return self._known(self.moments().all.minimum)

    @property
    def maximum(self) -> Any:
        """Largest value."""
        return self._known(self.moments().all.maximum)

    def _known(self, row: Tensor) -> Tensor:
        return row.masked_fill(self.moments().all.count == 0, math.nan)

    @property
    def ratio_count(self) -> Any:
        """How many values entered the loss ratio since its start or its last restart."""
        return self.ratios().count.clone()

    @property
    def ratio_mean(self) -> Any:
        """Mean of the loss ratio."""
        ratios = self.ratios()
        return ratios.mean.masked_fill(ratios.count == 0, math.nan)

    @property
    def ratio_std(self) -> Any:
        """Standard deviation of the loss ratio."""
        ratios = self.ratios()
        return ratios.std().masked_fill_(ratios.count == 0, math.nan)

    @property
    def ratio_cov(self) -> Any:
        """Coefficient of variation of the loss ratio, c = sigma_l / mu_l; nan before it began."""
        return self.ratios().cov()


def _columns(records: Sequence[Numbers], kind: type[Kept]) -> Tensor:
    """The numbers of each loss that a part is made of, [K, kind.SIZE]; "" stands for a 0."""
    named = [LossRecord._make(record) for record in records]
    rows = [[attrgetter(name)(one) if name else 0.0 for name in kind.FIELDS] for one in named]
    return torch.tensor(rows, dtype=torch.float64, device="cpu")
