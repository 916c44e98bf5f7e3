"""The table of runs, which the page shows where no run is chosen, in a real browser."""

from __future__ import annotations

import json
import re
from collections import Counter
from math import nan
from typing import TYPE_CHECKING, Any

import pytest
from tests.dashboard.browser import ODD, Tab, ready, wait, wait_for_text

from loss_dashboard.curves.numbers import DASH
from loss_dashboard.runs.notes import change_tags, write_note
from loss_dashboard.runs.summary import LONGEST_SETTING
from loss_dashboard.web._page_files import PAGE, SCRIPTS
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

METHODS = ("CoVWeighting", "EqualWeighting")
LINES = "[...document.querySelectorAll('#runs tbody tr[data-key]')]"


def record(folder: Path, losses: Iterable[float], start: float = 1e9, **settings: Any) -> Path:
    with CsvLogger(folder) as logger:
        logger.log_hyperparams(settings)
        rows = [
            (
                step,
                start + step / 4,
                {"loss/G": loss, "loss/total": loss, "weight/G": 1.0, "lr": 0.5},
            )
            for step, loss in enumerate(losses)
        ]
        logger.log_rows(rows)
    info = json.loads((logger.path / "run.json").read_text())
    (logger.path / "run.json").write_text(json.dumps(info | {"start": start}))
    return logger.path


def many(place: Path, count: int) -> Path:
    """Runs in two folders, each with another last value, and its best one 10 below it."""
    for number in range(count):
        last = 100.0 + (number * 7) % count
        settings = {
            "weighting": {"method": METHODS[number % 2]},
            "seed": number,
            "optimizer": "adam",
        }
        folder = place / ("vae" if number % 3 else "gan/old") / f"run{number}"
        record(folder, [last + 5, last - 10, last], start=1e9 + number, **settings)
    return place


@pytest.fixture(scope="module")
def two_hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many(tmp_path_factory.mktemp("many"), 200)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    record(
        tmp_path / "a", [3.0, 1.0, 2.0], start=3e9, weighting={"method": "CoVWeighting"}, rate=0.1
    )
    record(
        tmp_path / "b", [9.0, 0.5, nan], start=2e9, weighting={"method": "CoVWeighting"}, rate=0.01
    )
    record(tmp_path / "sweep/c", [5.0], start=1e9, weighting={"method": "Static"}, rate=0.01)
    return tmp_path


def lines(page: Any) -> list[str]:
    """The names in the table, from the top."""
    names: list[str] = page.evaluate(f"{LINES}.map((line) => line.cells[1].textContent)")
    return names


def cells(page: Any, key: str) -> dict[str, str]:
    """What the table says of a run, by its headings."""
    told: dict[str, str] = page.evaluate(
        "(key) => { const heads = [...document.querySelectorAll('#runs thead [data-sort]')];"
        " const line = document.querySelector(`#runs tr[data-key='${key}']`);"
        " return Object.fromEntries(heads.map((head, at) => [head.dataset.sort,"
        " line.cells[at + 1].textContent])); }",
        key,
    )
    return told


def opened(page: Any, count: int) -> None:
    wait(page, f"table.rows.length === {count} && !table.unread")


def test_two_hundred_runs_are_sorted_searched_and_kept_in_the_address(
    two_hundred: Path, show: Callable[..., Any]
) -> None:
    page = show(two_hundred)
    opened(page, 200)
    assert page.text_content("#count") == "200 runs"
    assert lines(page)[0] == "vae/run199"  # the newest first

    page.click("[data-sort='last:G']")
    assert page.get_attribute("th:has([data-sort='last:G'])", "aria-sort") == "ascending"
    assert cells(page, "gan/old/run0")["last:G"] == "100.0"
    assert lines(page)[0] == "gan/old/run0"
    page.keyboard.press("Enter")  # the focus stays on the heading
    assert page.get_attribute("th:has([data-sort='last:G'])", "aria-sort") == "descending"
    first = lines(page)[0]
    assert first != "gan/old/run0"
    page.check("#best")
    assert cells(page, first)["best:G"] == "289.0"

    page.fill("#find", "weighting.method=cov seed=1")
    page.select_option("#folder", "vae")
    found = [n for n in range(0, 200, 2) if str(n).startswith("1") and n % 3]
    wait_for_text(page, "#count", f"{len(found)} of 200 runs")
    page.reload()
    opened(page, 200)
    assert page.input_value("#find") == "weighting.method=cov seed=1"
    assert page.is_checked("#best")
    assert page.input_value("#folder") == "vae"
    assert lines(page)
    assert {*lines(page)} <= {f"run{number}" for number in found}
    assert page.get_attribute("th:has([data-sort='last:G'])", "aria-sort") == "descending"


