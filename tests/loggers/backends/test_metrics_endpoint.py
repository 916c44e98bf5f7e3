from __future__ import annotations

import math
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import numpy as np
import pytest
from tests.loggers.delivery.http_backend import free_port, until

from loss_loggers import CsvLogger, MetricsEndpoint, Tee, row_time
from multi_loss_weighting import CoVWeighting, LossGroup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loggers.conftest import Caught, FailsInAFork

parser = pytest.importorskip("prometheus_client.parser", reason="needs the prometheus extra")


@pytest.fixture
def endpoint() -> Iterator[MetricsEndpoint]:
    endpoint = MetricsEndpoint(run="gan")
    yield endpoint
    endpoint.close()


def scrape(endpoint: MetricsEndpoint) -> dict[tuple[str, ...], float]:
    """What Prometheus would take, by the name of the gauge and the labels beside the run."""
    with urlopen(endpoint.url, timeout=300) as answer:
        text = answer.read().decode()
    found = {}
    for family in parser.text_string_to_metric_families(text):
        assert family.type == "gauge"
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("run") == "gan"
            name: tuple[str, ...] = (sample.name, *labels.values())
            found[name] = sample.value
    return found


def takes(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_of(endpoint: MetricsEndpoint) -> int:
    return int(endpoint.url.split(":")[2].split("/")[0])


def test_a_scrape_finds_the_last_values(endpoint: MetricsEndpoint) -> None:
    before = row_time()

    for step in range(3):
        row = {"loss/val/G": step / 2, "weight/val/G": np.float32(0.25), "lr": 0.1, "value/x": 1}
        endpoint.log_metrics(row, step=step)
    endpoint.log_metrics({"loss/late": math.nan, "loss/D": -math.inf}, step=3)

    found = scrape(endpoint)
    assert before <= found.pop(("losses_last_step_seconds",)) <= row_time()
    assert math.isnan(found.pop(("losses_loss", "late")))
    assert found == {
        ("losses_last_step",): 3,
        ("losses_loss", "val/G"): 1.0,
        ("losses_loss", "D"): -math.inf,
        ("losses_weight", "val/G"): 0.25,
        ("losses_value", "lr"): 0.1,
        ("losses_value", "value/x"): 1.0,
    }


def test_names_of_any_kind_can_be_scraped(endpoint: MetricsEndpoint) -> None:
    endpoint.log_metrics({'top-5/a"\n\\é': 1.0, "top.5/b": 2.0, "top_5/\ud800": 3.0}, step=0)

    found = scrape(endpoint)
    assert found["losses_top_5", 'a"\n\\é'] == 1.0
    assert found["losses_top_5_2", "b"] == 2.0
    assert found["losses_top_5_3", "\\ud800"] == 3.0


def test_a_statistic_called_as_one_of_its_own_gauges_gets_another_name(
    endpoint: MetricsEndpoint,
) -> None:
    endpoint.log_metrics({"last_step/a": 1.0, "last_step/b": 2.0}, step=7)

    found = scrape(endpoint)
    assert found["losses_last_step",] == 7
    assert found["losses_last_step_2", "a"] == 1.0
    assert found["losses_last_step_2", "b"] == 2.0


def test_it_has_the_name_of_the_run_beside_it(tmp_path: Path) -> None:
    endpoint = MetricsEndpoint()
    with Tee(CsvLogger(tmp_path / "gan"), endpoint) as logger:
        group = LossGroup(["G", "D"], logger, weighting=CoVWeighting())
        group.update({"G": 1.0, "D": 2.0}, do_backwards=False)

        assert scrape(endpoint)["losses_weight", "G"] == 0.5


def test_only_this_computer_may_ask(endpoint: MetricsEndpoint) -> None:
    assert endpoint.url.startswith("http://127.0.0.1:")


def test_closed_it_lets_go_of_its_port_and_counts_what_comes(endpoint: MetricsEndpoint) -> None:
    port = port_of(endpoint)
    assert takes(port)

    endpoint.close()
    endpoint.close()
    again = MetricsEndpoint(port)

    assert port_of(again) == port
    again.close()
    with pytest.warns(RuntimeWarning, match="MetricsEndpoint cannot deliver: it is closed"):
        endpoint.log_metrics({"loss/G": 0.5}, step=1)
    assert (endpoint.failed, endpoint.url) == (1, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")
def test_a_worker_that_was_forked_does_not_keep_the_port(endpoint: MetricsEndpoint) -> None:
    port = port_of(endpoint)
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        endpoint.close()

        assert not takes(port)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_one_that_is_forgotten_lets_go_too() -> None:
    endpoint = MetricsEndpoint()
    port = port_of(endpoint)

    del endpoint

    assert not takes(port)


def test_a_port_that_is_taken_is_warned_about_once_and_tried_again(
    caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loss_loggers.backends._metrics_server.RETRY", 0.05)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        endpoint = MetricsEndpoint(other.getsockname()[1], run="gan")
        assert endpoint.url == ""
        for step in range(3):
            endpoint.log_metrics({"loss/G": 0.5}, step=step)
        time.sleep(0.2)
        assert endpoint.failed == 3
    until(lambda: endpoint.url)
    endpoint.log_metrics({"loss/G": 0.25}, step=3)

    assert scrape(endpoint)["losses_loss", "G"] == 0.25
    assert endpoint.failed == 3
    (warning,) = caught
    assert "cannot be had" in str(warning.message)
    endpoint.close()


def test_a_host_that_is_unknown_stops_nothing(caught: Caught) -> None:
    endpoint = MetricsEndpoint(free_port(), host="no.such.host.invalid")

    endpoint.log_metrics({"loss/G": 0.5}, step=0)
    until(lambda: caught)
    endpoint.close()

    assert "no.such.host.invalid cannot be had" in str(caught[0].message)


def test_who_asks_and_does_not_listen_holds_nothing_up(endpoint: MetricsEndpoint) -> None:
    row = {f"loss/{number}": 0.5 for number in range(100)}
    endpoint.log_metrics(row, step=0)
    port = port_of(endpoint)
    deaf = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for one in deaf[::2]:
        one.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")

    start = time.perf_counter()
    for step in range(1000):
        endpoint.log_metrics(row, step=step)

    assert time.perf_counter() - start < 10
    assert scrape(endpoint)["losses_last_step",] == 999
    for one in deaf:
        one.close()


def test_threads_may_log_while_others_ask(endpoint: MetricsEndpoint) -> None:
    def log(thread: int) -> None:
        for step in range(500):
            endpoint.log_metrics({f"loss/{thread}/{step % 50}": float(step)}, step=step)

    with ThreadPoolExecutor(5) as pool:
        logging = [pool.submit(log, thread) for thread in range(4)]
        asking = pool.submit(lambda: [scrape(endpoint) for _ in range(30)])
        for one in logging:
            one.result()
        assert len(asking.result()) == 30

    found = scrape(endpoint)
    assert sum(name[0] == "losses_loss" for name in found) == 200


def test_a_forked_process_leaves_it_to_its_parent(
    endpoint: MetricsEndpoint, fails_in_a_fork: FailsInAFork
) -> None:
    endpoint.log_metrics({"loss/G": 0.5}, step=0)

    assert fails_in_a_fork(endpoint, 2) == 2
    assert scrape(endpoint)["losses_last_step",] == 0


@pytest.mark.parametrize("port", [-1, 65536, "9000", 1.5])
def test_what_is_no_port_is_an_error(port: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="port must be a number from 0 to 65535, got"):
        MetricsEndpoint(port)


def test_it_starts_no_thread_before_the_first_row() -> None:
    before = threading.enumerate()

    MetricsEndpoint(free_port())

    assert set(threading.enumerate()) <= set(before)
