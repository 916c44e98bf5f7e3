"""How the numbers of the losses become a row."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from multi_loss_weighting.statistics._record import LAST_WEIGHT, RARE, VALUE, LossRecord, summary
from multi_loss_weighting.statistics._scalar import clamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multi_loss_weighting.statistics._record import Numbers

REPORT = ("loss", "weight", "weighted", "mean", "std", "var", "cov", "cov_weight")
"""What a row reports of a loss by default."""

_OTHERS = {
    "ratio": "ratio",
    "ratio_mean": "ratio_mean",
    "ratio_std": "ratio_std",
    "min": "minimum",
    "max": "maximum",
    "count": "count",
    "exponential_mean": "exponential_mean",
    "clamped": "clamped",
    "spikes": "spikes",
}
STATISTICS = (*REPORT, *_OTHERS)
"""Everything that a row can report of a loss."""
_BY_THEMSELVES = ("nonfinite", "block_mean", "block_std", "epoch_loss")

TOTAL = "total"
"""The objective of a group stands in its rows as `loss/total`."""


class RowTemplate:
    """Makes the rows of some losses; what they are called is worked out once.

    Args:
        names: The losses.
        limits: Their `max_loss`.
        report: The statistics in a row, out of `STATISTICS`.
        scope: Stands before the loss, e.g. "val" for `loss/val/kl`.
        has_total: Whether rows have the objective, too.
    """

    def __init__(
        self,
        names: Sequence[str],
        limits: Sequence[float],
        report: Sequence[str],
        scope: str,
        *,
        has_total: bool,
    ) -> None:
        self.labels = [label(scope, name) for name in names]
        self.total = f"loss/{label(scope, TOTAL)}" if has_total else ""
        self._limits = limits
        usual = [name for name in report if name in REPORT]
        self._is_usual = tuple(usual) == REPORT
        self._pick = itemgetter(*map(REPORT.index, usual)) if len(usual) > 1 else None
        self._only = usual[0] if len(usual) == 1 else None
        self._others = [(name, attrgetter(_OTHERS[name])) for name in report if name not in REPORT]
        self._keys = [tuple(f"{name}/{own}" for name in usual) for own in self.labels]
        self._own = {
            f"{name}/{own}" for name in (*STATISTICS, *_BY_THEMSELVES) for own in self.labels
        } | ({self.total, "epoch"} if has_total else {"epoch"})

    def row(
        self,
        before: Sequence[Numbers],
        after: Sequence[Numbers],
        given: list[bool] | None,
        used: Sequence[float] | None = None,
    ) -> dict[str, Any]:
        """What there is to report of one step.

        `given` says which losses there were, `used` what `max_loss` left of those that are means.
        """
        row: dict[str, Any] = {}
        for index, numbers in enumerate(after):
            if given is None or given[index]:
                weight, value = numbers[LAST_WEIGHT], numbers[VALUE]
                mean, std, variance, cov, cov_weight = summary(numbers)
                limit = self._limits[index]
                if used is not None and limit < inf:
                    weighted = weight * used[index]
                else:
                    weighted = weight * (clamp(value, limit) if value > limit else value)
                values = (value, weight, weighted, mean, std, variance, cov, cov_weight)
                if self._is_usual:
                    row.update(zip(self._keys[index], values, strict=True))
                else:
                    self._add_chosen(row, index, values)
                rare, blocks = numbers[RARE], before[index][RARE].blocks_completed
                if rare.nonfinite or self._others or rare.blocks_completed > blocks:
                    self._add_rare(row, index, numbers, blocks)
        return row

    def _add_chosen(self, row: dict[str, Any], index: int, values: tuple[float, ...]) -> None:
        if self._pick is not None:
            row.update(zip(self._keys[index], self._pick(values), strict=True))
        elif self._only is not None:
            row[self._keys[index][0]] = values[REPORT.index(self._only)]

    def _add_rare(self, row: dict[str, Any], index: int, numbers: Numbers, blocks: int) -> None:
        record, own = LossRecord._make(numbers), self.labels[index]
        for name, get in self._others:
            row[f"{name}/{own}"] = get(record)
        if record.nonfinite:
            row[f"nonfinite/{own}"] = record.nonfinite
        if record.blocks_completed > blocks:
            row |= {f"block_mean/{own}": record.block_mean, f"block_std/{own}": record.block_std}

    def check_extra(self, extra: Iterable[str]) -> None:
        """Raise a ValueError if a number of the user's own has the name of one of ours."""
        taken = [name for name in extra if name in self._own]
        if taken:
            msg = (
                f"extra must not replace a number of the row, got {', '.join(taken)}: give it"
                " another name"
            )
            raise ValueError(msg)


def label(scope: str, name: str) -> str:
    """What a loss is called in a row."""
    return f"{scope}/{name}" if scope else name


def checked_report(report: Iterable[str]) -> tuple[str, ...]:
    """The statistics to report, each of which is known."""
    if not isinstance(report, Iterable):
        msg = f"report must be a list out of {', '.join(STATISTICS)}, got {report!r}"
        raise TypeError(msg)
    chosen = (report,) if isinstance(report, str) else tuple(report)
    unknown = [statistic for statistic in chosen if statistic not in STATISTICS]
    if unknown:
        msg = f"report must be among {', '.join(STATISTICS)}, got {', '.join(map(repr, unknown))}"
        raise ValueError(msg)
    return chosen
