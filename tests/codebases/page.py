"""The changes that docs/codebases.md shows, as code before and after them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

TOP = Path(__file__).parent.parent.parent
PAGE = (TOP / "docs" / "codebases.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"(?ms)^## (.*?)\n(.*?)(?=^## |\Z)", PAGE))


class Change(NamedTuple):
    """The two sides of a diff."""

    before: str
    after: str


def changes(section: str) -> list[Change]:
    """The diffs of a section."""
    diffs = re.findall(r"(?ms)^```diff\n(.*?)^```", SECTIONS[section])
    return [Change(_without("+", diff), _without("-", diff)) for diff in diffs]


def code(section: str) -> str:
    """The Python block of a section."""
    (block,) = re.findall(r"(?ms)^```python\n(.*?)^```", SECTIONS[section])
    return str(block)


def run(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """What a side leaves behind, given the names that it leaves open."""
    exec(compile(code, "docs/codebases.md", "exec"), names)
    return names


def _without(sign: str, diff: str) -> str:
    lines = diff.splitlines(keepends=True)
    return "".join(line[1:] for line in lines if not line.startswith(sign))
