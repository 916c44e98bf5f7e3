"""What a run says of itself, as plain data for scripts."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

from loss_dashboard.alerts import explain, find_alerts, text_of
from loss_dashboard.curves.shares import objective, shares
from loss_dashboard.reading.extras import VALUE
from loss_dashboard.runs.run_json import method_in, settings_in

from ._panels import last_row

if TYPE_CHECKING:
    from loss_dashboard.reading import RunReader

STATISTICS = {"weight": "weight", "mean": "mean", "std": "std", "CoV": "cov"}
"""What a row has beside the loss, and what it is called here."""


def run_as_json(reader: RunReader) -> dict[str, Any]:
    """Where a run stands; what there is no number of is None, a loss that was lost is NaN."""
    alerts = find_alerts(reader)
    settings = settings_in(reader.info)
    losses = {name: reader.series(name) for name in reader.losses}
    parts = shares({name: losses[name] for name in objective(settings, losses)})
    return {
        "run": reader.name,
        "state": reader.state,
        "error": reader.error,
        "weighting": method_in(settings),
        "step": reader.last_step,
        "steps_per_second": known(reader.steps_per_second),
        "elapsed": known(reader.elapsed),
        "text": text_of(reader, explain(reader, alerts)),
        "alerts": [alert._asdict() for alert in alerts],
        "losses": [
            {**_loss(reader, name), "share": known(parts.get(name, nan))} for name in losses
        ],
        "totals": [
            {"name": name, "last": last_row(reader, name)["last"]} for name in reader.totals
        ],
        "numbers": [
            {"name": name, "last": float(own[VALUE][-1])} for name, own in reader.extras.items()
        ],
        "problems": reader.problems,
    }


def known(number: float) -> float | None:
    """The number, or None where there is none."""
    return number if number == number else None


def _loss(reader: RunReader, name: str) -> dict[str, Any]:
    row = last_row(reader, name)
    others = {key: known(row[own]) for own, key in STATISTICS.items()}
    return {"name": name, "last": row["last"], **others}
