"""Alerts about the weights of a group."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from loss_dashboard.runs.run_json import method_in, settings_in

from ._alert import Alert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy import bool_, intp
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader

CONSTANT = ("PlainSum", "EqualWeighting", "StaticWeighting")
LEARNED = ("AutomaticWeightedLoss", "UncertaintyWeighting")
SMALL, LARGE = 0.01, 0.95
LONG, PART = 100, 0.1  # steps, and of all steps


class Group(NamedTuple):
    """Losses weighed together, at the steps that have all of them: a row each in the tables."""

    method: str
    names: list[str]
    steps: Values
    losses: Values
    weights: Values

    @property
    def long(self) -> int:
        """How many steps are long."""
        return max(LONG, int(PART * len(self.steps)))


def find_groups(reader: RunReader) -> Iterator[Group]:
    """The groups whose weights are to change; a run names the method of each by its scope."""
    settings = settings_in(reader.info)
    # Where a user's own setting has that name, nobody knows whether the weights are to change.
    keys = [key for key in settings if key.rpartition("/")[2] == "weighting"]
    keys = [key for key in keys if isinstance(settings[key], dict)]
    left = list(reader.losses)
    for key in sorted(keys, key=len, reverse=True):
        names = [name for name in left if name.startswith(key.removesuffix("weighting"))]
        left = [name for name in left if name not in names]
        method = method_in(settings, key)
        if len(names) > 1 and method not in CONSTANT:
            yield _group(reader, method, names)


def extreme_weights(groups: Iterable[Group]) -> Iterator[Alert]:
    """Losses that weighed next to nothing, or next to all, for long."""
    for group in groups:
        small = min(SMALL, 0.1 / len(group.names))  # of a hundred losses each has a hundredth
        for name, share in zip(group.names, _shares(group.weights), strict=True):
            yield from _for_long(group, name, share < small, "small weight", f"under {small:.2g}")
            yield from _for_long(group, name, share > LARGE, "large weight", f"over {LARGE:g}")


def still_weights(groups: Iterable[Group]) -> Iterator[Alert]:
    """Groups whose weights stopped moving, or never did."""
    for group in groups:
        moves = _changes(group.weights)
        since = int(moves[-1]) if len(moves) else 0
        still = len(group.steps) - 1 - since
        if still < group.long or not len(_changes(group.losses[:, since:])):
            continue
        step = int(group.steps[since])
        if len(moves) or group.method == "CoVWeighting":
            text = f"the weights have stayed the same since step {step}, for {still} steps"
            yield Alert("frozen", "", step, text)
        elif group.method in LEARNED:
            text = f"the learned weights never moved in {still} steps: are they in an optimizer?"
            yield Alert("unmoved", "", step, text)


def _group(reader: RunReader, method: str, names: list[str]) -> Group:
    import numpy as np

    series = [reader.series(name) for name in names]
    steps = series[0]["step"]
    is_even = (steps[1:] > steps[:-1]).all()
    if not is_even or not all(np.array_equal(own["step"], steps) for own in series):
        steps, series = _at_common_steps(series)
    losses, weights = (np.stack([own[key] for own in series]) for key in ("loss", "weight"))
    return Group(method, names, steps, losses, weights)


def _at_common_steps(series: list[dict[str, Values]]) -> tuple[Values, list[dict[str, Values]]]:
    """The steps that all have, once each, and the lines at them."""
    import numpy as np

    found = [np.unique(own["step"], return_index=True) for own in series]
    steps = reduce(np.intersect1d, [own for own, _ in found])
    lines = [index[np.searchsorted(own, steps)] for own, index in found]
    cut = [
        {column: own[column][line] for column in ("loss", "weight")}
        for own, line in zip(series, lines, strict=True)
    ]
    return steps, cut


def _shares(weights: Values) -> Values:
    """Each weight as a part of their sum; NaN where that makes no sense."""
    import numpy as np

    total = weights.sum(axis=0)
    shares: Values = weights / np.where(total > 0, total, np.nan)
    return shares


def _for_long(
    group: Group, name: str, held: NDArray[bool_], kind: str, words: str
) -> Iterator[Alert]:
    """An alert if it held for long without a break."""
    start, length = _longest(held)
    if length >= group.long:
        step = int(group.steps[start])
        text = f"{name} had a share of the weights {words} for {length} steps from step {step}"
        yield Alert(kind, name, step, text)


def _longest(held: NDArray[bool_]) -> tuple[int, int]:
    """Where the longest stretch begins, and its length.

    >>> import numpy as np
    >>> _longest(np.array([True, False, True, True, False]))
    (2, 2)
    """
    import numpy as np

    edges = np.flatnonzero(np.diff(held.astype(np.int8), prepend=0, append=0))
    if not len(edges):
        return 0, 0
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest] - starts[longest])


def _changes(table: Values) -> NDArray[intp]:
    """The columns in which anything differs from the column before."""
    import numpy as np

    return 1 + np.flatnonzero((table[:, 1:] != table[:, :-1]).any(axis=0))
