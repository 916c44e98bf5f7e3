from __future__ import annotations

import math
import subprocess
import sys
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from loss_dashboard.cli.losses import app
from loss_dashboard.curves.smooth import smooth
from loss_dashboard.plotting._labels import spread
from loss_dashboard.plotting._text_width import TextMeasure
from loss_dashboard.plotting.plots import draw_runs, plot_run
from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger, read_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox

    from loss_dashboard._typing import Values

pytest.importorskip("matplotlib", reason="plots are drawn with it")


def record(folder: Path, losses: dict[str, list[float]]) -> Path:
    """A run with these values, where None is a step without that loss."""
    with CsvLogger(folder) as logger:
        for step in range(max(map(len, losses.values()), default=0)):
            row = {f"loss/{name}": values[step] for name, values in losses.items() if values[step:]}
            weights = {key.replace("loss", "weight"): 0.5 for key in row}
            logger.log_metrics(row | weights | {"lr": 0.1}, step=step)
    return logger.path


def steps_of(line: Line2D) -> list[float]:
    steps: list[float] = np.asarray(line.get_xdata()).tolist()
    return steps


@pytest.mark.parametrize(
    "losses",
    [
        {"G": [1.0]},
        {"G": [1.0, 2.0], "D": [0.5]},
        {"G": [-1.0, 0.0, 1.0]},
        {"G": [0.0, 0.0]},
        {"G": [1.0, math.nan, math.inf, 2.0]},
        {"G": [math.nan, math.nan]},
        {f"task{number}": [1.0, 2.0] for number in range(20)},
    ],
    ids=["one step", "late", "negative", "zero", "nonfinite", "nothing finite", "many"],
)
def test_every_run_can_be_drawn(tmp_path: Path, losses: dict[str, list[float]]) -> None:
    folder = record(tmp_path / "run", losses)

    output = plot_run(folder, tmp_path / "run.png")

    assert output.read_bytes().startswith(b"\x89PNG")


def test_names_and_colors_are_those_of_the_run(tmp_path: Path) -> None:
    run = read_run(record(tmp_path / "run", {"G": [1.0, 2.0], "total": [1.0, 2.0]}))

    svg = plot_run(run, tmp_path / "run.svg").read_text()

    assert run.info["losses"]["G"] in svg
    assert "<!-- total -->" in svg
    assert "<!-- G -->" in svg
    assert "<!-- lr" not in svg


def test_a_lost_run_json_costs_the_colors_only(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", {"G": [1.0, 2.0]})
    (folder / "run.json").unlink()

    with pytest.warns(UserWarning, match="run.json is missing"):
        drawn = plot_run(folder, tmp_path / "run.svg").read_text()

    assert "<!-- G -->" in drawn


def test_the_command_draws_the_same_although_it_loads_less(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", {"G": [1.0, 2.0], "D": [0.5, 0.25]})
    command = [sys.executable, "-m", "loss_dashboard", "plot", str(folder), "-o", "by-command.png"]

    subprocess.run(command, check=True, cwd=tmp_path)

    drawn = plot_run(folder, tmp_path / "run.png")
    assert (tmp_path / "by-command.png").read_bytes() == drawn.read_bytes()


def test_several_runs_share_a_panel_and_the_colors_of_the_first(tmp_path: Path) -> None:
    first = record(tmp_path / "first", {"G": [1.0, 2.0], "D": [1.0, 2.0]})
    second = record(tmp_path / "second", {"D": [3.0, 4.0], "E": [5.0, 6.0]})
    readers = [RunReader(first), RunReader(second)]

    axes = draw_runs(readers).axes[0]

    lines = [line for line in axes.lines if len(steps_of(line)) == 2]
    dashed = {line.get_color() for line in lines if line.get_linestyle() != "-"}
    solid = {line.get_color() for line in lines if line.get_linestyle() == "-"}
    colors = readers[0].info["losses"]
    assert solid == {colors["G"], colors["D"]}
    assert colors["D"] in dashed
    assert [text.get_text().split()[0] for text in axes.texts] == ["G", "D", "E"]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5, -1e5])