def test_values_are_of_recorded_rows_and_what_was_lost_comes_last(
    three: Path, show: Callable[..., Any]
) -> None:
    page = show(three, "?best=1&sort=last:G")
    opened(page, 3)

    told = cells(page, "a")
    assert (told["last:G"], told["best:G"], told["step"]) == ("2.000", "1.000", "2")
    assert (told["weighting"], told["steps_per_second"]) == ("CoV", "4")
    assert cells(page, "b")["last:G"] == "NaN"
    assert cells(page, "b")["best:G"] == "0.5000"
    assert cells(page, "b")["alerts"] == "G nan"
    assert lines(page) == ["a", "sweep/c", "b"]
    page.click("[data-sort='last:G']")
    assert lines(page) == ["sweep/c", "a", "b"]
    page.click("[data-sort='last:G']")
    assert lines(page) == ["a", "b", "sweep/c"]


def test_columns_are_chosen_and_kept(three: Path, show: Callable[..., Any]) -> None:
    page = show(three)
    opened(page, 3)
    page.click("#columns summary")
    page.check("#columns input[value='setting:rate']")
    page.check("#columns input[value='number:lr']")
    page.uncheck("#columns input[value=step]")
    page.keyboard.press("Escape")
    page.click("[data-sort='setting:rate']")
    page.reload()
    opened(page, 3)

    told = cells(page, "sweep/c")
    assert (told["setting:rate"], told["number:lr"]) == ("0.01", "0.5000")
    assert "step" not in told
    assert lines(page) == ["b", "sweep/c", "a"]


def test_notes_and_tags_are_shown_and_found(three: Path, show: Callable[..., Any]) -> None:
    page = show(three)
    opened(page, 3)
    write_note(three / "b", "The <b>decay</b> was too short")
    change_tags(three / "b", ["good"], [])

    wait(page, "document.querySelector('#runs .tag')?.textContent === 'good'")
    assert cells(page, "b")["note"] == "The <b>decay</b> was too short"
    page.fill("#find", "+good DECAY")
    assert lines(page) == ["b"]
    page.fill("#find", "nothing of this")
    wait_for_text(page, "#none", "No run has these words")
    page.click("#none button")
    assert len(lines(page)) == 3
    page.click("tr[data-key=b] a")
    wait_for_text(page, "#settings", "The <b>decay</b> was too short")


def test_new_values_and_new_runs_appear_and_are_said(three: Path, show: Callable[..., Any]) -> None:
    page = show(three)
    opened(page, 3)
    with CsvLogger(three / "live") as logger:
        logger.log_metrics({"loss/G": 7.5}, step=0)
        wait_for_text(page, "#said", "New run: live")
        wait(
            page,
            "document.querySelector('tr[data-key=live] td .state')?.textContent === 'running'",
        )
        logger.log_metrics({"loss/G": 6.25}, step=41)
        wait_for_text(page, "tr[data-key=live]", "6.250")
        assert cells(page, "live")["step"] == "41"
        assert page.text_content("#count") == "4 runs · 1 running"
    wait_for_text(page, "#said", "live has finished")
    wait_for_text(page, "tr[data-key=live]", "finished")
    assert page.get_attribute("#said", "aria-live") == "polite"


def test_a_run_that_is_gone_leaves_the_table(three: Path, show: Callable[..., Any]) -> None:
    page = show(three)
    opened(page, 3)
    (three / ".trash").mkdir()
    (three / "b").rename(three / ".trash/b")
    wait(page, "table.rows.length === 2")
    assert lines(page) == ["a", "sweep/c"]


def test_lines_do_not_move_under_somebodys_hand(three: Path, show: Callable[..., Any]) -> None:
    page = show(three, "?sort=last:G")
    opened(page, 3)
    page.hover("tr[data-key=a]")
    with CsvLogger(three / "sweep/c", resume=True) as logger:
        logger.log_metrics({"loss/G": 0.25}, step=9)
    wait_for_text(page, "tr[data-key='sweep/c']", "0.2500")
    assert lines(page)[0] == "a"
    page.mouse.move(5, 5)
    page.evaluate("drawHome()")
    assert lines(page)[0] == "sweep/c"


