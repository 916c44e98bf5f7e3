"""The page as one file, with what it shows of some runs inside."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from re import findall, sub
from typing import TYPE_CHECKING, Any

from ._live_curves import LiveCurves
from .alerts import find_alerts
from .choice import Choice
from .reader import RunReader
from .view import view

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

PAGE = files("loss_dashboard") / "page"
POINTS = 800
CURVES = 5000
"""So many points of curves fit into a file that can still be sent by mail."""


def write_report(runs: Sequence[str | PathLike[str]], output: str | PathLike[str]) -> Path:
    """Write the page with these runs in it; it opens from the disk and asks nobody for anything.

    Args:
        runs: The folders of up to six runs.
        output: Where to write.

    Returns:
        The path written.
    """
    readers = [RunReader(run, columns=()) for run in runs]
    losses = sum(len(reader.losses) for reader in readers)
    choice = Choice(points=max(60, min(POINTS, CURVES // max(1, losses))))
    views = [
        {**view(one, LiveCurves(choice), find_alerts(one)), "key": _key(one, readers)}
        for one in readers
    ]
    path = Path(output)
    path.write_text(_page({"views": views}), encoding="utf-8")
    return path


def _key(reader: RunReader, readers: list[RunReader]) -> str:
    names = [other.path.name for other in readers]
    return reader.path.name if names.count(reader.path.name) == 1 else str(reader.path)


def _page(content: dict[str, Any]) -> str:
    """The page with its files inside, and a policy that lets these scripts run and no others."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    scripts = [f"\n{_text(name)}" for name in findall(r'<script src="(.+)" defer>', html)]
    html = sub(r'<script src=".+" defer></script>\n', "", html)
    html = sub(r'<link rel="stylesheet" href="(.+)">', lambda link: _style(link[1]), html)
    html = html.replace("<head>", f"<head>\n{_policy(scripts)}")
    inside = [_data(content), *(f"<script>{script}</script>" for script in scripts)]
    start, end = html.split("</body>")
    return "\n".join([start, *inside, f"</body>{end}"])


def _text(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _data(content: dict[str, Any]) -> str:
    # The name of a loss may hold what ends a script, so no "<" is written as it is.
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="embedded">{text}</script>'


def _style(name: str) -> str:
    return f"<style>\n{_text(name)}</style>"


def _policy(scripts: list[str]) -> str:
    digests = (sha256(script.encode()).digest() for script in scripts)
    hashes = (f"'sha256-{b64encode(digest).decode()}'" for digest in digests)
    rules = [
        "default-src 'none'",
        f"script-src {' '.join(hashes)}",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
    ]
    return '<meta http-equiv="Content-Security-Policy" content="' + "; ".join(rules) + '">'
