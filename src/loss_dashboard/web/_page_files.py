"""The page as it is sent: one document, one script and one style, each made of rooms.

Or all of them as one file, with what it shows inside.
"""

from __future__ import annotations

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from zlib import compress

from loss_dashboard._installed import DISTRIBUTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST = 490_000
"""So many bytes can still be sent by mail."""

PAGE = files("loss_dashboard") / "web" / "page"
STYLES = ("vendor/uPlot.min.css", "page.css", "home/home.css", "groups/groups.css")
SCRIPTS = (
    "elements.js",
    "vendor/uPlot.min.js",
    "format.js",
    "colours.js",
    "data/report.js",
    "data/choice.js",
    "data/asking.js",
    "data/listening.js",
    "home/wanted.js",
    "home/columns.js",
    "home/rows.js",
    "home/tools.js",
    "home/home.js",
    "head/header.js",
    "head/empty.js",
    "head/controls.js",
    "table/sparkline.js",
    "table/sorting.js",
    "table/groups.js",
    "table/keys.js",
    "table/table.js",
    "table/compare.js",
    "table/settings.js",
    "charts/lines.js",
    "charts/equal.js",
    "charts/epochs.js",
    "head/notes.js",
    "charts/scales.js",
    "charts/charts.js",
    "charts/marks.js",
    "charts/pointing.js",
    "charts/tip.js",
    "charts/multiples.js",
    "charts/extras.js",
    "charts/picture.js",
    "groups/asking.js",
    "groups/head.js",
    "groups/panels.js",
    "groups/finals.js",
    "page.js",
)
"""In this order: the first one makes all of them strict, and the last one begins."""


def document() -> str:
    """The page itself, which asks for `styles.css` and `scripts.js`."""
    return _text("index.html")


def style() -> str:
    """All styles."""
    return _joined(STYLES)


def script() -> str:
    """All scripts, as one: a browser waits for each file that it has to ask for."""
    return _joined(SCRIPTS)


def small_page(content: Callable[[int], dict[str, Any]], numbers: int) -> str:
    """The page as a file, with as many numbers of curves as can still be sent by mail.

    Args:
        content: What the page shows, with about so many numbers.
        numbers: How many usually fit.
    """
    page = _page({**content(numbers), "generated": _generated()})
    least = numbers // 8
    while len(page) > MOST and numbers > least:
        numbers = numbers * 3 // 4
        page = _page({**content(numbers), "generated": _generated()})
    return page


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


def _joined(names: Iterable[str]) -> str:
    return "\n".join(map(_text, names))


def _text(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
