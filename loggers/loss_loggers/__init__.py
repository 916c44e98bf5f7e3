"""Deliver rows of losses to wherever you look."""

from ._logger import Logger as Logger
from ._logger import Row as Row
