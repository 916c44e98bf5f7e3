"""Fits that are done: a small file each, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path


class Job(Protocol):
    """What can be done once and for all."""

    def key(self) -> dict[str, Any]:
        """All that its numbers depend on."""
        ...


def file_of(folder: Path, job: Job) -> Path:
    """Where the numbers of a job are, or will be."""
    key = json.dumps(job.key(), sort_keys=True)
    return folder / f"{blake2b(key.encode(), digest_size=12).hexdigest()}.json"


def read(folder: Path, job: Job) -> dict[str, Any] | None:
    """The numbers of a job; None if it is still to be done."""
    try:
        text = file_of(folder, job).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    numbers: dict[str, Any] = json.loads(text)["numbers"]
    return numbers


def write(folder: Path, job: Job, numbers: dict[str, Any]) -> None:
    """Keep the numbers of a job, in whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    file = file_of(folder, job)
    temporary = file.with_suffix(f".{os.getpid()}")
    text = json.dumps({"job": job.key(), "numbers": numbers})
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
