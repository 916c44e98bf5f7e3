"""Paths, as a user gives them, and the files there."""

from __future__ import annotations

import stat
from errno import EINVAL
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedReader
    from os import PathLike
    from pathlib import Path


def folder_at(path: str | PathLike[str]) -> Path:
    """The folder, whatever the working directory becomes later.

    Raises:
        FileNotFoundError: If the path is relative, and the working directory is gone by now.
    """
    from pathlib import Path  # here, for it is a tenth of what importing this package costs

    given = Path(path).expanduser()
    try:
        return given.resolve()
    except FileNotFoundError:
        msg = f"a path must be absolute where the working directory was deleted, got {given}"
        raise FileNotFoundError(msg) from None


def open_file(path: Path) -> BufferedReader:
    """A file, to read its bytes; not a pipe or a device, at which one may wait for ever.

    Raises:
        OSError: If it is none, or cannot be read.
    """
    kind = path.stat().st_mode
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # of a folder `open` says what it is
        raise OSError(EINVAL, "it is no regular file", str(path))
    return path.open("rb")
