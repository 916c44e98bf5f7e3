"""What a W&B run wrote, read back from the file of an offline run."""

from __future__ import annotations

import json
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADER = 7
_BLOCK = 32768
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def history(folder: Path) -> list[dict[str, Any]]:
    """The rows of the one run in this folder, by the names of their metrics."""
    rows = [record.history for record in records(folder) if record.HasField("history")]
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item}
        for row in rows
    ]


def records(folder: Path) -> list[Any]:
    """All that the run wrote, once it has written that it is over."""
    (path,) = folder.rglob("*.wandb")
    deadline = time.monotonic() + 300
    while True:
        found = list(_records(path))
        # The process behind the run may still be writing when finish() returns.
        if any(record.HasField("exit") for record in found):
            return found
        assert time.monotonic() < deadline, f"{path} has no end"
        time.sleep(0.05)


def _records(path: Path) -> Iterator[Any]:
    """A log of LevelDB: blocks of pieces, each a header with its length and kind, and data."""
    message: Any = import_module("wandb.proto.wandb_internal_pb2").Record
    data, position, pieces = path.read_bytes(), _HEADER, b""
    while position + _HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:
            position += left
            continue
        length, kind = (
            int.from_bytes(data[position + 4 : position + 6], "little"),
            data[position + 6],
        )
        position += _HEADER
        piece = data[position : position + length]
        position += length
        if len(piece) < length:
            return  # it is being written
        pieces = piece if kind in (_FULL, _FIRST) else pieces + piece
        if kind in (_FULL, _LAST):
            yield message.FromString(pieces)