def test_chosen_runs_are_opened_together_and_the_way_back_leads_to_the_same_table(
    three: Path, show: Callable[..., Any]
) -> None:
    page = show(three, "?theme=dark")
    opened(page, 3)
    page.click("[data-sort=name]")
    page.focus("tr[data-key=a] input")
    page.keyboard.press("Space")
    page.check("tr[data-key=b] input")
    wait_for_text(page, "#picked", "2 runs chosen")
    page.click("#open")
    page.wait_for_url("**run=a**", wait_until="load")
    ready(page, 2)
    assert page.evaluate("views.map((view) => view.key)") == ["a", "b"]
    assert "theme=dark" in page.url

    page.click("#all-runs")
    page.wait_for_url("**sort=name**", wait_until="load")
    opened(page, 3)
    assert "sort=name" in page.url
    assert page.is_checked("tr[data-key=a] input")
    page.click("#picked >> text=Clear")
    assert page.is_hidden("#picked")
    page.click("tr[data-key='sweep/c'] a")
    page.wait_for_url("**run=sweep**", wait_until="load")
    ready(page, 1)
    assert page.evaluate("views[0].key") == "sweep/c"


def test_chosen_runs_are_grouped_by_a_setting_in_which_they_differ(
    two_hundred: Path, show: Callable[..., Any]
) -> None:
    page = show(two_hundred)
    opened(page, 200)
    page.fill("#find", "seed=1")
    page.check("#runs thead input")

    wait_for_text(page, "#picked", "100 runs chosen")
    assert page.text_content("#open") == "Open the first 6"
    offered = page.evaluate("[...document.querySelector('#by').options].map((one) => one.value)")
    assert offered == ["weighting.method", "seed"]
    link = page.get_attribute("#group", "href")
    assert "group=weighting.method&run=" in link
    assert link.count("run=") == 100
    page.select_option("#by", "seed")
    assert "group=seed&run=" in page.get_attribute("#group", "href")


def test_names_of_any_kind_are_only_ever_text(tmp_path: Path, show: Callable[..., Any]) -> None:
    with CsvLogger(tmp_path / "<img src=x onerror=alert(1)>") as logger:
        logger.log_hyperparams({name: f"{name}!" for name in ODD})
        logger.log_metrics({f"loss/{name}": 0.5 for name in ODD}, step=0)
    write_note(logger.path, "<script>alert(2)</script>")
    change_tags(logger.path, ["<i>"], [])
    record(tmp_path / "plain", [1.0])
    page = show(tmp_path)
    opened(page, 2)
    page.click("#columns summary")
    for box in page.query_selector_all("#columns input"):
        if not box.is_checked():
            box.check()
    page.keyboard.press("Escape")

    told = page.text_content("#runs tbody")
    assert all(f"{name}!"[:LONGEST_SETTING] in told for name in ODD)
    assert "<img src=x" in told
    assert "<script>alert(2)" in told
    assert page.query_selector("#runs tbody img, #runs tbody script, #runs tbody i") is None
    for name in ODD:
        page.click(f"#runs thead [data-sort={json.dumps(f'last:{name}', ensure_ascii=False)}]")
        assert lines(page)[1] == "plain"


def test_odd_runs_hide_no_others(three: Path, show: Callable[..., Any]) -> None:
    edits: dict[str, Any] = {
        "start": nan, "losses": ["G"], "hyperparameters": [1], "state": 7, "pid": 10**30,
    }  # fmt: skip
    for name, value in edits.items():
        folder = record(three / f"odd-{name}", [1.0, 2.0])
        info = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(info | {name: value}))
    record(three / "huge", [1e308, -1e308, 1e-320])
    for kind, content in {"nested": "[" * 100_000, "list": "[]", "text": "\x00"}.items():
        (record(three / kind, [1.0]) / "run.json").write_text(content)
        (three / kind / "notes.json").write_text(content)
    (record(three / "no-table", [1.0]) / "losses.csv").write_bytes(b"\xff\r\r\x00,,,")
    with CsvLogger(three / "far") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=2**64)
    page = show(three, "?best=1&show=setting:rate&show=number:lr")
    opened(page, 3 + len(edits) + 6)
    for column in ("name", "last:G", "best:G", "setting:rate", "step", "state", "start"):
        page.click(f"[data-sort='{column}']")
        assert len(lines(page)) == 3 + len(edits) + 6


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(
    two_hundred: Path, show: Callable[..., Any], theme: str
) -> None:
    page = show(
        two_hundred,
        f"?theme={theme}&best=1&show=setting:optimizer",
        width=390,
        has_touch=True,
        is_mobile=True,
    )
    opened(page, 200)
    page.check("tr[data-key='vae/run199'] input")
    page.check("tr[data-key='vae/run197'] input")
    page.click("#columns summary")

    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("innerWidth") == 390
    box = page.locator("#picked").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    page.keyboard.press("Escape")
    # The name stays in sight while values are moved to.
    page.evaluate("document.querySelector('#home .scroll').scrollLeft = 500")
    assert page.locator("tr[data-key='vae/run199'] a").bounding_box()["x"] >= 0


