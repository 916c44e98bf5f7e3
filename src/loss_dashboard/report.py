"""The page as one file, with what it shows of some runs inside."""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import compress

from ._page_files import document, script, style
from ._report_curves import plan
from .alerts import find_alerts
from .reader import RunReader
from .view import view

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from .alerts import Alert

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
    curves = plan(max(map(len, losses), default=0), len(losses), numbers)
    views = [
        {**view(reader, curves, told), "key": _key(reader, readers)}
        for reader, told in zip(readers, alerts, strict=True)
    ]
    return {"views": views, "windows": curves.windows}


def _key(reader: RunReader, readers: list[RunReader]) -> str:
    names = [other.path.name for other in readers]
    return reader.path.name if names.count(reader.path.name) == 1 else str(reader.path)


def _page(content: dict[str, Any]) -> str:
    """The page with its files inside, and a policy that lets its script run and no other."""
    code = f"\n{script()}"
    html = document().replace("<head>", f"<head>\n{_policy(code)}")
    html = html.replace('<script src="scripts.js" defer></script>\n', "")
    link = '<link rel="stylesheet" href="styles.css">'
    start, end = html.replace(link, f"<style>\n{style()}</style>").split("</body>")
    return "\n".join([start, _data(content), f"<script>{code}</script>", f"</body>{end}"])


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
