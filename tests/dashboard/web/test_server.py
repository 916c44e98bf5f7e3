from __future__ import annotations

import http.client
import json
import math
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
from click.testing import CliRunner

from loss_dashboard.cli.losses import app
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


def ask(
    address: str, path: str, method: str = "GET", **headers: str
) -> tuple[int, str, dict[str, str]]:
    """Send a path as it is: no client tidies it up."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    content = response.read().decode()
    connection.close()
    return response.status, content, dict(response.getheaders())


def run_of(address: str, query: str) -> dict[str, Any]:
    (view,) = json.loads(ask(address, f"/api/views?{query}")[1])
    return dict(view)


def test_it_serves_the_runs_of_a_folder(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path]
) -> None:
    record(tmp_path / "gan")
    with serve(str(tmp_path)) as address:
        runs = json.loads(ask(address, "/api/runs")[1])["runs"]
        shown = run_of(address, "run=gan")

    assert [(run["key"], run["state"], run["step"]) for run in runs] == [("gan", "finished", 49)]
    assert [loss["name"] for loss in shown["losses"]] == ["G", "D", "E"]
    assert shown["curves"]["each"]["D"]["loss"][:2] == [2.0, 1.0]
    assert shown["settings"]["weighting"]["method"] == "CoVWeighting"


def changes_of(address: str, query: str) -> Generator[list[dict[str, Any]]]:
    """What a tab is told, again and again."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
    connection.request("GET", f"/api/changes?{query}")
    stream = connection.getresponse()
    assert stream.headers["content-type"].startswith("text/event-stream")
    try:
        while line := stream.readline():
            if line.startswith(b"data:"):
                yield json.loads(line.removeprefix(b"data:"))
    finally:
        connection.close()


def follow(address: str, last_step: int, begun: threading.Semaphore) -> list[dict[str, Any]]:
    """All that a tab is told of a run, until its last step is shown."""
    told = []
    for (view,) in changes_of(address, "run=gan"):
        told.append(view)
        begun.release()
        if view["step"] == last_step:
            break
    return told


def test_ten_tabs_follow_a_run_of_a_thousand_rows_a_second(
    tmp_path: Path, serve: Callable[..., Any]
) -> None:
    steps = 500
    with serve(str(tmp_path)) as address, CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0, "loss/D": 2.0}, step=0)
        with ThreadPoolExecutor(10) as pool:
            begun = threading.Semaphore(0)
            tabs = [pool.submit(follow, address, steps, begun) for _ in range(10)]
            for _ in tabs:
                assert begun.acquire(timeout=300)
            for step in range(1, steps + 1):
                logger.log_metrics({"loss/G": 1.0 / step, "loss/D": 2.0}, step=step)
                time.sleep(0.002)
            told = [tab.result() for tab in tabs]

    assert all(1 < len(views) < steps for views in told)  # what came together is shown together
    for views in told:
        steps_told: list[float] = []
        for view in views:
            steps_told[view["curves"]["kept"] :] = view["curves"]["step"]
        assert steps_told == list(range(steps + 1))
        assert sum(len(view["curves"]["step"]) for view in views) < 2 * steps


def test_a_window_and_smoothing_are_told_from_the_full_series(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path]
) -> None:
    record(tmp_path / "gan", steps=1000)
    with serve(str(tmp_path / "gan")) as address:
        all_of_it = run_of(address, "run=gan&points=100")
        window = run_of(address, "run=gan&points=100&first=10&last=20&smooth=5")

    assert len(all_of_it["curves"]["step"]) == 100
    assert not all_of_it["curves"]["whole"]
    assert window["curves"]["step"] == list(range(10, 21))
    first = window["curves"]["each"]["G"]["smooth"][0]
    assert first == pytest.approx(sum(1 / (1 + step) for step in range(6, 11)) / 5, rel=1e-5)


