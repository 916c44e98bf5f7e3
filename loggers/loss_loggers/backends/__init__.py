"""Loggers, one backend a file."""

from .accelerate import AccelerateLogger as AccelerateLogger
from .comet import CometLogger as CometLogger
from .console import ConsoleLogger as ConsoleLogger
from .jsonl import JsonlLogger as JsonlLogger
from .memory import MemoryLogger as MemoryLogger
from .metrics_endpoint import MetricsEndpoint as MetricsEndpoint
from .mlflow import MLflowLogger as MLflowLogger
from .run import RunLogger as RunLogger
from .tensorboard import TensorBoardLogger as TensorBoardLogger
from .trackio import TrackioLogger as TrackioLogger
from .wandb import WandbLogger as WandbLogger
