"""Show losses and weights in a notebook."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._figure import Figure

if TYPE_CHECKING:
    from os import PathLike

    from multi_loss_weighting import LossGroup, LossTracker, Trackers

    from ._source import Source


def show(what: LossGroup | LossTracker | Trackers | str | PathLike[str] | Any) -> Figure:
    """Show losses and weights under the cell, in a figure that goes on in its place.

        figure = loss_dashboard.show(group)
        for batch in loader:
            group.update(...)
            figure.update()

    Args:
        what: A group, a tracker or trackers; or a run: its path, its name in `runs`, "latest", or
            anything with a `path`, such as a `CsvLogger`.

    Returns:
        The figure; its `update()` draws what is new.

    Raises:
        ImportError: If there is no IPython.
        LookupError: If there is no such run.
        TypeError: If it is none of these.
    """
    return Figure(_source_of(what))


def _source_of(what: Any) -> Source:
    from ._source import GroupSource, RunSource

    if hasattr(what, "get_history"):
        return GroupSource(what.name, {what.name: what})
    if hasattr(what, "hyperparams"):
        weighting = getattr(what, "weighting", what)
        return GroupSource(type(weighting).__name__, what)
    from loss_dashboard.reading import RunReader
    from loss_dashboard.runs.find_run import find_run

    return RunSource(RunReader(find_run(_path_of(what)), columns=()))


def _path_of(what: Any) -> str:
    path = getattr(what, "path", what)
    if isinstance(path, str | os.PathLike):
        return str(path)
    msg = (
        "what is shown is a group, a tracker or trackers, or a run by its path or name; "
        f"got {what!r} of type {type(what).__name__}"
    )
    raise TypeError(msg)
