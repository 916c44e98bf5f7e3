from __future__ import annotations

import gc
import json
import math
import multiprocessing
import threading
import time
import tracemalloc
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from tests.loggers.delivery.http_backend import free_port, until

from loss_loggers import Alert, AlertLogger, Background, CsvLogger, MemoryLogger, Tee

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loggers.conftest import Caught, Script


class Receiver:
    """A webhook on the loopback that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.refuse = 0
        self.wait = threading.Event()
        self.wait.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.wait.wait(30)
                receiver.refuse -= 1
                is_taken = receiver.refuse < 0
                if is_taken:
                    receiver.messages.append(json.loads(body))
                self.send_response(200 if is_taken else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/secret"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.wait.set()
    receiver.server.shutdown()
    receiver.server.server_close()


def steady(logger: Any, steps: range, **others: float) -> None:
    """Two losses and their weights, which move a little."""
    for step in steps:
        small = 1e-4 * (step % 7)
        row = {"loss/G": 1.0 + small, "weight/G": 0.5 + small, "loss/D": 1.0, "weight/D": 0.5}
        logger.log_metrics({**row, **others}, step=step)


def test_a_function_is_called_once_for_each_alert_at_its_step() -> None:
    alerts: list[Alert] = []
    logger = AlertLogger(alerts.append)

    steady(logger, range(30))
    assert alerts == []
    logger.log_metrics({"loss/G": math.nan}, step=30)
    assert alerts == [("nonfinite", "G", 30, "G was NaN or infinite at step 30")]
    logger.log_metrics({"loss/G": math.inf, "loss/D": 50.0}, step=31)

    assert [(alert.kind, alert.loss, alert.step) for alert in alerts[1:]] == [("spike", "D", 31)]


def test_a_loss_that_stops_again_is_told_again() -> None:
    alerts: list[Alert] = []
    logger = AlertLogger(alerts.append)

    for step in range(200):
        both = step < 50 or 100 <= step < 110
        row = {"loss/G": 1.0, **({"loss/D": 1.0} if both else {})}
        logger.log_rows([(step, 1e9 + step, row)])

    assert [(alert.kind, alert.step) for alert in alerts] == [("stopped", 49), ("stopped", 109)]


def test_a_weight_that_collapses_is_told_after_a_hundred_steps() -> None:
    alerts: list[tuple[int, Alert]] = []
    logger = AlertLogger(lambda alert: alerts.append((step, alert)))
    logger.log_hyperparams({"weighting": {"method": "CoVWeighting"}})

    for step in range(300):
        small = 1e-5 * (step % 7) + (0.3 if step < 50 else 1e-4)
        row = {"loss/G": 1.0, "weight/G": small, "loss/D": 1.0, "weight/D": 1 - small}
        logger.log_metrics(row, step=step)

    assert {(at, alert.kind, alert.loss, alert.step) for at, alert in alerts} == {
        (149, "small weight", "G", 50),
        (149, "large weight", "D", 50),
    }


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_learned_weights_that_no_optimizer_has_are_told_by_real_training() -> None:
    torch = pytest.importorskip("torch")
    from multi_loss_weighting import AutomaticWeightedLoss, LossGroup

    alerts: list[Alert] = []
    weighting = AutomaticWeightedLoss(2)
    group = LossGroup(["G", "D"], AlertLogger(alerts.append), weighting=weighting)

    for _ in range(150):
        group.update({"G": torch.rand(()) + 1, "D": torch.rand(())}, do_backwards=False)

    assert [(alert.kind, alert.step) for alert in alerts] == [("unmoved", 0)]


def test_what_it_remembers_does_not_grow_with_the_rows() -> None:
    logger = AlertLogger(lambda _: None)
    logger.log_hyperparams({"weighting": {"method": "CoVWeighting"}})
    steady(logger, range(500))
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        steady(logger, range(500, 5500))
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert grown < 5000 * 4  # bytes: a single reference kept for each row would be 8 a row


def test_a_function_that_fails_is_counted_and_stops_nothing(caught: Caught) -> None:
    def fail(alert: Alert) -> None:
        raise OSError(alert.kind)

    memory = MemoryLogger()
    logger = AlertLogger(fail)
    tee = Tee(logger, memory)

    for step in range(3):
        tee.log_metrics({"loss/G": math.nan, f"loss/{step}": math.nan}, step=step)

    assert len(memory.rows) == 3
    assert logger.failed == tee.failed == 4
    (warning,) = caught
    assert "on_alert failed (OSError: nonfinite) at: G was NaN" in str(warning.message)


def test_a_background_calls_it_on_its_own_thread() -> None:
    threads = set()
    logger = Background(AlertLogger(lambda _: threads.add(threading.current_thread().name)))

    logger.log_metrics({"loss/G": math.nan}, step=0)
    logger.log_epoch(0, {"G": (math.nan, 1)}, step=0)
    logger.close()

    assert threads == {"loss_loggers.Background"}


def test_a_webhook_gets_what_slack_and_discord_show(tmp_path: Path, receiver: Receiver) -> None:
    with Tee(CsvLogger(tmp_path / "vae"), AlertLogger(receiver.url)) as logger:
        logger.log_metrics({"loss/kl": math.nan}, step=7)

    text = "vae: kl was NaN or infinite at step 7"
    about = {"kind": "nonfinite", "loss": "kl", "step": 7, "run": "vae"}
    assert receiver.messages == [{"text": text, "content": text, **about}]


def test_a_webhook_that_hangs_holds_nothing_up(receiver: Receiver) -> None:
    receiver.wait.clear()
    logger = AlertLogger(receiver.url)

    start = time.perf_counter()
    for step in range(50):
        logger.log_metrics({f"loss/{step}": math.nan}, step=step)
    took = time.perf_counter() - start
    receiver.wait.set()
    logger.close()

    assert took < 20  # it answers nobody for 30 seconds
    assert [message["step"] for message in receiver.messages] == list(range(50))


def test_a_webhook_that_refuses_is_tried_again(receiver: Receiver) -> None:
    receiver.refuse = 2
    logger = AlertLogger(receiver.url)

    logger.log_metrics({"loss/G": math.nan}, step=0)
    until(lambda: receiver.messages)
    logger.close()

    assert (len(receiver.messages), logger.failed) == (1, 0)


def test_a_webhook_that_is_away_is_warned_about_without_its_address(caught: Caught) -> None:
    logger = AlertLogger(f"http://127.0.0.1:{free_port()}/secret")

    for name in "GD":
        logger.log_metrics({f"loss/{name}": math.nan}, step=0)
    logger.close()
    logger.log_metrics({"loss/late": math.nan}, step=1)

    assert logger.failed == 3
    (warning,) = caught
    assert "127.0.0.1 did not take an alert (URLError" in str(warning.message)
    assert "secret" not in str(warning.message)


def test_the_end_of_the_interpreter_sends_what_waits(receiver: Receiver, script: Script) -> None:
    code = """
