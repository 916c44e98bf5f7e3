"""The charts of the page in a real browser: what they tell, how they are pointed at and saved."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.dashboard.browser import Tab, ready, wait, wait_for_text

from loss_dashboard.curves.decimate import decimate, far_ends
from loss_dashboard.curves.numbers import numbers
from loss_dashboard.curves.smooth import smooth
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable

    Columns = dict[str, Callable[[int], float | None]]

SVG = "{http://www.w3.org/2000/svg}"
NAMES = tuple(f"task/{number}" for number in range(64))


def over(page: Any, chart: str = "loss") -> dict[str, float]:
    """Where on the screen a chart draws its lines."""
    page.locator(f"[data-chart={chart}]").scroll_into_view_if_needed()
    box: dict[str, float] = page.locator(f"[data-chart={chart}] .u-over").bounding_box()
    return box


def place_of(page: Any, chart: str, name: str, index: int) -> tuple[float, float]:
    """Where on the screen a line is at an index."""
    box = over(page, chart)
    left, top = page.evaluate(
        f"""(() => {{
            const u = plots.get('{chart}').chart;
            const line = u.model.lines.find((line) => line.name === '{name}');
            const value = u.data[line.layer][{index}];
            return [u.valToPos(u.data[0][{index}], 'x'), u.valToPos(value, 'y')];
        }})()"""
    )
    return box["x"] + left, box["y"] + top


def save(page: Any, chart: str, means: str = "") -> dict[str, bytes]:
    """What the three buttons of a chart give, by kind; rows that are means say so in the name."""
    saved = {}
    for kind, end in (("PNG", ".png"), ("SVG", ".svg"), ("CSV", f"{means}.csv")):
        with page.expect_download() as download:
            page.click(f"[data-chart={chart}] button:text('{kind}')")
        assert download.value.suggested_filename == f"gan-{chart}{end}"
        saved[kind] = Path(download.value.path()).read_bytes()
    return saved


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG")
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def twice(svg: ElementTree.Element) -> tuple[float, float]:
    return 2 * float(svg.get("width", "0")), 2 * float(svg.get("height", "0"))


def colours_of(page: Any, png: bytes) -> set[str]:
    """The colours of a picture, as the browser decodes it."""
    found: list[str] = page.evaluate(
        """async (bytes) => {
            const blob = new Blob([Uint8Array.from(bytes)], { type: 'image/png' });
            const picture = await createImageBitmap(blob);
            const canvas = new OffscreenCanvas(picture.width, picture.height);
            const context = canvas.getContext('2d');
            context.drawImage(picture, 0, 0);
            const { data } = context.getImageData(0, 0, picture.width, picture.height);
            const pixels = new Uint32Array(data.buffer);
            return [...new Set(pixels)].map((pixel) => [0, 8, 16].map((at) =>
                ((pixel >> at) & 255).toString(16).padStart(2, '0')).join(''));
        }""",
        list(png),
    )
    return {f"#{colour}" for colour in found}


def test_charts_are_saved(show: Callable[..., Any], tmp_path: Path, record: Any) -> None:
    record(tmp_path / "gan")
    page = show(tmp_path)
    ready(page, 3)
    saved = save(page, "loss")
    colours = colours_of(page, saved["PNG"])
    drawn = page.evaluate("plots.get('loss').model.lines.map((line) => line.colour)")

    svg = ElementTree.fromstring(saved["SVG"])
    assert len(svg.findall(f".//{SVG}path")) == 3
    assert {"Losses", "G", "D", "E"} <= {text.text for text in svg.iter(f"{SVG}text")}
    assert size_of(saved["PNG"]) == twice(svg)
    assert {colour.lower() for colour in drawn} <= colours
    assert saved["CSV"].decode().splitlines()[:2] == ['step,"G","D","E"', "0,1,2,3"]


def test_stacks_bands_and_equal_weights_are_in_the_picture(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan", steps=3000)
    page = show(tmp_path)
    ready(page, 3)
    pictures = {
        chart: ElementTree.fromstring(save(page, chart, "-mean-of-5-steps")["SVG"])
        for chart in ("loss", "weight", "part")
    }

    filled = {
        chart: sum(path.get("fill") != "none" for path in svg.iter(f"{SVG}path"))
        for chart, svg in pictures.items()
    }
    dotted = [
        line for line in pictures["weight"].iter(f"{SVG}line") if line.get("stroke-dasharray")
    ]
    assert filled == {"loss": 3, "weight": 3, "part": 3}
    assert len(dotted) == 1


def test_small_multiples_show_what_is_lost_and_are_saved(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(200):
            row = {f"loss/{name}": 1.0 + step for name in NAMES}
            row["loss/task/3"] = math.nan if step == 100 else 0.5
            logger.log_metrics(row, step=step)
    page = show(tmp_path, "?grid=1")
    wait(page, "document.querySelectorAll('.many button').length === 64")
    wait_for_text(page, "[data-chart=loss] .note", "1 not finite")
    assert page.locator(".many button[title='task/3'] path").count() == 3  # band, line, cross
    assert page.locator(".many button[title='task/4'] path").count() == 2
    saved = save(page, "loss", "-mean-of-2-steps")

    page.dblclick(".many button[title='task/4']")
    wait(page, "document.querySelectorAll('.many button').length === 63")
    page.click(".many button[title='task/3']")
    wait(page, "plots.get('loss').chart?.model.lines.length === 1")

    svg = ElementTree.fromstring(saved["SVG"])
    assert len(svg.findall(f".//{SVG}svg")) == 64
    assert size_of(saved["PNG"]) == twice(svg)
    head, *rows = saved["CSV"].decode().splitlines()
    assert head.split(",") == ["step", *(f'"{name}"' for name in NAMES)]
    assert rows[0].startswith("0,1")
    assert sum("nan" in row for row in rows) <= 1


def test_a_cell_keeps_the_focus_while_rows_come(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger, serve(str(tmp_path)) as address:
        logger.log_metrics({"loss/G": 1.0, "loss/D": 2.0}, step=0)
        page = tab().open(f"{address}?grid=1")
        wait_for_text(page, ".many button[title=D]", "2")
        page.focus(".many button[title=D]")
        logger.log_metrics({"loss/G": 1.0, "loss/D": 0.125}, step=1)
        wait_for_text(page, ".many button[title=D]", "0.125")

        assert page.evaluate("document.activeElement.title") == "D"
        page.keyboard.press("Enter")
        wait(page, "plots.get('loss').chart?.model.lines[0].name === 'D'")


def test_the_tip_tells_all_losses_sorted(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan")
    page = show(tmp_path)
    ready(page, 3)
    page.hover("[data-chart=loss] .u-over")

    rows = page.locator("#tip .row").all_text_contents()
    assert [row[0] for row in rows] == ["E", "D", "G"]
    assert page.evaluate("plots.get('cov').chart.cursor.idx") == page.evaluate(
        "plots.get('loss').chart.cursor.idx"
    )


@pytest.mark.parametrize("width", [1440, 390])
def test_the_tip_stays_on_the_screen_with_many_losses(
    show: Callable[..., Any], tmp_path: Path, record: Any, width: int
) -> None:
    record(tmp_path / "gan", names=NAMES)
    page = show(tmp_path, width=width)
    ready(page, 64)
    for part in (0.02, 0.5, 0.98):
        box = over(page)
        page.mouse.move(box["x"] + part * box["width"], box["y"] + 60)
        tip = page.locator("#tip").bounding_box()
        assert page.locator("#tip .row").count() == 64
        assert tip["x"] >= 0
        assert tip["y"] >= 0
        assert tip["x"] + tip["width"] <= width
        assert tip["y"] + tip["height"] <= 900


def test_two_runs_are_compared(show: Callable[..., Any], tmp_path: Path, record: Any) -> None:
    record(tmp_path / "old", steps=20)
    folder = record(tmp_path / "new", names=("G", "D"))
    info = json.loads((folder / "run.json").read_text())
    info["hyperparameters"]["weighting"]["spike"] = 10.0
    (folder / "run.json").write_text(json.dumps(info))
    page = show(tmp_path, "?run=old")
    ready(page, 3)
    page.click("#others summary")
    page.check("#choices input[value=new]")
    ready(page, 5)

    wait_for_text(page, "#hyperparameters table", "weighting.spike")
    wait_for_text(page, "#comparison", "0 %")
    assert "weighting.method" not in page.text_content("#hyperparameters table")
    dashes = page.evaluate("plots.get('loss').model.lines.map((line) => line.dash.length > 0)")
    assert dashes == [False] * 3 + [True] * 2
    assert page.evaluate("plots.get('loss').chart.data[0].length") == 50


@pytest.mark.parametrize("width", [360, 600])
def test_the_runs_to_compare_with_fit_a_phone(
    show: Callable[..., Any], tmp_path: Path, record: Any, width: int
) -> None:
    for name in ("one", "two"):
        record(tmp_path / name)
    page = show(tmp_path, "?run=one", width=width)
    ready(page, 3)
    page.click("#others summary")

    page.wait_for_selector("#choices input")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    left, right = page.evaluate(
        "(({ left, right }) => [left, right])($('#choices').getBoundingClientRect())"
    )
    assert 0 <= left < right <= width


def test_the_tip_goes_with_the_mouse_also_after_a_finger(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan")
    page = show(tmp_path, has_touch=True)
    ready(page, 3)
    chart = page.locator("[data-chart=loss] .u-over")
    chart.tap()
    wait(page, "!document.querySelector('#tip').hidden")

    box = chart.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50, steps=3)
    page.mouse.move(5, 5, steps=5)
    wait(page, "document.querySelector('#tip').hidden")


def test_the_tip_goes_with_its_chart(show: Callable[..., Any], tmp_path: Path, record: Any) -> None:
    record(tmp_path / "gan")
    page = show(tmp_path)
    ready(page, 3)
    page.hover("[data-chart=loss] .u-over")
    wait_for_text(page, "#tip", "step")

    page.focus("#grid")
    page.keyboard.press("Space")
    page.wait_for_selector(".many")
    wait(page, "document.querySelector('#tip').hidden")


def test_the_tip_has_all_runs_though_they_were_recorded_at_other_steps(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    for name, every in (("even", 2), ("third", 3)):
        with CsvLogger(tmp_path / name) as logger:
            for step in range(0, 60, every):
                logger.log_metrics({"loss/G": 1.0 + step}, step=step)
    page = show(tmp_path, "?run=even&run=third")
    ready(page, 2)
    page.focus("[data-chart=loss] .plot")
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")  # 0, 2, 3, 4, 6, 8

    assert "step 8" in page.text_content("#tip")
    rows = page.locator("#tip .row").all_text_contents()
    assert rows == ["G · third 10", "G · even 9"]
    assert "G · third 10" in page.text_content("#said")
    page.keyboard.press("End")
    assert page.locator("#tip .row").all_text_contents() == ["G · even 59"]


def test_a_line_in_a_chart_is_isolated_and_hidden_as_in_the_table(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    record(tmp_path / "gan")
    one = tab()
    with serve(str(tmp_path)) as address:
        page = one.open(address)
        ready(page, 3)
        page.mouse.click(*place_of(page, "cov", "D", 25))
        ready(page, 1)
        assert one.lines("loss") == ["D"]
        page.click("#all")
        ready(page, 3)

        page.mouse.dblclick(*place_of(page, "cov", "D", 25))
        ready(page, 2)
        assert one.lines("loss") == ["G", "E"]
        left, top = place_of(page, "part", "E", 25)
        page.mouse.dblclick(left, top + 10)  # within the part of E
        ready(page, 1)
        assert one.lines("loss") == ["G"]

        page.evaluate("change.zoom(10, 20)")
        wait(page, "views[0].curves.step.length === 11")
        box = over(page, "weight")
        page.mouse.dblclick(box["x"] + 5, box["y"] + 5)  # where no line is
        wait(page, "views[0].curves.step.length === 50")


def test_among_many_losses_the_one_that_is_pointed_at_stands_out(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan", names=NAMES)
    page = show(tmp_path)
    ready(page, 64)
    page.mouse.move(*place_of(page, "cov", "task/40", 25))
    series = "plots.get('cov').chart.series.slice(1)"
    bright = f"{series}.filter((one) => one.alpha === 1).map((one) => one.label)"
    wait(page, f"{bright}.length === 1")
    assert page.evaluate(bright) == ["task/40"]
    assert page.text_content("#tip .near").startswith("task/40")
    page.mouse.move(5, 5)
    wait(page, f"{bright}.length === 64")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_in_charts_can_be_read(
    show: Callable[..., Any], tmp_path: Path, record: Any, scheme: str
) -> None:
    record(tmp_path / "gan", names=NAMES[:12])
    page = show(tmp_path, color_scheme=scheme)
    ready(page, 12)
    contrasts = page.evaluate(
        """(() => {
            const card = ink('card').replace(/^#(.)(.)(.)$/, '#$1$1$2$2$3$3');
            const { lines } = plots.get('loss').model;
            return lines.map((line) => contrast(readable(line.colour), card));
        })()"""
    )
    assert min(contrasts) >= 4.5


def test_numbers_below_the_charts_do_not_touch(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    spans = {"blink": 0.01, "minutes": 5, "days": 3600, "months": 90_000}
    for name, seconds in spans.items():
        with CsvLogger(tmp_path / name) as logger:
            rows = [(step, 1.7e9 + step * seconds, {"loss/G": 1.0}) for step in range(100)]
            logger.log_rows(rows)
        info = json.loads((tmp_path / name / "run.json").read_text())
        (tmp_path / name / "run.json").write_text(json.dumps({**info, "start": 1.7e9}))
    page = tab(width=390).page
    with serve(str(tmp_path)) as address:
        for name, x in itertools.product(spans, ("time", "relative")):
            page.goto(f"{address}?run={name}&x={x}")
            ready(page, 1)
            labels = page.evaluate(
                """(() => {
                    const u = plots.get('loss').chart, { _splits, _values } = u.axes[0];
                    u.ctx.font = '11.5px system-ui, sans-serif';
                    const widthOf = (text) => u.ctx.measureText(text).width;
                    const placeOf = (value) => u.valToPos(value, 'x');
                    return _values.map((text, at) => [placeOf(_splits[at]), widthOf(text), text]);
                })()"""
            )
            assert len(labels) >= 2, (name, x)
            for (left, width, _), (right, other, _) in itertools.pairwise(labels):
                assert right - left > (width + other) / 2, (name, x)
            assert len({words for _, _, words in labels}) == len(labels), (name, x)


def log(folder: Path, columns: Columns, steps: int) -> None:
    """Record rows of these columns; where one gives None there is none."""
    rows = []
    for step in range(steps):
        told = {name: value(step) for name, value in columns.items()}
        row = {name: value for name, value in told.items() if value is not None}
        rows.append((step, 1.7e9 + step, row))
    with CsvLogger(folder) as logger:
        logger.log_rows(rows)


def equal_weight(page: Any) -> float | None:
    wait(page, "plots.get('weight')?.model")
    found: float | None = page.evaluate("plots.get('weight').model.equal")
    return found


def test_equal_weights_are_those_of_losses_that_are_weighed_together(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    def half(_: int) -> float:
        return 0.5

    of_two: Columns = {"loss/G": half, "loss/D": half, "weight/G": half, "weight/D": half}
    watched: Columns = {"loss/val/G": half, "loss/val/D": half}
    log(tmp_path / "watched", of_two | watched, 50)
    stopped: Columns = {"loss/G": half, "weight/G": lambda step: 0.5 + step / 300}
    stopped |= {"loss/D": lambda step: 0.5 if step < 30 else None}
    stopped |= {"weight/D": lambda step: 0.5 - step / 300 if step < 30 else None}
    log(tmp_path / "stopped", stopped, 50)
    weights: Columns = {"weight/val/G": lambda _: 1.0, "weight/val/D": lambda _: 1.0}
    log(tmp_path / "validated", of_two | watched | weights, 50)
    other: Columns = {
        f"{kind}/aux/{loss}": lambda _: 1.0 for kind in ("loss", "weight") for loss in "GD"
    }
    log(tmp_path / "scopes", of_two | other, 50)
    page = tab().page
    with serve(str(tmp_path)) as address:
        found = {}
        for name in ("watched", "validated", "stopped", "scopes"):
            page.goto(f"{address}?run={name}")
            found[name] = equal_weight(page)
        assert page.text_content("[data-chart=weight] .note") == ""  # of no dotted line
        page.goto(f"{address}?run=stopped&first=35")
        alone = equal_weight(page)

    assert found == {"watched": 0.5, "validated": 0.5, "stopped": 0.5, "scopes": None}
    assert alone is None


def test_runs_are_compared_by_means_up_to_the_last_step_of_all(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    def noise(step: int) -> float:
        return 0.5 if step % 2 else -0.5

    log(tmp_path / "long", {"loss/G": lambda step: 100 - step / 10 + noise(step)}, 800)
    log(tmp_path / "short", {"loss/G": lambda step: 50 - step / 20 + noise(step)}, 401)
    worse: Columns = {
        "loss/G": lambda step: 2 * (100 - step / 10),
        "loss/early": lambda step: 1.0 if step < 100 else None,
    }
    log(tmp_path / "worse", worse, 500)
    page = show(tmp_path, "?run=long&run=short&run=worse")
    ready(page, 4)
    caption = page.text_content("#comparison caption")
    rows = page.locator("#comparison tbody >> nth=0").locator("tr")
    cells = rows.nth(0).locator("td").all_text_contents()

    assert caption.startswith("Mean of steps 380\u2013400, the last that all runs have.")
    means = [float(cell.split()[0]) for cell in cells[1:]]
    assert means == pytest.approx([61.0, 30.5, 122.0], rel=1e-3)
    assert cells[2].endswith("↓ -50 % better")
    assert cells[3].endswith("↑ +100 % worse")
    assert rows.nth(1).locator("td").all_text_contents()[0] == "early to step 99"


def test_lost_values_are_counted_where_runs_are_compared(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    log(tmp_path / "sound", {"loss/G": lambda _: 1.0}, 100)
    log(tmp_path / "lost", {"loss/G": lambda step: math.nan if step == 98 else 1.0}, 100)
    log(tmp_path / "apart", {"loss/G": lambda _: 1.0}, 0)
    with serve(str(tmp_path)) as address:
        page = tab().open(f"{address}?run=sound&run=lost")
        ready(page, 2)
        assert page.text_content("#comparison .lost") == "\u00d7 1 "
        page.goto(f"{address}?run=sound&run=apart")
        ready(page, 1)
        wait_for_text(page, "#comparison caption", "The runs have no step in common.")


def test_names_stand_at_the_ends_of_their_own_lines(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "short", names=("G", "D"), steps=50)
    record(tmp_path / "long", names=("G", "D", "E"), steps=100)
    page = show(tmp_path, "?run=short&run=long")
    ready(page, 5)
    labels = page.evaluate(
        """(() => {
            const u = plots.get('loss').chart;
            const places = labelsOf(u).map(({ text, x }) => [text, u.posToVal(x - 8, 'x')]);
            return Object.fromEntries(places);
        })()"""
    )

    assert {name: round(step) for name, step in labels.items()} == {"G": 49, "D": 49, "E": 99}


def test_the_tip_says_of_which_steps_its_numbers_are_means(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    record(tmp_path / "gan", steps=3000)
    with serve(str(tmp_path)) as address:
        page = tab().open(f"{address}?smooth=10")
        ready(page, 3)
        page.focus("[data-chart=loss] .plot")
        page.keyboard.press("End")
        head = page.text_content("#tip > .quiet")
        assert head == "steps 2\u202f995\u20132\u202f999, mean · smoothed, raw · min \u2013 max"
        assert page.text_content("#said").startswith(head)
        name, *numbers = page.locator("#tip .row >> nth=0").text_content().split()
        assert name == "E"
        assert len(numbers) == 5  # smoothed, raw, and from the smallest to the largest
        page.goto(f"{address}?first=100&last=200")
        wait(page, "plots.get('loss')?.chart && views[0].curves.whole")
        page.focus("[data-chart=loss] .plot")
        page.keyboard.press("End")
        assert page.text_content("#tip > .quiet") == "step 200"


def test_the_tip_shows_dashes_where_colours_repeat(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan", names=NAMES)
    page = show(tmp_path)
    ready(page, 64)
    page.hover("[data-chart=loss] .u-over")
    drawn = page.evaluate(
        """[...document.querySelectorAll('#tip .row line')].map((line) =>
            line.getAttribute('stroke') + (line.getAttribute('stroke-dasharray') ?? ''))"""
    )
    assert len(set(drawn)) == len(drawn) > 50


NINE = NAMES[:9]
HIDDEN = "&".join(f"hide={name}" for name in NINE)
BLANK = [
    (HIDDEN, "weight", "All losses are hidden"),
    (f"{HIDDEN}&grid=1", "loss", "All losses are hidden"),
    ("first=500&last=600", "loss", "No rows between step 500 and 600"),
    ("first=500", "part", "No rows from step 500 on"),
    ("find=kl", "cov", "No loss is called “kl”"),
    ("grid=1&find=kl", "loss", "No loss is called “kl”"),
]


def test_a_chart_without_lines_says_why(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab]
) -> None:
    record(tmp_path / "gan", names=NINE)
    page = tab().page
    with serve(str(tmp_path)) as address:
        for query, chart, words in BLANK:
            page.goto(f"{address}?{query}")
            wait_for_text(page, f"[data-chart={chart}] .plot", words)
            assert page.locator(f"[data-chart={chart}] canvas").count() == 0
            assert page.locator(f"[data-chart={chart}] button:visible").count() == 0
            page.evaluate(
                "choose({ hide: [], search: '', first: null, last: null, grid: false }, true)"
            )
            wait(page, f"plots.get('{chart}').chart")
            assert page.locator(f"[data-chart={chart}] button:visible").count() == 3


def test_what_was_not_recorded_is_said(tmp_path: Path, show: Callable[..., Any]) -> None:
    log(tmp_path / "gan", {"loss/G": lambda _: 1.0}, 20)
    page = show(tmp_path)
    wait_for_text(page, "[data-chart=cov] .plot", "CoV was not recorded")
    wait_for_text(page, "[data-chart=weight] .plot", "Weights were not recorded")
    wait_for_text(page, "[data-chart=part] .plot", "Contributions need weights")
    page.check("#recent")
    wait(page, "plots.get('cov').chart")


def test_a_picture_says_what_it_is_of(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan", steps=1000)
    record(tmp_path / "other", steps=1000)
    page = show(tmp_path, "?run=gan&run=other&smooth=10")
    ready(page, 6)
    svg = ElementTree.fromstring(save(page, "loss", "-mean-of-2-steps")["SVG"])

    words = {text.text for text in svg.iter(f"{SVG}text")}
    note = "mean of 10 steps · band: min\u2013max · strokes: far extremes"
    assert {"Losses", "gan", "other", note} <= words
    samples = [line for line in svg.iter(f"{SVG}line") if line.get("stroke-width") == "2"]
    assert [line.get("stroke-dasharray") for line in samples] == [None, "8 5"]


def test_a_cov_that_is_huge_hides_no_other(tmp_path: Path, show: Callable[..., Any]) -> None:
    huge: Columns = {
        "loss/actor": lambda _: 1.0,
        "loss/critic": lambda _: 1.0,
        "cov/actor": lambda step: 90_000.0 if step == 50 else 20.0,
        "cov/critic": lambda step: step / 100,
    }
    log(tmp_path / "gan", huge, 100)
    page = show(tmp_path)
    ready(page, 2)
    wait_for_text(page, "[data-chart=cov] .note", "log scale")
    height = "plots.get('cov').chart.valToPos"
    assert page.evaluate(f"{height}(0.2, 'y') - {height}(0.9, 'y')") > 15
    page.uncheck("#log")
    wait(page, "plots.get('cov').model.scale.kind === 'linear'")


def test_noise_of_compared_runs_stays_behind(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan")
    record(tmp_path / "other")
    page = show(tmp_path, "?run=gan&run=other")
    ready(page, 6)
    wait_for_text(page, "[data-chart=loss] .note", "smooth to compare")
    widths = "plots.get('loss').chart.series.slice(1).map((one) => one.width)"
    assert page.evaluate(widths) == [1.9] * 3 + [1] * 3
    page.select_option("#smooth", "10")
    wait(page, f"{widths}.includes(1.4)")
    assert "smooth to compare" not in page.text_content("[data-chart=loss] .note")


@pytest.mark.parametrize("width", [1440, 390])
def test_small_multiples_show_all_runs_and_fill_their_place(
    tmp_path: Path, serve: Any, record: Any, tab: Callable[..., Tab], width: int
) -> None:
    record(tmp_path / "gan", names=("G", "D"))
    record(tmp_path / "other", names=("G", "D", "E"), steps=20)
    with serve(str(tmp_path)) as address:
        page = tab(width=width).open(f"{address}?run=gan&run=other&grid=1")
        wait(page, "document.querySelectorAll('.many button').length === 3")
        paths = [page.locator(f".many button[title={name}] path").count() for name in "GDE"]
        dashed = page.locator(".many button[title=G] path[stroke-dasharray]").count()
        filled = page.evaluate(
            """(() => {
                const boxes = [...document.querySelectorAll('.many svg')].map((one) =>
                    one.getBoundingClientRect());
                const right = Math.max(...boxes.map((box) => box.right));
                const plot = document.querySelector('[data-chart=loss] .plot');
                return [right / plot.getBoundingClientRect().right, boxes[0].height];
            })()"""
        )

    assert paths == [2, 2, 1]
    assert dashed == 1
    assert filled[0] > 0.95
    assert filled[1] > 80


def test_a_weight_keeps_its_spike(tmp_path: Path, show: Callable[..., Any]) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        rows = [{"loss/G": 0.5, "weight/G": 94.8 if s == 3001 else 1.0} for s in range(6000)]
        logger.log_rows([(step, 1.7e9 + step, row) for step, row in enumerate(rows)])
    page = show(tmp_path)
    ready(page, 1)

    highest = "Math.max(...plots.get('weight').model.lines[0].band[1].filter(isNumber))"
    assert page.evaluate(highest) == pytest.approx(94.8)
    assert page.evaluate("plots.get('weight').chart.scales.y.max") >= 94.8


@pytest.mark.parametrize("query", ["", "&smooth=100"], ids=["as recorded", "smoothed"])
@pytest.mark.parametrize("steps", [400, 6000])
def test_a_spike_of_a_second_run_has_its_height(
    tmp_path: Path, show: Callable[..., Any], steps: int, query: str
) -> None:
    """Also downwards; what is not far is left to the line, for noise would hide the first run."""
    columns = ("loss/G", "weight/G", "lr")
    for run in ("calm", "odd"):
        noise = np.random.default_rng(0).uniform(1, 2, (steps, 3)).tolist()
        rows = [dict(zip(columns, own, strict=True)) for own in noise]
        if run == "odd":
            rows[steps // 2] = dict.fromkeys(columns, 94.8)
            rows[steps // 3] = dict.fromkeys(columns, 0.01)
        with CsvLogger(tmp_path / run) as logger:
            logger.log_rows([(step, 1.7e9 + step, row) for step, row in enumerate(rows)])
    page = show(tmp_path, f"?run=calm&run=odd{query}")
    ready(page, 2)

    for figure in ("get('loss')", "get('weight')", "get('extra').cells.get('lr')"):
        lowest, highest, bottom, top, strokes, of_first = page.evaluate(
            f"""(() => {{
                const {{ lines: [calm, odd] }} = plots.{figure}.model;
                const {{ min, max }} = plots.{figure}.chart.scales.y;
                const strokes = odd.strokes.map(([, , to]) => to);
                const values = [...odd.values, ...strokes].filter(isNumber);
                const ends = [Math.min(...values), Math.max(...values)];
                return [...ends, min, max, strokes.length, calm.strokes];
            }})()"""
        )
        assert (lowest, highest) == pytest.approx((0.01, 94.8)), figure
        assert bottom <= 0.01, figure
        assert top >= 94.8, figure
        assert strokes < steps / 10, figure
        assert of_first is None, figure


def test_a_spike_of_a_second_run_is_in_a_saved_picture_and_in_small_multiples(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    for run, spike in (("gan", 1.0), ("odd", 94.8)):
        rows = [{"loss/G": spike if step == 3001 else 1.0} for step in range(6000)]
        with CsvLogger(tmp_path / run) as logger:
            logger.log_rows([(step, 1.7e9 + step, row) for step, row in enumerate(rows)])
    page = show(tmp_path, "?run=gan&run=odd")
    ready(page, 2)
    with page.expect_download() as download:
        page.click("[data-chart=loss] button:text('SVG')")
    paths = ElementTree.parse(download.value.path()).iter(f"{SVG}path")
    upright = [one.get("d", "") for one in paths if "V" in one.get("d", "")]
    assert len(upright) == 1

    page.check("#grid")
    wait(page, "document.querySelector('.many .ends i')?.textContent === '94.8'")
    assert page.locator(".many path[d*=V]").count() == 1


def test_an_axis_of_any_size_has_its_numbers(tmp_path: Path, show: Callable[..., Any]) -> None:
    """Also while a run explodes: that is when one looks."""
    sizes = [*itertools.product((0.0, 1e-30, 1e-20, 1.0), (1e-18, 2.0, 1e17, 1e37))]
    for number, (low, high) in enumerate(sizes):
        with CsvLogger(tmp_path / str(number)) as logger:
            for step in range(9):
                value = high if step == 5 else low
                row = {"loss/G": value, "weight/G": value, "norm": value}
                logger.log_metrics(row, step=step)

    charts = ["plots.get('loss')", "plots.get('weight')", "plots.get('extra').cells.get('norm')"]
    page = show(tmp_path, "?run=0")
    for number, size in enumerate(sizes):
        page.select_option("#run", str(number))
        wait(page, f"views[0]?.key === '{number}'")
        for log in ("true", "false"):
            page.evaluate(f"choose({{ log: {log} }})")
            for chart in charts:
                told = page.evaluate(f"{chart}.chart.axes[1]._values.filter((one) => one)")
                assert 2 <= len(told) == len({*told}) < 12, (chart, log, size)


def test_losses_that_are_all_zero_have_a_line_and_say_why_there_are_no_contributions(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(9):
            logger.log_metrics({"loss/G": 0.0, "weight/G": 1.0}, step=step)
    page = show(tmp_path)
    wait_for_text(page, "[data-chart=part]", "The total is 0")

    scale = page.evaluate("plots.get('loss').chart.scales.y")
    assert scale["min"] < 0 < scale["max"] < 10
    assert page.evaluate("plots.get('loss').chart.axes[1]._values[0]") == "0"


def test_a_value_between_two_that_were_lost_is_a_dot(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    """A line has none there, and it may be the spike before the end."""
    with CsvLogger(tmp_path / "gan") as logger:
        for step, loss in enumerate([1.0, 1.0, math.nan, 5.0, math.nan, 1.0, 1.0]):
            logger.log_metrics({"loss/G": loss, "weight/G": 1.0}, step=step)
    page = show(tmp_path)
    ready(page, 1)
    dots = "plots.get('loss').chart.series.filter(({ points }) => points?._paths).length"
    assert page.evaluate("aloneIn(plots.get('loss').chart.data[1])") == [3]
    assert page.evaluate(dots) == 1
    with page.expect_download() as download:
        page.click("[data-chart=loss] button:text('SVG')")
    paths = ElementTree.parse(download.value.path()).iter(f"{SVG}path")
    assert sum(path.get("d", "").count("h2") for path in paths) == 1


def test_the_page_and_the_plot_agree_on_what_is_far(
    tmp_path: Path, show: Callable[..., Any], record: Any
) -> None:
    record(tmp_path / "gan")
    page = show(tmp_path)
    ready(page, 3)
    rng = np.random.default_rng(0)

    for values in (
        rng.lognormal(size=4000),
        rng.normal(size=3001),
        np.ones(50),
        rng.normal(size=1),
    ):
        values[len(values) // 2 :: 700] *= 50
        points = decimate(values, np.where(rng.random(len(values)) < 0.9, values, np.nan), 400)
        line = smooth(points.mean, 7)
        ends = points.low, points.high
        asked = [numbers(one).tolist() for one in (line, *ends)]
        strokes = page.evaluate("([line, ...reach]) => strokesOf(line, reach)", asked)

        expected = [
            pytest.approx([at, line[at], end[at]], rel=1e-5)
            for end, far in zip(ends, far_ends(line, *ends), strict=True)
            for at in np.flatnonzero(far).tolist()
        ]
        assert strokes == expected
