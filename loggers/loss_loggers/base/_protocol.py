"""What a logger is: one method, and three more where it has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

Metrics = dict[str, Any]
Row = tuple[int, float, Metrics]
"""A step, the Unix time in seconds when it was recorded, and its metrics."""
Means = Mapping[str, tuple[float, float]]
"""The mean of each loss over an epoch, by the name of the loss, and of how many samples."""


@runtime_checkable
class Logger(Protocol):
    """Anything that takes a row of metrics for a step.

    A Comet `Experiment`, the `mlflow` module and Lightning's loggers fit as they are. Three more
    methods are used where a logger has them: `log_rows(rows)`, which takes a sequence of `Row`
    that arrives late or in a batch; `log_epoch(epoch, means, *, step)`, which takes the `Means` of
    an epoch at its last step; and `log_hyperparams(dict)`, which takes the losses and how they are
    weighted. Without `log_epoch` the means come as a row: `epoch`, and `epoch_loss/G` for each.
    """

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> object:
        """Record one row: a number for each `{statistic}/{loss}`."""
        ...


class Record(Protocol):
    """What others need to know of the local record, beside which they deliver."""

    @property
    def path(self) -> Path:
        """The run folder."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether it has that folder."""
        ...

    @property
    def place(self) -> tuple[int, int]:
        """Where the next row comes: the number of the part, from 1, and its size in bytes."""
        ...

    @property
    def resumed(self) -> list[dict[str, Any]]:
        """Where the record went on, or back: `part`, `offset` and `epochs` of each time."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Where it is now, with `epochs`, the size of the file of epochs."""
        ...


Loggers = Logger | Sequence[Logger]
"""One logger, or a list of them."""

# By name, because looking must not import an SDK that the user may not even have.
_ADAPTERS = {
    "wandb": "WandbLogger(wandb.run)",
    "wandb.sdk.wandb_run.Run": "WandbLogger(run)",
    "torch.utils.tensorboard.writer.SummaryWriter": "TensorBoardLogger(writer)",
    "tensorboardX.writer.SummaryWriter": "TensorBoardLogger(writer)",
    "mlflow.tracking.client.MlflowClient": "MLflowLogger(run_id, client)",
    "mlflow.entities.run.Run": "MLflowLogger(run)",
    "trackio.run.Run": "TrackioLogger(run)",
    "accelerate.accelerator.Accelerator": "AccelerateLogger(accelerator)",
    "accelerate.tracking.GeneralTracker": "AccelerateLogger(tracker)",
    "builtins.str": "CsvLogger(path)",
    "pathlib.PurePath": "CsvLogger(path)",
    "pathlib._local.PurePath": "CsvLogger(path)",
}


def check_logger(candidate: object) -> Logger:
    """The candidate, if it can take rows; else an error that says what to pass instead.

    >>> check_logger("runs/gan")
    Traceback (most recent call last):
    ...
    TypeError: a logger has log_metrics(metrics, *, step); got str: wrap it as CsvLogger(path)
    """
    if isinstance(candidate, type) or not callable(getattr(candidate, "log_metrics", None)):
        msg = f"a logger has log_metrics(metrics, *, step); got {_what_came(candidate)}"
        raise TypeError(msg)
    return cast("Logger", candidate)


def target_of(logger: object) -> str:
    """Which run of which backend a logger delivers to, in words.

    >>> from loss_loggers import MemoryLogger
    >>> target_of(MemoryLogger())
    'memory'
    """
    name = getattr(logger, "__name__", type(logger).__name__)
    return str(getattr(logger, "target", None) or name.removesuffix("Logger").lower())


def is_a(candidate: object, *full_names: str) -> bool:
    """Whether it is an instance of one of these classes, which need not be importable.

    >>> is_a("runs/gan", "builtins.str"), is_a(str, "builtins.str")
    (True, False)
    """
    return not set(full_names).isdisjoint(_names(candidate))


def check_kind(fits: bool, wanted: str, candidate: object) -> None:
    """Raise an error that says what was needed, and what came, unless it fits."""
    if not fits:
        msg = f"{wanted}, is needed; got {_what_came(candidate)}"
        raise TypeError(msg)


def _what_came(candidate: object) -> str:
    if isinstance(candidate, type):
        return f"the class {candidate.__qualname__}, not an instance of it"
    adapter = next(filter(None, map(_ADAPTERS.get, _names(candidate))), None)
    return type(candidate).__qualname__ + (f": wrap it as {adapter}" if adapter else "")


def _names(candidate: object) -> list[str]:
    """The full names of its classes; the name itself for a module."""
    classes = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(candidate).__mro__]
    return [str(getattr(candidate, "__name__", "")), *classes]
