"""What deserves a look: the bounds and the sentences, for whoever goes through the rows."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SPIKE = 10.0
"""Times its running mean, over which a loss is a spike."""

MEAN_OF = 20
"""Values that a running mean needs before it can be exceeded."""

MISSED = 10
"""Usual intervals without a row, after which a loss has stopped."""

SMALL, LARGE = 0.01, 0.95
"""Shares of all weights."""

LONG, PART = 100, 0.1
"""For long is so many steps, and this part of all steps."""

CONSTANT = ("PlainSum", "EqualWeighting", "StaticWeighting")
LEARNED = ("AutomaticWeightedLoss", "UncertaintyWeighting")


class Alert(NamedTuple):
    """Something in a run that deserves a look.

    Attributes:
        kind: One of "nonfinite", "spike", "stopped", "small weight", "large weight",
            "capped weight", "frozen" and "unmoved".
        loss: Whose it is; empty where it concerns all weights of a group.
        step: Where it began.
        text: The whole of it in words.
    """

    kind: str
    loss: str
    step: int
    text: str


class Weighed(NamedTuple):
    """Losses that are weighed together.

    Attributes:
        method: The name of the weighting.
        losses: The names of the losses.
        limit: How many times the smallest weight one may be, by its `max_weight`.
        reference: The loss whose weight is taken for the smallest; empty for none.
    """

    method: str
    losses: list[str]
    limit: float = inf
    reference: str = ""


def nonfinite_alert(loss: str, step: int, count: int) -> Alert:
    """A loss was NaN or infinite so many times, first at this step."""
    return Alert("nonfinite", loss, step, f"{loss} was NaN or infinite {_times(count, step)}")


def spike_alert(
    loss: str, step: int, count: int, *, value: float, mean: float, is_signed: bool
) -> Alert:
    """A loss was far over its running mean; of one that may be negative, the size was compared.

    >>> spike_alert("G", 200, 1, value=50.0, mean=2.0, is_signed=False).text
    'G was over 10 times its running mean at step 200 (50 against 2)'
    """
    usual = "the running mean of its size" if is_signed else "its running mean"
    size = f"{value:.3g} against {mean:.3g}"
    text = f"{loss} was over {SPIKE:g} times {usual} {_times(count, step)} ({size})"
    return Alert("spike", loss, step, text)


def stopped_alert(loss: str, step: int) -> Alert:
    """A loss came for the last time at this step."""
    return Alert("stopped", loss, step, f"{loss} is no longer logged since step {step}")


def weight_alert(kind: str, loss: str, step: int, length: int, losses: int) -> Alert:
    """A loss weighed next to nothing, or next to all, for so many steps."""
    bound = f"under {small_share(losses):.2g}" if kind == "small weight" else f"over {LARGE:g}"
    text = f"{loss} had a share of the weights {bound} for {length} steps from step {step}"
    return Alert(kind, loss, step, text)


def capped_alert(loss: str, step: int, length: int, limit: float) -> Alert:
    """The weight of a loss was at its limit for so many steps."""
    text = (
        f"the weight of {loss} was held at its limit (max_weight={limit:g}) for {length} steps"
        f" from step {step}"
    )
    return Alert("capped weight", loss, step, text)


def is_capped(weight: Any, least: Any, limit: float) -> Any:
    """Whether a weight is at its limit: so many times the smallest, or the reference over so many.

    For one weight or an array of them, with the smallest weight, or that of the reference.

    >>> is_capped(100.0, 1.0, 100), is_capped(0.01, 1.0, 100), is_capped(50.0, 1.0, 100)
    (True, True, False)
    """
    nearly = limit * (1 - 1e-6)  # weights are multiplied once more after they were capped
    return (weight >= nearly * least) | ((weight * nearly <= least) & (weight > 0))


def still_alert(method: str, step: int, still: int, *, moved: bool) -> Alert | None:
    """The weights of a group have stayed the same, or never moved; None if they are meant to."""
    if moved or method == "CoVWeighting":
        text = f"the weights have stayed the same since step {step}, for {still} steps"
        return Alert("frozen", "", step, text)
    if method in LEARNED:
        text = f"the learned weights never moved in {still} steps: are they in an optimizer?"
        return Alert("unmoved", "", step, text)
    return None


def long(steps: int) -> int:
    """How many of the steps are long."""
    return max(LONG, int(PART * steps))


def small_share(losses: int) -> float:
    """The share of all weights under which one of so many losses weighs next to nothing."""
    return min(SMALL, 0.1 / losses)  # of a hundred losses each has a hundredth


def usual_intervals(
    lines: int, first: tuple[float, float], last: tuple[float, float]
) -> tuple[float, float]:
    """The mean steps and seconds between the lines of a loss; infinite for less than three.

    >>> usual_intervals(3, (0, 0.0), (4, 1.0))
    (2.0, 0.5)
    """
    if lines < 3:
        return float("inf"), float("inf")
    steps, seconds = ((end - start) / (lines - 1) for start, end in zip(first, last, strict=True))
    return max(steps, 1.0), seconds


def has_stopped(gap: tuple[float, float], usual: tuple[float, float]) -> bool:
    """Whether the steps and the seconds since its last line are many for a loss."""
    return all(own > MISSED * interval for own, interval in zip(gap, usual, strict=True))


def groups_in(settings: Mapping[str, Any], losses: Iterable[str]) -> list[Weighed]:
    """The groups whose weights are to change.

    >>> constant = {"method": "PlainSum"}
    >>> settings = {"weighting": {"method": "CoVWeighting"}, "val/weighting": constant}
    >>> groups_in(settings, ["G", "D", "val/G", "val/D"])
    [Weighed(method='CoVWeighting', losses=['G', 'D'], limit=inf, reference='')]
    """
    # Where a user's own setting has that name, nobody knows whether the weights are to change.
    keys = [key for key in settings if key.rpartition("/")[2] == "weighting"]
    keys = [key for key in keys if isinstance(settings[key], dict)]
    left, groups = list(losses), []
    for key in sorted(keys, key=len, reverse=True):
        scope = key.removesuffix("weighting")
        names = [name for name in left if name.startswith(scope)]
        left = [name for name in left if name not in names]
        method = settings[key].get("method")
        if len(names) > 1 and method not in CONSTANT:
            groups.append(_weighed(settings[key], names, scope))
    return groups


def _weighed(settings: Mapping[str, Any], names: list[str], scope: str) -> Weighed:
    """Whatever a folder says, which anybody may have written."""
    method, limit = settings.get("method"), settings.get("max_weight")
    reference = f"{scope}{settings.get('reference')}"
    return Weighed(
        method if isinstance(method, str) else "",
        names,
        limit if isinstance(limit, int | float) and 1 < limit < inf else inf,
        reference if reference in names else "",
    )


def _times(count: int, step: int) -> str:
    return f"at step {step}" if count == 1 else f"{count} times, first at step {step}"
