"""The last values as gauges, for Prometheus and what reads its format."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from loss_loggers.arguments import checked
from loss_loggers.base._clock import row_time
from loss_loggers.base._values import Names, floats, statistic_and_loss

from ._adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loss_loggers.base._protocol import Metrics, Record, Row


class MetricsEndpoint(Adapter):
    """Show the last values at `http://127.0.0.1:PORT/metrics`, for Prometheus or OpenTelemetry.

    Each statistic is a gauge with the labels `run` and `loss`, such as
    `losses_weight{run="vae",loss="kl"}`; a number of your own is `losses_value` with `run` and
    `name`. `losses_last_step` and `losses_last_step_seconds`, its Unix time, have the label `run`.

    Training only puts the values aside; threads of their own open the port, at the first row, and
    answer. A port that is taken is tried again every 30 seconds, with one warning, and rows until
    then are counted in `failed`. Nothing of it is kept: put a `CsvLogger` beside it.

    Args:
        port: The port; 0 for a free one, which `url` tells.
        run: The label; by default the name of the run folder, where a `CsvLogger` is beside it in a
            `Tee`.
        host: Who may ask: by default only this computer. Whoever reaches the port can read the
            names and values of all losses.

    Raises:
        ImportError: If prometheus_client is not installed.
        ValueError: If there is no such port.

    >>> from urllib.request import urlopen
    >>> with MetricsEndpoint(run="gan") as endpoint:
    ...     endpoint.log_metrics({"loss/G": 0.5, "weight/G": 0.25}, step=7)
    ...     print(urlopen(endpoint.url).read().decode().splitlines()[-1])
    losses_weight{loss="G",run="gan"} 0.25
    """

    is_bound_to_process = True

    def __init__(self, port: int = 0, *, run: str = "", host: str = "127.0.0.1") -> None:
        super().__init__()
        is_right = lambda it: 0 <= it < 1 << 16 and it % 1 == 0  # noqa: E731
        port = int(checked(port, is_right, "port", "a number from 0 to 65535"))
        # Imported when it is used, so that importing this package loads no SDK.
        from ._metrics_server import MetricsServer

        self._values = LastValues(run)
        self._server = MetricsServer(self._values, host, port)
        self._names = Names()
        self._is_closed = False
        # Without its hook at the end of the interpreter, which frees the port by itself.
        weakref.finalize(self, self._server.close).atexit = False

    @property
    def url(self) -> str:
        """Where the values are; empty while the port cannot be had. It opens the port."""
        return "" if self._is_closed or self._is_foreign else self._server.url

    @property
    def target(self) -> str:
        """The port that was asked for."""
        return f"metrics {self._server.host}:{self._server.port}"

    def set_record(self, record: Record) -> bool:
        """Learn the name of the run."""
        self._values.run = self._values.run or record.path.name
        return False

    def log_metrics(self, metrics: Metrics, /, *, step: int) -> None:
        """Show one row."""
        self.log_rows([(step, row_time(), metrics)])

    def log_rows(self, rows: Sequence[Row]) -> None:
        """Show rows, the last of them in the end."""
        if self._refuses(len(rows)):
            return
        for step, moment, metrics in rows:
            self._values.take(int(step), moment, floats(metrics, self._names))
        self._server.open()
        if self._server.is_refused:
            self._lost += len(rows)

    def close(self, error: BaseException | None = None) -> None:
        """Let go of the port; a second time does nothing."""
        super().close(error)
        if not self._is_foreign:
            self._is_closed = True
            self._server.close()

    def _ended(self) -> str:
        return "it is closed" if self._is_closed else ""


class LastValues:
    """The last value of each metric, and the gauges of them when somebody asks.

    >>> values = LastValues("gan")
    >>> values.take(7, 1.5e9, {"loss/G": 0.5, "lr": 0.1})
    >>> [gauge.name for gauge in values.collect()]
    ['losses_last_step', 'losses_last_step_seconds', 'losses_loss', 'losses_value']
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self._last: dict[str, float] = {}
        self._step, self._time = -1, 0.0
        self._families = Names(_family, reserved=["losses_last_step", "losses_last_step_seconds"])

    def take(self, step: int, moment: float, row: dict[str, float]) -> None:
        """Remember a row. Nobody waits: a dict is changed, and copied, in one go."""
        self._last.update(row)
        self._step, self._time = step, moment

    def collect(self) -> Iterator[Any]:
        """The gauges, as prometheus_client asks for them."""
        from prometheus_client.core import GaugeMetricFamily

        for name, value in (("last_step", self._step), ("last_step_seconds", self._time)):
            if self._last:
                gauge = GaugeMetricFamily(f"losses_{name}", name, labels=["run"])
                gauge.add_metric([self.run], value)
                yield gauge
        families: dict[str, Any] = {}
        for metric, value in self._last.copy().items():
            statistic, loss = statistic_and_loss(metric)
            if statistic not in families:
                labels = ["run", "name" if statistic == "value" else "loss"]
                name = self._families[statistic]
                families[statistic] = GaugeMetricFamily(name, statistic, labels=labels)
            families[statistic].add_metric([self.run, loss], value)
        yield from families.values()


def _family(statistic: str) -> str:
    """The name of a gauge, which has letters, digits and underscores.

    >>> _family("cov_weight"), _family("top-5")
    ('losses_cov_weight', 'losses_top_5')
    """
    letters = (letter if letter.isascii() and letter.isalnum() else "_" for letter in statistic)
    return f"losses_{''.join(letters)}"
