"""How a weighed step enters the statistics and the record: now, or when it was read back."""

from __future__ import annotations

import math
from itertools import compress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting.accelerator._readback import LOG_EVERY, Backlog
from multi_loss_weighting.batch._nonfinite import describe, warn_nonfinite
from multi_loss_weighting.distributed._sums import Tallied, read_tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from loss_loggers import Row
    from multi_loss_weighting.batch._batch import Batch
    from multi_loss_weighting.batch._nonfinite import OnNonfinite
    from multi_loss_weighting.distributed._ranks import Ranks
    from multi_loss_weighting.weighting import Weighted

    from ._loss import NamedLoss
    from ._losses import Members
    from ._reporter import Reporter


class Intake:
    """Takes the losses of each step into the statistics, reports its row, and minds what is nan.

    Args:
        ranks: Who shares the objective, of whom the first reports.
        on_nonfinite: What to do with a loss that is not finite.
        keeps_nonfinite: Whether it stays in the objective.
        log_every: Steps on an accelerator between two reads; None for 50.
        reporter: Gets the rows.
        total: The name of the objective in a row; None for none.
    """

    def __init__(
        self,
        *,
        ranks: Ranks,
        on_nonfinite: OnNonfinite,
        keeps_nonfinite: Callable[[], bool],
        log_every: int | None,
        reporter: Reporter | None,
        total: str | None = None,
    ) -> None:
        self.backlog = Backlog(LOG_EVERY if log_every is None else log_every, self._report_late)
        self.is_finite: bool | Callable[[], Tensor] = True
        self._ranks = ranks
        self._on_nonfinite = on_nonfinite
        self._keeps_nonfinite = keeps_nonfinite
        self._total = total
        self._error: Exception | None = None
        self.report_to(reporter)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"is_finite": bool(self.finite)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.report_to(self._reporter)

    def report_to(self, reporter: Reporter | None) -> None:
        """Who gets the rows from now on."""
        self._reporter = reporter
        if reporter is not None:
            self.backlog.come_before_the_end_of(reporter.logger)

    @property
    def finite(self) -> Tensor:
        """Whether every loss of the last step was finite, on all ranks: a 0-d bool tensor."""
        known = self.is_finite
        return torch.tensor(known) if isinstance(known, bool) else known()

    def take_in(
        self,
        members: Members,
        batch: Batch,
        weighted: Weighted,
        measured: float | Tallied,
        extra: dict[str, Any],
        step: int,
    ) -> None:
        """Take in a step whose losses are known.

        Args:
            members: Whose losses they are.
            batch: The losses.
            weighted: The objective.
            measured: How many samples each loss is the mean of, or the tally that it is from.
            extra: Numbers of the user's own for the row.
            step: The step.
        """
        self._count(members, batch, weighted.weights.tolist(), measured, step)
        if self._reports:
            own = {name: float(value) for name, value in extra.items()}
            total = {} if self._total is None else {self._total: weighted.total.item()}
            assert self._reporter is not None
            self._reporter.report(members.row(batch) | total | own, step)

    @property
    def _reports(self) -> bool:
        return self._reporter is not None and self._ranks.is_reporter

    def take_in_later(
        self,
        members: Members,
        measured: Tensor,
        given: list[bool] | None,
        weighted: Weighted,
        samples: float | None,
        extra: dict[str, Any],
        step: int,
    ) -> None:
        """Take in a step on an accelerator when its losses have been read back.

        Args:
            members: Whose losses they are.
            measured: The losses [K], or their tally [4, K].
            given: Which losses there are; None for all.
            weighted: The objective.
            samples: How many samples each loss is the mean of; None for a tally.
            extra: Numbers of the user's own for the row, tensors on the device among them.
            step: The step.
        """
        weights = weighted.weights
        # Nothing that the optimizer, or the weighting, is about to change.
        if not isinstance(weights, Tensor):
            weights = weights.tolist()
        elif weights.requires_grad:
            weights = weights.detach().clone()
        later = {name: value for name, value in extra.items() if isinstance(value, Tensor)}
        known = {name: value for name, value in extra.items() if name not in later}
        total = weighted.total.detach() if weighted.total.requires_grad else weighted.total
        tensors = [measured, total, *later.values()]
        if isinstance(weights, Tensor):
            tensors.append(weights)

        def take_in(numbers: list[float], total: list[float], *more: Any) -> dict[str, Any] | None:
            used = more[-1] if isinstance(weights, Tensor) else weights
            if samples is None:
                tallied = read_tally(numbers)
                batch = members.reader.known(tallied.losses, tallied.given)
                self._count(members, batch, used, tallied, step)
            else:
                batch = members.reader.known(numbers, given)
                self._count(members, batch, used, samples, step)
            if not self._reports:
                return None
            own = {name: value for name, (value,) in zip(later, more, strict=False)}
            objective = {} if self._total is None else {self._total: total[0]}
            return members.row(batch) | objective | known | own

        self.backlog.add(step, tensors, take_in)

    def _count(
        self,
        members: Members,
        batch: Batch,
        weights: list[float],
        measured: float | Tallied,
        step: int,
    ) -> None:
        if isinstance(measured, Tallied):
            members.record_means(batch, weights, measured, step)
            bad = [count > 0 for count in measured.nonfinite]
        else:
            members.record(batch, weights, measured, step)
            if batch.is_plain:
                self.is_finite = True
                return
            bad = [not math.isfinite(value) for value in batch.values]
            if batch.given is not None:
                bad = [is_bad and it for is_bad, it in zip(bad, batch.given, strict=True)]
        self.is_finite = not any(bad)
        for loss in compress(members.losses.values(), bad):
            # A mean is over what was finite.
            value = math.nan if math.isfinite(loss.value) else loss.value
            self._complain(loss, value, step)

    def _complain(self, loss: NamedLoss, value: float, step: int) -> None:
        if self._on_nonfinite == "raise":
            self._error = self._error or FloatingPointError(describe(loss.name, value, step))
        elif loss.nonfinite == 1:
            try:
                warn_nonfinite(loss.name, value, step, self._keeps_nonfinite())
            except RuntimeWarning as error:  # Where warnings are errors, it comes after the row.
                self._error = self._error or error

    def raise_error(self) -> None:
        """Raise what is to be raised about a loss that was not finite, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _report_late(self, rows: list[Row]) -> None:
        if self._reporter is not None:
            self._reporter.report_rows(rows)
