"""The page as it is sent: one document, one script and one style, each made of rooms."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = files("loss_dashboard") / "web" / "page"
STYLES = ("vendor/uPlot.min.css", "page.css", "home/home.css")
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
    "table/table.js",
    "table/compare.js",
    "table/settings.js",
    "charts/lines.js",
    "charts/equal.js",
    "head/notes.js",
    "charts/scales.js",
    "charts/charts.js",
    "charts/marks.js",
    "charts/pointing.js",
    "charts/tip.js",
    "charts/multiples.js",
    "charts/extras.js",
    "charts/picture.js",
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


def _joined(names: Iterable[str]) -> str:
    return "\n".join(map(_text, names))


def _text(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
