"""Rows and hyperparameters in a Comet experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers.base._hyperparameters import flat
from loss_loggers.base._protocol import check_kind, is_a
from loss_loggers.base._values import Names, floats

from ._adapter import Adapter

if TYPE_CHECKING:
    from comet_ml import CometExperiment

    from loss_loggers.base._protocol import Metrics

_LONGEST_NAME = 100


class CometLogger(Adapter):
    """Log to a Comet experiment that you opened, and leave its step to you.

    In Comet the step of one call becomes that of the next which names none: logged without this
    class, the step of a loss would stand at your own metrics. For the same reason it must stay on
    the thread that trains: put `Every` around it where it costs too much, not `Background`.

    A name longer than 100 characters is cut, and numbered if it is then taken. Comet gives rows
    the time at which it gets them, takes 12,000 numbers a minute, and keeps a sample of a curve
    that has more than 15,000. After `experiment.end()` it would drop rows without a word.

    Example::

        experiment = comet_ml.start()
        tracker = LossTracker("G", CometLogger(experiment))
    """

    must_stay_on_thread = "the step of a Comet experiment belongs to all who log to it"

    def __init__(self, experiment: CometExperiment) -> None:
        super().__init__()
        wanted = "a Comet experiment, as comet_ml.start() gives"
        check_kind(is_a(experiment, *_EXPERIMENTS), wanted, experiment)
        if experiment.ended:
            msg = "an experiment that is running is needed; this one has ended"
            raise ValueError(msg)
        self._experiment = experiment
        self._names = Names(longest=_LONGEST_NAME)
        self._refuses(0)

    @property
    def target(self) -> str:
        """The experiment, by its key."""
        return f"comet {self._experiment.get_key()}"

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Log one row."""
        if self._refuses(1):
            return
        experiment = self._experiment
        before = experiment.curr_step, experiment.curr_epoch
        try:
            experiment.log_metrics(floats(metrics, self._names), step=int(step))
        finally:
            experiment.curr_step, experiment.curr_epoch = before

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Log them as parameters."""
        if not self._refuses(0):
            self._experiment.log_parameters(flat(self._with_earlier(hyperparams)))

    def _ended(self) -> str:
        if self._experiment.alive:
            return ""
        return f"the experiment {'has ended' if self._experiment.ended else 'is disabled'}"


# The older name is that of Comet before 3.48.
_EXPERIMENTS = ("comet_ml.experiment.CometExperiment", "comet_ml.experiment.BaseExperiment")
