"""One named loss and its part of a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from multi_loss_weighting._state import State, check_state

if TYPE_CHECKING:
    from multi_loss_weighting.accelerator._readback import Backlog
    from multi_loss_weighting.statistics._statistics import Statistics

# Where they are once the backlog was read: asked at each number, that would cost as much again.
_ATTRIBUTES = {
    "loss": "_statistics.value",
    "weight": "_used_weight",
    "weighted": "weighted",
    "mean": "_statistics.mean",
    "std": "_statistics.std",
    "var": "_statistics.variance",
    "cov": "_statistics.cov",
    "cov_weight": "_statistics.loss_ratio.cov",
    "ratio": "_statistics.ratio",
    "ratio_mean": "_statistics.ratio_mean",
    "ratio_std": "_statistics.ratio_std",
    "min": "_statistics.minimum",
    "max": "_statistics.maximum",
    "count": "_statistics.count",
    "exponential_mean": "exponential_mean",
    "clamped": "_clamped",
    "spikes": "_statistics.loss_ratio.spikes",
}
STATISTICS = tuple(_ATTRIBUTES)
"""Everything that a row can report of a loss."""
REPORT = ("loss", "weight", "weighted", "mean", "std", "var", "cov", "cov_weight")
"""What a row reports of a loss by default."""


class NamedLoss:
    """One loss by its name: its statistics, how it was weighed last, and its part of a row.

    Whatever is read here is up to date: of losses on an accelerator, reading waits for those that
    are still on their way.
    """

    def __init__(
        self,
        name: str,
        statistics: Statistics,
        *,
        max_loss: float = math.inf,
        report: Iterable[str] = REPORT,
        scope: str = "",
        backlog: Backlog,
    ) -> None:
        self.name = checked_name(name)
        self._statistics = statistics
        self._backlog = backlog
        self.max_loss = checked_max_loss(max_loss, name)
        self.forget_weight()
        label = f"{scope}/{name}" if scope else name
        self._fields: list[tuple[str, Callable[[NamedLoss], Any]]] = [
            (f"{statistic}/{label}", attrgetter(_ATTRIBUTES[statistic]))
            for statistic in checked_report(report)
        ]
        self._nonfinite_key = f"nonfinite/{label}"
        self._block_keys = (f"block_mean/{label}", f"block_std/{label}")

    @property
    def statistics(self) -> Statistics:
        """Everything that is known of the loss."""
        if self._backlog:
            self._backlog.catch_up()
        return self._statistics

    @property
    def weight(self) -> float:
        """The weight of the last update; nan before the first."""
        return self.used_weight

    @property
    def used_weight(self) -> float:
        """The weight of the last update; nan before the first."""
        if self._backlog:
            self._backlog.catch_up()
        return self._used_weight

    @property
    def clamped(self) -> int:
        """How often `max_loss` acted."""
        if self._backlog:
            self._backlog.catch_up()
        return self._clamped

    @property
    def weighted(self) -> float:
        """The last loss, clamped and times its weight; not finite where the loss is not."""
        value = self.statistics.value
        return self._used_weight * (self.max_loss if self.max_loss < value < math.inf else value)

    @property
    def value(self) -> float:
        """The last loss, raw; nan before the first."""
        return self.statistics.value

    @property
    def count(self) -> int:
        """How many finite losses came."""
        return self.statistics.count

    @property
    def mean(self) -> float:
        """Mean of all finite losses."""
        return self.statistics.mean

    @property
    def variance(self) -> float:
        """Population variance of all finite losses."""
        return self.statistics.variance

    var = variance

    @property
    def std(self) -> float:
        """Standard deviation of all finite losses."""
        return self.statistics.std

    @property
    def cov(self) -> float:
        """Coefficient of variation of the loss, std / |mean|."""
        return self.statistics.cov

    @property
    def minimum(self) -> float:
        """Smallest finite loss."""
        return self.statistics.minimum

    @property
    def maximum(self) -> float:
        """Largest finite loss."""
        return self.statistics.maximum

    @property
    def ratio(self) -> float:
        """The last loss over the running mean before it, L_t / mu_{t-1}."""
        return self.statistics.ratio

    @property
    def cov_weight(self) -> float:
        """C = sigma_l / mu_l of the ratio, the weight of CoV-Weighting before it is normalised.

        Not comparable to the weights of a group, which are divided by the sum over its losses.
        """
        return self.statistics.loss_ratio.cov

    @property
    def nonfinite(self) -> int:
        """How many losses were nan or infinite."""
        return self.statistics.nonfinite

    @property
    def spikes(self) -> int:
        """How many losses were kept out of the ratio, far above their running mean."""
        return self.statistics.loss_ratio.spikes

    @property
    def exponential_mean(self) -> float:
        """Mean that forgets; nan unless its `decay` was given."""
        mean = self.statistics.exponential_mean
        return math.nan if mean is None else mean.value

    @property
    def block_mean(self) -> float:
        """Mean of the last complete block; nan unless `block_size` was given."""
        blocks = self.statistics.blocks
        return math.nan if blocks is None else blocks.last.mean

    @property
    def block_std(self) -> float:
        """Standard deviation of the last complete block; nan unless `block_size` was given."""
        blocks = self.statistics.blocks
        return math.nan if blocks is None else blocks.last.std

    def get_history(self, count: int | None = None) -> list[float]:
        """The last `count` losses that are kept, or all of them, oldest first."""
        return self.statistics.recent.values(count)

    def forget_weight(self) -> None:
        """Forget how losses went into the objective."""
        self._clamped = 0
        self._used_weight = math.nan
        self._reported_blocks = 0

    def __getstate__(self) -> dict[str, Any]:
        """A copy knows everything that this loss was told."""
        self._backlog.catch_up()
        return self.__dict__.copy()

    def row(self) -> dict[str, float]:
        """This loss's part of a row: `{statistic}/{loss}` and its number.

        The block that ended since the last row is in it once.
        """
        statistics = self.statistics
        row = {key: number(self) for key, number in self._fields}
        if statistics.nonfinite:
            row[self._nonfinite_key] = statistics.nonfinite
        blocks = statistics.blocks
        if blocks is not None and blocks.completed > self._reported_blocks:
            self._reported_blocks = blocks.completed
            row.update(zip(self._block_keys, (self.block_mean, self.block_std), strict=True))
        return row

    def state_dict(self) -> State:
        """Every number that must survive a restart."""
        return {
            "name": self.name,
            "statistics": self.statistics.state_dict(),
            "used_weight": self.used_weight,
            "clamped": self.clamped,
            "reported_blocks": self._reported_blocks,
        }

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`.

        Raises:
            ValueError: If the state has another shape or is of another loss; nothing has changed.
        """
        self.check_state(state)
        self.statistics.load_state_dict(state["statistics"])
        self._used_weight, self._clamped = state["used_weight"], state["clamped"]
        self._reported_blocks = state["reported_blocks"]

    def check_state(self, state: State) -> None:
        """Raise a ValueError unless the state fits."""
        check_state(self.state_dict(), state, f"the state of loss {self.name!r}")
        if state["name"] != self.name:
            msg = f"the state of loss {self.name!r} is needed; got that of {state['name']!r}"
            raise ValueError(msg)


