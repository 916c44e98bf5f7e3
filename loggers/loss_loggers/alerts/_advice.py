"""What the gradients of the losses say about how to weigh them, in two sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Key = TypeVar("Key")

# From the largest to the smallest gradient norm in the first 100 steps of the plain sum. They come
# from pilots, and were held to 13 small problems afterwards: docs/evidence.md has hits and misses.
FAR = 30.0
"""From so many times on sizes are worth balancing."""

NEAR = 4.0
"""Up to so many times balancing sizes has seldom helped."""

# No cosine predicted anything in those runs, so this is a convention: an angle of more than 110
# degrees.
AGAINST = -0.34
"""Two losses whose gradients have a median cosine below it pull against each other."""

MANY = 10
"""From so many measurements on the answer may be sure."""

AGREEING = 0.9
"""Such a part of the measurements has to say the same for the answer to be sure."""


class Measured(NamedTuple):
    """One measurement: the value of each loss, the norm of its gradient, and cosines of pairs."""

    losses: dict[str, float]
    norms: dict[str, float]
    cosines: dict[tuple[str, str], float]


class Advice(NamedTuple):
    """What measurements say.

    Attributes:
        sentences: Two sentences: what was found, and what to try first.
        finding: "sizes", "conflict", "neither" or "unclear".
        advice: "one size", "gradient shares", "a conflict method" or "nothing".
        is_sure: Whether there were enough measurements, of which nearly all say the same.
        agreement: The part of the measurements that say the same, 0 to 1.
        measurements: How many there were.
        ratio: From the largest to the smallest gradient norm.
        ratio_of_one_size: The same if each loss were divided by its mean.
        norms: The median norm of the gradient of each loss.
        shares: Each of them over their sum.
        cosines: The median cosine of each pair.
    """

    sentences: str
    finding: str
    advice: str
    is_sure: bool
    agreement: float
    measurements: int
    ratio: float
    ratio_of_one_size: float
    norms: dict[str, float]
    shares: dict[str, float]
    cosines: dict[tuple[str, str], float]

    def __str__(self) -> str:
        return self.sentences


def advise(measured: Sequence[Measured]) -> Advice:
    """What these measurements say.

    >>> same = Measured({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 90.0}, {("a", "b"): 0.5})
    >>> print(advise([same] * 20))
    The losses differ in size: the gradient of 'b' is 90 times that of 'a' (sure: 20 of 20 \
measurements). Try GradientShareWeighting(parameters) first: sizes of the losses do not explain it.
    """
    norms = _medians([one.norms for one in measured])
    losses = _medians([one.losses for one in measured])
    cosines = _medians([one.cosines for one in measured])
    known = {name: norm for name, norm in norms.items() if norm > 0}
    ratio = _ratio(known.values())
    after = _ratio(known[name] / abs(losses[name]) for name in known if losses[name])
    finding = _finding(ratio, cosines)
    agreeing = sum(_finding(_ratio(one.norms.values()), one.cosines) == finding for one in measured)
    is_sure = len(measured) >= MANY and agreeing >= AGREEING * len(measured)
    advice = _advice(finding, after)
    found = _found(finding, known, ratio, cosines)
    how_sure = "sure" if is_sure else "not sure"
    counted = f"({how_sure}: {agreeing} of {len(measured)} measurements)"
    total = sum(known.values())
    return Advice(
        f"{found} {counted}. {_try(finding, advice, after)}",
        finding,
        advice,
        is_sure,
        agreeing / len(measured) if measured else 0.0,
        len(measured),
        ratio,
        after,
        norms,
        {name: known.get(name, 0.0) / total if total else 0.0 for name in norms},
        cosines,
    )


def _medians(numbers: Sequence[dict[Key, float]]) -> dict[Key, float]:
    """The median of what is finite of each; nan where nothing is."""
    from statistics import median  # seldom needed, and it loads much

    found = {}
    for key in dict.fromkeys(key for one in numbers for key in one):
        finite = [one[key] for one in numbers if key in one and math.isfinite(one[key])]
        found[key] = median(finite) if finite else math.nan
    return found


def _ratio(norms: Iterable[float]) -> float:
    positive = [norm for norm in norms if 0 < norm < math.inf]
    return max(positive) / min(positive) if positive else math.nan


def _finding(ratio: float, cosines: dict[tuple[str, str], float]) -> str:
    if ratio > FAR:
        return "sizes"
    if min(cosines.values(), default=0.0) < AGAINST:
        return "conflict"
    return "neither" if ratio < NEAR else "unclear"


def _advice(finding: str, ratio_of_one_size: float) -> str:
    if finding == "sizes":
        return "one size" if ratio_of_one_size < NEAR else "gradient shares"
    return "a conflict method" if finding == "conflict" else "nothing"


def _found(
    finding: str, norms: dict[str, float], ratio: float, cosines: dict[tuple[str, str], float]
) -> str:
    if len(norms) < 2:
        return "There is nothing to weigh: fewer than two losses have a gradient there"
    large, small = max(norms, key=norms.__getitem__), min(norms, key=norms.__getitem__)
    size = f"the gradient of {large!r} is {_times(ratio)} times that of {small!r}"
    if finding == "sizes":
        return f"The losses differ in size: {size}"
    if finding == "conflict":
        one, other = min(cosines, key=cosines.__getitem__)
        cosine = f"the cosine of their gradients is {cosines[one, other]:.2f}"
        return f"{one!r} and {other!r} pull against each other: {cosine}, while {size}"
    if finding == "neither":
        return f"The losses neither differ much in size nor pull against each other: {size}"
    return f"The losses differ in size, but not by a lot: {size}"


def _try(finding: str, advice: str, after: float) -> str:
    if advice == "one size":
        return (
            "Try NormalizedWeighting() first: over their means the losses have gradients within a"
            f" factor of {_times(after)}."
        )
    if advice == "gradient shares":
        return (
            "Try GradientShareWeighting(parameters) first: sizes of the losses do not explain it."
        )
    if advice == "a conflict method":
        return (
            "Try TorchJDWeighting(UPGrad(), parameters), and compare with the plain sum at the same"
            " time: in our runs cosines did not tell where that gains."
        )
    if finding == "unclear":
        return (
            f"Stay with the plain sum, and try NormalizedWeighting() beside it: between {NEAR:g}"
            f" and {FAR:g} times, it sometimes helps."
        )
    return "Stay with the plain sum: below such a ratio balancing has seldom helped."


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"
