"""An argument that is none names itself when the logger is made, not when training ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import Background, ConsoleLogger, Every, MemoryLogger, MetricsEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable

MAKERS: dict[str, Callable[[Any], object]] = {
    "n": lambda it: Every(it, MemoryLogger()),
    "reduce": lambda it: Every(2, MemoryLogger(), reduce=it),
    "every": lambda it: ConsoleLogger(every=it),
    "port": MetricsEndpoint,
    "max_rows": lambda it: Background(MemoryLogger(), max_rows=it),
    "interval": lambda it: Background(MemoryLogger(), interval=it),
    "timeout": lambda it: Background(MemoryLogger(), timeout=it),
}


@pytest.mark.parametrize("argument", MAKERS)
@pytest.mark.parametrize("value", ["1", None, [1], -1, math.nan, math.inf], ids=repr)
def test_it_is_named_with_what_it_must_be_and_what_came(argument: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        MAKERS[argument](value)

    said = str(caught.value)
    assert said.startswith(f"{argument} must be ")
    assert said.endswith(f", got {value!r}")


@pytest.mark.parametrize("argument", ["n", "every", "max_rows"])
def test_a_part_of_a_step_or_a_row_is_none(argument: str) -> None:
    with pytest.raises(ValueError, match=f"{argument} must be a whole number of .*, got 1.5"):
        MAKERS[argument](1.5)
