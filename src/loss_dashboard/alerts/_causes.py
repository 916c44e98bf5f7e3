"""What preceded a step at which something went wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loss_dashboard.reading.extras import VALUE
from loss_dashboard.runs.run_json import limit_in, settings_in

from ._losses import spikes_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy import bool_
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader

    Lines = NDArray[bool_]

BEFORE = 100
"""So many recorded steps before it are looked at."""

CHANGED = 1.5
"""Times the learning rate before, up or down from one value to the next: no schedule's own way."""

RATE = re.compile(r"(^|[^a-z])(lr|learning_?rate)([^a-z]|$)", re.IGNORECASE)

KINDS = ("rate", "lost", "spike", "clamp")
"""Of the same step the cause comes before what it may have caused."""

COUNTS = ("clamped/", "spikes/", "count/")
"""Statistics of losses that only ever grow: their size is no news."""


def before(reader: RunReader, step: int) -> list[str]:
    """What happened in the steps before this one, the first of each kind, in the order of time."""
    start = _start(reader, step)
    found: dict[str, tuple[float, int, str]] = {}
    for kind, at, words in _events(reader, start, step):
        if kind not in found or at < found[kind][0]:
            found[kind] = at, KINDS.index(kind), words
    return [words for _, _, words in sorted(found.values())]


def _start(reader: RunReader, step: int) -> float:
    import numpy as np

    steps = np.concatenate([_around(reader.series(name)["step"], step) for name in reader.losses])
    return float(np.unique(steps)[-BEFORE:][0])


def _around(steps: Values, step: int) -> Values:
    """The last steps up to this one."""
    return steps[steps <= step][-BEFORE:]


def _events(reader: RunReader, start: float, end: int) -> Iterator[tuple[str, float, str]]:
    import numpy as np

    settings = settings_in(reader.info)
    for name in reader.losses:
        own = reader.series(name)
        within = _within(own, start, end)
        yield from _spike(name, own, own["loss"], within)
        over = (own["loss"] > limit_in(settings, name)) & np.isfinite(own["loss"])
        yield from _clamp(name, own, over & within)
    for name, own in reader.extras.items():
        within = _within(own, start, end)
        if RATE.search(name):
            yield from _change(name, own, within)
        elif not name.startswith(COUNTS):
            yield from _spike(name, own, own[VALUE], within)
            yield from _lost(name, own, within & (own["step"] < end))


def _within(own: Mapping[str, Values], start: float, end: int) -> Lines:
    return (own["step"] >= start) & (own["step"] <= end)


def _spike(
    name: str, own: Mapping[str, Values], values: Values, within: Lines
) -> Iterator[tuple[str, float, str]]:
    high, means = spikes_in(values)
    for at in (high & within).nonzero()[0][:1]:
        step = float(own["step"][at])
        size = f"{values[at]:.3g} against {means[at]:.3g}"
        yield "spike", step, f"a spike of {name} at step {step:.0f} ({size})"


def _clamp(name: str, own: Mapping[str, Values], over: Lines) -> Iterator[tuple[str, float, str]]:
    """A loss over its `max_loss`, which rows have as it came."""
    for at in over.nonzero()[0][:1]:
        step = float(own["step"][at])
        yield "clamp", step, f"a clamp of {name} at step {step:.0f}"


def _change(
    name: str, own: Mapping[str, Values], within: Lines
) -> Iterator[tuple[str, float, str]]:
    """A learning rate that went up or down at once."""
    import numpy as np

    rates = own[VALUE]
    with np.errstate(all="ignore"):
        times = np.abs(rates[1:] / rates[:-1])
        jumps = np.append(False, (times > CHANGED) | (times < 1 / CHANGED))
    for at in (jumps & within).nonzero()[0][:1]:
        step, old, new = float(own["step"][at]), rates[at - 1], rates[at]
        yield "rate", step, f"{name} went from {old:.3g} to {new:.3g} at step {step:.0f}"


def _lost(name: str, own: Mapping[str, Values], within: Lines) -> Iterator[tuple[str, float, str]]:
    import numpy as np

    for at in (within & ~np.isfinite(own[VALUE])).nonzero()[0][:1]:
        step = float(own["step"][at])
        yield "lost", step, f"{name} was {own[VALUE][at]:g} at step {step:.0f}"
