"""Alerts about the weights of a group."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from loss_dashboard.curves.numbers import percent
from loss_dashboard.runs.run_json import settings_in
from loss_loggers.alerts import (
    LARGE,
    Alert,
    Weighed,
    capped_alert,
    groups_in,
    is_capped,
    long,
    small_share,
    still_alert,
    weight_alert,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy import bool_, intp
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader


class Group(NamedTuple):
    """Losses weighed together, at the steps that have all of them: a row each in the tables."""

    how: Weighed
    steps: Values
    losses: Values
    weights: Values

    @property
    def names(self) -> list[str]:
        """The losses, a row each."""
        return self.how.losses

    @property
    def long(self) -> int:
        """How many steps are long."""
        return long(len(self.steps))


def find_groups(reader: RunReader) -> Iterator[Group]:
    """The groups whose weights are to change; a run names the method of each by its scope."""
    for how in groups_in(settings_in(reader.info), reader.losses):
        yield _group(reader, how)


def extreme_weights(groups: Iterable[Group]) -> Iterator[Alert]:
    """Losses that weighed next to nothing, or next to all, for long."""
    for group in groups:
        least = small_share(len(group.names))
        for name, share in zip(group.names, _shares(group.weights), strict=True):
            for kind, held in (("small weight", share < least), ("large weight", share > LARGE)):
                for step, length in _for_long(group, held):
                    yield weight_alert(kind, name, step, length, len(group.names))


def capped_weights(groups: Iterable[Group]) -> Iterator[Alert]:
    """Losses whose weights were at their limit for long."""
    import numpy as np

    for group in groups:
        limit, reference = group.how.limit, group.how.reference
        if limit == np.inf:
            continue
        some = np.where(group.weights > 0, group.weights, np.inf).min(axis=0)
        least = group.weights[group.names.index(reference)] if reference else some
        for name, weight in zip(group.names, group.weights, strict=True):
            held = is_capped(weight, least, limit) & (name != reference)
            for step, length in _for_long(group, held):
                yield capped_alert(name, step, length, limit)


def still_weights(groups: Iterable[Group]) -> Iterator[Alert]:
    """Groups whose weights stopped moving, or never did."""
    for group in groups:
        moves = _changes(group.weights)
        since = int(moves[-1]) if len(moves) else 0
        still = len(group.steps) - 1 - since
        if still < group.long or not len(_changes(group.losses[:, since:])):
            continue
        step = int(group.steps[since])
        if alert := still_alert(group.how.method, step, still, moved=bool(len(moves))):
            yield alert


NEAR = 0.05
"""How far a weight may be from the mean of all for them to hardly differ, as a part of it."""

ROUNDED = 1e-9
"""Weights that are no further from it are equal, but for the last digits of 1/K."""


def near_equal(groups: Iterable[Group]) -> Iterator[Alert]:
    """Groups whose weights, which are to change, have been about equal for long, up to the end."""
    import numpy as np

    for group in groups:
        away = np.abs(_shares(group.weights) * len(group.names) - 1).max(axis=0, initial=0)
        held = away <= NEAR
        breaks = np.flatnonzero(~held)
        since = int(breaks[-1]) + 1 if len(breaks) else 0
        if len(held) - since >= group.long:
            most, step = float(away[since:].max()), int(group.steps[since])
            text = f"the weights have been equal since step {step}"
            if most > ROUNDED:
                away_by = f"by {percent(most)} at most"
                text = f"the weights have hardly differed from equal since step {step}, {away_by}"
            yield Alert("equal weights", "", step, text)


def _group(reader: RunReader, how: Weighed) -> Group:
    import numpy as np

    series = [reader.series(name) for name in how.losses]
    steps = series[0]["step"]
    is_even = (steps[1:] > steps[:-1]).all()
    if not is_even or not all(np.array_equal(own["step"], steps) for own in series):
        steps, series = _at_common_steps(series)
    losses, weights = (np.stack([own[key] for own in series]) for key in ("loss", "weight"))
    return Group(how, steps, losses, weights)


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


def _for_long(group: Group, held: NDArray[bool_]) -> Iterator[tuple[int, int]]:
    """Since which step, and for how many, it held, if that was long and without a break."""
    start, length = _longest(held)
    if length >= group.long:
        yield int(group.steps[start]), length


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
