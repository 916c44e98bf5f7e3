"""Send what a backend lacks of a recorded run, or count it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers import sync
from loss_loggers.sync import alone, has_news

from ._known import known_place
from ._open import opened

if TYPE_CHECKING:
    from pathlib import Path

    from loss_loggers import Summary
    from loss_loggers.sync import Progress

    from ._place import Place


class _Nowhere:
    """What is counted for a run that is not opened."""

    def __init__(self, target: str) -> None:
        self.target = target

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        """Never called."""


def count(folder: Path, backend: str, place: Place, *, everything: bool = False) -> Summary:
    """What would be sent, without asking the backend."""
    return sync(
        folder,
        _nowhere(backend, known_place(folder, backend, place)),
        dry_run=True,
        everything=everything,
    )


def send(
    folder: Path, backend: str, place: Place, progress: Progress, *, everything: bool = False
) -> Summary:
    """Send what the backend lacks, to the run that it has of this folder or to a new one."""
    # One at a time, or each would make a new run.
    with alone(folder / f".sync-{backend}.lock", backend):
        if backend == "mlflow":
            known = place  # it is asked which run it has, and that leaves nothing there
        else:
            known = known_place(folder, backend, place)
            nowhere = _nowhere(backend, known)
            if not has_news(folder, nowhere, everything=everything):
                return sync(folder, nowhere, dry_run=True, everything=everything)
        with opened(backend, folder, known) as logger:
            return sync(folder, logger, everything=everything, progress=progress)


_NEW = "(a new run)"


def _nowhere(backend: str, known: Place) -> _Nowhere:
    return _Nowhere(f"{backend} {known.logdir or known.run_id or _NEW}")
