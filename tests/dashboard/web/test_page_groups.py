"""Groups of runs in a real browser: served while they are written, and as a file."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.dashboard.browser import ODD, Tab, wait, wait_for_text

from loss_dashboard.cli.losses import app
from loss_dashboard.curves.groups._interval import student
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METHOD = "weighting.method"


def write(folder: Path, losses: dict[str, list[float]], **settings: Any) -> Path:
    with CsvLogger(folder) as logger:
        logger.log_hyperparams(settings)
        for step, values in enumerate(zip(*losses.values(), strict=True)):
            row = {f"loss/{name}": value for name, value in zip(losses, values, strict=True)}
            logger.log_metrics(row, step=step)
    return logger.path


def seeds(folder: Path, methods: str = "AB", count: int = 3, steps: int = 30) -> None:
    rng = np.random.default_rng(0)
    for method in methods:
        for seed in range(count):
            losses = {name: rng.uniform(1, 2, steps).tolist() for name in ("kl", "recon")}
            write(folder / f"{method}-{seed}", losses, weighting={"method": method}, seed=seed)


def drawn(page: Any, panels: int) -> None:
    charts = "document.querySelectorAll('.panels figure').length"
    wait(page, f"grouping?.progress === 1 && {charts} === {panels}")


def lines_of(page: Any, loss: str) -> list[str]:
    names: list[str] = page.evaluate(f"plots.get('of {loss}').model.lines.map(({{name}}) => name)")
    return names


def ask(address: str, **query: Any) -> tuple[int, dict[str, Any]]:
    with urllib.request.urlopen(
        f"{address}api/groups?{urllib.parse.urlencode(query, True)}"
    ) as got:
        body = got.read()
        return got.status, json.loads(body) if body else {}


def test_the_server_tells_means_intervals_and_final_values(tmp_path: Path, serve: Any) -> None:
    for seed, value in enumerate((1.0, 2.0, 6.0)):
        write(tmp_path / f"r{seed}", {"kl": [value, 2 * value]}, lr=0.1, seed=seed)
    write(tmp_path / "lone", {"kl": [1.0, math.nan]})
    with serve(str(tmp_path)) as address:
        query = {"run": ["r0", "r1", "r2", "lone", "nope"], "group": "lr"}
        _, told = ask(address, **query)
        status, nothing = ask(address, **query, seen=told["name"])

    assert [group["name"] for group in told["groups"]] == ["0.1", "lone"]
    [loss] = told["losses"]
    assert loss["step"] == [0, 1]
    assert loss["curves"][0]["mean"] == [3, 6]
    deviation = np.std([1, 2, 6], ddof=1)
    assert loss["curves"][0]["half"][0] == pytest.approx(
        student(2) * deviation / math.sqrt(3), rel=1e-5
    )
    assert loss["curves"][0]["runs"] == [[1, 2], [2, 4], [6, 12]]
    assert loss["curves"][1]["mean"] == [1, None]
    assert loss["curves"][1]["lost"] == [[1, 1]]
    assert [(row["group"], row["mean"], row["n"], row["lost"]) for row in told["finals"]] == [
        (0, 6, 3, 0),
        (1, None, 0, 1),
    ]
    assert (status, nothing) == (204, {})


def test_a_hundred_runs_can_be_asked_for_and_no_more(tmp_path: Path, serve: Any) -> None:
    seeds(tmp_path, "A", 2)
    with serve(str(tmp_path)) as address:
        status, _ = ask(address, run=["A-0"] * 100, group="")
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(address, run=["A-0"] * 101, group="")

    assert status == 200


def test_an_odd_run_hides_no_others(tmp_path: Path, show: Callable[..., Any]) -> None:
    seeds(tmp_path, "A", 2)
    for number, settings in enumerate(([], "x", {"weighting": [1]}, {"weighting": {"method": {}}})):
        odd = write(tmp_path / f"odd-{number}", {"kl": [1.0]})
        info = json.loads((odd / "run.json").read_text())
        (odd / "run.json").write_text(json.dumps({**info, "hyperparameters": settings}))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "losses.csv").write_text("\x00\r\r")
    page = show(tmp_path, f"?group={METHOD}")
    drawn(page, 2)
    assert "A" in lines_of(page, "kl")


def test_each_loss_has_a_chart_of_the_groups_and_they_are_named(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    seeds(tmp_path)
    one = tab()
    with serve(str(tmp_path)) as address:
        page = one.open(f"{address}?group={METHOD}")
        drawn(page, 2)
        assert lines_of(page, "kl") == lines_of(page, "recon") == ["A", "B"]
        colours = "plots.get('of kl').model.lines.map((line) => [line.colour, line.dash.join()])"
        assert len({tuple(one) for one in page.evaluate(colours)}) == 2
        labels = "labelsOf(plots.get('of kl').chart).map(({text}) => text).sort()"
        assert page.evaluate(labels) == ["A", "B"]
        assert "95 % Student-t interval" in page.text_content("#groups > .hint")
        assert "95 % t interval" in page.text_content("[data-chart='of kl'] .note")
        assert page.title() == f"6 runs by {METHOD} · losses"
        assert page.locator("#charts").is_hidden()


def test_the_losses_of_one_group_keep_their_colours(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    seeds(tmp_path, "A")
    page = show(tmp_path, f"?group={METHOD}")
    drawn(page, 2)
    colours = page.evaluate("[...plots.values()].map(({model}) => model.lines[0].colour)")
    own = json.loads((tmp_path / "A-0" / "run.json").read_text())["losses"]
    assert colours == [own["kl"], own["recon"]]


def test_the_tip_tells_mean_interval_and_count(tmp_path: Path, show: Callable[..., Any]) -> None:
    for seed, value in enumerate((1.0, 2.0, 6.0)):
        write(tmp_path / f"r{seed}", {"kl": [value] * 3}, seed=seed)
    page = show(tmp_path, "?group=")
    drawn(page, 1)
    page.focus(".panels .plot")
    page.keyboard.press("End")
    wait_for_text(page, "#tip", "± 6.57 n 3")
    wait_for_text(page, "#tip", "all runs 3")
    wait_for_text(page, "#said", "± 6.57")


def test_final_values_are_sorted_by_their_mean(tmp_path: Path, show: Callable[..., Any]) -> None:
    for lr, value in ((0.1, 3.0), (0.01, 1.0), (0.001, 2.0)):
        for seed in range(2):
            write(tmp_path / f"{lr}-{seed}", {"kl": [9.0, value + seed / 10]}, lr=lr, seed=seed)
    page = show(tmp_path, "?group=lr")
    drawn(page, 1)
    rows = page.locator(".finals tbody tr:not(:first-child)").all_text_contents()
    assert [row.split(" ± ")[0] for row in rows] == ["0.011.050", "0.0012.050", "0.13.050"]
    assert all(" ± 0.6352" in row for row in rows)


def test_another_setting_groups_them_anew_and_stays_in_the_address(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    for number in range(4):
        settings = {"lr": 0.1 * (number % 2), "weighting": {"method": "AB"[number // 2]}}
        write(tmp_path / f"r{number}", {"kl": [1.0, 2.0]}, **settings, seed=number)
    page = show(tmp_path, f"?group={METHOD}")
    drawn(page, 1)
    offered = page.locator("#made option").evaluate_all("all => all.map((one) => one.value)")
    page.select_option("#made select", "lr")
    wait(page, "grouping.by === 'lr'")
    wait(page, "plots.get('of kl').model.lines.map(({name}) => name).join() === '0,0.1'")
    assert "group=lr" in page.url
    page.click("text=All runs")
    wait(page, "document.title.startsWith('Runs')")
    assert "group=" not in page.url
    assert offered == [METHOD, "lr", ""]


def test_a_click_shows_a_group_alone_and_a_checkbox_leaves_a_run_out(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    seeds(tmp_path)
    page = show(tmp_path, f"?group={METHOD}")
    drawn(page, 2)
    page.click(".key button >> nth=1")
    wait(page, "plots.get('of kl').model.lines.length === 1")
    page.keyboard.press("Escape")
    wait(page, "plots.get('of kl').model.lines.length === 2")
    page.click("#members summary")
    page.click("#members label:has-text('A-1')")
    wait_for_text(page, ".made", "5 runs in 2 groups")
    assert "run=A-1" not in page.url
    page.keyboard.press("Escape")
    assert page.locator("#members .menu").is_hidden()


def test_smoothing_zoom_and_scale_are_those_of_the_page(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    seeds(tmp_path, steps=100)
    page = show(tmp_path, f"?group={METHOD}")
    drawn(page, 2)
    page.select_option("#smooth", "10")
    wait_for_text(page, "[data-chart='of kl'] .note", "mean of 10 steps")
    wait_for_text(page, ".finals caption", "mean of the last 10 rows")
    page.evaluate("change.zoom(20, 40)")
    wait(page, "plots.get('of kl').chart.data[0].length === 21")
    assert page.evaluate("plots.get('of kl').model.scale.kind") == "log"
    page.click("#log")
    assert page.evaluate("plots.get('of kl').model.scale.kind") == "linear"
    page.click("#unzoom")
    wait(page, "plots.get('of kl').chart.data[0].length === 100")


def test_the_interval_of_two_runs_leaves_the_scale_to_their_values(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    for seed, value in enumerate((9.0, 10.0)):
        write(tmp_path / f"r{seed}", {"kl": [value, 1.0]}, seed=seed)
    page = show(tmp_path, "?group=")
    drawn(page, 1)
    scale = page.evaluate("plots.get('of kl').chart.scales.y")
    assert 0.5 < scale["min"] < scale["max"] < 20


def test_a_spike_of_one_run_is_told_where_points_are_means(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    for seed in range(2):
        values = [1.0] * 1000
        values[501] = 1e4 if seed else math.nan
        write(tmp_path / f"r{seed}", {"kl": values}, seed=seed)
    page = show(tmp_path, "?group=")
    drawn(page, 1)
    wait_for_text(page, ".note", "1 not finite")
    wait_for_text(page, ".note", "a point for 5 steps")
    page.focus(".panels .plot")
    chart = "plots.get('of kl').chart"
    page.evaluate(f"{chart}.setCursor({{ left: {chart}.valToPos(500, 'x'), top: 9 }})")
    wait_for_text(page, "#tip", "10000")
    wait_for_text(page, "#tip", "all runs: 1 not finite")


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_spike_of_one_run_has_its_height(
    tmp_path: Path, show: Callable[..., Any], tab: Callable[..., Tab], seeds: int
) -> None:
    """Also in a report, and also where it is zoomed."""
    for seed in range(seeds):
        values = [1.0] * 2000
        if not seed:
            values[501], values[1501] = 94.8, 0.001
        write(tmp_path / "runs" / f"r{seed}", {"kl": values}, seed=seed)
    report = tmp_path / "x.html"
    arguments = ["report", str(tmp_path / "runs"), "--group", "", "-o", str(report)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    chart = "plots.get('of kl')"
    ends = f"{chart}.model.lines.flatMap((line) => line.strokes.map(([, , to]) => to))"

    for page in (show(tmp_path / "runs", "?group="), tab().open(report.as_uri())):
        drawn(page, 1)
        assert {0.001, 94.8} <= {*page.evaluate(ends)}
        assert page.evaluate(f"{chart}.chart.scales.y.max") >= 94.8
        assert page.evaluate(f"{chart}.chart.scales.y.min") <= 0.001
        page.evaluate("change.zoom(1000, 1999)")
        wait(page, f"{chart}.chart.data[0][0] >= 1000")
        assert {0.001, 94.8} & {*page.evaluate(ends)} == {0.001}


def test_rows_appear_while_a_run_goes_on(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    seeds(tmp_path, "A", 2)
    one = tab()
    with CsvLogger(tmp_path / "live") as logger, serve(str(tmp_path)) as address:
        logger.log_hyperparams({"weighting": {"method": "A"}})
        logger.log_metrics({"loss/kl": 1.0}, step=0)
        page = one.open(f"{address}?group={METHOD}")
        drawn(page, 2)
        wait_for_text(page, "#state", "1 running")
        for step in range(1, 41):
            logger.log_metrics({"loss/kl": 1.0}, step=step)
        wait(page, "plots.get('of kl').chart.data[0].at(-1) === 40")


def test_a_phone_never_scrolls_sideways(tmp_path: Path, show: Callable[..., Any]) -> None:
    for number, name in enumerate(ODD):
        for seed in range(2):
            run = tmp_path / f"{number}-{seed}"
            write(run, {name: [1.0, math.nan], "kl": [0.5, 0.25]}, a={"b": name}, seed=seed)
    page = show(
        tmp_path, "?group=a.b", width=390, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    drawn(page, len(ODD) + 1)
    page.click("#members summary")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_print_is_two_charts_a_row_without_what_is_clicked(
    tmp_path: Path, show: Callable[..., Any]
) -> None:
    seeds(tmp_path)
    page = show(tmp_path, f"?group={METHOD}")
    drawn(page, 2)
    page.emulate_media(media="print")

    first, second = (page.locator(".panels figure").nth(at).bounding_box() for at in (0, 1))
    assert first["y"] == second["y"]
    assert first["x"] + first["width"] <= second["x"]
    for clicked in ("#all-runs", "#theme", "#members", "#made a", "#controls"):
        assert page.locator(clicked).is_hidden()


def test_names_in_the_table_stay_whole_where_there_is_little_room(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    for seed in range(2):
        losses = {"kl": [1.0, 1.2345678e-8 if seed else math.nan]}
        write(tmp_path / f"r{seed}", losses, weighting={"method": "UncertaintyWeighting"})
    for width in (794, 390):
        one = tab(width=width)
        with serve(str(tmp_path)) as address:
            page = one.open(f"{address}?group={METHOD}")
            drawn(page, 1)
            assert page.locator(".finals tbody tr >> nth=1").bounding_box()["height"] < 60


def test_a_setting_that_no_run_has_is_named(tmp_path: Path, show: Callable[..., Any]) -> None:
    seeds(tmp_path)
    page = show(tmp_path, "?group=weighing")
    drawn(page, 2)
    wait_for_text(page, "#alerts", f"so each stays single; they differ in {METHOD}.")


def test_a_report_has_the_groups_in_one_file(tmp_path: Path, tab: Callable[..., Tab]) -> None:
    seeds(tmp_path / "runs", "ABC", 10, 400)
    path = tmp_path / "x.html"
    arguments = ["report", str(tmp_path / "runs"), "--group", METHOD, "-o", str(path)]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 0, result.output
    assert path.stat().st_size < 500_000
    one = tab()
    page = one.open(path.as_uri())
    drawn(page, 2)
    assert lines_of(page, "kl") == ["A", "B", "C"]
    offered = page.locator("#smooth option").evaluate_all("all => all.map((one) => one.value)")
    assert offered == ["0", "30", "300"]
    page.select_option("#smooth", "30")
    wait_for_text(page, ".finals caption", "mean of the last 30 rows")
    page.evaluate("change.zoom(100, 200)")
    steps = page.evaluate("plots.get('of kl').chart.data[0]")
    assert 100 <= steps[0] < steps[-1] <= 200
    assert str(tmp_path) not in page.evaluate("JSON.stringify(packedGroups)")
    assert all(asked.startswith(("file:", "data:")) for asked in one.asked)


def test_a_report_without_groups_has_few_runs(tmp_path: Path) -> None:
    seeds(tmp_path / "runs", "A", 7)

    result = CliRunner().invoke(app, ["report", str(tmp_path / "runs"), "-o", str(tmp_path / "x")])

    assert result.exit_code == 1
    assert result.output == "a page compares up to 6 runs; got 7\n"