@pytest.mark.parametrize(
    "path",
    [
        "/../../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/server.py",
        "/styles.css/../../server.py",
        "/..%5cserver.py",
        "/api/views?run=../secret",
        "/api/views?run=..%2fsecret",
        "/api/views?run=/etc",
        "/api/views?run=link",
        "/api/views?run=linked-file",
        "/api/changes?run=link",
        "/api/views",
    ],
)
def test_nothing_outside_the_folder_is_read(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path], path: str
) -> None:
    secret = record(tmp_path / "secret")
    runs = tmp_path / "runs"
    record(runs / "gan")
    (runs / "link").symlink_to(secret)
    (runs / "linked-file").mkdir()
    (runs / "linked-file" / "losses.csv").symlink_to(secret / "losses.csv")
    with serve(str(runs)) as address:
        status, content, _ = ask(address, path)
        listed = [run["key"] for run in json.loads(ask(address, "/api/runs")[1])["runs"]]

    assert status == 404
    assert content in ("There is no such file.", "There is no such run.", "Not Found")
    assert listed == ["gan"]


def test_the_table_tells_all_runs_and_then_what_is_new(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path]
) -> None:
    record(tmp_path / "runs/gan")
    folder = record(tmp_path / "runs/sweep/vae", steps=10)
    (tmp_path / "runs/link").symlink_to(record(tmp_path / "secret"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with serve(str(tmp_path / "runs")) as address:
        told = json.loads(ask(address, "/api/table")[1])
        assert set(told["keys"]) == {row["key"] for row in told["rows"]} == {"gan", "sweep/vae"}
        end = time.monotonic() + 300
        while told["unread"] and time.monotonic() < end:
            told = json.loads(ask(address, "/api/table")[1])
        (row,) = (row for row in told["rows"] if row["key"] == "sweep/vae")
        assert (row["step"], row["weighting"], row["best"]["G"]) == (9, "CoVWeighting", 0.1)
        since = f"/api/table?since={told['version']}"
        assert json.loads(ask(address, since)[1])["rows"] == []

        (folder / "notes.json").write_text('{"note": "good"}')
        while not (rows := json.loads(ask(address, since)[1])["rows"]):
            assert time.monotonic() < end
        assert [row["note"] for row in rows] == ["good"]
        assert ask(address, "/api/table?since=x")[0] == 400
        assert ask(address, "/api/table", method="POST")[0] == 405
        assert ask(address, "/api/table", method="HEAD")[0] == 200
    (folder / "notes.json").unlink()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_that_becomes_a_link_is_no_longer_read(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path]
) -> None:
    secret = record(tmp_path / "secret") / "losses.csv"
    table = record(tmp_path / "runs" / "gan") / "losses.csv"
    with serve(str(tmp_path / "runs")) as address:
        assert ask(address, "/api/views?run=gan")[0] == 200
        table.unlink()
        table.symlink_to(secret)

        assert ask(address, "/api/views?run=gan")[0] == 404


def test_other_hosts_methods_and_numbers_are_refused(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path]
) -> None:
    record(tmp_path / "gan")
    with serve(str(tmp_path)) as address:
        assert ask(address, "/", Host="evil.example")[0] == 400
        assert ask(address, "/api/runs", Host="evil.example:80")[0] == 400
        assert ask(address, "/", Host="localhost")[0] == 200
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert ask(address, "/api/runs", method=method)[0] == 405
        for query in ("first=x", "first=nan", "smooth=1.5", "points=many"):
            assert ask(address, f"/api/views?run=gan&{query}")[0] == 400


def test_a_browser_loads_nothing_from_elsewhere(tmp_path: Path, serve: Callable[..., Any]) -> None:
    with serve(str(tmp_path)) as address:
        _, page, headers = ask(address, "/")

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "http" not in page.replace("http-equiv", "")


def test_it_listens_on_this_machine_alone(tmp_path: Path, serve: Callable[..., Any]) -> None:
    with serve(str(tmp_path)) as address:
        assert urlsplit(address).hostname == "127.0.0.1"
        port = urlsplit(address).port
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port or 0), timeout=300)


def test_another_address_needs_a_token(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path]
) -> None:
    record(tmp_path / "gan")
    refused = CliRunner().invoke(app, ["serve", str(tmp_path), "--host", "127.0.0.2"])
    assert (refused.exit_code, "--token" in refused.output) == (1, True)

    token = "a b&c"
    with serve(str(tmp_path), "--host", "127.0.0.2", "--token", token) as address:
        assert ask(address, "/api/runs")[0] == 401
        assert ask(address, "/api/runs?token=wrong")[0] == 401
        assert (
            ask(address, "/api/runs", Cookie=f"losses_token_{urlsplit(address).port}=wrong")[0]
            == 401
        )
        status, _, headers = ask(address, f"/?token={quote(token)}")
        assert status == 200
        cookie = headers["set-cookie"].split("; HttpOnly")[0]
        for others in ("", "a@b=1; ", 'x={"a": [1, 2]}; '):
            assert ask(address, "/api/runs", Cookie=f"{others}{cookie}")[0] == 200


