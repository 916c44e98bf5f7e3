"""The rows around a step, with what of them deserves a look."""

from __future__ import annotations

from math import isfinite, nan
from typing import TYPE_CHECKING, NamedTuple

from loss_dashboard.reading.extras import VALUE
from loss_dashboard.reading.nonfinite import nonfinite_in

from ._losses import spikes_in

if TYPE_CHECKING:
    from numpy import bool_
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader

    Series = dict[str, Values]


class Cell(NamedTuple):
    """One number of a row.

    Attributes:
        value: The loss, or the number.
        weight: NaN where there is none.
        mark: "nan", "inf", of a loss also "spike" (over 10 times the mean of all values before it),
            or nothing.
    """

    value: float
    weight: float
    mark: str


class Around(NamedTuple):
    """Some rows of a run.

    Attributes:
        step: The recorded step that is nearest to the one that was asked for.
        losses: The names of the losses, and of what is optimised.
        numbers: Those of the user's own numbers.
        rows: For each step the cells of the names that it has.
    """

    step: int
    losses: list[str]
    numbers: list[str]
    rows: dict[int, dict[str, Cell]]


def rows_around(reader: RunReader, step: int | None, count: int) -> Around | None:
    """So many recorded steps before one and after it; None while there are no rows.

    Where a run went back to an earlier step, the later row counts. A number of the user's that is
    called as a loss stands as "value/…" beside it.

    Args:
        reader: The run.
        step: Around which; the last one by default.
        count: How many on each side.
    """
    import numpy as np

    losses = {name: reader.series(name) for name in (*reader.losses, *reader.totals)}
    numbers = {
        f"{VALUE}/{name}" if name in losses else name: own for name, own in reader.extras.items()
    }
    every = [own["step"] for own in (*losses.values(), *numbers.values())]
    if not every:
        return None
    steps = np.unique(np.concatenate(every))
    nearest = len(steps) - 1 if step is None else int(np.abs(steps - step).argmin())
    shown = steps[max(0, nearest - count) : nearest + count + 1].tolist()
    rows: dict[int, dict[str, Cell]] = {int(at): {} for at in shown}
    for name, own in losses.items():
        _add(rows, name, own, "loss", nonfinite_in(own))
    for name, own in numbers.items():
        _add(rows, name, own, VALUE, ~np.isfinite(own[VALUE]))
    return Around(int(steps[nearest]), list(losses), list(numbers), rows)


def _add(
    rows: dict[int, dict[str, Cell]],
    name: str,
    own: Series,
    column: str,
    lost: NDArray[bool_],
) -> None:
    """Put the numbers of one name into the rows."""
    import numpy as np

    within = np.flatnonzero((own["step"] >= min(rows)) & (own["step"] <= max(rows)))
    high = spikes_in(own[column])[0] if column == "loss" else np.zeros(len(lost), bool)
    for line in within.tolist():
        value = float(own[column][line])
        if isfinite(value) or lost[line]:
            mark = "spike" if high[line] else _lost(value) if lost[line] else ""
            weight = float(own["weight"][line]) if "weight" in own else nan
            rows[int(own["step"][line])][name] = Cell(value, weight, mark)


def _lost(value: float) -> str:
    return "nan" if value != value else "inf"