def test_of_two_hundred_runs_only_those_in_sight_are_drawn(
    two_hundred: Path, show: Callable[..., Any]
) -> None:
    page = show(two_hundred)
    opened(page, 200)
    assert page.get_attribute("#runs", "aria-rowcount") == "201"
    seen = set(lines(page))
    assert len(seen) < 80
    end = "document.querySelector('{}').getBoundingClientRect().bottom"
    last_line = end.format("#runs tbody tr:nth-last-child(1 of [data-key])")
    assert page.evaluate(f"{last_line} >= {end.format('#home .scroll')}")
    widths = "[...document.querySelectorAll('#runs thead th')].map((one) => one.offsetWidth)"
    before = page.evaluate(widths)

    for at in range(0, 7_200, 1200):
        page.evaluate(f"document.querySelector('#home .scroll').scrollTop = {at}")
        page.evaluate("new Promise(requestAnimationFrame)")
        page.evaluate("new Promise(requestAnimationFrame)")
        seen |= {*lines(page)}

    assert len(seen) == 200
    assert page.evaluate(widths) == before
    assert page.locator("#runs tbody tr[data-key]").last.get_attribute("aria-rowindex") == "201"


def test_the_smallest_of_each_loss_is_marked_and_no_total(
    three: Path, show: Callable[..., Any]
) -> None:
    """The total of another weighting is another sum."""
    page = show(three)
    opened(page, 3)

    marked = "(one) => one.map((cell) => [cell.closest('tr').dataset.key, cell.textContent])"
    assert page.eval_on_selector_all("#runs td.lowest", marked) == [["a", "2.000"]]


def test_a_single_run_is_shown_at_once(tmp_path: Path, show: Callable[..., Any]) -> None:
    record(tmp_path / "gan", [1.0, 2.0])
    page = show(tmp_path)
    ready(page, 1)
    assert page.is_hidden("#home")
    assert page.is_hidden("#all-runs")

    record(tmp_path / "vae", [1.0])
    page.evaluate("refreshLibrary()")
    wait_for_text(page, "#said", "New run: vae")
    wait_for_text(page, "#all-runs", "All runs · 1 new")
    page.click("#all-runs")
    page.wait_for_selector("#runs")
    opened(page, 2)


def test_a_run_that_is_not_there_is_named_above_the_table(
    three: Path, show: Callable[..., Any]
) -> None:
    page = show(three, "?run=nope")
    wait_for_text(page, "#alerts", "There is no run nope here.")
    opened(page, 3)
    assert "nope" not in page.url


def test_settings_are_told_in_full_and_differences_first(
    three: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    long = "x" * 300
    record(
        three / "d",
        [1.0],
        weighting={"method": "CoVWeighting"},
        rate=0.01,
        layers=[1, 2],
        path=long,
    )
    one = tab()
    with serve(str(three)) as address:
        page = one.open(f"{address}?run=d")
        ready(page, 1)
        assert page.is_hidden("#hyperparameters dl")
        page.click("#hyperparameters summary")
        assert page.locator("#hyperparameters dd").all_text_contents() == [
            "CoVWeighting", "0.01", "[1, 2]", long,
        ]  # fmt: skip

        page.goto(f"{address}?run=b&run=d")
        ready(page, 2)
        rows = page.locator("#hyperparameters tbody tr").all()
        told = [row.locator("th, td").all_text_contents() for row in rows]
        assert told == [["layers", DASH, "[1, 2]"], ["path", DASH, long]]
        assert page.is_hidden("#hyperparameters dl")
        page.click("#hyperparameters summary >> text=2 equal settings")
        assert page.locator("#hyperparameters dt").all_text_contents() == [
            "weighting.method",
            "rate",
        ]


def test_no_two_scripts_of_the_page_define_the_same_name() -> None:
    text = "\n".join((PAGE / name).read_text() for name in SCRIPTS if "vendor" not in name)
    names = Counter(re.findall(r"^(?:async )?(?:function|const|let) (\w+)", text, re.MULTILINE))

    assert [name for name, times in names.items() if times > 1] == []


def test_no_two_elements_of_the_page_have_the_same_id() -> None:
    texts = [(PAGE / name).read_text() for name in ("index.html", *SCRIPTS) if "vendor" not in name]
    ids = Counter(re.findall(r"""\bid(?:=|: )"([\w-]+)\"""", "\n".join(texts)))

    assert [name for name, times in ids.items() if times > 1] == []
