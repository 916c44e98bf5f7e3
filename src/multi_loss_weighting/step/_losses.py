"""LossSet: the losses of a group, in order, and how they are kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from multi_loss_weighting.batch._batch import BatchReader
from multi_loss_weighting.batch._names import by_name, checked_max_loss, checked_names
from multi_loss_weighting.statistics._record import new_record
from multi_loss_weighting.statistics._settings import StatisticsSettings

from .report._row import REPORT, TOTAL, RowTemplate

if TYPE_CHECKING:
    from multi_loss_weighting.statistics._record import Numbers
    from multi_loss_weighting.statistics._settings import RatioSettings

MOST_NAMES = 1000
"""More names than that were made by a mistake."""


@dataclass(frozen=True)
class LossOptions:
    """How the losses of a group are kept and reported.

    Attributes:
        max_loss: One limit for all, or a dict by name.
        block_size: Updates per block.
        settings: How statistics are kept.
        report: The statistics in a row.
        scope: Stands before the loss in a row.
        has_total: Whether rows have the objective.
        are_given: Whether the user gave the names, so that no other may come.
        capacity: How many losses the weighting is made for; None for any number.
        ratio: How the user has ratios kept where the weighting does not say; None for `settings`.
    """

    max_loss: float | Mapping[str, float] = math.inf
    block_size: int | None = None
    settings: StatisticsSettings = field(default_factory=StatisticsSettings)
    report: tuple[str, ...] = REPORT
    scope: str = ""
    has_total: bool = True
    are_given: bool = False
    capacity: int | None = None
    ratio: RatioSettings | None = None

    def for_weighting(self, weighting: Any) -> LossOptions:
        """The options with what a weighting asks for: its settings of the ratios come first."""
        own = self.ratio or self.settings.ratio
        settings = replace(self.settings, ratio=getattr(weighting, "ratio_settings", own))
        capacity = getattr(weighting, "num_losses", None)
        return replace(self, settings=settings, capacity=capacity, ratio=own)


class LossSet:
    """K losses in order. Their numbers are elsewhere, since this never changes."""

    def __init__(self, names: Iterable[str], options: LossOptions) -> None:
        self.names = names = checked_names(names) if options.are_given or names else ()
        if options.has_total and TOTAL in names:
            msg = (
                f"names must not have {TOTAL!r}, which is the objective of the group in its rows:"
                f" name that loss otherwise, or pass over it with ignore={TOTAL!r}"
            )
            raise ValueError(msg)
        self.options = options
        self.limits = _limits(names, options)
        self.rules = options.settings.rules(options.block_size)
        self.reader = BatchReader(names, self.limits)
        self.template = RowTemplate(
            names, self.limits, options.report, options.scope, has_total=options.has_total
        )

    def __len__(self) -> int:
        return len(self.names)

    def joined(self, losses: Mapping[str, Any]) -> LossSet:
        """These losses and those that come for the first time.

        Raises:
            ValueError: If the names were given, or there would be too many.
        """
        new = [name for name in losses if name not in self.names]
        if not new or self.options.are_given:
            return self  # the reader says what is wrong with an unknown one
        names = (*self.names, *new)
        if len(names) > MOST_NAMES:
            msg = (
                f"names must be {MOST_NAMES} at most, got another, {new[0]!r}: is it made from the"
                " step, or from the data?"
            )
            raise ValueError(msg)
        if self.options.capacity is not None and len(names) > self.options.capacity:
            msg = (
                f"the weighting is made for {self.options.capacity} losses, got another,"
                f" {new[0]!r}, beside {', '.join(self.names)}: make it for more"
            )
            raise ValueError(msg)
        return self.of(names)

    def of(self, names: Sequence[str]) -> LossSet:
        """Losses of these names, kept alike."""
        return self if tuple(names) == self.names else LossSet(names, self.options)

    def for_weighting(self, weighting: Any) -> LossSet:
        """The same losses, as another weighting needs them.

        Raises:
            ValueError: If it is made for fewer.
        """
        capacity = getattr(weighting, "num_losses", None)
        if capacity is not None and capacity < len(self):
            msg = (
                f"weighting must be made for {len(self)} losses or more"
                f" ({', '.join(self.names)}), got {type(weighting).__name__} for {capacity}"
            )
            raise ValueError(msg)
        options = self.options.for_weighting(weighting)
        return self if options == self.options else LossSet(self.names, options)

    def blank(self) -> Numbers:
        """The numbers of a loss before its first value."""
        options = self.options
        return tuple(
            new_record(options.settings.history, has_blocks=options.block_size is not None)
        )

    def numbers_from(self, names: Sequence[str], records: Sequence[Numbers]) -> tuple[Numbers, ...]:
        """The numbers of these losses, out of those of others."""
        known = dict(zip(names, records, strict=True))
        return tuple(known[name] if name in known else self.blank() for name in self.names)


def _limits(names: tuple[str, ...], options: LossOptions) -> list[float]:
    max_loss = options.max_loss
    if not options.are_given and isinstance(max_loss, Mapping):
        # Those of losses that did not come yet wait for them.
        for name, limit in max_loss.items():
            checked_max_loss(limit, name)
        own = {name: max_loss.get(name, math.inf) for name in names}
    else:
        own = dict.fromkeys(names, math.inf) | by_name(max_loss, names, "max_loss")
    return [checked_max_loss(limit, name) for name, limit in own.items()]