def checked_name(name: str) -> str:
    """`name` itself, if it can name a loss in a row."""
    if not isinstance(name, str):
        msg = f"a loss has a name, a str; got {name!r}"
        raise TypeError(msg)
    if not name or not name.isprintable():
        msg = f"the name of a loss is one line of printable characters; got {name!r}"
        raise ValueError(msg)
    return name


def checked_names(names: Iterable[str]) -> tuple[str, ...]:
    """`names` as a tuple, if each can name a loss and none comes twice."""
    if isinstance(names, str):
        msg = f"names are a list of str; got the one str {names!r}"
        raise TypeError(msg)
    checked = tuple(checked_name(name) for name in names)
    if not checked or len(set(checked)) < len(checked):
        msg = f"names are one or more, each different; got {list(checked)}"
        raise ValueError(msg)
    return checked


def by_name(setting: Any, names: tuple[str, ...], key: str) -> dict[str, Any]:
    """A setting for each loss: one for all, or a dict by name, which may leave some out."""
    if not isinstance(setting, Mapping):
        return dict.fromkeys(names, setting)
    if set(setting) - set(names):
        got = ", ".join(map(str, setting))
        msg = f"{key} is given for losses among {', '.join(names)}; got {got}"
        raise ValueError(msg)
    return dict(setting)


def checked_max_loss(max_loss: float, name: str) -> float:
    """`max_loss` itself, if a loss can be scaled down to it."""
    if not max_loss > 0:
        msg = f"max_loss of {name!r} bounds the loss from above, so it is above 0; got {max_loss}"
        raise ValueError(msg)
    return max_loss


def checked_report(report: Iterable[str]) -> tuple[str, ...]:
    """The statistics to report, each of which is known."""
    chosen = (report,) if isinstance(report, str) else tuple(report)
    unknown = [statistic for statistic in chosen if statistic not in _ATTRIBUTES]
    if unknown:
        msg = f"a row can report {', '.join(STATISTICS)}; got {', '.join(map(repr, unknown))}"
        raise ValueError(msg)
    return chosen
