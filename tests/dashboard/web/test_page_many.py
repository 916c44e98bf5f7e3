"""Many losses on the page, in a real browser: sorted, grouped by their names, and by keys alone."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pytest
from tests.dashboard.browser import ready, wait, wait_for_text

from loss_dashboard.curves.live_curves import LiveCurves
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader
from loss_dashboard.web._run_view import view
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADS = [f"head.{head}.{part}" for head in range(3) for part in ("cls", "box", "iou")]
NAMES = [*HEADS, "kl", "aux/kl"]
SHOWN = "[...document.querySelectorAll('#table tbody tr')].filter((row) => !row.hidden)"
ORDER = f"{SHOWN}.map((row) => row.dataset.name ?? row.dataset.group + '*')"
FOCUSED = "document.activeElement.closest('tr')?.dataset.name ?? document.activeElement.className"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Of head.1 box is nearly all; the best value of each loss is in the middle of the run."""
    with CsvLogger(tmp_path / "detector") as logger:
        for step in range(50):
            row: dict[str, float] = {}
            for place, name in enumerate(NAMES, 1):
                size = 99.0 if name == "head.1.box" else float(place)
                row |= {f"loss/{name}": size * (0.5 if step == 25 else 1.0)}
                row |= {f"weight/{name}": 1 / place, f"cov/{name}": 0.01 * ((7 * place) % 11)}
            logger.log_metrics(row | {"loss/total": 7.0 - (step == 9)}, step=step)
    return logger.path


def test_names_group_by_their_beginning_and_fold(run: Path, show: Callable[..., Any]) -> None:
    page = show(run)
    ready(page, len(NAMES))
    order = page.evaluate(ORDER)

    assert order[:3] == ["head.1.*", "head.1.box", "head.1.cls"]
    assert {"head.0.*", "head.2.*", "kl", "aux/kl"} <= set(order)
    shares = page.evaluate(
        "[...document.querySelectorAll('tr.group')].map((row) => row.cells[7].textContent)"
    )
    assert float(shares[0].split()[0]) > 60

    page.click("tr[data-group='head.1.'] .fold")
    assert "head.1.box" not in page.evaluate(ORDER)
    assert "fold=head.1." in page.url
    assert page.get_attribute("tr[data-group='head.1.'] .fold", "aria-expanded") == "false"
    assert len(page.evaluate("plots.get('loss').model.lines")) == len(NAMES)
    page.reload()
    ready(page, len(NAMES))
    assert "head.1.box" not in page.evaluate(ORDER)
    page.fill("#search", "1.box")
    wait(page, f"{ORDER}.join() === 'head.1.*,head.1.box'")
    page.fill("#search", "")
    page.click("tr[data-group='head.1.'] .hide")
    ready(page, len(NAMES) - 3)
    page.click("tr[data-group='head.1.'] .hide")
    ready(page, len(NAMES))


def test_few_losses_are_not_grouped(tmp_path: Path, show: Callable[..., Any]) -> None:
    with CsvLogger(tmp_path / "run") as logger:
        logger.log_metrics({f"loss/head.{part}": 1.0 for part in "abcdef"}, step=0)
    page = show(tmp_path)
    wait(page, f"{ORDER}.length === 6")

    assert page.locator("tr.group").count() == 0


@pytest.mark.parametrize("column", ["weight", "name", "cov"])
def test_the_table_sorts_by_a_column_and_keeps_that_in_the_address(
    run: Path, show: Callable[..., Any], column: str
) -> None:
    single = [name for name in NAMES if name.endswith("kl")]  # in no group
    series = {name: RunReader(run).series(name) for name in NAMES}
    keys = {name: name if column == "name" else -series[name][column][-1] for name in NAMES}
    order = f"{ORDER}.filter((name) => !name.endsWith('*'))"
    page = show(run)
    ready(page, len(NAMES))
    assert page.get_attribute("th[data-sort=share]", "aria-sort") == "descending"
    page.click(f"th[data-sort={column}] button")
    page.reload()
    ready(page, len(NAMES))
    shown = page.evaluate(order)

    assert f"sort={column}" in page.url
    for own in (single, HEADS[:3], HEADS[3:6], HEADS[6:]):
        assert [name for name in shown if name in own] == sorted(own, key=keys.__getitem__)
    page.click(f"th[data-sort={column}] button")
    assert f"sort=-{column}" in page.url
    assert [name for name in page.evaluate(order) if name in single] == [
        name for name in reversed(shown) if name in single
    ]
    page.click(f"th[data-sort={column}] button")
    assert "sort=" not in page.url
    assert page.get_attribute("th[data-sort=share]", "aria-sort") == "descending"


def test_the_best_value_is_of_all_rows_and_stands_beside_the_last(
    run: Path, show: Callable[..., Any]
) -> None:
    page = show(run)
    ready(page, len(NAMES))
    cells = page.locator("tr[data-name='head.1.box'] td").all_text_contents()
    total = page.locator("tfoot td").all_text_contents()

    assert [float(cell) for cell in cells[3:5]] == [99.0, 49.5]
    assert [float(cell) for cell in total[3:5]] == [7.0, 6.0]


def test_the_best_value_of_a_long_run_is_a_recorded_one(tmp_path: Path) -> None:
    values = [random.random() for _ in range(20_000)]
    values[12_345:12_348] = [math.nan, -math.inf, 1e-7]
    with CsvLogger(tmp_path / "run") as logger:
        logger.log_rows([(step, 1e9 + step, {"loss/G": it}) for step, it in enumerate(values)])

    shown = view(RunReader(logger.path), LiveCurves(ViewOptions(points=60)))

    assert shown["losses"][0]["best"] == 1e-7


def test_a_few_keys_reach_the_first_chart_of_64_losses(
    show: Callable[..., Any], tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "gan", names=tuple(f"task/{number}" for number in range(64)))
    page = show(tmp_path)
    ready(page, 64)
    tabs = 0
    while not page.evaluate("document.activeElement.matches('[data-chart=loss] .plot')"):
        page.keyboard.press("Tab")
        tabs += 1
        assert tabs < 25

    page.evaluate("document.activeElement.blur()")
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.matches('[data-chart=loss] .plot')")
    page.keyboard.press("Home")
    wait_for_text(page, "#tip", "step 0")


def test_arrows_go_through_the_table(run: Path, show: Callable[..., Any]) -> None:
    page = show(run)
    ready(page, len(NAMES))
    stops = "[...document.querySelectorAll('#table button')].filter((one) => one.tabIndex === 0)"
    assert page.evaluate(f"{stops}.length") == 1
    page.focus("tr[data-name='head.1.box'] .loss")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(FOCUSED) == "head.1.cls"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.className") == "hide"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    ready(page, 1)
    assert page.evaluate("choice.only") == ["head.1.box"]
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.className") == "sort"
    assert page.evaluate(f"{stops}.length") == 1


@pytest.mark.parametrize("width", [1440, 390])
def test_small_multiples_have_axes(run: Path, show: Callable[..., Any], width: int) -> None:
    page = show(run, "?grid=1", width=width)
    wait(page, f"document.querySelectorAll('.many button').length === {len(NAMES)}")
    ends = page.locator(".many button[title='head.1.box'] .ends i").all_text_contents()

    assert ends == ["99", "49.5", "0", "49"]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    svg = page.evaluate("sourceOf(manyPicture(plots.get('loss')))")
    assert svg.count(">49.5<") == 1
    page.select_option("#x", "relative")
    wait(page, "document.querySelector('.many .ends i:last-child').textContent !== '49'")
