"""Deliver rows of losses to wherever you look."""

from typing import TYPE_CHECKING

from .base._base_logger import BaseLogger
from .base._clock import row_time as row_time
from .base._pending import Pending
from .base._process import finalizer as finalizer
from .base._protocol import Logger, Loggers, Means, Metrics, Row, check_logger
from .base._values import is_validation as is_validation

if TYPE_CHECKING:
    from .alerts import Advice as Advice
    from .alerts import Alert, AlertLogger
    from .alerts import Measured as Measured
    from .alerts import advise as advise
    from .backends import (
        AccelerateLogger,
        CometLogger,
        ConsoleLogger,
        JsonlLogger,
        MemoryLogger,
        MetricsEndpoint,
        MLflowLogger,
        RunLogger,
        TensorBoardLogger,
        TrackioLogger,
        WandbLogger,
    )
    from .delivery import Background, NotDeliveredError, Summary, SyncIsRunningError, sync
    from .recording import CsvLogger, Run, is_run, read_run, run_info
    from .wrappers import Every, Guard, Rename, Tee, as_tee

__all__ = [
    "AccelerateLogger",
    "Alert",
    "AlertLogger",
    "Background",
    "BaseLogger",
    "CometLogger",
    "ConsoleLogger",
    "CsvLogger",
    "Every",
    "Guard",
    "JsonlLogger",
    "Logger",
    "Loggers",
    "MLflowLogger",
    "Means",
    "MemoryLogger",
    "Metrics",
    "MetricsEndpoint",
    "NotDeliveredError",
    "Pending",
    "Rename",
    "Row",
    "Run",
    "RunLogger",
    "Summary",
    "SyncIsRunningError",
    "Tee",
    "TensorBoardLogger",
    "TrackioLogger",
    "WandbLogger",
    "as_tee",
    "check_logger",
    "is_run",
    "read_run",
    "run_info",
    "sync",
]

_ROOMS = ("recording", "wrappers", "delivery", "backends", "alerts")
_BESIDE = ("Advice", "Measured", "advise")  # for the packages beside this one


def __getattr__(name: str) -> object:
    """What is in a room is imported when it is first asked for: most need one or two of them."""
    from importlib import import_module

    if name == "sync":
        return import_module(f"{__name__}.sync")  # a module that can be called
    for room in _ROOMS if name in (*__all__, *_BESIDE) else ():
        if (found := getattr(import_module(f"{__name__}.{room}"), name, None)) is not None:
            globals()[name] = found
            return found
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
