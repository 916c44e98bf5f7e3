"""A logger that calls you."""

from __future__ import annotations

import weakref
from threading import RLock
from typing import TYPE_CHECKING, Any

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._clock import row_time
from loss_loggers.base._epoch_row import EpochRow
from loss_loggers.base._faults import is_the_users
from loss_loggers.base._values import Names, floats
from loss_loggers.base._warn import in_short, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loss_loggers.base._protocol import Means, Metrics, Record, Row

    from ._rules import Alert
    from ._webhook import Webhook


class AlertLogger(BaseLogger):
    """Call a function, or post to a webhook, when something in the losses deserves a look.

    That is, with the bounds and the words of the dashboard:

    - nonfinite: a loss is NaN or infinite.
    - spike: a loss is over 10 times the mean of all values before it, of 20 or more.
    - stopped: a loss that came regularly is no longer logged, while others of its scope are.
    - small weight, large weight: its share of all weights is under 1 % or over 95 % for long.
    - capped weight: `max_weight` holds the weight of a loss for long: its gradient may vanish.
    - frozen: all weights have stayed the same for long, while the losses change.
    - unmoved: learned weights never moved; they are in no optimizer.

    For long means a tenth of the run without a break, and 100 steps or more. You are called once
    for each: again for a loss that stopped, or weights that stood still, only if it came back in
    between.

    A function is called on the thread that logs, which is the one that trains unless a `Background`
    is around this logger; what it raises is warned about once and counted. A webhook gets a JSON
    object by a thread of its own, with up to five tries: `text` and `content` (the same sentence,
    as Slack or Mattermost and Discord show it), `kind`, `loss`, `step` and `run`. At the end what
    waits is sent for up to 10 seconds.

    Args:
        on_alert: What to call with each `Alert`, or the URL of a webhook.
        run: The name of the run in what a webhook gets; by default that of the run folder, where a
            `CsvLogger` is beside it in a `Tee`.

    Raises:
        TypeError: If `on_alert` is neither a function nor a string.
        ValueError: If it is no URL of http or https.

    >>> logger = AlertLogger(print)
    >>> logger.log_metrics({"loss/G": float("nan")}, step=7)
    Alert(kind='nonfinite', loss='G', step=7, text='G was NaN or infinite at step 7')
    """

    is_bound_to_process = True

    def __init__(self, on_alert: Callable[[Alert], object] | str, *, run: str = "") -> None:
        # Imported when it is used, so that importing this package costs nothing more.
        from ._running_alerts import RunningAlerts

        if not isinstance(on_alert, str) and not callable(on_alert):
            kind = type(on_alert).__name__
            msg = f"on_alert must be a function, or the URL of a webhook; got {kind}"
            raise TypeError(msg)
        self._on_alert: Any = on_alert
        self._webhook = self._opened(on_alert) if isinstance(on_alert, str) else None
        self._run = run
        self._alerts = RunningAlerts()
        self._names = Names()
        self._told: set[tuple[str, str, int]] = set()
        self._failed = 0
        self._warned = False
        # Reentrant, for a function may log.
        self._lock = RLock()

    @property
    def failed(self) -> int:
        """Alerts that reached nobody."""
        return self._failed + (self._webhook.failed if self._webhook else 0)

    def set_record(self, record: Record) -> bool:
        """Learn the name of the run."""
        self._run = self._run or record.path.name
        return False

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Look at one row."""
        self._look(int(step), row_time(), metrics)

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Look at rows, with the times that they bring."""
        for step, time, metrics in rows:
            if not isinstance(metrics, EpochRow):
                self._look(int(step), time, metrics)

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Pass: alerts are about steps."""

    def log_hyperparams(self, hyperparams: dict[str, Any]) -> None:
        """Learn which losses are weighted together, and how."""
        with self._lock:
            self._alerts.add_settings(hyperparams)

    def close(self, error: BaseException | None = None) -> None:
        """Have a webhook send what waits, for up to 10 seconds."""
        super().close(error)
        if self._webhook:
            self._webhook.close()

    def _opened(self, url: str) -> Webhook:
        from ._webhook import Webhook

        webhook = Webhook(url)
        # Forgotten, it sends what waits; the end of the interpreter waits for that by itself.
        weakref.finalize(self, webhook.end).atexit = False
        return webhook

    def _look(self, step: int, time: float, metrics: Metrics) -> None:
        with self._lock:
            self._alerts.add(step, time, floats(metrics, self._names))
            alerts = self._alerts.now()
            known, self._told = self._told, {alert[:3] for alert in alerts}
            for alert in alerts:
                if alert[:3] not in known:
                    self._tell(alert)

    def _tell(self, alert: Alert) -> None:
        try:
            self._hand_on(alert)
        except BaseException as error:  # anything at all, but for Ctrl-C: this is the user's code
            if is_the_users(error):
                raise
            self._failed += 1
            if not self._warned:
                self._warned = True
                problem = in_short(error)
                warn(f"on_alert failed ({problem}) at: {alert.text}. Later failures are counted.")

    def _hand_on(self, alert: Alert) -> None:
        if self._webhook is None:
            self._on_alert(alert)
            return
        text = f"{self._run}: {alert.text}" if self._run else alert.text
        about = {"kind": alert.kind, "loss": alert.loss, "step": alert.step, "run": self._run}
        self._webhook.put({"text": text, "content": text, **about})