def test_two_servers_of_a_machine_have_a_cookie_each(
    tmp_path: Path, serve: Callable[..., Any]
) -> None:
    options = ("--host", "127.0.0.2", "--token", "secret")
    with serve(str(tmp_path), *options) as one, serve(str(tmp_path), *options) as other:
        given = [ask(address, "/?token=secret")[2]["set-cookie"] for address in (one, other)]
        cookies = [cookie.split(";")[0] for cookie in given]
        both = "; ".join(cookies)
        assert [ask(address, "/api/runs", Cookie=both)[0] for address in (one, other)] == [200, 200]
        assert ask(one, "/api/runs", Cookie=cookies[1])[0] == 401

    assert cookies[0] == f"losses_token_{urlsplit(one).port}=secret"


def test_the_loopback_of_ipv6_needs_no_token(tmp_path: Path, serve: Callable[..., Any]) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serve(str(tmp_path), "--host", "::1") as address:
        assert urlsplit(address).hostname == "::1"
        assert ask(address, "/")[0] == 200
        assert ask(address, "/", Host="evil.example")[0] == 400


def test_the_address_of_all_interfaces_is_one_that_others_can_open(
    tmp_path: Path, serve: Callable[..., Any]
) -> None:
    with serve(str(tmp_path), "--host", "0.0.0.0", "--token", "secret") as address:
        assert urlsplit(address).hostname == socket.gethostname().lower()
        here = f"http://127.0.0.1:{urlsplit(address).port}/"
        assert ask(here, "/?token=secret")[0] == 200


def test_what_is_left_out_is_said(tmp_path: Path, record: Callable[..., Path]) -> None:
    pytest.importorskip("uvicorn", reason="the page is served with it")
    record(tmp_path / "runs" / "gan")
    for name in ("link", "linked"):
        (tmp_path / "runs" / name).symlink_to(record(tmp_path / "secret" / name))
    command = [sys.executable, "-m", "loss_dashboard", "serve", str(tmp_path / "runs")]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        server.stdout.readline()
        said = server.stdout.readline()
        server.terminate()

    assert said == "Left out: 2 runs that lead elsewhere by links (link, linked)\n"


def test_the_next_free_port_is_taken() -> None:
    pytest.importorskip("uvicorn", reason="the page is served with it")
    from loss_dashboard.web.serving import listen

    with listen("127.0.0.1", 0, 0) as taken:
        port = taken.getsockname()[1]
        with listen("127.0.0.1", None, port) as other:
            assert other.getsockname()[1] != port
            assert other.proto == socket.IPPROTO_TCP  # without it each answer waits for a receipt
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", port, port)


def test_a_row_is_told_at_once(tmp_path: Path, serve: Callable[..., Any]) -> None:
    with CsvLogger(tmp_path / "gan") as logger, serve(str(tmp_path)) as address:
        logger.log_metrics({"loss/G": 1.0}, step=0)
        changes = changes_of(address, "run=gan")
        assert any(view["step"] == 0 for (view,) in changes)
        took, step = math.inf, 0

        while took > 0.5 and step < 100:  # unless the machine is busy with something else
            step += 1
            start = time.perf_counter()
            logger.log_metrics({"loss/G": 1.0}, step=step)
            assert next(changes)[0]["step"] == step
            took = time.perf_counter() - start

        assert took < 0.5
        changes.close()