def test_numbers_and_names_are_within_the_picture(tmp_path: Path, scale: float) -> None:
    losses = {name: [1.3 * scale, 2.7 * scale, 2.0 * scale] for name in ("G", "D" * 20)}
    runs = [record(tmp_path / f"run {number}", losses) for number in range(4)]
    figure = draw_runs([RunReader(run) for run in runs])

    figure.draw_without_rendering()

    drawn = [axes.get_tightbbox() for axes in figure.axes]
    assert all(box and box.x0 > 0 and box.x1 < figure.bbox.x1 for box in drawn)
    assert all(box and box.y0 > 0 and box.y1 < figure.bbox.y1 for box in drawn)
    assert figure.axes[0].bbox.width > 0.5 * figure.bbox.width


def of_names(count: int) -> dict[str, list[float]]:
    """Losses that end at almost the same place."""
    return {f"task {number}": [2.0, 1.0 + number / 1000] for number in range(count)}


def extent(part: Artist) -> Bbox:
    box = part.get_tightbbox()
    assert box is not None
    return box


@pytest.mark.parametrize("runs", [1, 7])
def test_ten_names_are_beside_their_panels_and_apart(tmp_path: Path, runs: int) -> None:
    folders = [record(tmp_path / str(run), of_names(10)) for run in range(runs)]
    figure = draw_runs([RunReader(folder) for folder in folders])

    figure.draw_without_rendering()

    boxes = [extent(text) for axes in figure.axes for text in axes.texts]
    assert len(boxes) == 20
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(0 < box.y0 < box.y1 < figure.bbox.y1 and box.x1 < figure.bbox.x1 for box in boxes)


@pytest.mark.parametrize("count", [11, 64, 100])
def test_more_names_are_in_columns_below_the_panels(tmp_path: Path, count: int) -> None:
    figure = draw_runs([RunReader(record(tmp_path / "run", of_names(count)))])

    figure.draw_without_rendering()

    [legend] = figure.legends
    box, panel = extent(legend), extent(figure.axes[1])
    assert [text.get_text() for text in legend.get_texts()] == [*of_names(count)]
    assert not any(axes.texts for axes in figure.axes)
    assert 0 <= box.y0 < box.y1 < panel.y0
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.axes[0].bbox.height > 2.5 * figure.dpi


def test_losses_of_one_color_differ_by_their_dashes(tmp_path: Path) -> None:
    figure = draw_runs([RunReader(record(tmp_path / "run", of_names(64)))])

    lines = figure.legends[0].get_lines()
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines}  # type: ignore[attr-defined]
    assert len(looks) == 64


@pytest.mark.parametrize("name", ["D" * 200, "W" * 24, "\N{FIRE}" * 200, "a/b" * 70])
def test_a_long_name_leaves_the_room_to_the_panels(tmp_path: Path, name: str) -> None:
    figure = draw_runs([RunReader(record(tmp_path / name[:60], {name: [1.0, 2.0], "G": [2.0]}))])

    figure.draw_without_rendering()

    labels = [extent(text) for text in figure.axes[0].texts]
    assert all(box.width < 0.25 * figure.bbox.width for box in labels)
    assert all(box.x1 < figure.bbox.x1 for box in labels)
    assert figure.axes[0].bbox.width > 0.65 * figure.bbox.width


STRANGE = ("\N{FIRE}", "損失", "a\tb", "$x$", "$\\frac$ of $", "_hidden")


