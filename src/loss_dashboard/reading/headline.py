"""A run in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loss_dashboard.runs.run_json import method_in, settings_in

if TYPE_CHECKING:
    from ._run_reader import RunReader


def headline(reader: RunReader) -> str:
    """The run in one line, with why it crashed if it did."""
    return "  ".join(filter(None, [*facts(reader).values(), reader.error]))


def facts(reader: RunReader) -> dict[str, str]:
    """What the line says, in its order; empty where there is nothing to say."""
    pace = reader.steps_per_second
    return {
        "name": reader.name,
        "reading": f"read {reader.progress:.0%}" if reader.progress < 1 else "",
        "method": method_in(settings_in(reader.info)),
        "state": reader.state,
        "step": progress(reader),
        "epoch": _epoch(reader),
        "pace": f"{pace:{'.0f' if pace >= 100 else '.3g'}} steps/s" if pace == pace else "",
        "elapsed": _clock(reader.elapsed),
    }


def progress(reader: RunReader) -> str:
    """The last step of any loss."""
    step = reader.last_step
    return "no rows yet" if step is None else f"step {step}"


def _epoch(reader: RunReader) -> str:
    """How many epochs had passed with the last step, where the run has some."""
    import numpy as np

    step = reader.last_step
    if step is None or not reader.losses or not reader.epochs.ends:
        return ""
    return f"epoch {reader.epochs_at(np.array([float(step)]))[0]:.4g}"


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _clock(3725.2)
    '1:02:05'
    """
    from datetime import timedelta

    return "" if seconds != seconds else str(timedelta(seconds=int(seconds)))
