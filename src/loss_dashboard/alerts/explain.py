"""What of a run deserves a look, in one to three sentences."""

from __future__ import annotations

from collections import defaultdict
from math import isfinite
from typing import TYPE_CHECKING

from loss_dashboard.curves.numbers import percent
from loss_dashboard.curves.shares import by_size, held_since, objective, shares
from loss_dashboard.runs.run_json import settings_in
from loss_loggers.alerts import Alert

from ._causes import before
from ._find import find_alerts
from ._gradients import gradient_advice
from ._weights import find_groups, near_equal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loss_dashboard.reading import RunReader

MOST = 3
"""So many sentences are read; what else there is stands among the alerts."""

DOMINANT = 0.9
"""From such a share on a loss is nearly all that is optimised."""

NOTHING = "Nothing stands out"

ORDER = (
    "nonfinite",
    "stopped",
    "unmoved",
    "frozen",
    "dominant",
    "equal weights",
    "gradients",
    "capped weight",
    "large weight",
    "small weight",
    "spike",
)
"""What is said first."""

WEIGHTS = ("capped weight", "large weight", "small weight")
"""Of losses that are weighed together the first of these tells the others, too."""


def explain(reader: RunReader, alerts: Sequence[Alert] | None = None) -> list[Alert]:
    """What deserves a look, the gravest first, in one to three sentences; none for a calm run.

    Beside the alerts, of which those of a kind are one sentence and what follows from another is
    left out, these are

    - nonfinite: with what preceded it in the 100 steps before: a change of a learning rate, a
      spike, a clamp, one of the user's own numbers that was lost.
    - dominant: a loss makes at least 90 % of the total; with its share of the weights, if that was
      large.
    - equal weights: those of a weighting stayed within 5 % of equal ones for long.
    - gradients: what `LossGroup.diagnose` would say of the norms and cosines in the record, if
      losses differ in size or pull against each other.

    Args:
        reader: The run.
        alerts: Its alerts, if they were looked for already.

    >>> from tempfile import TemporaryDirectory
    >>> from loss_dashboard.reading import RunReader
    >>> from loss_loggers import CsvLogger
    >>> with TemporaryDirectory() as folder, CsvLogger(f"{folder}/gan") as logger:
    ...     for step, loss in enumerate([0.5, float("nan"), 0.25]):
    ...         logger.log_metrics({"loss/G": loss, "lr": 0.1 if step else 0.01}, step=step)
    ...     in_words(explain(RunReader(logger.path)))
    'G was NaN or infinite at step 1, after lr went from 0.01 to 0.1 at step 1.'
    """
    import numpy as np

    with np.errstate(all="ignore"):  # a loss or a weight may be as large as floats go
        return _explain(reader, find_alerts(reader) if alerts is None else alerts)


def _explain(reader: RunReader, alerts: Sequence[Alert]) -> list[Alert]:
    found = defaultdict(list)
    for alert in alerts:
        found[alert.kind].append(alert)
    groups = list(find_groups(reader))
    for group in groups:
        known = [kind for kind in WEIGHTS if any(one.loss in group.names for one in found[kind])]
        for kind in known[1:]:
            found[kind] = [one for one in found[kind] if one.loss not in group.names]
    said = {kind: _as_one(of_kind) for kind, of_kind in found.items() if of_kind}
    if first := said.get("nonfinite"):
        words = _after(before(reader, first.step))
        own, joint, others = first.text.partition(";")
        said["nonfinite"] = first._replace(text=f"{own}{words}{joint}{others}")
        if "a spike of" in words:
            said.pop("spike", None)
    said |= {more.kind: more for more in (*_dominant(reader), *near_equal(groups))}
    main, large = said.get("dominant"), said.get("large weight")
    if main and large and main.loss == large.loss:
        why = large.text.removeprefix(f"{large.loss} had")
        said["dominant"] = main._replace(text=f"{main.text}, with{why}")
        del said["large weight"]
    said |= {more.kind: more for more in gradient_advice(reader)}
    return _as_many_as_are_read([said[kind] for kind in ORDER if kind in said])


def in_words(explained: Sequence[Alert]) -> str:
    """The sentences, one after another.

    >>> in_words([]), in_words([Alert("frozen", "", 7, "the weights have stayed the same")])
    ('Nothing stands out.', 'The weights have stayed the same.')
    """
    return " ".join(map(sentence, explained)) or f"{NOTHING}."


def text_of(reader: RunReader, explained: Sequence[Alert]) -> str:
    """The same of a run, which may have no losses to look at."""
    return in_words(explained) if reader.losses else "There is no loss yet."


def sentence(alert: Alert) -> str:
    """An alert with the capital and the stop of a sentence; a loss keeps its name as it is."""
    text = alert.text
    if not alert.loss or not text.startswith(alert.loss):
        text = text[:1].upper() + text[1:]
    return text if text.endswith(("?", ".")) else f"{text}."


def _as_many_as_are_read(found: Sequence[Alert]) -> list[Alert]:
    taken: list[Alert] = []
    for alert in found:
        sentences = 2 if alert.kind == "gradients" else 1  # what was found, and what to try
        if sum(2 if one.kind == "gradients" else 1 for one in taken) + sentences <= MOST:
            taken.append(alert)
    return taken


def _as_one(alerts: Sequence[Alert]) -> Alert:
    """The first alert of a kind, with the losses of which the others are."""
    first, *others = sorted(alerts, key=lambda alert: alert.step)
    names = list(dict.fromkeys(other.loss for other in others if other.loss))
    if not names:
        return first
    later = others[0].step > first.step
    how = f"from step {others[0].step} on" if first.kind == "nonfinite" and later else "too"
    return first._replace(text=f"{first.text}; {_listed(names)} {how}")


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> _listed(["G"]), _listed(["G", "D"]), _listed(["G", "D", "E", "F"])
    ('G', 'G and D', 'G and 3 more')
    """
    if len(names) > 2:
        return f"{names[0]} and {len(names) - 1} more"
    return " and ".join(names)


def _after(causes: Sequence[str]) -> str:
    """What preceded something, in the order of time."""
    *some, last = [*causes, ""][: len(causes)] or [""]
    return f", after {', '.join(some)}{' and ' if some else ''}{last}" if last else ""


def _dominant(reader: RunReader) -> Iterator[Alert]:
    """A loss that is nearly all of the total, and since when."""
    losses = {name: reader.series(name) for name in reader.losses}
    losses = {name: losses[name] for name in objective(settings_in(reader.info), losses)}
    known = {name: part for name, part in shares(losses).items() if isfinite(part)}
    if len(known) < 2:
        return
    name = max(known, key=known.__getitem__)
    if known[name] < DOMINANT:
        return
    since = held_since(losses, name, DOMINANT)
    start = min(float(own["step"].min()) for own in losses.values())
    if isfinite(since):
        when = f"since step {since:.0f}" if since > start else "from the first step on"
        note = by_size(losses)
        how = f" ({note})" if note else ""
        text = f"{name} makes {percent(known[name])} of the total {when}{how}"
        yield Alert("dominant", name, int(since), text)
