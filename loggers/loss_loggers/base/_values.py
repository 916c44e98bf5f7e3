"""Numbers and names, as a backend takes them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ._warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._protocol import Metrics

_VALIDATION = frozenset(("val", "valid", "validation", "eval", "dev", "test"))
"""What a scope is called whose losses are no part of what is optimised."""

_NO_STATISTICS = frozenset(("step", "time", "name", "value"))
"""What no loss has a number in: a table has these columns for each line, or for other numbers."""


class Names(dict[str, str]):
    """The names that a backend takes, each made once, and no two alike.

    A name that the backend or the logger itself uses is `reserved`: a number of the user's that is
    called so gets another one.

    >>> names = Names(str.lower, longest=8)
    >>> names["loss/G"], names["LOSS/G"], names["loss/generator"], names["loss/generated"]
    ('loss/g', 'loss/g_2', 'loss/gen', 'loss/g_3')
    >>> Names(reserved=["_step"])["_step"]
    '_step_2'
    """

    def __init__(
        self,
        clean: Callable[[str], str] = str,
        longest: int | None = None,
        reserved: Iterable[str] = (),
    ) -> None:
        self._clean = clean
        self._longest = longest
        self._taken: dict[str, str | None] = dict.fromkeys(reserved)

    def __missing__(self, name: str) -> str:
        # No backend can store half of a surrogate pair.
        whole = self._clean(name.encode(errors="backslashreplace").decode())
        new, number = whole[: self._longest], 1
        # Taken by whom, so that a call which Ctrl-C ended finds its own name again.
        while self._taken.setdefault(new, name) != name:
            number += 1
            new = self._numbered(whole, f"_{number}")
        self[name] = new
        return new

    def _numbered(self, whole: str, ending: str) -> str:
        return whole[: self._longest and self._longest - len(ending)] + ending


@lru_cache(maxsize=1000)
def statistic_and_loss(metric: str) -> tuple[str, str]:
    """The two parts of a name, cut at its first slash; of a number of the user's own, "value".

    >>> statistic_and_loss("weight/val/G"), statistic_and_loss("lr"), statistic_and_loss("value/lr")
    (('weight', 'val/G'), ('value', 'lr'), ('value', 'value/lr'))
    """
    statistic, _, loss = metric.partition("/")
    if not loss or not statistic or statistic in _NO_STATISTICS:
        return "value", metric
    return statistic, loss


def is_validation(scope: str) -> bool:
    """Whether a scope is called as that of a validation, whose losses nobody optimises.

    >>> is_validation("val"), is_validation("G/test"), is_validation("G")
    (True, True, False)
    """
    return scope.rpartition("/")[2] in _VALIDATION


def is_total(name: str) -> bool:
    """Whether it is the objective of a group, which no group weighs.

    >>> is_total("val/total"), is_total("totality")
    (True, False)
    """
    return name.rpartition("/")[2] == "total"


def exact(value: Any) -> float:
    """The value as a plain number; a whole one stays whole, whatever its size.

    >>> exact(2**53 + 1), exact("1e-3")
    (9007199254740993, 0.001)
    """
    if type(value) is float:
        return value
    # A tensor with a gradient gives its item without a warning.
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, int) else float(value)


def floats(
    metrics: Metrics, names: Names, read: Callable[[Any], float] | None = None
) -> dict[str, float]:
    """The metrics as plain floats under their new names; what is no number is left out.

    >>> floats({"loss/G": 1, "lr": "1e-3"}, Names())
    {'loss/G': 1.0, 'lr': 0.001}
    """
    read = read or _float
    try:
        return {
            names[name]: value if type(value) is float else read(value)
            for name, value in metrics.items()
        }
    except Exception:  # every array library raises another one
        return {names[name]: value for name, value in _numbers(metrics, read).items()}


def _float(value: Any) -> float:
    return float(exact(value))


def _numbers(metrics: Metrics, read: Callable[[Any], float]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        try:
            numbers[name] = read(value)
        except Exception as error:  # noqa: PERF203
            warn(f"{name} is a number; got {type(value).__name__} ({error}). It is left out.")
    return numbers
