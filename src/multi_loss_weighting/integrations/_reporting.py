"""Rows of a group to the loggers of a framework, for as long as it runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from loss_loggers import Tee
from multi_loss_weighting.step.report._reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from multi_loss_weighting import LossGroup


@contextmanager
def reporting(group: LossGroup, name: str, loggers: Sequence[Any]) -> Iterator[None]:
    """Report to these loggers beside those of the group.

    Args:
        group: The group.
        name: What it is called in the hyperparameters of these loggers.
        loggers: Those of the framework; one that the group has already gets no row twice.

    >>> from loss_loggers import MemoryLogger
    >>> from multi_loss_weighting import LossGroup
    >>> group, memory = LossGroup(["kl"]), MemoryLogger()
    >>> with reporting(group, "losses", [memory]):
    ...     group.record({"kl": 0.5})
    >>> group.record({"kl": 0.25})
    >>> memory["loss/kl"]
    [(0, 0.5)]
    """
    own = group.reporter
    tee = own.logger if own else Tee()
    known = [guard.logger for guard in tee.guards]
    others = [logger for logger in loggers if not any(logger is one for one in known)]
    if others:
        group.report_to(Reporter(Tee(tee, _Named(name, others)), group.hyperparams))
    try:
        yield
    finally:
        group.flush()
        group.report_to(own)


class _Named(Tee):
    """Loggers of a framework, which ends them; the hyperparameters of groups are kept apart."""

    def __init__(self, name: str, loggers: list[Any]) -> None:
        super().__init__(loggers)
        for guard in self.guards:
            guard.leave_end()
        self._name = name

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        super().log_hyperparams({self._name: hyperparams})