@pytest.mark.parametrize("copies", [1, 3], ids=["beside", "below"])
def test_any_name_is_drawn_as_it_is_and_without_a_word(tmp_path: Path, copies: int) -> None:
    losses = {f"{name}{number}": [1.0, 2.0] for name in STRANGE for number in range(copies)}
    runs = [record(tmp_path / name, losses) for name in STRANGE]
    command = [sys.executable, "-m", "loss_dashboard", "plot", "-o", "losses.png"]

    done = subprocess.run([*command, *runs], check=True, cwd=tmp_path, capture_output=True)

    assert (done.stdout, done.stderr) == (b"losses.png\n", b"")


def test_letters_that_the_font_lacks_are_boxes() -> None:
    measure = TextMeasure(10)

    assert measure.fitted("a\N{FIRE}$b", room=100) == "a□$b"


def test_each_name_is_at_the_end_of_the_longest_line(tmp_path: Path) -> None:
    first = record(tmp_path / "first", {"G": [1.0] * 51, "D": [3.0] * 51})
    second = record(tmp_path / "second", {"G": [2.0] * 101})

    axes = draw_runs([RunReader(first), RunReader(second)]).axes[0]

    from matplotlib.text import Annotation

    places = {text.get_text(): text.xy for text in axes.texts if isinstance(text, Annotation)}
    ends = {name: axes.transAxes.transform(place) for name, place in places.items()}
    np.testing.assert_allclose(ends["G"], axes.transData.transform((100, 2.0)))
    np.testing.assert_allclose(ends["D"], axes.transData.transform((50, 3.0)))


def test_losses_on_both_sides_of_zero_are_symlog_and_say_so(tmp_path: Path) -> None:
    losses = {"G": [99.0, 0.0, 3.0], "D": [-0.02, -5.0, -1.0]}

    axes = draw_runs([RunReader(record(tmp_path / "run", losses))]).axes[0]

    assert axes.get_yscale() == "symlog"
    assert "symlog" in axes.get_title(loc="left")
    assert "±0.099" in axes.get_title(loc="left")
    assert {-1.0, 0.0, 1.0, 10.0, 100.0} <= set(axes.get_yticks())


def test_positive_losses_are_logarithmic(tmp_path: Path) -> None:
    axes = draw_runs([RunReader(record(tmp_path / "run", {"G": [1.0, 2.0]}))]).axes[0]

    assert (axes.get_yscale(), axes.get_title(loc="left")) == ("log", "losses")


