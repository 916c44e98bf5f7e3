"""Deliver rows of losses to wherever you look."""

from ._base import BaseLogger as BaseLogger
from ._guard import Guard as Guard
from ._logger import Logger as Logger
from ._logger import Loggers as Loggers
from ._logger import Metrics as Metrics
from ._logger import Row as Row
from ._logger import check_logger as check_logger
from .accelerate import AccelerateLogger as AccelerateLogger
from .background import Background as Background
from .comet import CometLogger as CometLogger
from .console import ConsoleLogger as ConsoleLogger
from .csv_file import CsvLogger as CsvLogger
from .every import Every as Every
from .memory import MemoryLogger as MemoryLogger
from .mlflow import MLflowLogger as MLflowLogger
from .read_run import Run as Run
from .read_run import read_run as read_run
from .rename import Rename as Rename
from .run_folder import is_run as is_run
from .run_folder import run_info as run_info
from .tee import Tee as Tee
from .tee import as_tee as as_tee
from .tensorboard import TensorBoardLogger as TensorBoardLogger
from .wandb import WandbLogger as WandbLogger
