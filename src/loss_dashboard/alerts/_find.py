"""All alerts of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._losses import nonfinite, spikes, stopped
from ._weights import capped_weights, extreme_weights, find_groups, still_weights

if TYPE_CHECKING:
    from loss_dashboard.reading import RunReader
    from loss_loggers.alerts import Alert


def find_alerts(reader: RunReader) -> list[Alert]:
    """What in a run deserves a look, in the order in which it began.

    These are the alerts that an `AlertLogger` raises row by row, by the same bounds.

    - nonfinite: a loss was NaN or infinite.
    - spike: a loss was over 10 times the mean of all values before it, of 20 or more. Signs do
      not count: the mean of a loss that changes its sign is as near to 0 as it likes.
    - stopped: a loss that came regularly is no longer logged, while others of its scope are.
    - small weight, large weight: its share of all weights was under 1 % or over 95 % for long.
    - capped weight: `max_weight` held the weight of a loss for long: its gradient may vanish.
    - frozen: all weights have stayed the same for long, while the losses changed.
    - unmoved: learned weights never moved; they are in no optimizer.

    For long means a tenth of the run without a break, and 100 steps or more. Weights that are
    meant to be constant (a plain sum, equal and static ones, a lone tracker's) raise no alert.

    >>> from tempfile import TemporaryDirectory
    >>> from loss_dashboard.reading import RunReader
    >>> from loss_loggers import CsvLogger
    >>> with TemporaryDirectory() as folder, CsvLogger(f"{folder}/gan") as logger:
    ...     for step, loss in enumerate([0.5, float("nan"), 0.25, float("inf")]):
    ...         logger.log_metrics({"loss/G": loss}, step=step)
    ...     [alert.text for alert in find_alerts(RunReader(logger.path))]
    ['G was NaN or infinite 2 times, first at step 1']
    """
    import numpy as np

    groups = list(find_groups(reader))
    with np.errstate(all="ignore"):  # a loss or a weight may be as large as floats go
        alerts = [
            *nonfinite(reader),
            *spikes(reader),
            *stopped(reader),
            *extreme_weights(groups),
            *capped_weights(groups),
            *still_weights(groups),
        ]
    return sorted(alerts, key=lambda alert: alert.step)