DIVERGE = {
    "up": [10.0**step for step in range(309)] + [math.inf] * 5,
    "down": [-(10.0**step) for step in range(309)] + [-math.inf] * 5,
    "over all floats": [10.0**power for power in range(-323, 309)],
    "to 0": [10.0**-step for step in range(324)],
    "at the largest": [1.7e308] * 9,
    "from side to side": [1.7e308, -1.7e308] * 9,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", DIVERGE)
@pytest.mark.parametrize("options", [[], ["--group", ""]])
def test_a_run_that_diverges_is_drawn_with_the_others(
    tmp_path: Path, kind: str, options: list[str]
) -> None:
    record(tmp_path / "runs/diverges", {"G": DIVERGE[kind]})
    record(tmp_path / "runs/trains", {"G": [1.0, 0.5]})

    for runs in ("runs", "runs/diverges"):
        output = tmp_path / "losses.png"
        said = CliRunner().invoke(app, ["plot", str(tmp_path / runs), "-o", str(output), *options])
        assert said.exit_code == 0, said.output
        assert output.stat().st_size > 1000
        output.unlink()


def test_a_long_run_keeps_its_spike_and_its_nan(tmp_path: Path) -> None:
    values = [1.0] * 30_000
    values[7_777], values[20_001] = 900.0, math.nan
    reader = RunReader(record(tmp_path / "run", {"G": values}))

    axes = draw_runs([reader]).axes[0]

    crosses = [steps_of(line) for line in axes.lines if line.get_marker() == "x"]
    assert axes.get_ylim()[1] > 900
    assert crosses == [[19_980.0]]
    assert max(len(steps_of(line)) for line in axes.lines) == 2000
    assert max(max(np.asarray(line.get_ydata())) for line in axes.lines) == 900


def heights(axes: Axes) -> Values:
    """Of all that is drawn in a panel: its lines and its strokes."""
    lines = [np.asarray(line.get_ydata(), float) for line in axes.lines if line.get_marker() != "x"]
    strokes = [
        np.asarray(way.vertices)[:, 1] for one in axes.collections for way in one.get_paths()
    ]
    return np.concatenate([*lines, *strokes])


@pytest.mark.parametrize("column", ["loss", "weight"])
@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("steps", [300, 1500, 6000])
def test_a_spike_of_any_run_has_its_height(
    tmp_path: Path, column: str, runs: int, steps: int
) -> None:
    """Also below zero, also of the last run, also of its total, and however it is smoothed."""
    for run in range(2):
        with CsvLogger(tmp_path / str(run)) as logger:
            rows = [{"loss/G": 0.5, "loss/total": 0.5, "weight/G": 1.0} for _ in range(steps)]
            rows[steps // 2 + 1][f"{column}/G"], rows[steps - 99][f"{column}/G"] = 94.8, 0.001
            rows[steps // 3 + 1]["loss/total"] = 200.0
            logger.log_rows([(step, 1.7e9 + step, row) for step, row in enumerate(rows)])
    (tmp_path / "calm").mkdir()
    with CsvLogger(tmp_path / "calm") as logger:
        logger.log_rows([(s, 1.7e9 + s, {"loss/G": 0.5, "weight/G": 1.0}) for s in range(6000)])

    first = [] if runs == 1 else [RunReader(tmp_path / "calm")]
    figure = draw_runs([*first, RunReader(tmp_path / "1")])

    losses, weights = (heights(axes) for axes in figure.axes)
    shown = losses if column == "loss" else weights
    assert {94.8, 0.001} <= set(shown.tolist())
    assert losses.max() == 200.0
    for axes, drawn in zip(figure.axes, (losses, weights), strict=True):
        low, high = axes.get_ylim()
        assert low <= np.nanmin(drawn) <= np.nanmax(drawn) <= high


def test_no_line_leads_back_to_where_a_run_was_resumed(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "run") as logger:
        for step in (*range(5), *range(2, 4)):
            logger.log_metrics({"loss/G": 1.0 + step, "weight/G": 1.0}, step=step)

    for axes in draw_runs([RunReader(logger.path)]).axes:
        lines = [steps_of(line) for line in axes.lines if len(steps_of(line)) > 1]
        assert lines
        for steps in lines:
            np.testing.assert_equal(steps, [0, 1, 2, 3, 4, math.nan, 2, 3])


def test_a_value_between_two_that_were_lost_is_a_dot(tmp_path: Path) -> None:
    values = [1.0, 1.0, math.nan, 5.0, math.nan, 1.0, 1.0]
    axes = draw_runs([RunReader(record(tmp_path / "run", {"G": values}))]).axes[0]

    dots = [line.get_xydata() for line in axes.lines if line.get_marker() == "o"]
    assert np.concatenate(dots).tolist() == [[3.0, 5.0], [6.0, 1.0]]


def test_the_noise_of_a_second_run_is_left_to_its_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    runs = [record(tmp_path / name, {"G": rng.uniform(1, 2, 6000).tolist()}) for name in "ab"]

    losses = draw_runs([RunReader(run) for run in runs]).axes[0]

    strokes = [one for one in losses.collections if type(one).__name__ == "LineCollection"]
    assert sum(len(one.get_paths()) for one in strokes) == 2  # to its smallest and its largest


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ""])
def test_the_command_says_what_it_wrote(tmp_path: Path, suffix: str) -> None:
    folder = record(tmp_path / "run", {"G": [1.0, 2.0]})

    result = CliRunner().invoke(app, ["plot", str(folder), "-o", f"{tmp_path / 'losses'}{suffix}"])

    written = tmp_path / f"losses{suffix or '.png'}"
    assert (result.exit_code, result.output) == (0, f"{written}\n")
    assert written.stat().st_size > 1000


@pytest.mark.parametrize("output", ["losses.xyz", "losses.jpg", "no/such/folder.png"])
def test_an_impossible_picture_is_one_line(tmp_path: Path, output: str) -> None:
    folder = record(tmp_path / "run", {"G": [1.0]})

    result = CliRunner().invoke(app, ["plot", str(folder), "-o", str(tmp_path / output)])

    assert result.exit_code == 1
    assert result.output.startswith(f"cannot draw {tmp_path / output}: ")
    assert result.output.count("\n") == 1
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize("output", ["", ".", ".."])
def test_a_picture_needs_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    record(tmp_path / "run", {"G": [1.0]})
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(app, ["plot", "run", "-o", output])

    assert result.exit_code == 1
    assert "a picture needs a name, such as losses.png" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_is_named_twice_is_drawn_once(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", {"G": [1.0, 2.0]})
    again = folder / ".." / folder.name
    output = tmp_path / "twice.png"

    CliRunner().invoke(app, ["plot", str(folder), str(again), "-o", str(output)])

    assert output.read_bytes() == plot_run(folder, tmp_path / "once.png").read_bytes()


def unreadable(folder: Path) -> Path:
    """A run whose file is no file."""
    record(folder, {"G": [1.0]})
    (folder / "losses.csv").unlink()
    (folder / "losses.csv").mkdir()
    return folder


def numbers_alone(folder: Path) -> Path:
    with CsvLogger(folder) as logger:
        logger.log_metrics({"lr": 0.1}, step=0)
    return folder


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda folder: record(folder, {}), "run has no rows yet"),
        (numbers_alone, "run has no losses"),
        (unreadable, "run: losses.csv cannot be read: Is a directory."),
    ],
    ids=["no rows", "no losses", "unreadable"],
)
def test_a_run_without_losses_is_an_error(
    tmp_path: Path, make: Callable[[Path], Path], why: str
) -> None:
    folder, output = make(tmp_path / "run"), tmp_path / "losses.png"

    result = CliRunner().invoke(app, ["plot", str(folder), "-o", str(output)])

    assert (result.exit_code, result.output) == (1, f"{why}\n")
    assert not output.exists()