def test_a_window_that_follows_stays_at_the_end_of_the_first_run(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path]
) -> None:
    record(tmp_path / "other", steps=200)
    shown = []
    with CsvLogger(tmp_path / "gan") as logger, serve(str(tmp_path)) as address:
        changes = changes_of(address, "run=gan&run=other&first=10&last=30&follow=1")
        for end in (99, 100):
            for step in range(100) if end == 99 else (100,):
                logger.log_metrics({"loss/G": 1.0}, step=step)
            views = next(views for views in changes if views[0]["step"] == end)
            shown.append([view["curves"]["step"] for view in views])
        changes.close()

    assert shown == [[list(range(79, 100))] * 2, [list(range(80, 101))] * 2]


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from loss_dashboard import web

    monkeypatch.setattr(web, "find_spec", lambda _: None)

    result = CliRunner().invoke(app, ["serve"])

    assert result.exit_code == 1
    assert "pip install 'multi-loss-weighting[dashboard]'" in result.output
    assert result.output.count("\n") == 1


def test_the_last_alert_of_a_run_is_told_though_it_comes_right_before_the_end(
    tmp_path: Path, serve: Callable[..., Any]
) -> None:
    with serve(str(tmp_path)) as address:
        with CsvLogger(tmp_path / "gan") as logger:
            logger.log_metrics({"loss/G": 1.0}, step=0)
            assert run_of(address, "run=gan")["alerts"] == []
            logger.log_metrics({"loss/G": float("nan")}, step=1)
        end = time.monotonic() + 300
        while not (told := run_of(address, "run=gan")["alerts"]):
            assert time.monotonic() < end
            time.sleep(0.05)

    assert [alert["step"] for alert in told] == [1]


def test_only_another_machine_gets_packed_answers(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path]
) -> None:
    record(tmp_path / "gan")
    packed = {"Accept-Encoding": "gzip"}
    for arguments, expected in (((), None), (("--host", "127.0.0.2", "--token", "a"), "gzip")):
        with serve(str(tmp_path), *arguments) as address:
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=300)
            found = []
            for path in ("/api/views?run=gan&token=a", "/scripts.js?token=a"):
                connection.request("GET", path, headers=packed)
                response = connection.getresponse()
                response.read()
                found.append(response.headers["content-encoding"])
            connection.close()
        assert found == [expected, "gzip"]


def test_the_views_that_are_kept_are_few(tmp_path: Path, record: Callable[..., Path]) -> None:
    pytest.importorskip("orjson", reason="the page is served with it")
    from loss_dashboard.curves.view_options import ViewOptions
    from loss_dashboard.web._run_session import KEPT, RunSession

    session = RunSession(record(tmp_path / "gan"), Path.exists)
    choices = [ViewOptions(first=float(first)) for first in range(2 * KEPT)]
    answers = [json.loads(session.answer(choice)[0]) for choice in choices]

    assert [answer["curves"]["step"][0] for answer in answers] == list(range(2 * KEPT))
    assert len(session._views) == len(session._curves) == KEPT


def test_the_page_is_all_of_its_files_and_small(tmp_path: Path, serve: Callable[..., Any]) -> None:
    from loss_dashboard.web._page_files import PAGE, SCRIPTS, STYLES

    with serve(str(tmp_path)) as address:
        sent = [ask(address, f"/{name}")[1] for name in ("", "styles.css", "scripts.js")]

    unsent = {"index.html", "vendor/uPlot.LICENSE"}
    with as_file(PAGE) as page:
        there = {path.relative_to(page).as_posix() for path in page.rglob("*.*")}
    assert there - unsent == {*SCRIPTS, *STYLES}
    assert all((PAGE / name).read_text(encoding="utf-8") in sent[2] for name in SCRIPTS)
    assert sum(len(part.encode()) for part in sent) < 250_000


def test_no_two_rooms_of_the_page_use_one_name() -> None:
    from loss_dashboard.web._page_files import PAGE, SCRIPTS

    own = [name for name in SCRIPTS if not name.startswith("vendor/")]
    code = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in own)
    names = re.findall(r"^(?:async )?(?:function|const|let) (\w+)", code, re.MULTILINE)

    assert len(names) > 100
    assert [name for name in set(names) if names.count(name) > 1] == []


