from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from loss_dashboard.notebook import LiveLogger, show
from loss_dashboard.notebook._source import GroupSource, Memory, RunSource
from loss_dashboard.notebook._svg import HEIGHT, TOP, draw
from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"

LOOP = """
import loss_dashboard
from multi_loss_weighting import EqualWeighting, LossGroup

group = LossGroup(["<b>G</b>", "D"], weighting=EqualWeighting())
figure = loss_dashboard.show(group)
for step in range(2000):
    group.update({"<b>G</b>": 1.0 + step, "D": 2.0}, do_backwards=False)
    figure.update()
"""

LOGGER = """
from loss_dashboard import LiveLogger
from multi_loss_weighting import LossGroup

group = LossGroup(["recon", "kl"], LiveLogger("my vae"))
for step in range(500):
    group.update({"recon": 1.0, "kl": 0.5}, do_backwards=False)
"""


def texts(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def paths(svg: str) -> list[ElementTree.Element]:
    """The lines of losses in both charts, then those before their names."""
    every = ElementTree.fromstring(svg).iter(f"{SVG}path")
    return [path for path in every if path.get("stroke-dasharray") is not None]


def contrast_on_black(color: str) -> float:
    """As WCAG defines it."""
    light = 0.0
    for at, share in zip((1, 3, 5), (0.2126, 0.7152, 0.0722), strict=True):
        part = int(color[at : at + 2], 16) / 255
        light += share * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
    return (light + 0.05) / 0.05


def execute(tmp_path: Path, *cells: str) -> list[list[Any]]:
    """The outputs of each cell, in the saved file of a notebook that a real kernel executed."""
    nbformat: Any = pytest.importorskip("nbformat", reason="it writes notebooks")
    nbclient = pytest.importorskip("nbclient", reason="it runs them")
    pytest.importorskip("ipykernel", reason="it is the kernel")
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    where = {"metadata": {"path": tmp_path}}

    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
    nbformat.write(notebook, tmp_path / "saved.ipynb")

    saved = nbformat.read(tmp_path / "saved.ipynb", as_version=4)
    return [cell.outputs for cell in saved.cells]


def test_a_saved_notebook_keeps_one_figure_each_with_the_last_state(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "runs/gan") as logger:
        logger.log_rows([(step, 0.0, {"loss/G": 1.0, "weight/G": 1.0}) for step in range(42)])

    outputs = execute(tmp_path, LOOP, LOGGER, "loss_dashboard.show('latest');")

    assert [[output.output_type for output in cell] for cell in outputs] == [["display_data"]] * 3
    group, live, run = (cell[0].data for cell in outputs)
    assert group["text/plain"] == "EqualWeighting  step 1999"
    assert "1999" in texts(group["image/svg+xml"])
    assert "h0" not in group["image/svg+xml"]  # the weights of all steps are known
    assert "<b>G</b>" in texts(group["image/svg+xml"])
    assert live["text/plain"] == "my vae  step 499"
    assert {"recon", "kl"} <= set(texts(live["image/svg+xml"]))
    assert run["text/plain"].startswith("gan  finished  step 41")
    # Pages that show saved notebooks would prefer HTML, and take an image in it apart.
    assert set(run) == {"image/svg+xml", "text/plain"}


def test_a_figure_at_the_end_of_a_cell_is_shown_once_and_again_where_it_is_asked_for(
    tmp_path: Path,
) -> None:
    CsvLogger(tmp_path / "runs/gan").close()

    first, second = execute(
        tmp_path,
        "import loss_dashboard\nfigure = loss_dashboard.show('latest')\nfigure",
        "figure",
    )

    for outputs in (first, second):
        assert [output.output_type for output in outputs] == ["display_data"]
        assert outputs[0].data["text/plain"].startswith("gan  finished")


def test_a_group_shows_what_it_remembers_and_then_every_step() -> None:
    pytest.importorskip("torch")
    from multi_loss_weighting import EqualWeighting, LossGroup

    group = LossGroup(["G", "D"], weighting=EqualWeighting())
    for value in (1.0, 2.0):
        group.update({"G": value, "D": 1.0}, do_backwards=False)
    source = GroupSource("group", group)

    assert source.poll()
    assert not source.poll()
    group.update({"G": 3.0}, do_backwards=False)
    assert source.poll()

    curve = source.curves()[0]
    assert curve.steps.tolist() == [0, 1, 2]
    assert curve.losses.tolist() == [1, 2, 3]
    assert curve.weights[1:].tolist() == [0.5, 0.5]


def test_a_group_that_is_drawn_now_and_then_keeps_the_weight_of_every_step() -> None:
    pytest.importorskip("torch")
    from multi_loss_weighting import LossGroup, StaticWeighting

    group = LossGroup(["G", "D"], weighting=StaticWeighting(G=lambda step: step + 1.0, D=1.0))
    source = GroupSource("group", group)
    for _ in range(5):
        group.update({"G": 1.0, "D": 1.0}, do_backwards=False)
        source.notice()

    assert source.curves()[0].weights.tolist() == [1, 2, 3, 4, 5]


def test_what_is_not_known_is_not_drawn() -> None:
    memory = Memory("gan")
    for step, weight in enumerate([0.25, math.nan, 0.5, 0.75, math.nan, 0.5]):
        memory.add("G", step, 1.0, weight)

    svg = draw(memory.title(), memory.curves())

    assert [len(path.get("d", "").split()) for path in paths(svg)] == [6, 2, 2]
    assert svg.count("h0") == 2  # the first weight and the last one stand alone


def test_each_of_many_losses_is_seen_on_a_dark_page_and_told_from_the_others() -> None:
    memory = Memory("many")
    for number in range(12):
        memory.add(f"task_{number:02d}", 0, 1.0 + number, 0.5)

    lines = paths(draw(memory.title(), memory.curves()))[:12]

    looks = {(line.get("stroke", ""), line.get("stroke-dasharray", "")) for line in lines}
    assert len(looks) == 12
    assert len({color for color, _ in looks}) == 10
    assert min(map(contrast_on_black, {color for color, _ in looks})) > 3


@pytest.mark.parametrize("what", [42, None, ["runs/gan"]])
def test_what_cannot_be_shown_is_said(what: object) -> None:
    with pytest.raises(TypeError, match=re.escape(f"got {what!r} of type {type(what).__name__}")):
        show(what)


@pytest.mark.parametrize("losses", [[], [1.0], [math.nan], [math.nan, 1.0, math.inf], [-1.0, 0.0]])
def test_everything_can_be_drawn(losses: list[float]) -> None:
    memory = Memory("<script>&")
    for step, loss in enumerate(losses):
        memory.add("G" * 300, step, loss, math.nan)

    svg = draw(memory.title(), memory.curves())

    assert texts(svg)[0].startswith("<script>&")
    assert ("x" in texts(svg)) == (len(losses) == 3)


def test_numbers_beside_a_chart_are_within_the_picture() -> None:
    memory = Memory("gan")
    for step, loss in enumerate([-12345.6, 0.0257123, 12345.6]):
        memory.add("G", step, loss, 0.123456)

    root = ElementTree.fromstring(draw(memory.title(), memory.curves()))

    ends = [text for text in root.iter(f"{SVG}text") if text.get("text-anchor") == "end"]
    assert min(float(text.get("x", 0)) - 6.1 * len(text.text or "") for text in ends) >= 0
    assert "max-width: 100%" in root.get("style", "")


def test_a_long_run_makes_a_small_figure_that_keeps_its_nan() -> None:
    memory = Memory("long")
    for step in range(50_000):
        memory.add("G", step, math.nan if step == 12_345 else 1 + step % 7, 1.0)

    svg = draw(memory.title(), memory.curves())

    assert len(svg) < 20_000
    assert texts(svg).count("x") == 1


def test_it_loads_nothing_heavy_and_says_what_it_needs(tmp_path: Path) -> None:
    CsvLogger(tmp_path / "gan").close()
    code = (
        "import sys; sys.modules['IPython'] = None; import loss_dashboard, json;"
        " heavy = {'torch', 'numpy', 'matplotlib', 'rich'} & set(sys.modules)\n"
        "try: loss_dashboard.show('gan')\n"
        "except ImportError as error: print(json.dumps([list(heavy), str(error)]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert json.loads(done.stdout) == [
        [],
        "a figure is shown by IPython, as in a notebook: pip install ipython",
    ]


def test_in_a_script_it_says_its_title_and_stops_nothing(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    code = LOOP + "figure.draw()"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout == "EqualWeighting\n"
    assert done.stderr == ""


def test_a_spike_of_a_long_run_reaches_its_height() -> None:
    memory = Memory("long")
    for step in range(50_000):
        memory.add("G", step, 1000.0 if step == 31_007 else 1 + step % 3 / 100, 1.0)

    svg = draw(memory.title(), memory.curves())

    assert "1e+03" in texts(svg)
    (spike,) = re.findall(r"M[\d.]+,([\d.]+)V([\d.]+)", svg)
    assert [*map(float, spike)] == [HEIGHT, TOP]


def test_a_total_and_a_validation_are_shown_and_have_no_share(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("IPython")
    from multi_loss_weighting import EqualWeighting, LossGroup

    logger, live = CsvLogger(tmp_path / "run"), LiveLogger()
    group = LossGroup(["G", "D"], [logger, live], weighting=EqualWeighting())
    validation = group.follower()
    for _ in range(3):
        group.update({"G": 3.0, "D": 1.0}, do_backwards=False)
        validation.accumulate({"G": 7.0, "D": 5.0})
        validation.record()
    logger.close()

    for source in (RunSource(RunReader(logger.path)), live._memory):
        curves = {curve.name: curve for curve in source.curves()}
        svg = draw(source.title(), [*curves.values()])

        assert [*curves] == ["G", "D", "val/G", "val/D", "total", "val/total"]
        assert [*map(str.strip, [name for name in texts(svg) if name in curves])] == [*curves]
        assert curves["total"].losses.tolist() == [2.0, 2.0, 2.0]
        assert curves["val/G"].color == curves["G"].color
        bars = ElementTree.fromstring(svg).iter(f"{SVG}rect")
        assert [float(bar.get("width", "")) for bar in bars] == [40, 40, 0, 0, 0, 0]


def test_the_numbers_of_a_run_are_those_that_it_recorded(tmp_path: Path) -> None:
    """Statistics may be of the last values alone, and a weight may be lost."""
    with CsvLogger(tmp_path / "run") as logger:
        for step in range(3):
            row = {"loss/G": 3.0, "weight/G": math.nan if step == 2 else 0.5}
            row |= {"mean/G": 4.5, "std/G": 0.75, "cov/G": 0.125, "loss/D": 2.0}
            logger.log_metrics(row, step=step)

    source = RunSource(RunReader(logger.path))
    shown = texts(draw(source.title(), source.curves()))

    of_g, of_d = (shown[shown.index(name) + 1 :][:5] for name in ("G", "D"))
    assert of_g == ["\u2013", "3.00", "4.50", "0.750", "0.125"]
    assert of_d == ["\u2013", "2.00", "2.00", "0.00", "0.00"]