import sys
from loss_loggers import AlertLogger
logger = AlertLogger(sys.argv[1])
logger.log_metrics({"loss/G": float("nan")}, step=3)
"""
    assert script(code, receiver.url).returncode == 0

    assert [message["step"] for message in receiver.messages] == [3]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_send_theirs(receiver: Receiver, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("needs a system that forks")
    logger = AlertLogger(receiver.url)
    logger.log_metrics({"loss/parent": math.nan}, step=0)
    until(lambda: receiver.messages)

    target = _log_forked if method == "fork" else _log_spawned
    arguments = (logger,) if method == "fork" else (receiver.url,)
    context: Any = multiprocessing.get_context(method)
    child = context.Process(target=target, args=arguments)
    child.start()
    child.join(300)
    logger.close()

    assert [message["loss"] for message in receiver.messages] == ["parent", "child"]


def _log_forked(logger: AlertLogger) -> None:
    logger.log_metrics({"loss/child": math.nan}, step=0)


def _log_spawned(url: str) -> None:
    _log_forked(AlertLogger(url))


def test_one_that_is_forgotten_is_let_go(receiver: Receiver) -> None:
    logger = AlertLogger(receiver.url)
    logger.log_metrics({"loss/G": math.nan}, step=0)
    forgotten = weakref.ref(logger)

    del logger

    assert forgotten() is None
    until(lambda: receiver.messages)
    until(lambda: "loss_loggers.AlertLogger" not in {one.name for one in threading.enumerate()})


@pytest.mark.parametrize(
    ("on_alert", "error", "said"),
    [
        (7, TypeError, "on_alert must be a function, or the URL of a webhook; got int"),
        ("ftp://host/x", ValueError, r"such as https://host/path; got one .* 'ftp://ho'"),
        ("http:///path", ValueError, "got one that begins with 'http:///'"),
        ("http://host/\n", ValueError, "got one that begins with 'http://h'"),
        ("http://a host/", ValueError, "got one that begins with 'http://a'"),
        ("http://host:99999/", ValueError, "got one that begins with 'http://h'"),
        ("https://[host", ValueError, r"got one that begins with 'https://'"),
    ],
)
def test_what_nobody_can_call_is_an_error(on_alert: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        AlertLogger(on_alert)
