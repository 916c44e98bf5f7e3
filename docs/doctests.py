"""Show the examples of docstrings as code; Google style knows them only below "Examples:"."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"(?m)^>>> (?:.+\n?)+")


class FenceDoctests(Extension):
    """Put a fence around each example."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of a function, class, module or attribute."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(_fenced, obj.docstring.value)


def _fenced(match: re.Match[str]) -> str:
    return f"```pycon\n{match[0].rstrip()}\n```\n"
