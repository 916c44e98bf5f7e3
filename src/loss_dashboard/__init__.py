"""Look at recorded losses and weights."""

from .notebook import Figure as Figure
from .notebook import LiveLogger as LiveLogger
from .notebook import show as show

__all__ = ["Figure", "LiveLogger", "show"]
