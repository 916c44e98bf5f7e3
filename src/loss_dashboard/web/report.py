"""The page as one file, with what it shows of some runs inside."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import compress

from loss_dashboard._installed import DISTRIBUTION
from loss_dashboard.alerts import explain, find_alerts, in_words
from loss_dashboard.curves.comparison import compared
from loss_dashboard.curves.report_curves import plan
from loss_dashboard.reading import RunReader
from loss_loggers.text import printable

from ._page_files import document, script, style
from ._run_view import extras_of, view
from ._unique_names import unique_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from loss_dashboard.alerts import Alert

MOST = 490_000
"""So many bytes can still be sent by mail."""

NUMBERS = 70_000
"""So many numbers of curves usually fit beside the page itself."""


def write_report(runs: Sequence[str | PathLike[str]], output: str | PathLike[str]) -> Path:
    """Write the page with these runs in it; it opens from the disk and asks nobody for anything.

    Smoothing is told for each window that the page offers, from all steps. The longer a run, the
    more steps lie between two points of a curve, which the page says; none is left out of means,
    extremes and marks.

    Args:
        runs: The folders of up to six runs.
        output: Where to write.

    Returns:
        The path written.
    """
    readers = [RunReader(run, columns=()) for run in runs]
    alerts = [find_alerts(reader) for reader in readers]
    numbers = NUMBERS
    page = _page(_content(readers, alerts, numbers))
    while len(page) > MOST and numbers > NUMBERS // 8:
        numbers = numbers * 3 // 4
        page = _page(_content(readers, alerts, numbers))
    path = Path(output)
    path.write_text(page, encoding="utf-8")
    return path


def _content(readers: list[RunReader], alerts: list[list[Alert]], numbers: int) -> dict[str, Any]:
    """All that the page shows of the runs, with so many numbers in their curves."""
    losses = [reader.series(name)["step"] for reader in readers for name in reader.losses]
    extras = [own["step"] for reader in readers for own in extras_of(reader).values()]
    steps = max(map(len, losses + extras), default=0)
    curves = plan(steps, len(losses) + ceil(len(extras) / 2), numbers)  # of a loss more is told
    keys = _keys([reader.path for reader in readers])
    views = [
        {
            **view(reader, curves, told, explained=in_words(explain(reader, told))),
            "key": key,
            **_without_place(reader),
        }
        for reader, told, key in zip(readers, alerts, keys, strict=True)
    ]
    if len(readers) > 1:
        every = [{name: reader.series(name) for name in reader.losses} for reader in readers]
        for shown, told_of in zip(views, compared(every), strict=True):
            shown["compared"] = told_of
    return {"views": views, "windows": curves.windows, "generated": _generated()}


def _keys(paths: Sequence[Path]) -> list[str]:
    """The names of the runs, with the folder that they are in where that tells them apart.

    >>> _keys([Path("/home/a/gan"), Path("/home/b/gan")]), _keys([Path("/a/b/gan"), Path("/c")])
    (['a/gan', 'b/gan'], ['gan', 'c'])
    """
    names = [printable(path.name) for path in paths]
    if len({*names}) < len(names):
        names = [printable("/".join(path.parts[-2:])) for path in paths]
    keys: dict[str, None] = {}
    for name in names:
        keys[unique_name(name, keys)] = None
    return list(keys)


def _without_place(reader: RunReader) -> dict[str, Any]:
    """What would tell where the runs are on the disk of who made the report."""
    place = printable(reader.path)
    return {"path": None, "problems": [said.replace(place, ".") for said in reader.problems]}


def _generated() -> dict[str, str]:
    """By what, and when."""
    from datetime import datetime, timezone
    from importlib.metadata import version

    now = datetime.now(timezone.utc)
    return {"by": f"{DISTRIBUTION} {version(DISTRIBUTION)}", "at": f"{now:%Y-%m-%d %H:%M} UTC"}


def _page(content: dict[str, Any]) -> str:
    """The page with its files inside, and a policy that lets its script run and no other."""
    code = f"\n{script()}"
    html = document().replace("<head>", f"<head>\n{_policy(code)}")
    html = html.replace('<script src="scripts.js" defer></script>\n', "")
    link = '<link rel="stylesheet" href="styles.css">'
    start, end = html.replace(link, f"<style>\n{style()}</style>").split("</body>")
    parts = [start, _footer(**content["generated"]), _data(content), f"<script>{code}</script>"]
    return "\n".join([*parts, f"</body>{end}"])


def _footer(by: str, at: str) -> str:
    said = f"Made with {escape(by)} on {escape(at)}."
    return f'<footer class="quiet" style="margin-top: 14px">{said}</footer>'


def _data(content: dict[str, Any]) -> str:
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    packed = b64encode(compress(text.encode(), 9)).decode()
    return f'<script type="application/octet-stream" id="embedded">{packed}</script>'


def _policy(code: str) -> str:
    digest = b64encode(sha256(code.encode()).digest()).decode()
    rules = [
        "default-src 'none'",
        f"script-src 'sha256-{digest}'",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
    ]
    return '<meta http-equiv="Content-Security-Policy" content="' + "; ".join(rules) + '">'
