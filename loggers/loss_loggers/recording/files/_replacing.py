"""Files that are replaced in one go, or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a draft to write, which takes the place of what is there, whoever else may do so.

    If that fails, what is there stays as it was.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        yield draft
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(draft):
            error.filename = str(path)  # the one that somebody knows
        raise


def replace_file(path: Path, text: str) -> None:
    """Replace what is there by a file with this text."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
