"""The user's own numbers on the page, in a real browser."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from tests.dashboard.browser import ODD, Tab, ready, wait, wait_for_text

from loss_dashboard.web.report import write_report
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PANEL = "[data-chart=extra]"
SVG = "{http://www.w3.org/2000/svg}"


def write(folder: Path, steps: int, *numbers: str, scale: float = 1.0) -> Path:
    """Two losses, a learning rate, an accuracy that comes seldom, and these numbers."""
    rows = []
    for step in range(steps):
        row = {"loss/G": 1 / (1 + step), "weight/G": 0.5, "loss/D": 2.0, "weight/D": 0.5}
        row |= {"lr": scale * 1e-3 / (1 + step)} | dict.fromkeys(numbers, 1.0 + step)
        row |= {"accuracy": step / steps} if step % 10 == 9 else {}
        rows.append((step, 1.7e9 + step, row))
    with CsvLogger(folder) as logger:
        logger.log_rows(rows)
    return logger.path


def write_rows(folder: Path, rows: Iterable[Mapping[str, float]]) -> Path:
    with CsvLogger(folder) as logger:
        for step, row in enumerate(rows):
            logger.log_metrics({"loss/G": 1.0, "weight/G": 1.0, **row}, step=step)
    return logger.path


def headings(page: Any) -> list[str]:
    """Each name with what stands beside it."""
    told: list[str] = page.locator(f"{PANEL} h3").all_text_contents()
    return [" ".join(words.split()) for words in told]


def of(name: str) -> str:
    """A chart of the panel, as the page knows it."""
    return f"plots.get('extra').cells.get('{name}')"


def drawn(page: Any, *names: str) -> None:
    """Until there is a chart of each, and of no other."""
    for name in names:
        wait(page, f"plots.get('extra')?.cells?.get('{name}')?.chart")
    wait(page, f"plots.get('extra').cells.size === {len(names)}")


def test_each_number_has_a_chart_and_a_scale_of_its_own(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    write(tmp_path / "gan", 50)
    one = tab()
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        drawn(page, "lr", "accuracy")

        assert page.text_content(f"{PANEL} h2") == "Your numbers"
        assert headings(page) == ["lr 2e-5", "accuracy 0.98"]
        highest = [page.evaluate(f"{of(name)}.chart.scales.y.max") for name in ("lr", "accuracy")]
        assert 0.0009 < highest[0] < 0.002
        assert 0.9 < highest[1] < 2
        assert page.locator("#table tbody tr").count() == 2
        assert one.lines("loss") == ["G", "D"]
        assert page.locator("#alerts li").count() == 0
        colours = page.evaluate("plots.get('loss').model.lines.map((line) => line.colour)")
        assert page.evaluate(f"{of('lr')}.model.lines[0].colour") not in colours
        page.click("#table .loss >> nth=0")
        ready(page, 1)
        assert len(headings(page)) == 2


def test_a_run_without_numbers_has_no_panel(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "plain")
    write(tmp_path / "gan", 50)
    page = show(tmp_path, "?run=plain")
    ready(page, 3)
    assert page.locator(PANEL).count() == 0
    page.select_option("#run", "gan")
    drawn(page, "lr", "accuracy")
    page.select_option("#run", "plain")
    ready(page, 3)
    assert page.locator(PANEL).is_hidden()
    page.select_option("#run", "gan")
    drawn(page, "lr", "accuracy")
    assert headings(page) == ["lr 2e-5", "accuracy 0.98"]


def test_the_crosshair_and_the_window_are_those_of_all_charts(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    write(tmp_path / "gan", 3000)
    page = show(tmp_path)
    drawn(page, "lr", "accuracy")
    assert not page.evaluate("views[0].curves.whole")
    page.hover("[data-chart=loss] .u-over", position={"x": 100, "y": 50})
    at = page.evaluate("plots.get('loss').chart.cursor.idx")
    assert at > 0
    assert page.evaluate(f"{of('lr')}.chart.cursor.idx") == at

    page.locator(f"{PANEL} .u-over").first.scroll_into_view_if_needed()
    box = page.locator(f"{PANEL} .u-over").first.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 40, steps=5)
    page.mouse.up()
    wait(page, "views[0].curves.whole")
    axes = page.evaluate(f"[plots.get('loss').chart.data[0], {of('accuracy')}.chart.data[0]]")
    assert axes[0] == axes[1]
    assert (axes[0][0], axes[0][-1]) == pytest.approx((1500, 1800), abs=15)

    page.evaluate("choose({ first: 1600, last: 1602 }, true)")
    wait_for_text(page, f"{PANEL} .extra >> nth=1", "No value between step 1\u202f600 and")
    page.click("#unzoom")
    drawn(page, "lr", "accuracy")


def test_numbers_are_smoothed_as_losses_are(tmp_path: Path, show: Callable[..., Any]) -> None:
    write(tmp_path / "gan", 100, "norm")
    page = show(tmp_path)
    drawn(page, "lr", "norm", "accuracy")
    page.select_option("#smooth", "10")
    wait(page, "views[0].curves.extras.norm.smooth")
    values = page.evaluate(f"{of('norm')}.model.lines[0].values")
    assert values[-1] == pytest.approx(sum(range(91, 101)) / 10)
    wait_for_text(page, f"{PANEL} .note", "mean of 10 values")


def test_rows_arrive_while_a_chart_has_the_focus(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger, serve(str(tmp_path)) as address:
        logger.log_metrics({"loss/G": 1.0, "lr": 0.5}, step=0)
        page = tab().open(address)
        drawn(page, "lr")
        page.focus(f"{PANEL} .plot .plot")
        for step in range(1, 5):
            logger.log_metrics({"loss/G": 1.0, "lr": 0.5 + step}, step=step)
            wait_for_text(page, f"{PANEL} h3", f"lr {0.5 + step}")
        assert page.evaluate(f"{of('lr')}.chart.data") == [
            [0, 1, 2, 3, 4],
            [0.5, 1.5, 2.5, 3.5, 4.5],
        ]
        assert page.evaluate(f"document.activeElement === {of('lr')}.plot")
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
        assert page.text_content("#said") == "step 3, lr 3.5"
        spoken = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert spoken.startswith("Your numbers: lr 4.5.")

        logger.log_metrics({"loss/G": 1.0, "lr": 6.0, "val/accuracy": 0.25}, step=5)
        drawn(page, "lr", "val/accuracy")
        assert headings(page) == ["lr 6", "val/accuracy 0.25"]
        live = page.evaluate("views[0].curves.extras")
        page.reload()
        drawn(page, "lr", "val/accuracy")
        assert page.evaluate("views[0].curves.extras") == live


def test_a_lost_number_is_a_gap_and_a_cross(tmp_path: Path, show: Callable[..., Any]) -> None:
    norms = [1.0, 2.0, math.nan, 3.0, math.inf]
    write_rows(tmp_path / "gan", ({"norm": norm, "never": math.nan} for norm in norms))
    page = show(tmp_path)
    wait_for_text(page, f"{PANEL} .extra >> nth=1", "No value is finite")

    assert headings(page) == ["norm ∞ \u00d7 2 not finite", "never NaN \u00d7 5 not finite"]
    assert page.locator(f"{PANEL} h3 .lost").all_text_contents() == ["∞", "NaN"]
    assert page.evaluate(f"{of('norm')}.chart.data[1]") == [1, 2, None, 3, None]
    assert page.evaluate(f"{of('norm')}.model.marks.map(({{ at }}) => at)") == [2, 4]
    assert page.locator("#alerts li").count() == 0


def test_a_spike_hides_nothing_else(tmp_path: Path, show: Callable[..., Any]) -> None:
    write_rows(tmp_path / "gan", ({"norm": 1e5 if step == 9 else 1.0} for step in range(50)))
    page = show(tmp_path)
    wait_for_text(page, f"{PANEL} h3", "log scale")
    height = f"{of('norm')}.chart.valToPos"
    assert page.evaluate(f"{height}(0, 'y') - {height}(1, 'y')") > 5


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_of_any_kind_fit_the_screen_as_text(
    tmp_path: Path, show: Callable[..., Any], width: int, scheme: str
) -> None:
    write_rows(tmp_path / "gan", [dict.fromkeys(ODD, 0.5)] * 3)
    page = show(tmp_path, width=width, color_scheme=scheme)
    wait(page, f"plots.get('extra')?.cells?.size === {len(ODD)}")

    assert page.locator(f"{PANEL} h3 span:first-child").all_text_contents() == ODD
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.hover(f"{PANEL} .u-over >> nth=0")
    wait_for_text(page, "#tip .name", ODD[0])
    contrasts = page.evaluate(
        "[ink('own')].map((own) => contrast(own, isDark() ? '#1b1d21' : '#ffffff'))"
    )
    assert min(contrasts) > 4.5


def test_the_tip_tells_the_value_next_to_the_cursor(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    rows: list[dict[str, float]] = [{} for _ in range(40)]
    rows[10], rows[20] = {"accuracy": 0.25}, {"accuracy": 0.75}
    write_rows(tmp_path / "gan", rows)
    page = show(tmp_path)
    drawn(page, "accuracy")
    page.focus(f"{PANEL} .plot .plot")
    told = []
    for key, times in (("Home", 1), ("ArrowRight", 14), ("ArrowRight", 4), ("End", 1)):
        for _ in range(times):
            page.keyboard.press(key)
        told.append(page.text_content("#said"))

    first, second = "step 10, accuracy 0.25", "step 20, accuracy 0.75"
    assert told == [first, first, second, second]


def test_compared_runs_share_the_charts_of_their_numbers(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    write(tmp_path / "one", 40)
    write(tmp_path / "two", 50, "norm", scale=3.0)
    page = show(tmp_path, "?run=one&run=two")
    drawn(page, "lr", "accuracy", "norm")
    lines = "model.lines.map((line) => [line.view.name, line.dash.length > 0])"

    assert page.evaluate(f"{of('lr')}.{lines}") == [["one", False], ["two", True]]
    assert page.evaluate(f"{of('norm')}.{lines}") == [["two", True]]
    page.hover(f"{PANEL} .u-over >> nth=0", position={"x": 20, "y": 20})
    rows = page.locator("#tip .row").all_text_contents()
    assert [row.split()[2] for row in rows] == ["two", "one"]


def save(page: Any, kind: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.click(f"{PANEL} button:text('{kind}')")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_all_numbers_are_saved_together(tmp_path: Path, show: Callable[..., Any]) -> None:
    write(tmp_path / "gan", 30, "norm")
    page = show(tmp_path)
    drawn(page, "lr", "norm", "accuracy")
    (_, png), (name, svg), (_, csv) = (save(page, kind) for kind in ("PNG", "SVG", "CSV"))

    assert png.startswith(b"\x89PNG")
    assert name == "gan-extra.svg"
    picture = ElementTree.fromstring(svg)
    words = {text.text for text in picture.iter(f"{SVG}text")}
    assert {"Your numbers", "norm  30", "accuracy  0.9667"} <= words
    assert len(picture.findall(f".//{SVG}path")) == 3
    rows = csv.decode().splitlines()
    assert rows[:2] == ['step,"lr","norm","accuracy"', "0,0.001,1,"]
    assert rows[-1].endswith(",30,0.966667")


def test_a_few_dozen_numbers_stay_in_sight(tmp_path: Path, show: Callable[..., Any]) -> None:
    write(tmp_path / "gan", 20, *(f"norm.{number}" for number in range(70)))
    page = show(tmp_path)
    wait(page, "plots.get('extra')?.cells?.size === 60")
    wait_for_text(page, f"{PANEL} .note", "the first 60 of 72")
    boxes = page.locator(f"{PANEL} .extra").evaluate_all(
        "all => all.map((one) => { const box = one.getBoundingClientRect();"
        " return [box.left, box.top, box.width]; })"
    )
    assert len({left for left, _, _ in boxes}) == 5
    assert min(width for _, _, width in boxes) >= 200


def test_a_report_has_them(tmp_path: Path, tab: Callable[..., Tab]) -> None:
    runs = [write(tmp_path / "one", 4000, "norm"), write(tmp_path / "two", 4000)]
    path = write_report(runs, tmp_path / "r.html")
    page = tab().open(path.as_uri())
    drawn(page, "lr", "norm", "accuracy")

    assert path.stat().st_size < 500_000
    page.evaluate("change.zoom(1000, 2000)")
    steps = page.evaluate(f"{of('norm')}.chart.data[0]")
    assert steps[0] >= 1000
    assert steps[-1] <= 2000
    page.select_option("#smooth", "1000")
    wait(page, "plots.get('extra').model.choice.smooth === 1000")
    values = page.evaluate(f"{of('norm')}.model.lines[0].values")
    assert values[-1] == pytest.approx(1500, rel=0.01)