def test_the_runs_that_have_losses_are_drawn_without_the_others(tmp_path: Path) -> None:
    torn, empty = record(tmp_path / "torn", {"G": [1.0, 2.0]}), record(tmp_path / "empty", {})
    with (torn / "losses.csv").open("a") as file:
        file.write("2,17")
    output = tmp_path / "losses.png"

    result = CliRunner().invoke(app, ["plot", str(empty), str(torn), "-o", str(output)])

    assert (result.exit_code, result.stdout) == (0, f"{output}\n")
    first, second = result.stderr.splitlines()
    assert first == "empty has no rows yet"
    assert second.startswith("torn: losses.csv ends in a half-written line")


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plot_run(record(tmp_path / "run", {"G": [1.0]}), tmp_path / "run.pdf")

    assert dict(mpl.rcParams) == before


def test_smooth_agrees_with_a_mean_of_slices() -> None:
    values = np.random.default_rng(0).normal(size=100)
    values[[3, 50, 51]] = np.nan

    expected = [np.nanmean(values[max(0, i - 9) : i + 1]) for i in range(100)]

    np.testing.assert_allclose(smooth(values, window=10), expected)


def test_labels_are_spread_in_order() -> None:
    spaced = spread([0.5, 0.1, 0.52, 0.51, 0.9], gap=0.1)

    assert sorted(range(5), key=spaced.__getitem__) == [1, 0, 3, 2, 4]
    assert min(np.diff(sorted(spaced))) > 0.1 - 1e-9
    assert (spaced[1], spaced[4]) == (0.1, 0.9)
