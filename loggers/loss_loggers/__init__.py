"""Deliver rows of losses to wherever you look."""

from ._base import BaseLogger as BaseLogger
from ._guard import Guard as Guard
from ._logger import Logger as Logger
from ._logger import Loggers as Loggers
from ._logger import Metrics as Metrics
from ._logger import Row as Row
from ._logger import check_logger as check_logger
from .csv_file import CsvLogger as CsvLogger
from .memory import MemoryLogger as MemoryLogger
from .tee import Tee as Tee
from .tee import as_tee as as_tee
