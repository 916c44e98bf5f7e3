"""Deliver rows of losses to wherever you look."""

from typing import TYPE_CHECKING

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
from .base._base_logger import BaseLogger
from .base._clock import row_time as row_time
from .base._pending import Pending
from .base._process import finalizer as finalizer
from .base._protocol import Logger, Loggers, Means, Metrics, Row, check_logger
from .delivery import Background, NotDeliveredError, Summary, SyncIsRunningError
from .recording import CsvLogger, Run, is_run, read_run, run_info
from .wrappers import Every, Guard, Rename, Tee, as_tee

if TYPE_CHECKING:
    from .delivery import sync
else:
    from . import sync  # a module that can be called

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
