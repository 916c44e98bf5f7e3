"""What is chosen to be seen, by hand and in the address, in a real browser."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.dashboard.browser import Tab, ready, wait, wait_for_text

from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANY = tuple(f"task/{number}" for number in range(12))


def test_a_run_that_is_not_there_is_named_and_leaves_the_address(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan")
    page = show(tmp_path, "?run=nope")
    wait_for_text(page, "#alerts", "There is no run nope here.")
    ready(page, 3)
    assert "nope" not in page.url
    assert page.text_content("#state") == "finished"


def test_a_run_is_never_called_missing_while_it_is_read(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    record(tmp_path / "gan")
    one = tab()
    one.may_be_kept = False  # for each page that it opens has the script
    one.page.add_init_script(
        "window.said = []; new MutationObserver(() => {"
        "  const empty = document.querySelector('#empty');"
        "  if (empty && !empty.hidden) said.push(empty.textContent);"
        "}).observe(document, { subtree: true, childList: true, attributes: true });"
    )
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        ready(page, 3)
        assert [text for text in page.evaluate("said") if "No run yet" in text] == []


def test_what_another_run_lacks_is_passed_over(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "few")
    time.sleep(0.01)
    record(tmp_path / "many", names=MANY)
    page = show(tmp_path, "?run=many&only=task/1")
    ready(page, 1)
    page.fill("#search", "task/1")
    page.select_option("#run", "few")
    ready(page, 3)
    assert page.locator("#table tbody tr:visible").count() == 3


def test_a_search_finds_losses_in_the_table_and_in_the_charts(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    record(tmp_path / "many", names=MANY)
    one = tab()
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        ready(page, 12)
        page.fill("#search", "TASK/1")
        ready(page, 3)
        assert one.lines("loss") == ["task/1", "task/10", "task/11"]


def test_an_alert_shows_the_loss_that_it_is_about(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(100):
            row = {"loss/G": float("nan") if step == 50 else 1.0, "loss/D": 1.0}
            logger.log_metrics(row | {"weight/G": 0.5, "weight/D": 0.5}, step=step)
    one = tab()
    with serve(str(tmp_path)) as address:
        page = one.open(f"{address}?only=D")
        ready(page, 1)
        page.click("#alerts .bad button")
        ready(page, 2)
        assert "G" in one.lines("loss")


def test_another_run_keeps_those_beside_it(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    for name in ("a", "b", "c"):
        record(tmp_path / name)
    page = show(tmp_path, "?run=a&run=b")
    ready(page, 6)
    page.select_option("#run", "c")
    wait(page, "views.map((view) => view.key).join() === 'c,b'")
    record(tmp_path / "new")
    page.focus("#run")
    wait_for_text(page, "#run", "new")
    page.keyboard.press("Tab")
    page.click("tr[data-name=G] .loss")
    ready(page, 2)
    page.keyboard.press("Escape")
    ready(page, 6)


def test_a_finger_reads_values_and_isolates_nothing(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan")
    page = show(tmp_path, width=390, has_touch=True, is_mobile=True)
    ready(page, 3)
    chart = page.locator("[data-chart=weight] .u-over")
    chart.scroll_into_view_if_needed()
    chart.tap()
    wait_for_text(page, "#tip", "step")
    page.wait_for_timeout(400)
    assert page.locator("#tip").is_visible()
    assert page.evaluate("choice.only") == []

    page.locator("[data-chart=weight] h2").tap()
    wait(page, "document.querySelector('#tip').hidden")


def test_a_dark_page_is_dark_before_it_knows_a_run(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    record(tmp_path / "gan")
    one = tab(color_scheme="dark")
    one.page.route("**/api/runs", lambda _: None)  # the answer never comes
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        background = "getComputedStyle(document.documentElement).backgroundColor"
        assert page.evaluate(background) == "rgb(19, 20, 23)"


def test_a_live_page_draws_what_a_page_that_is_opened_later_draws(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    early, late = tab(), tab()
    with CsvLogger(tmp_path / "gan") as logger, serve(str(tmp_path)) as address:
        for step in range(900):
            loss = float("nan") if step % 100 == 7 else 1.0 + step % 5
            logger.log_metrics({"loss/G": loss, "loss/D": 2.0, "weight/G": 0.5}, step=step)
            if step == 0:
                page = early.open(address)
            if step % 30 == 0:
                page.wait_for_timeout(30)
        for one in (early, late):
            shown = one.page if one is early else one.open(address)
            wait(shown, "views[0]?.step === 899")
        drawn = "plots.get('{}').chart.data"
        for chart in ("loss", "weight", "part"):
            charts = [one.page.evaluate(drawn.format(chart)) for one in (early, late)]
            assert charts[0] == charts[1]
        marks = "plots.get('loss').model.marks.map((one) => [one.at, one.name, one.count].join())"
        assert early.page.evaluate(marks) == late.page.evaluate(marks)
