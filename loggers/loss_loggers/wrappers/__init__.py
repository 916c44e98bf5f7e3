"""Loggers that hand rows on to others: to several, fewer rows, other names."""

from ._guard import Guard as Guard
from .every import Every as Every
from .rename import Rename as Rename
from .tee import Tee as Tee
from .tee import as_tee as as_tee
