"""A figure in a notebook that goes on while a loop runs."""

from ._figure import Figure as Figure
from ._live_logger import LiveLogger as LiveLogger
from ._show import show as show
