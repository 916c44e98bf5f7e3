"""The folder of one backend in a run folder, and the files in it."""

from __future__ import annotations

import os
from itertools import count, takewhile
from typing import TYPE_CHECKING, NamedTuple

from loss_loggers.base._paths import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNDELIVERED = "undelivered.jsonl"
SENT = "sent.json"

_LONGEST = 200
"""Bytes of such a word at most: a file system takes 255 for a name, and some come behind it."""


class CopiedRunError(ValueError):
    """A run folder has the notes of another, of which it is a copy."""


def folder_name(target: str) -> str:
    """The name of the folder for a target: its first word, and a number for the others.

    >>> folder_name("mlflow 3f2a"), folder_name("memory")
    ('mlflow-58453a7e', 'memory')
    """
    from zlib import crc32

    kind, rest = _kind_of(target)
    return f"{kind}-{crc32(rest.encode(errors='backslashreplace')):08x}" if rest else kind


def noted(run: Path, target: str) -> str:
    """The target as a run folder notes it: what lies in that folder moves along with it.

    >>> from pathlib import Path
    >>> run = Path("runs/gan").absolute()
    >>> noted(run, f"tensorboard {run}"), noted(run, "mlflow 3f2a")
    ('tensorboard .', 'mlflow 3f2a')
    """
    kind, _, place = target.partition(" ")
    if place != str(run) and not place.startswith(f"{run}{os.sep}"):
        return target
    return f"{kind} .{place[len(str(run)) :]}"


def _kind_of(target: str) -> tuple[str, str]:
    """The kind of backend, as it can stand in the name of a file, and what else tells it apart."""
    word, _, rest = target.partition(" ")
    name = "".join(letter if letter.isalnum() else "_" for letter in word) or "logger"
    kind = name.encode()[:_LONGEST].decode(errors="ignore")
    return kind, rest if kind == name else target


def targets_in(run: Path) -> list[str]:
    """The targets of a run folder, in words; the latest one last."""
    names = (SENT, "delivered*.jsonl")
    files = [file for name in names for file in run.glob(f"*/{name}")]
    found = [_target_in(file) for file in sorted(files, key=lambda file: file.stat().st_mtime)]
    return [target for target in found if target]


def _target_in(file: Path) -> str:
    import json

    with open_file(file) as opened:
        text = opened.read().decode("utf-8")
    # A document, or a line of its own that is the first.
    try:
        content = json.loads(text if file.name == SENT else text.partition("\n")[0])
    except ValueError:
        return ""
    return str(content.get("target", "")) if isinstance(content, dict) else ""


def is_spool(path: Path) -> bool:
    """Whether a file has the name of one of undelivered rows."""
    return path.match(UNDELIVERED.replace(".", "*."))


class SenderFiles(NamedTuple):
    """The files of one `Background`: while it lives it holds the lock."""

    delivered: Path
    undelivered: Path
    lock: Path


def sender_files(folder: Path, number: int) -> SenderFiles:
    """The files of the first `Background` at work, of a second one beside it, …."""
    end = "" if number == 1 else f"-{number}"
    return SenderFiles(
        folder / f"delivered{end}.jsonl",
        folder / f"undelivered{end}.jsonl",
        folder / f"sender{end}.lock",
    )


def all_sender_files(folder: Path) -> Iterator[SenderFiles]:
    """Those of every `Background` that was ever at work here."""
    files = (sender_files(folder, number) for number in count(1))
    return takewhile(lambda paths: any(path.exists() for path in paths), files)
