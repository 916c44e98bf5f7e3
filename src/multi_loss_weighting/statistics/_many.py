"""The same statistics for many losses at once.

Each number of `Statistics` and `LossRatio` becomes a vector [K], and the usual step (every loss
given, finite and near its running mean) is some twenty numpy operations for any K. Whatever is
unusual goes through the code for one loss, whose objects here read and write their column of the
vectors. The numbers are the same to the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._history import History, Vector
from ._ratio import EPSILON, KEPT, LossRatio, RatioSettings
from ._statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MANY = 28
"""From so many losses on, vectors are faster than one loss after the other."""

_MOMENTS = ("count", "samples", "_mean", "_squares", "_minimum", "_maximum", "updates", "value")
_COUNTS = ("count", "updates", "streak", "spikes", "restarts")

Columns = dict[str, Vector]

# A running mean this small is left to the code for one loss, so that no division overflows.
_TINY = 1e-200


class _Column:
    """Keeps some of its attributes in one place of each of several vectors.

    Their slots stay empty, so that Python asks `__getattr__` for them.
    """

    __slots__ = ()
    _columns: Columns
    _index: int

    def __getattr__(self, name: str) -> Any:
        # A copy that is being made has no columns yet.
        if name in ("_columns", "_index") or name not in self._columns:
            raise AttributeError(name)
        return self._columns[name][self._index].item()

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("_columns", "_index") and name in self._columns:
            self._columns[name][self._index] = value
        else:
            object.__setattr__(self, name, value)


class _RatioColumn(_Column, LossRatio):
    __slots__ = ("_columns", "_index")

    def __init__(self, columns: Columns, index: int, settings: RatioSettings) -> None:
        self._columns = columns
        self._index = index
        super().__init__(settings)


class _StatisticsColumn(_Column, Statistics):
    __slots__ = ("_columns", "_index")

    def __init__(self, columns: Columns, index: int, **settings: Any) -> None:
        self._columns = columns
        self._index = index
        super().__init__(**settings)


def _make_columns(names: Sequence[str], count: int) -> Columns:
    return {
        name: np.zeros(count, dtype=np.int64 if name in _COUNTS else np.float64) for name in names
    }


class ManyHistory(History):
    """A `History` that keeps its numbers in vectors."""

    def __init__(
        self, names: tuple[str, ...], ratio: RatioSettings, settings: Mapping[str, Any]
    ) -> None:
        self._settings = ratio
        self._moments = _make_columns(_MOMENTS, len(names))
        self._ratios = _make_columns(KEPT, len(names))
        statistics = [
            _StatisticsColumn(
                self._moments,
                index,
                loss_ratio=_RatioColumn(self._ratios, index, ratio),
                **settings,
            )
            for index in range(len(names))
        ]
        super().__init__(names, statistics)
        self._kept = [own.recent.kept for own in statistics]
        self._has_windows = statistics[0].has_windows

    def add(
        self, values: Sequence[float], given: Sequence[bool] | None, samples: float, step: int
    ) -> None:
        value = np.array(values)
        settings, reference = self._settings, self._ratios["reference"]
        ratio = np.abs(value) / np.maximum(reference, _TINY)
        is_usual = (ratio <= settings.highest) & (reference > _TINY)
        if settings.lowest:
            is_usual &= ratio >= settings.lowest
        if is_usual.all():
            self._take_in(self._moments, self._ratios, value, ratio, samples)
            self._keep(range(len(values)), values, samples)
        else:
            self._add_some(is_usual, value, ratio, given, samples, step)

    def _add_some(
        self,
        is_usual: Vector,
        value: Vector,
        ratio: Vector,
        given: Sequence[bool] | None,
        samples: float,
        step: int,
    ) -> None:
        usual: list[int] = np.flatnonzero(is_usual).tolist()
        moments = {name: vector[usual] for name, vector in self._moments.items()}
        ratios = {name: vector[usual] for name, vector in self._ratios.items()}
        self._take_in(moments, ratios, value[usual], ratio[usual], samples)
        for columns, taken in ((self._moments, moments), (self._ratios, ratios)):
            for name, vector in taken.items():
                columns[name][usual] = vector
        self._keep(usual, value.tolist(), samples)
        for index in np.flatnonzero(~is_usual).tolist():
            if given is None or given[index]:
                self.statistics[index].add(value[index].item(), samples, step)

    def _take_in(
        self, moments: Columns, ratios: Columns, value: Vector, ratio: Vector, samples: float
    ) -> None:
        """`Moments.add` and `LossRatio.add` on vectors, operation by operation."""
        moments["value"] = value
        moments["updates"] += 1
        moments["count"] += 1
        before = moments["samples"]
        moments["samples"] = total = before + samples
        delta = value - moments["_mean"]
        step = (delta if samples == 1 else delta * samples) / total
        moments["_mean"] += step
        moments["_squares"] += before * delta * step
        np.minimum(moments["_minimum"], value, out=moments["_minimum"])
        np.maximum(moments["_maximum"], value, out=moments["_maximum"])

        ratios["streak"].fill(0)
        ratios["value"] = ratio
        ratios["count"] += 1
        share = 1 / ratios["count"]
        if self._settings.least:
            share = np.maximum(share, self._settings.least)
        ratios["reference"] += share * (np.abs(value) - ratios["reference"])
        delta = ratio - ratios["mean"]
        step = share * delta
        ratios["mean"] += step
        ratios["variance"] = (1 - share) * (ratios["variance"] + step * delta)

    def _keep(self, indices: Iterable[int], values: Sequence[float], samples: float) -> None:
        for index in indices:
            self._kept[index].append(values[index])
        if self._has_windows:
            for index in indices:
                self.statistics[index].add_to_windows(values[index], samples)

    def gather(self, name: str) -> Vector:
        vector = self._moments.get(name)
        return super().gather(name) if vector is None else vector.copy()

    @property
    def ratio_count(self) -> Vector:
        count: Vector = self._ratios["count"].copy()
        return count

    @property
    def youngest_ratio(self) -> int:
        return int(self._ratios["count"].min())

    @property
    def ratio_cov(self) -> Vector:
        cov: Vector = np.sqrt(self._ratios["variance"] + EPSILON) / self._ratios["mean"]
        return cov
