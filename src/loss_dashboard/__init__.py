"""Look at recorded losses and weights."""

import csv

from .notebook import Figure as Figure
from .notebook import LiveLogger as LiveLogger
from .notebook import show as show

__all__ = ["Figure", "LiveLogger", "show"]

# A name may be longer than the 128 KB that a cell of CSV may have by default; for all who read it.
csv.field_size_limit(1 << 30)
