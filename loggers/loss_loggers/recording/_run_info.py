"""What `run.json` tells about a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from loss_loggers.base._clock import row_time
from loss_loggers.base._faults import ended_well
from loss_loggers.base._hyperparameters import merge
from loss_loggers.base._lock import this_process
from loss_loggers.base._values import is_total

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = 1

PALETTE = (
    "#0072b2",  # blue
    "#d55e00",  # vermilion
    "#009e73",  # green
    "#cc79a7",  # pink
    "#e69f00",  # orange
    "#56b4e9",  # sky
    "#882255",  # wine
    "#999933",  # olive
    "#332288",  # indigo
    "#44aa99",  # teal
)
"""Okabe and Ito's colours, then Paul Tol's: told apart with any kind of colour vision."""

GREY = "#777777"

GROWING = {"losses": dict, "hyperparameters": dict, "resumed": list}
"""What is added to while a run goes on; of another type, as by hand, it starts anew."""


class RunInfo:
    """The content of `run.json`, and how it grows.

    >>> info = RunInfo()
    >>> info.add_losses(["G", "D"])
    >>> info.add_hyperparameters({"weighting": {"method": "CoVWeighting"}})
    >>> info.values["losses"]
    {'G': '#0072b2', 'D': '#d55e00'}
    """

    def __init__(self) -> None:
        self.changed = True
        self.values: dict[str, Any] = {
            "schema": SCHEMA,
            "id": os.urandom(16).hex(),
            **_running(),
            "start": row_time(),
            "end": None,
            "has_rows": False,
            "losses": {},
            "hyperparameters": {},
        }

    def add_losses(self, names: Iterable[str]) -> None:
        """Give each loss that is new a colour."""
        colours = self.values["losses"]
        for name in names:
            if name not in colours:
                self.changed = True
                colours[name] = new_colour(name, colours.values())

    def add_hyperparameters(self, new: dict[str, Any]) -> None:
        """Merge them into those known: the losses unite, a setting is replaced."""
        self.changed = True
        known = self.values["hyperparameters"]
        merge(known, new)
        losses = known.get("losses")  # a user may call something else so
        if isinstance(losses, list):
            self.add_losses(name for name in losses if isinstance(name, str))

    def set_has_rows(self, has_rows: bool) -> None:
        """Say whether rows were recorded: a file that is empty may have had some."""
        self.changed |= self.values["has_rows"] != has_rows
        self.values["has_rows"] = has_rows

    def resume(self, old: dict[str, Any]) -> None:
        """Become the run that is on disk, running again."""
        ours = self.values
        kept = {key: it for key, it in old.items() if isinstance(it, GROWING.get(key, object))}
        self.values = {**ours, **kept}
        self.values.update(_running(), end=None)
        self.values.pop("error", None)
        self.add_hyperparameters(ours["hyperparameters"])

    def resumed_at(self, part: int, offset: int, epochs: int, shift: float = 0.0) -> None:
        """Say where new lines begin, and by how many seconds their times are set forward."""
        self.changed = True
        time = row_time() + shift
        entry = {"time": time, "part": part, "offset": offset, "epochs": epochs}
        self.values.setdefault("resumed", []).append(entry | ({"shift": shift} if shift else {}))

    def finish(self, error: BaseException | None, *, is_over: bool = True) -> None:
        """Say how and when it ended; if it is not over, nobody said that it ended well."""
        self.changed = True
        self.values.update(state="finished" if is_over else "stopped", end=row_time())
        if not ended_well(error):
            self.values["state"] = "crashed"
            self.values["error"] = f"{type(error).__name__}: {error}".removesuffix(": ")


def new_colour(name: str, taken: Iterable[str]) -> str:
    """The next colour of the palette; a total is not a loss of its own, so it is grey.

    >>> new_colour("G", [])
    '#0072b2'
    >>> new_colour("val/total", ["#0072b2"])
    '#777777'
    """
    if is_total(name):
        return GREY
    return PALETTE[sum(colour != GREY for colour in taken) % len(PALETTE)]


def _running() -> dict[str, Any]:
    """Who writes now; the token is another one for each writer."""
    return {"state": "running", "writer": os.urandom(8).hex(), **this_process()}
