"""Groups of runs as one file: the page, with what it shows of them inside."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loss_dashboard.curves.groups import member_of
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader
from loss_dashboard.runs.unique_names import keys_of
from loss_dashboard.web._page_files import small_page
from loss_loggers.recording import writing

from ._view import groups_view

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from loss_dashboard.curves.groups import Member

WINDOWS = (0, 30, 300, 3000)
"""Smoothing that may be chosen, in steps."""

NUMBERS = 60_000
"""So many numbers of curves usually fit beside the page itself."""

MOST_POINTS = 200
LEAST_POINTS = 20


def write_group_report(
    runs: Sequence[str | PathLike[str]], key: str, output: str | PathLike[str]
) -> Path:
    """Write the page with these runs in groups; it opens from the disk and asks nobody.

    Args:
        runs: The folders of the runs.
        key: The setting by which they are grouped, such as "weighting.method".
        output: Where to write.

    Returns:
        The path written.

    Raises:
        ValueError: If that is a file of a record, which is never overwritten.
    """
    readers = [RunReader(run, (), always=("loss",)) for run in runs]
    keys = keys_of([reader.path for reader in readers])
    members = [member_of(reader, name) for reader, name in zip(readers, keys, strict=True)]
    problems = [
        f"{name}: {said.replace(str(reader.path), '.')}"
        for reader, name in zip(readers, keys, strict=True)
        for said in reader.problems
    ]
    states = {name: reader.state for reader, name in zip(readers, keys, strict=True)}
    more = {"states": states, "problems": problems, "progress": 1}
    path = Path(output)
    page = small_page(partial(_content, members, key, more), NUMBERS)
    with writing(path) as draft:
        draft.write_text(page, encoding="utf-8")
    return path


def _content(
    members: Sequence[Member], key: str, more: dict[str, Any], numbers: int
) -> dict[str, Any]:
    """What the page shows, with so many numbers in its curves; for each smoothing that matters."""
    steps = max((len(own["step"]) for one in members for own in one.losses.values()), default=0)
    windows = [window for window in WINDOWS if window < max(1, steps)]
    curves = sum(len(one.losses) for one in members) * len(windows)
    points = min(MOST_POINTS, max(LEAST_POINTS, numbers // max(1, curves)))
    told = {
        window: {**groups_view(members, key, ViewOptions(smoothing=window, points=points)), **more}
        for window in windows
    }
    return {"by": key, "groups": told}
