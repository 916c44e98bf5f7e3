"""How the rows of losses are reported, and among whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ._row import REPORT, checked_report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multi_loss_weighting.distributed._collectives import ProcessGroup


@dataclass(frozen=True)
class ReportSettings:
    """What a row reports of a loss, and which ranks share and report it.

    Args:
        statistics: The statistics in a row, out of `STATISTICS`.
        process_group: The ranks whose mean of each loss makes the statistics and the weights. Each
            of them has to record each step. "default" is all of them, once `torch.distributed` is
            initialised; None is for what one rank records alone.
        all_ranks: Whether each rank reports its rows, and not the first of them alone.

    Raises:
        ValueError: If a statistic is unknown, or the process group is a str.

    >>> ReportSettings(["loss", "weight"]).statistics
    ('loss', 'weight')
    """

    statistics: Iterable[str] = REPORT
    process_group: ProcessGroup = field(default="default")
    all_ranks: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "statistics", checked_report(self.statistics))
        group: Any = self.process_group
        if isinstance(group, str) and group != "default":
            msg = f'process_group must be "default", a process group or None, got {group!r}'
            raise ValueError(msg)


def report_settings(report: Any) -> ReportSettings:
    """The settings themselves, or those of a list of statistics."""
    return report if isinstance(report, ReportSettings) else ReportSettings(report)
