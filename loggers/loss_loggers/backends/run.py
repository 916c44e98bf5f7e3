"""Rows and hyperparameters in any run that is shaped like one of W&B."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from loss_loggers.base._hyperparameters import flat
from loss_loggers.base._protocol import check_kind, is_a
from loss_loggers.base._values import Names, floats

from ._adapter import Adapter

if TYPE_CHECKING:
    from loss_loggers.base._protocol import Metrics


class LogsSteps(Protocol):
    """A run, or a module, that logs a row with its step."""

    def log(self, data: dict[str, Any], /, *, step: int | None = ...) -> object:
        """Log one row."""
        ...


_OWN = ("wandb", "wandb.sdk.wandb_run.Run")


class RunLogger(Adapter):
    """Log to whatever has `log(dict, step=...)`, as SwanLab and others that follow W&B do.

    Rows go with the step that they have, and that backend decides what it makes of one that comes
    twice, goes back or has a NaN. It also gives them the time: those that come late have that of
    their arrival. If the run has a `config` that takes `update(dict)`, hyperparameters go there.

    For W&B itself there is `WandbLogger`, which loses no row whose step is past, and for Trackio
    `TrackioLogger`, which keeps times.

    Example::

        run = swanlab.init(project="gan", mode="offline")
        tracker = LossTracker("G", RunLogger(run))
        swanlab.finish()

    Args:
        run: The run, which you start and finish.

    Raises:
        TypeError: If it has no `log` that takes a step, or is a run of W&B.

    >>> class Run:
    ...     def log(self, row, step=None):
    ...         print(step, row)
    >>> RunLogger(Run()).log_metrics({"loss/G": 0.5}, step=3)
    3 {'loss/G': 0.5}
    """

    def __init__(self, run: LogsSteps) -> None:
        super().__init__()
        fits = not isinstance(run, type) and _takes_step(getattr(run, "log", None))
        check_kind(fits and not is_a(run, *_OWN), "a run with log(dict, step=...)", run)
        self._run = run
        self._names = Names()

    @property
    def target(self) -> str:
        """The package of the run, and its id or name."""
        run = self._run
        package = getattr(run, "__name__", type(run).__module__).partition(".")[0]
        name = getattr(run, "id", None) or getattr(run, "name", None) or ""
        return f"{package} {name}".rstrip()

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Log one row."""
        if not self._refuses(1):
            self._run.log(floats(metrics, self._names), step=int(step))

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Add them to the configuration of the run, if it has one."""
        update = getattr(getattr(self._run, "config", None), "update", None)
        if callable(update) and not self._refuses(0):
            update(flat(self._with_earlier(hyperparams)))


def _takes_step(log: Any) -> bool:
    from inspect import signature  # here, for it is a tenth of what importing this package costs

    try:
        signature(log).bind({}, step=0)
    except TypeError:
        return False
    except ValueError:  # it is not written in Python
        return True
    return True
