"""What the user wrote about a run: a note and tags, in a file that no logger touches."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_loggers.recording import NOTES, holding, read_json, write_json
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

LOCK = ".notes.lock"
PATIENCE = 5.0
"""Seconds to wait for another process that writes notes just now."""

LONGEST_NOTE, LONGEST_TAG, MOST_TAGS = 2000, 60, 50
"""Characters and tags; what is beyond them, as by another program, is not shown."""

LARGEST = 1_000_000
"""Bytes of a file that is still one of notes."""


class Notes(NamedTuple):
    """What is known of a run beside its record."""

    note: str = ""
    tags: tuple[str, ...] = ()


def read_notes(folder: Path) -> Notes:
    """The note and the tags of a run, as they may be shown; none where the file makes no sense."""
    content = _content(folder)
    tags = [printable(tag[:LONGEST_TAG]) for tag in _tags_in(content) if tag.strip()]
    # As one line: a list has no room for more, and a line break would command a terminal.
    note = " ".join(_note_in(content)[:LONGEST_NOTE].split())
    return Notes(printable(note), tuple(dict.fromkeys(tags[:MOST_TAGS])))


def write_note(folder: Path, note: str) -> None:
    """Replace the note of a run; an empty one takes it away.

    Raises:
        ValueError: If it is too long.
        OSError: If the folder cannot be written.
    """
    if len(note) > LONGEST_NOTE:
        msg = f"a note must have at most {LONGEST_NOTE} characters, got {len(note)}"
        raise ValueError(msg)
    with holding(folder / LOCK, PATIENCE):
        write_json(folder / NOTES, {**_content(folder), "note": note})


def change_tags(folder: Path, add: Collection[str], remove: Collection[str]) -> tuple[str, ...]:
    """Give a run tags and take others from it; those that it has then.

    Raises:
        ValueError: If a tag is none, or there would be too many.
        OSError: If the folder cannot be written.
    """
    for tag in add:
        _check(tag)
    with holding(folder / LOCK, PATIENCE):
        content = _content(folder)
        tags = [tag for tag in dict.fromkeys([*_tags_in(content), *add]) if tag not in remove]
        if len(tags) > MOST_TAGS:
            msg = f"a run must have at most {MOST_TAGS} tags, got {len(tags)}"
            raise ValueError(msg)
        write_json(folder / NOTES, {**content, "tags": tags})
    return read_notes(folder).tags


def _content(folder: Path) -> dict[str, Any]:
    """What the file says: no link is followed out of the folder, no pipe waited for."""
    path = folder / NOTES
    try:
        status = path.lstat()
    except OSError:
        return {}
    is_ours = stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST
    return read_json(path) if is_ours else {}


def _check(tag: str) -> None:
    is_word = tag.isprintable() and not any(map(str.isspace, tag))
    if not is_word or not 0 < len(tag) <= LONGEST_TAG:
        msg = f"a tag must be a word of up to {LONGEST_TAG} characters, got {tag[:80]!r}"
        raise ValueError(msg)


def _note_in(content: dict[str, Any]) -> str:
    note = content.get("note")
    return note if isinstance(note, str) else ""


def _tags_in(content: dict[str, Any]) -> list[str]:
    tags = content.get("tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
