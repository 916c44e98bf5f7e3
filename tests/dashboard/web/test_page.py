"""The page in a real browser, over a real server."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.dashboard.browser import ODD, Tab, browsers, ready, wait, wait_for_text
from tests.loggers.delivery.http_backend import until

from loss_dashboard.runs.notes import change_tags, write_note
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_run_appears_and_each_row_reaches_the_screen(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    one = tab()
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        wait_for_text(page, "#empty", "No run yet")
        wait_for_text(page, "#empty code >> nth=1", str(tmp_path.resolve()))
        assert page.locator("h1").count() == 1

        assert "from multi_loss_weighting import LossGroup" in page.text_content("#empty pre")
        with CsvLogger(tmp_path / "gan") as logger:
            wait_for_text(page, "#empty", "Waiting for the first row")
            wait_for_text(page, "#state", "waiting")
            for step in range(5):
                logger.log_metrics({"loss/G": 1.25 + step, "weight/G": 1.0}, step=step)
                wait_for_text(page, "#table tr[data-name=G]", str(1.25 + step))
            wait_for_text(page, "#state", "running")
            assert page.evaluate("plots.get('loss').chart.data[0]") == [0, 1, 2, 3, 4]
        wait_for_text(page, "#state", "finished")
    wait_for_text(page, "#state", "server gone, retrying")
    assert all(asked.startswith((address, "data:")) for asked in one.asked)


def test_a_click_isolates_and_two_hide_everywhere(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    record(tmp_path / "gan")
    one = tab()
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        ready(page, 3)
        page.click("tr[data-name=D] .loss")
        ready(page, 1)
        assert [one.lines(chart) for chart in ("loss", "weight", "cov", "part")] == [["D"]] * 4
        assert "only=D" in page.url
        page.click("#all")
        ready(page, 3)

        page.dblclick("tr[data-name=D] .loss")
        ready(page, 2)
        assert one.lines("loss") == ["G", "E"]

        page.reload()
        ready(page, 2)
        page.focus("tr[data-name=E] .loss")
        page.keyboard.press("Enter")
        ready(page, 1)
        assert one.lines("loss") == ["E"]


def test_a_zoom_asks_for_its_window_in_all_charts(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan", steps=3000)
    page = show(tmp_path)
    ready(page, 3)
    assert not page.evaluate("views[0].curves.whole")
    box = page.locator("[data-chart=weight] .u-over").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 60, steps=5)
    page.mouse.up()
    wait(page, "views[0].curves.whole")

    steps = page.evaluate("plots.get('loss').chart.data[0]")
    assert (round(steps[0], -1), round(steps[-1], -1)) == (1500, 1800)
    assert len(steps) == steps[-1] - steps[0] + 1
    assert "first=" in page.url

    page.click("#unzoom")
    wait(page, "!views[0].curves.whole")
    page.focus("[data-chart=loss] .plot")
    page.keyboard.press("End")
    page.keyboard.press("+")
    wait(page, "views[0].curves.step[0] > 2000")


def test_controls_are_kept_in_the_address(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan")
    page = show(tmp_path)
    ready(page, 3)
    page.select_option("#smooth", "10")
    wait(page, "views[0].curves.each.G.smooth")
    page.select_option("#x", "relative")
    page.uncheck("#log")
    page.check("#stack")
    page.reload()
    wait(page, "plots.get('loss')?.model && views[0].curves.each.G.smooth")

    assert page.input_value("#x") == "relative"
    assert page.evaluate("plots.get('loss').model.scale.kind") == "linear"
    assert page.evaluate("plots.get('weight').model.stacked")
    assert page.evaluate("plots.get('loss').chart.data[0][0]") < 60


def test_names_of_any_kind_are_only_ever_text(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    record(tmp_path / "a <b> & 'c'", names=tuple(ODD))
    one = tab(width=390)
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        ready(page, len(ODD))

        assert page.locator("#table .loss span").all_text_contents() == ODD
        page.click("#table .loss >> nth=0")
        ready(page, 1)
        page.reload()
        ready(page, 1)
        assert one.lines("loss") == ODD[:1]
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_what_is_lost_or_not_positive_is_seen(tmp_path: Path, show: Callable[..., Any]) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(200):
            loss = math.nan if step in (50, 51) else math.inf if step == 199 else 1.0 - step / 100
            logger.log_metrics({"loss/G": loss, "weight/G": 1.0}, step=step)
    page = show(tmp_path)
    ready(page, 1)

    wait_for_text(page, "[data-chart=loss] .note", "symlog")
    wait_for_text(page, "[data-chart=loss] .note", "3 not finite")
    wait_for_text(page, "tr[data-name=G] .lost", "∞")
    assert [mark["at"] for mark in page.evaluate("plots.get('loss').model.marks")] == [
        50,
        51,
        199,
    ]
    assert page.evaluate("plots.get('loss').chart.data[1][50]") is None
    page.click("#alerts .bad button")
    wait(page, "views[0].curves.step.length < 100")
    assert 50 in page.evaluate("views[0].curves.step")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen_and_its_light(
    show: Callable[..., Any], tmp_path: Path, record: Any, width: int, scheme: str
) -> None:
    record(tmp_path / "gan", names=tuple(f"task/{number}" for number in range(64)))
    page = show(tmp_path, width=width, color_scheme=scheme, reduced_motion="reduce")
    ready(page, 64)
    page.fill("#search", "task/6")
    page.check("#grid")

    assert page.locator(".many button").count() == 5
    assert page.evaluate("document.documentElement.scrollWidth") == width
    columns = page.evaluate(
        "getComputedStyle(document.querySelector('#charts')).gridTemplateColumns"
    )
    assert len(columns.split()) == (3 if width == 1440 else 1)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") != scheme


def test_a_crash_and_broken_files_are_said(tmp_path: Path, show: Callable[..., Any]) -> None:
    logger = CsvLogger(tmp_path / "gan")
    logger.log_metrics({"loss/G": 1.0}, step=0)
    logger.close(ValueError("boom"))
    page = show(tmp_path)
    wait_for_text(page, "#state", "crashed")
    wait_for_text(page, "#alerts", "ValueError: boom")
    with (tmp_path / "gan" / "losses.csv").open("a") as file:
        file.write("1,1.0,G,0")
    wait_for_text(page, "#alerts", "half-written line")
    shutil.rmtree(tmp_path / "gan")
    wait_for_text(page, "#alerts", "is gone")
    wait_for_text(page, "tr[data-name=G]", "1")


def test_a_hidden_tab_asks_for_nothing(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    record(tmp_path / "gan")
    one = tab()
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        ready(page, 3)
        wait(page, "stream?.readyState === 1")

        def is_quiet() -> bool:
            before = len(one.asked)
            page.wait_for_timeout(2500)
            return len(one.asked) == before

        until(is_quiet)

        page.evaluate(
            "Object.defineProperty(document, 'hidden', { value: true }); "
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        assert page.evaluate("stream === null")


def test_eight_windows_of_one_browser_follow_a_live_run(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    first = tab()
    windows = [first.page, *(first.context.new_page() for _ in range(7))]
    with CsvLogger(tmp_path / "gan") as logger, serve(str(tmp_path)) as address:
        logger.log_metrics({"loss/G": 1.0, "loss/D": 2.0}, step=0)
        for page in windows:
            page.goto(address)
        for step in range(1, 200):
            logger.log_metrics({"loss/G": 1.0, "loss/D": 2.0}, step=step)
        for page in windows:
            wait(page, "views[0]?.step === 199")
        assert sum(page.evaluate("stream !== null") for page in windows) == 4


ALERTS: dict[str, tuple[str, Callable[[int], dict[str, float]], str]] = {
    "nonfinite": ("CoVWeighting", lambda t: _of(math.nan if t == 9 else 1.0), "at step 9"),
    "spike": ("CoVWeighting", lambda t: _of(50.0 if t == 99 else 1.0 + t % 2), "at step 99"),
    "stopped": ("PlainSum", lambda t: _of(1.0) if t < 50 else {"loss/D": 1.0}, "since step 49"),
    "small weight": ("CoVWeighting", lambda t: _of(1.0, 0.001 + t * 1e-6), "under 0.01"),
    "large weight": ("CoVWeighting", lambda t: _of(1.0, 0.999 - t * 1e-6), "over 0.95"),
    "frozen": ("CoVWeighting", lambda t: _of(1.0 + t % 3, 0.5), "stayed the same"),
    "unmoved": ("UncertaintyWeighting", lambda t: _of(1.0 + t % 3, 0.5), "never moved"),
}


def _of(loss: float, weight: float = 0.4) -> dict[str, float]:
    return {"loss/G": loss, "weight/G": weight, "loss/D": 1.0, "weight/D": 1 - weight}


def test_each_alert_is_told_and_leads_to_its_step(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    for kind, (method, row, _) in ALERTS.items():
        with CsvLogger(tmp_path / kind.replace(" ", "-")) as logger:
            logger.log_hyperparams({"weighting": {"method": method}})
            rows = [(step, 1e9 + step, row(step)) for step in range(300)]
            logger.log_rows(rows)
    page = tab().page
    with serve(str(tmp_path)) as address:
        for kind, (_, _, words) in ALERTS.items():
            page.goto(f"{address}?run={kind.replace(' ', '-')}")
            alert = page.locator("#alerts button", has_text=words).first
            browsers().expect(alert).to_be_visible(timeout=60_000)
            step = page.evaluate(f"views[0].alerts.find((one) => one.kind === {kind!r}).step")
            alert.click()
            wait(page, f"choice.first !== null && choice.first <= {step} && {step} <= choice.last")


def test_the_state_of_a_run_is_told(tmp_path: Path, serve: Any, tab: Callable[..., Tab]) -> None:
    page = tab().page
    with CsvLogger(tmp_path / "gan") as logger, serve(str(tmp_path)) as address:
        logger.log_hyperparams({"losses": ["G"]})
        page.goto(f"{address}?run=gan")
        wait_for_text(page, "#state", "waiting")
        logger.log_rows([(0, time.time() - 60, {"loss/G": 1.0})])
        wait_for_text(page, "#state", "stale since")
        logger.log_metrics({"loss/G": 1.0}, step=1)
        wait_for_text(page, "#state", "running")
        info = tmp_path / "gan" / "run.json"
        whole = info.read_text()
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        (tmp_path / "gan/.lock").unlink()  # which this process has
        info.write_text(json.dumps({**json.loads(whole), "pid": dead.pid}))
        wait_for_text(page, "#state", "crashed")
        info.write_text(whole)
        logger.close()
        wait_for_text(page, "#state", "finished")
    wait_for_text(page, "#state", "gone")


def test_a_run_that_ended_without_a_row_is_not_waited_for(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    CsvLogger(tmp_path / "gan").close()
    page = show(tmp_path)
    wait_for_text(page, "#empty", "No row was recorded")
    assert page.locator("#facts div").count() == 0
    assert page.locator("h1").count() == 1


def test_a_run_of_other_numbers_alone_has_rows_and_no_loss(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(20):
            logger.log_metrics({"lr": 0.1}, step=step)
    page = show(tmp_path)

    wait_for_text(page, "#empty", "No loss was recorded")
    wait_for_text(page, "#facts", "step19")
    assert "No row" not in page.text_content("#empty")


LONG = "https://host/" + "x" * 900


@pytest.mark.parametrize("query", ["", "?run={}", "?run={}&run=b", "?group=", "?run=noted"])
def test_no_text_of_a_user_makes_a_phone_scroll_sideways(
    tmp_path: Path, show: Callable[..., Any], query: str
) -> None:
    long = "y" * 120
    for name in (long, "b", "noted"):
        with CsvLogger(tmp_path / name) as logger:
            logger.log_hyperparams({"weighting": LONG, LONG: f"{name} {LONG}"})
            row = {"loss/G": 1.0, f"loss/{long}": 2.0, f"own/{long}": 3.0, "weight/G": 1.0}
            logger.log_rows([(step, 1e9 + step, row) for step in range(9)])
    write_note(tmp_path / "noted", LONG)
    change_tags(tmp_path / "noted", ["t" * 60], [])
    info = json.loads((tmp_path / "noted/run.json").read_text())
    crash = info | {"state": "crashed", "error": f"OSError: {LONG}"}
    (tmp_path / "noted/run.json").write_text(json.dumps(crash))

    page = show(tmp_path, query.format(long), width=390)
    page.wait_for_selector("#runs tbody tr, .finals tbody tr, #table tbody tr")

    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_on_a_phone_names_are_read_and_nothing_lies_beside_the_screen(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan", names=("reconstruction", "adversarial"))
    record(tmp_path / "other")
    page = show(tmp_path, "?run=gan", width=390)
    ready(page, 2)
    names = page.locator("#table .loss span")
    cut = names.evaluate_all("all => all.filter((one) => one.scrollWidth > one.clientWidth)")
    right = page.locator("#table, .bar, #controls, .plot, .note").evaluate_all(
        "all => all.map((one) => one.scrollWidth - one.clientWidth)"
    )
    top = page.locator("#run, #others, #theme").evaluate_all(
        "all => all.map((one) => Math.round(one.getBoundingClientRect().bottom))"
    )

    columns = page.evaluate("getComputedStyle($('#charts')).gridTemplateColumns")

    assert len(columns.split()) == 1
    assert cut == []
    assert max(right) <= 0
    assert max(top) - min(top) < 4


def test_what_is_wrong_with_the_files_is_said_beside_what_can_be_read(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    folder = record(tmp_path / "gan", names=("G",), steps=20)
    rows = folder / "losses.csv"
    whole = rows.read_text()
    page = tab().page
    with serve(str(tmp_path)) as address:
        page.goto(address)
        ready(page, 1)
        rows.write_text("\n".join(whole.splitlines()[:11]) + "\n")
        wait_for_text(page, "#alerts", "read again")
        wait(page, "plots.get('loss').chart.data[0].length === 10")
        (folder / "run.json").write_text("{")
        wait_for_text(page, "#alerts", "run.json is missing or makes no sense")
        rows.write_text(whole.replace(",weight,", ",heaviness,", 1))
        wait_for_text(page, "#alerts", "no column weight")
        wait(page, "plots.get('loss').chart.data[0].length === 20")


def test_keys_are_enough_and_the_focus_is_seen(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan", names=("G", "D"))
    page = show(tmp_path, reduced_motion="reduce")
    ready(page, 2)
    reached = {}
    for _ in range(40):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            """(() => {
                const own = document.activeElement;
                const name = own.id || own.getAttribute('aria-label') || own.textContent;
                return [name, getComputedStyle(own).outlineStyle];
            })()"""
        )
        reached[focus[0]] = focus[1]
    for name in ("run", "theme", "G", "Hide D", "smooth", "grid"):
        assert reached[name] in ("solid", "auto"), name
    assert any(name.startswith("CoV: G") for name in reached)
    assert "Save Contribution as CSV" in reached
    motion = "getComputedStyle($('#state'), '::before').animationName"
    assert page.evaluate(motion) == "none"


ALIVE = """
import sys, time
from loss_dashboard.runs.notes import change_tags, write_note
from loss_loggers import CsvLogger
logger = CsvLogger(sys.argv[1])
for step in range(10_000):
    logger.log_metrics({"loss/G": 1.0}, step=step)
    time.sleep(0.1)
"""


def test_an_open_page_says_that_its_run_was_killed(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    one = tab()
    command = [sys.executable, "-c", ALIVE, str(tmp_path / "gan")]
    with serve(str(tmp_path)) as address, subprocess.Popen(command) as training:
        try:
            page = one.open(address)
            wait_for_text(page, "#state", "running")
        finally:
            training.kill()
        training.wait()
        wait_for_text(page, "#state", "crashed")
        wait_for_text(page, "#alerts", "it was killed")
