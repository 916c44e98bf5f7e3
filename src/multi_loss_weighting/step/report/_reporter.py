"""Hand rows to the loggers, with an introduction before the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers import Loggers, as_tee

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from loss_loggers import Pending


class EpochMeans(dict[str, tuple[float, float]]):
    """The means of an epoch; loggers of ours ask how often they came before."""

    tries = 0


class PendingEpoch:
    """The means of an epoch, and how many samples each is of, while they are delivered."""

    def __init__(self, epoch: int, means: Mapping[str, tuple[float, float]], step: int) -> None:
        self.epoch = epoch
        self.means = EpochMeans(means)
        self.step = step
        self.done = 0


class Reporter:
    """Sends rows to the loggers, and before the first one what `introduce` says of the losses."""

    def __init__(self, logger: Loggers, introduce: Callable[[], dict[str, Any]]) -> None:
        self.logger = as_tee(logger)
        self._introduce = introduce
        self._introduced: dict[str, Any] | None = None

    def report(self, pending: Pending) -> None:
        """Send rows; called again with the same ones, each logger of ours takes them once."""
        if self._introduced is None:
            self.introduce()
        self.logger.log_pending(pending)

    def introduce(self) -> None:
        """Say what the losses are, and again where it has changed."""
        settings = self._introduce()
        if settings != self._introduced:
            self.logger.log_hyperparams(settings)
            self._introduced = settings

    def report_epoch(self, pending: PendingEpoch) -> None:
        """Send the means of an epoch; called again, each logger of ours takes them once."""
        guards = self.logger.guards
        pending.means.tries += 1
        while pending.done < len(guards):
            guards[pending.done].log_epoch(pending.epoch, pending.means, step=pending.step)
            pending.done += 1


def make_reporter(
    logger: Loggers | None, introduce: Callable[[], dict[str, Any]]
) -> Reporter | None:
    """A reporter, or None where there is no logger, so that no row is made for nobody."""
    return None if logger is None else Reporter(logger, introduce)