def test_a_long_run_is_read_without_a_rest_while_others_ask(
    tmp_path: Path, record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("orjson", reason="the page is served with it")
    from loss_dashboard.curves.view_options import ViewOptions
    from loss_dashboard.reading import _tail
    from loss_dashboard.web import _run_session

    monkeypatch.setattr(_tail, "BLOCK", 1024)
    monkeypatch.setattr(_run_session, "PATIENCE", 0.0)
    monkeypatch.setattr(_run_session, "SHARE", 1e-9)
    session = _run_session.RunSession(record(tmp_path / "gan", steps=500), Path.exists)
    session.poll()
    early = json.loads(session.answer(ViewOptions())[0])
    assert session.rest == 0.0

    session.read_through()

    late = json.loads(session.answer(ViewOptions())[0])
    assert 0 < early["progress"] < late["progress"] == 1.0
    assert (late["step"], session.rest > 0) == (499, True)


def test_the_newest_run_is_read_before_anybody_asks(
    tmp_path: Path, record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("orjson", reason="the page is served with it")
    from loss_dashboard.web import run_registry
    from loss_dashboard.web._run_session import RunSession

    read: Queue[str] = Queue()
    monkeypatch.setattr(RunSession, "read_through", lambda self: read.put(self.reader.path.name))
    record(tmp_path / "old")
    record(tmp_path / "new")

    run_registry.RunRegistry([tmp_path]).read_ahead()

    assert read.get(timeout=300) == "new"


def test_the_longer_a_run_is_silent_the_less_often_it_is_looked_at(tmp_path: Path) -> None:
    pytest.importorskip("starlette", reason="the page is served with it")
    from loss_dashboard.curves.view_options import ViewOptions
    from loss_dashboard.web._event_stream import LONGEST, REST, TICK, EventStream
    from loss_dashboard.web._run_session import RunSession

    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
        tab = EventStream([RunSession(logger.path, Path.exists)], ViewOptions())
        pauses = [tab._pause(silence) for silence in (0.0, 2.0, 3600.0)]
    tab.poll()

    assert pauses == [TICK, 0.05, LONGEST]
    assert tab._pause(0.0) == REST


def test_a_stream_tells_nothing_of_a_run_that_became_a_link(
    tmp_path: Path, serve: Callable[..., Any], record: Callable[..., Path]
) -> None:
    secret = record(tmp_path / "secret", steps=500) / "losses.csv"
    with CsvLogger(tmp_path / "runs" / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
        table = logger.path / "losses.csv"
        with serve(str(tmp_path / "runs")) as address:
            changes = changes_of(address, "run=gan")
            told = [next(changes)]
            (tmp_path / "link").symlink_to(secret)
            (tmp_path / "link").replace(table)  # at once, so that nobody sees an empty folder
            time.sleep(1.5)  # longer than any rest
            (tmp_path / "new").write_text("step,time,name,loss,weight\n7,1.0,G,2.0,1.0\n")
            (tmp_path / "new").replace(table)
            while told[-1][0]["step"] != 7:
                told.append(next(changes))
            changes.close()

    assert {view["step"] for (view,) in told} <= {0, 7}


def test_a_link_that_is_taken_away_just_now_leads_nowhere(
    tmp_path: Path, record: Callable[..., Path]
) -> None:
    pytest.importorskip("orjson", reason="the page is served with it")
    from loss_dashboard.web.run_registry import is_within

    secret = record(tmp_path / "secret", steps=5) / "losses.csv"
    run = record(tmp_path / "runs" / "gan", steps=5)
    table, is_over = run / "losses.csv", threading.Event()

    def relink() -> None:
        while not is_over.is_set():
            table.unlink()
            table.symlink_to(secret)

    linking = threading.Thread(target=relink)
    linking.start()
    try:
        for _ in range(2000):  # whatever it answers: each file may be gone by now, or be a link
            is_within(run, tmp_path / "runs")
    finally:
        is_over.set()
        linking.join()

    assert not is_within(run, tmp_path / "runs")


def test_what_is_known_of_a_run_that_has_ended_changes_when_it_goes_on(
    tmp_path: Path, record: Callable[..., Path]
) -> None:
    pytest.importorskip("orjson", reason="the page is served with it")
    from loss_dashboard.web.run_registry import RunRegistry

    record(tmp_path / "gan", steps=50)
    registry = RunRegistry([tmp_path])
    before = registry.runs()["gan"]
    assert registry.runs()["gan"] is before

    with CsvLogger(tmp_path / "gan", resume=True) as logger:
        logger.log_metrics({"loss/G": 1.0}, step=50)

    assert (before.last_step, registry.runs()["gan"].last_step) == (49, 50)
