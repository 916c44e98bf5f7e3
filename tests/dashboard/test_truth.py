"""What is told of runs is true of them: which there are, their steps, shares and means."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from loss_dashboard.curves.comparison import compared
from loss_dashboard.curves.shares import shares
from loss_dashboard.reading import RunReader
from loss_dashboard.runs.find_run import run_names
from loss_dashboard.runs.run_json import followed_in
from loss_dashboard.runs.summary import find_runs
from loss_dashboard.web._run_view import view
from loss_loggers import CsvLogger
from multi_loss_weighting import EqualWeighting, LossGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

LOSSES = [sys.executable, "-m", "loss_dashboard"]


def record(folder: Path, name: str = "G", step: int = 7) -> Path:
    with CsvLogger(folder) as logger:
        logger.log_metrics({f"loss/{name}": 0.5, f"weight/{name}": 1.0}, step=step)
    return logger.path


def change(run: Path, **facts: Any) -> None:
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(info | facts))


def client(*places: Path) -> TestClient:
    pytest.importorskip("starlette", reason="needs the dashboard extra")
    from starlette.testclient import TestClient

    from loss_dashboard.web._server import make_app
    from loss_dashboard.web.run_registry import RunRegistry

    return TestClient(make_app(RunRegistry(places)), base_url="http://localhost")


def test_runs_in_folders_of_folders_are_found_and_told_apart(tmp_path: Path) -> None:
    paths = {"projA/2026-11-01/vae", "projA/2026-11-02/vae", "projB/gan/seed0", "alone"}
    for path in paths:
        record(tmp_path / path)
    (tmp_path / ".trash").mkdir()
    record(tmp_path / ".trash/old")

    assert {run.name for run in find_runs(tmp_path)} == paths
    assert set(run_names(tmp_path)) == paths | {"latest"}
    assert {run["key"] for run in client(tmp_path).get("/api/runs").json()["runs"]} == paths


def test_folders_that_hold_each_other_end(tmp_path: Path) -> None:
    record(tmp_path / "gan")
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop/again").symlink_to(tmp_path / "loop", target_is_directory=True)

    assert [run.name for run in find_runs(tmp_path)] == ["gan"]


@pytest.mark.parametrize("stray", ["a run", "an export", "a foreign file"])
def test_a_run_hides_none_that_lies_in_it(tmp_path: Path, stray: str) -> None:
    pytest.importorskip("click", reason="needs the cli extra")
    from loss_dashboard.cli._common import runs_at

    runs = tmp_path / "runs"
    inner = {"gan", "gan/val", "sweep/seed0"}
    for path in inner:
        record(runs / path)
    if stray == "a run":
        record(runs)
    else:
        exported = (runs / "gan/losses.csv").read_text()
        (runs / "losses.csv").write_text(exported if stray == "an export" else "epoch,loss\n1,2\n")

    assert {run.name for run in find_runs(runs)} == inner | {"runs"}
    assert {run["key"] for run in client(runs).get("/api/runs").json()["runs"]} == inner | {"runs"}
    assert runs_at([str(runs)]) == [runs, *(runs / path for path in sorted(inner))]
    assert runs_at([str(runs / "gan/losses.csv")]) == [runs / "gan"]


def test_the_folder_where_one_is_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(record(tmp_path / "gan"))

    assert [run.name for run in find_runs(Path())] == ["gan"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_run_is_listed_once_and_by_its_own_name_wherever_links_lead(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for path in ("runs/a", "runs/z", "runs/sweep/b", "other/c"):
        record(tmp_path / path)
    links = {"latest": "a", "0": "z", "up": "..", "again": "sweep", "out": "../other", "2": "out"}
    for name, target in links.items():
        (runs / name).symlink_to(target)

    found = {run.name for run in find_runs(runs)}
    assert found in ({"a", "z", "sweep/b", f"{way}/c"} for way in ("out", "2"))
    listed = client(runs, runs / "latest", runs / "sweep").get("/api/runs").json()["runs"]
    assert sorted(run["key"] for run in listed) == ["a", "sweep/b", "z"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_that_leads_nowhere_hides_no_run(tmp_path: Path) -> None:
    record(tmp_path / "gan")
    # Each is another error, the last one since no file system has such a name.
    for name, target in enumerate(["0", "gan/losses.csv/x", "gone", "x" * 300]):
        (tmp_path / str(name)).symlink_to(target)

    assert [run.name for run in find_runs(tmp_path)] == ["gan"]


ODD: dict[str, Callable[[Path], object]] = {
    "nested": lambda run: (run / "run.json").write_text("[" * 100_000),
    "pid": lambda run: change(run, state="running", pid=10**30),
    "pid text": lambda run: change(run, state="running", pid="12"),
    "start nan": lambda run: change(run, start=nan),
    "start inf": lambda run: change(run, start=-inf),
    "start late": lambda run: change(run, start=1e300),
    "start list": lambda run: change(run, start=[1]),
    "losses number": lambda run: change(run, losses=3),
    "losses of numbers": lambda run: change(run, losses={"1": 2}),
    "state number": lambda run: change(run, state=7),
    "settings text": lambda run: change(run, hyperparameters="none"),
    "cr": lambda run: (run / "losses.csv").write_bytes(b"step,time,name\r1,2,G\r"),
    "binary": lambda run: (run / "losses.csv").write_bytes(bytes(range(256)) * 40),
    "one line": lambda run: (run / "losses.csv").write_bytes(b"x" * 1_000_000),
    "folder": lambda run: (run / "losses.csv").rename(run / "x") and (run / "losses.csv").mkdir(),  # type: ignore[func-returns-value]
    "huge step": lambda run: record(run, step=2**64),
    "long name": lambda run: record(run, name="x" * 200_000),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_run_hides_no_other(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("click", reason="needs the cli extra")
    from click.testing import CliRunner

    from loss_dashboard.cli.losses import app

    record(tmp_path / "healthy")
    ODD[kind](record(tmp_path / "odd"))
    names = {path.name for path in tmp_path.iterdir()}

    listed = CliRunner().invoke(app, ["ls", str(tmp_path)]).output
    served = client(tmp_path)

    assert names <= {line.split()[0] for line in listed.splitlines()}, listed
    assert {run["key"] for run in served.get("/api/runs").json()["runs"]} == names
    assert served.get("/api/views?run=healthy").status_code == 200


def test_the_newest_step_is_the_largest_and_the_pace_is_of_the_training(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        for step in range(2000):
            moment = 1e9 + step / 100
            rows = [(step, moment, {"loss/kl": 0.5})]
            if step % 100 == 99:
                rows.append((step // 100, moment, {"loss/val/kl": 0.6}))
            logger.log_rows(rows)

    (summary,) = find_runs(tmp_path)
    assert summary.last_step == 1999
    assert RunReader(tmp_path).steps_per_second == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize("first", [190, 100])
def test_a_run_that_was_resumed_has_one_step_and_one_pace_everywhere(
    tmp_path: Path, first: int
) -> None:
    """It went back to its checkpoint, a day later; its largest step counts, and no pause."""
    pytest.importorskip("click", reason="needs the cli extra")
    from click.testing import CliRunner

    from loss_dashboard.cli.losses import app

    def told(*command: str) -> Any:
        return json.loads(CliRunner().invoke(app, [*command, "--json"]).output)

    run, now = tmp_path / "gan", time.time()
    for begin, steps in ((now - 86_400, range(200)), (now + 100, range(first, first + 60))):
        with CsvLogger(run, resume=True) as logger:
            rows = [(step, begin + step / 4, {"loss/G": 1.0, "weight/G": 1.0}) for step in steps]
            logger.log_rows(rows)
    reader, (listed,) = RunReader(run), told("ls", str(tmp_path))["runs"]
    watched, (brief,) = told("watch", str(run), "--once"), find_runs(tmp_path)
    shown = view(reader, _NoCurves())

    largest = max(199, first + 59)
    ends = [one["step"] for one in (listed, watched, shown, told("doctor", str(run))["run"])]
    assert {*ends, brief.last_step, reader.last_step} == {largest}
    assert compared([{"G": reader.series("G")}] * 2)[0]["last"] == largest
    paces = [one["steps_per_second"] for one in (listed, watched, shown)]
    assert [*paces, brief.steps_per_second] == pytest.approx([4.0] * 4)


def trained(folder: Path, scope: str = "val") -> RunReader:
    with CsvLogger(folder) as logger:
        train = LossGroup(["recon", "kl"], logger, weighting=EqualWeighting())
        val = LossGroup(["recon", "kl"], logger, scope=scope)
        for step in range(100):
            train.record({"recon": 0.2, "kl": 0.6})
            val.record({"recon": 0.3, "kl": 0.9}, step=step)
    return RunReader(folder, columns=())


def test_a_validation_has_no_share_and_the_colour_of_its_loss(tmp_path: Path) -> None:
    reader = trained(tmp_path)

    told = {loss["name"]: loss for loss in view(reader, _NoCurves())["losses"]}

    assert (told["recon"]["share"], told["kl"]["share"]) == pytest.approx((0.25, 0.75))
    assert told["val/kl"]["share"] is None
    assert told["val/kl"]["of"] == "kl"
    assert told["val/kl"]["colour"] == told["kl"]["colour"]


def test_the_objective_is_told(tmp_path: Path) -> None:
    reader = trained(tmp_path)

    totals = {one["name"]: one["last"] for one in view(reader, _NoCurves())["totals"]}

    assert totals == pytest.approx({"total": 0.4, "val/total": 1.2})


def test_a_validation_has_the_colour_of_its_loss_in_every_picture(tmp_path: Path) -> None:
    """And is told from its training: by a thin line, in the terminal by dots."""
    pytest.importorskip("matplotlib", reason="plots are drawn with it")
    pytest.importorskip("rich", reason="the terminal is drawn with it")
    from loss_dashboard.curves.groups import member_of
    from loss_dashboard.notebook._source import RunSource
    from loss_dashboard.plotting._figure import _curves
    from loss_dashboard.terminal._view import View

    reader = trained(tmp_path)
    own = reader.colours["kl"]

    assert own != reader.colours["val/kl"]
    for runs in (1, 2):
        plotted = {curve.name: curve.style for curve in _curves([reader] * runs, "step")}
        assert [plotted[name].color for name in ("kl", "val/kl")] == [own, own]
        assert plotted["kl"].linewidth > plotted["val/kl"].linewidth
    shown = dict(zip(reader.losses, View().lines(reader, "loss", 9), strict=True))
    assert shown["kl"].color == shown["val/kl"].color
    assert [shown[name].is_dotted for name in ("kl", "val/kl")] == [False, True]
    assert {one.name: one.color for one in RunSource(reader).curves()}["val/kl"] == own
    assert member_of(reader).colours["val/kl"] == own


def test_an_objective_that_was_lost_from_the_first_step_on_is_told(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        for step in range(3):
            logger.log_metrics({"loss/kl": 1.0, "weight/kl": nan, "loss/total": nan}, step=step)

    reader = RunReader(tmp_path)

    assert reader.totals == ["total"]
    assert [one["last"] for one in view(reader, _NoCurves())["totals"]] == ["nan"]


class _NoCurves:
    def draw(self, *_: object) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("settings", "names", "followed"),
    [
        ({"weighting": {}}, ["head/a", "a"], {}),
        ({"gen/weighting": {}, "disc/weighting": {}}, ["gen/adv", "disc/adv"], {}),
        ({"train/weighting": {}, "val/weighting": {}}, ["train/a", "val/a"], {"val/a": "train/a"}),
        ({"gan/weighting": {}, "gan/ema/weighting": {}}, ["gan/a", "gan/ema/a"], {}),
        ({"gan/weighting": {}}, ["a", "gan/a", "gan/val/a"], {"gan/a": "a", "gan/val/a": "gan/a"}),
        ({}, ["a", "val/a", "head/a"], {"val/a": "a"}),
        ({"weighting": {}, "v/weighting": {}}, ["h/a", "v/h/a"], {"v/h/a": "h/a"}),
        ({"weighting": {}, "losses": ["a"]}, ["a", "val/a", "head/a"], {"val/a": "a"}),
        ({"weighting": {}, "losses": ["a", "val/a"]}, ["a", "val/a"], {}),
        ({"weighting": 3, "losses": [["a"], {}]}, ["a", "val/a"], {"val/a": "a"}),
        ({"losses": ["a", "val/a"]}, ["a", "val/a"], {"val/a": "a"}),
    ],
)
def test_what_a_loss_of_a_validation_stands_beside(
    settings: dict[str, Any], names: list[str], followed: dict[str, str]
) -> None:
    assert followed_in(settings, names) == followed
    assert shares({}) == {}


def test_runs_are_compared_over_the_rows_of_the_steps_that_all_have() -> None:
    generator = np.random.default_rng(0)
    runs = [
        {"x": {"step": np.arange(size, dtype=float), "loss": generator.lognormal(size=size)}}
        for size in (4001, 3501)
    ]

    told = compared(runs)

    assert (told[0]["first"], told[0]["last"]) == (3325, 3500)
    for run, own in zip(runs, told, strict=True):
        exact = run["x"]["loss"][3325:3501].mean()
        assert own["losses"]["x"]["mean"] == pytest.approx(exact, rel=1e-4)  # digits of the page


def test_another_site_gets_nothing_but_the_page(tmp_path: Path) -> None:
    record(tmp_path / "gan")
    served = client(tmp_path)

    def status(path: str, site: str) -> int:
        return served.get(path, headers={"Sec-Fetch-Site": site}).status_code

    assert {status("/api/runs", site) for site in ("cross-site", "same-site")} == {403}
    assert {status("/api/runs", site) for site in ("same-origin", "none")} == {200}
    assert status("/", "cross-site") == 200

    def status_of(origin: str) -> int:
        return served.get("/api/runs", headers={"Origin": origin}).status_code

    assert {status_of(origin) for origin in ("null", "http://evil", "https://localhost:1")} == {403}
    assert status_of("http://localhost") == 200


def test_what_asks_for_too_much_is_refused(tmp_path: Path) -> None:
    record(tmp_path / "gan")
    served = client(tmp_path)

    assert served.get("/api/views?" + "&".join(["run=gan"] * 101)).status_code == 400
    assert served.get("/api/views?run=gan&x=" + "y" * 40_000).status_code == 414


def test_the_head_of_the_stream_has_an_end(tmp_path: Path) -> None:
    record(tmp_path / "gan")
    answers: list[int] = []
    ask = client(tmp_path).head
    asking = threading.Thread(
        target=lambda: answers.append(ask("/api/changes?run=gan").status_code), daemon=True
    )

    asking.start()
    asking.join(300)

    assert answers == [200]


@pytest.mark.parametrize("command", [["ls"], ["watch", "--once"], ["doctor"], ["export"]])
def test_a_command_that_cannot_write_says_so_in_a_line(tmp_path: Path, command: list[str]) -> None:
    pytest.importorskip("click", reason="needs the cli extra")
    record(tmp_path / "größe", name="β")
    name, *options = command
    target = str(tmp_path) if name == "ls" else str(tmp_path / "größe")

    def said(stdout: int, **environment: str) -> str:
        done = subprocess.run(
            [*LOSSES, name, target, *options],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            check=False,
        )
        return done.stderr.decode(errors="replace")

    reader, writer = os.pipe()
    os.close(reader)
    closed = said(writer)
    os.close(writer)
    ascii_only = said(subprocess.DEVNULL, PYTHONIOENCODING="ascii")
    assert "Traceback" not in closed + ascii_only
    if os.path.exists("/dev/full"):  # noqa: PTH110
        full = os.open("/dev/full", os.O_WRONLY)
        told = said(full)
        os.close(full)
        assert "Traceback" not in told
        assert len(told.splitlines()) == 1
