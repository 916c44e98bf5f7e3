"""Paths, as a user gives them, and the files there."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from errno import EINVAL
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a draft to write, which takes the place of what is there, whoever else may do so.

    If that fails, what is there stays as it was.
    """
    # Cut, for the name itself may be as long as one can be.
    draft = path.with_name(f".{path.name[:50]}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        yield draft
        draft.replace(path)
    except BaseException as error:
        with suppress(OSError):  # which would hide why
            draft.unlink()
        if isinstance(error, OSError) and error.filename == str(draft):
            error.filename = str(path)  # the one that somebody knows
        raise


def replace_file(path: Path, text: str) -> None:
    """Replace what is there by a file with this text."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
