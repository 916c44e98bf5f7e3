"""The page as one file, with what it shows of some runs inside."""

from __future__ import annotations

from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loss_dashboard.alerts import explain, find_alerts, in_words
from loss_dashboard.curves.comparison import compared
from loss_dashboard.curves.report_curves import plan
from loss_dashboard.reading import RunReader
from loss_dashboard.runs.unique_names import keys_of
from loss_loggers.recording import writing
from loss_loggers.text import printable

from ._page_files import small_page
from ._run_view import extras_of, view

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from loss_dashboard.alerts import Alert

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

    Raises:
        ValueError: If that is a file of a record, which is never overwritten.
    """
    readers = [RunReader(run, columns=()) for run in runs]
    alerts = [find_alerts(reader) for reader in readers]
    path = Path(output)
    page = small_page(partial(_content, readers, alerts), NUMBERS)
    with writing(path) as draft:
        draft.write_text(page, encoding="utf-8")
    return path


def _content(readers: list[RunReader], alerts: list[list[Alert]], numbers: int) -> dict[str, Any]:
    """All that the page shows of the runs, with so many numbers in their curves."""
    losses = [reader.series(name)["step"] for reader in readers for name in reader.losses]
    extras = [own["step"] for reader in readers for own in extras_of(reader).values()]
    steps = max(map(len, losses + extras), default=0)
    curves = plan(steps, len(losses) + ceil(len(extras) / 2), numbers)  # of a loss more is told
    keys = keys_of([reader.path for reader in readers])
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
    return {"views": views, "windows": curves.windows}


def _without_place(reader: RunReader) -> dict[str, Any]:
    """What would tell where the runs are on the disk of who made the report."""
    place = printable(reader.path)
    return {"path": None, "problems": [said.replace(place, ".") for said in reader.problems]}
