"""Paths, as a user gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path


def folder_at(path: str | PathLike[str]) -> Path:
    """The folder, whatever the working directory becomes later."""
    from pathlib import Path  # here, for it is a tenth of what importing this package costs

    return Path(path).expanduser().resolve()
