"""What the gradients of losses say, where a run recorded their norms and cosines."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, TypeVar

from loss_dashboard.reading.extras import VALUE
from loss_loggers.alerts import Advice, Alert, Measured, advise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from loss_dashboard._typing import Values
    from loss_dashboard.reading import RunReader

NORM, COSINE = "gradient_norm/", "gradient_cosine/"
"""What `GradientDiagnostics` calls its numbers."""

Key = TypeVar("Key")
Numbers = dict[float, float]
"""A number by step."""


def gradient_advice(reader: RunReader) -> Iterator[Alert]:
    """What to try, if losses differ much in size or pull against each other."""
    advice, step = _advice(reader)
    if advice is not None and advice.finding in ("sizes", "conflict"):
        yield Alert("gradients", "", step, advice.sentences)


def _advice(reader: RunReader) -> tuple[Advice | None, int]:
    """The advice, and the step of the first measurement."""
    extras = reader.extras
    norms = {
        name: _by_step(extras[f"{NORM}{name}"], VALUE)
        for name in reader.losses
        if f"{NORM}{name}" in extras
    }
    cosines = {
        pair: _by_step(extras[key], VALUE)
        for pair in combinations(norms, 2)
        if (key := f"{COSINE}{pair[0]}-{pair[1]}") in extras
    }
    losses = {name: _by_step(reader.series(name), "loss") for name in norms}
    steps = sorted({step for own in norms.values() for step in own})
    measured = [Measured(_at(losses, step), _at(norms, step), _at(cosines, step)) for step in steps]
    return (advise(measured), int(steps[0])) if len(norms) > 1 and measured else (None, 0)


def _at(numbers: Mapping[Key, Numbers], step: float) -> dict[Key, float]:
    return {key: own[step] for key, own in numbers.items() if step in own}


def _by_step(own: Mapping[str, Values], column: str) -> Numbers:
    return dict(zip(own["step"].tolist(), own[column].tolist(), strict=True))
