"""`losses plot --group`: the picture of groups of runs, and the table of their final values."""

from __future__ import annotations

import json
import math
import re
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner, Result

from loss_dashboard.cli.losses import app
from loss_dashboard.curves.groups import form_groups, grouped, member_of
from loss_dashboard.curves.numbers import DASH
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.plotting._group_figure import draw_groups
from loss_dashboard.plotting.group_plots import plot_groups
from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

pytest.importorskip("matplotlib", reason="plots are drawn with it")

METHOD = "weighting.method"


def record(folder: Path, method: str | None, losses: dict[str, list[float]]) -> Path:
    with CsvLogger(folder) as logger:
        if method is not None:
            logger.log_hyperparams({"weighting": {"method": method}, "seed": folder.name})
        for step, values in enumerate(zip(*losses.values(), strict=True)):
            row = {f"loss/{name}": value for name, value in zip(losses, values, strict=True)}
            logger.log_metrics(row, step=step)
    return logger.path


def seeds(folder: Path, methods: str = "AB", count: int = 3, *names: str) -> list[Path]:
    rng = np.random.default_rng(0)
    return [
        record(
            folder / method / f"seed-{seed}",
            method,
            {name: rng.uniform(1, 2, 20).tolist() for name in names or ("kl", "recon")},
        )
        for method in methods
        for seed in range(count)
    ]


def figure_of(runs: list[Path], key: str = METHOD) -> Figure:
    members = [member_of(RunReader(run)) for run in runs]
    groups = form_groups([one.name for one in members], [one.settings for one in members], key)
    return draw_groups(groups, grouped(members, groups, ViewOptions()), key, 0)


def plot(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["plot", *map(str, arguments)])


def colors_of(figure: Figure, panel: int) -> list[object]:
    """Of the clear lines of a panel."""
    clear = [line for line in figure.axes[panel].lines if line.get_linewidth() > 1]
    return [line.get_color() for line in clear if np.size(line.get_xdata()) > 1]


def test_a_folder_of_runs_is_drawn_and_its_final_values_are_told(tmp_path: Path) -> None:
    for seed, value in enumerate((1.0, 2.0, 6.0)):
        record(tmp_path / "runs" / f"a-{seed}", "CoV", {"kl": [9.0, value]})
    record(tmp_path / "runs" / "b", "Sum", {"kl": [1.0, 0.5, math.nan]})
    record(tmp_path / "runs" / "c", None, {"kl": [0.25]})

    result = plot(tmp_path / "runs", "--group", METHOD, "-o", tmp_path / "x.png")

    assert result.exit_code == 0, result.output
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "95 % Student-t interval over runs" in result.output
    rows = [re.split("  +", line.strip()) for line in result.stdout.splitlines()[1:]]
    assert rows == [
        ["loss", "group", "mean", "± 95 %", "n", "smallest", "largest", "last step"],
        ["kl", "c", "0.250", DASH, "1", "0.250", "0.250", "0"],
        ["kl", "CoV", "3.00", "6.57", "3", "1.00", "6.00", "1"],
        ["kl", "Sum", DASH, DASH, "0 (1 not finite)", DASH, DASH, "2"],
    ]


def test_final_values_are_there_for_scripts(tmp_path: Path) -> None:
    for seed, value in enumerate((1.0, 2.0, 6.0)):
        record(tmp_path / "runs" / f"a-{seed}", "CoV", {"kl": [9.0, value]})
    record(tmp_path / "runs" / "b", "Sum", {"kl": [1.0, 0.5, math.nan]})
    runs, picture = tmp_path / "runs", tmp_path / "x.png"

    told = json.loads(plot(runs, "--group", METHOD, "-o", picture, "--json").stdout)

    assert told["picture"] == str(picture)
    cov, plain_sum = told["finals"]
    assert cov.pop("half") == pytest.approx(6.57, rel=1e-3)
    shared = {"loss": "kl", "steps": [1, 1], "lost": 0}
    assert cov == {"group": "CoV", "mean": 3.0, "n": 3, "least": 1.0, "greatest": 6.0, **shared}
    assert plain_sum == {
        "group": "Sum",
        "mean": None,
        "half": None,
        "n": 0,
        "least": None,
        "greatest": None,
        **shared,
        "steps": [2, 2],
        "lost": 1,
    }
    assert json.loads(plot(runs, "-o", picture, "--json").stdout) == {
        "picture": str(picture),
        "finals": [],
    }


def test_groups_have_a_colour_and_a_dash_each_in_all_panels(tmp_path: Path) -> None:
    figure = figure_of(seeds(tmp_path))

    assert len({*colors_of(figure, 0)}) == 2
    assert colors_of(figure, 0) == colors_of(figure, 1)
    assert [text.get_text() for text in figure.axes[0].texts] == ["A", "B"]
    assert len(figure.axes[0].collections) == 2  # the bands


def test_the_losses_of_one_group_keep_their_colours(tmp_path: Path) -> None:
    runs = seeds(tmp_path, "A")

    figure = figure_of(runs)

    own = RunReader(runs[0]).colours
    assert [colors_of(figure, panel) for panel in (0, 1)] == [[own["kl"]], [own["recon"]]]


def test_each_single_run_is_behind_its_mean(tmp_path: Path) -> None:
    figure = figure_of(seeds(tmp_path, "A", 5, "kl"))

    faint = [line for line in figure.axes[0].lines if line.get_alpha()]
    assert len(faint) == 5


def test_the_interval_of_two_runs_leaves_the_scale_to_their_values(tmp_path: Path) -> None:
    runs = [
        record(tmp_path / name, "A", {"kl": [first, 1.0]}) for name, first in (("a", 9), ("b", 10))
    ]

    low, high = figure_of(runs).axes[0].get_ylim()

    assert 0.5 < low < high < 20


@pytest.mark.parametrize(
    "values", [[-1.0, 0.0, 1.0], [0.0, 0.0], [math.nan, math.nan], [1e300, 1e300], [1.0]]
)
def test_groups_of_any_values_can_be_drawn(tmp_path: Path, values: list[float]) -> None:
    for name in "ab":
        record(tmp_path / "runs" / name, "A", {"G": values, "D": values[::-1]})

    result = plot(tmp_path / "runs", "--group", METHOD, "-o", tmp_path / "x.svg")

    assert result.exit_code == 0, result.output
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("count", [1, 7, 24])
def test_names_are_within_the_picture(tmp_path: Path, count: int) -> None:
    names = [f"head.{number}.reconstruction$x$" for number in range(count)]

    figure = figure_of(seeds(tmp_path, "AB", 2, *names))
    figure.savefig(tmp_path / "x.png", dpi=50)

    for axes in figure.axes[:count]:
        for text in [axes.title, *axes.texts]:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.width


def test_many_groups_are_named_below(tmp_path: Path) -> None:
    figure = figure_of(seeds(tmp_path, "ABCDEFGHIJKLMN", 2, "kl"))

    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*"ABCDEFGHIJKLMN"]


def test_smoothing_is_named(tmp_path: Path) -> None:
    seeds(tmp_path / "runs")

    result = plot(tmp_path / "runs", "--group", "", "--smooth", 4, "-o", tmp_path / "x.svg")

    assert "mean of the last 4 rows" in result.output
    assert "all runs" in result.output


def test_a_setting_that_no_run_has_is_named(tmp_path: Path) -> None:
    seeds(tmp_path / "runs")

    result = plot(tmp_path / "runs", "--group", "weighing", "-o", tmp_path / "x.svg")

    assert result.exit_code == 0
    assert result.stderr == (
        f"No run has the setting weighing, so each stays single; they differ in {METHOD}.\n"
    )


def test_smoothing_needs_groups(tmp_path: Path) -> None:
    result = plot(*seeds(tmp_path, "A", 1), "--smooth", 4)

    assert result.exit_code == 1
    assert result.output == "--smooth needs --group\n"


def test_a_folder_of_runs_may_be_in_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds(tmp_path / "runs" / "sweep")
    monkeypatch.chdir(tmp_path)

    result = plot("sweep", "--group", METHOD, "-o", "x.svg")

    assert result.exit_code == 0, result.output


def test_a_folder_of_runs_is_drawn_without_groups_too(tmp_path: Path) -> None:
    seeds(tmp_path / "runs", "A", 11)

    result = plot(tmp_path / "runs" / "A", "-o", tmp_path / "x.svg")

    assert result.exit_code == 0, result.output
    drawn = (tmp_path / "x.svg").read_text()
    assert drawn.index("seed-9") < drawn.index("seed-10")


@pytest.mark.parametrize("count", [1, 2])
def test_a_spike_of_a_single_run_has_its_height(tmp_path: Path, count: int) -> None:
    values = np.full(6000, 0.5)
    values[3001], values[4001] = 94.8, 0.001
    spiky = record(tmp_path / "a", "A", {"G": values.tolist()})
    calm = [record(tmp_path / f"b{n}", "A", {"G": [0.5] * 6000}) for n in range(count - 1)]

    (panel,) = figure_of([spiky, *calm]).axes

    strokes = [
        np.asarray(way.vertices)[:, 1] for one in panel.collections for way in one.get_paths()
    ]
    drawn = np.concatenate(strokes)
    assert {94.8, 0.001} <= set(drawn.tolist())
    low, high = panel.get_ylim()
    assert low <= 0.001 < 94.8 <= high


def test_any_name_is_drawn_without_a_word(tmp_path: Path) -> None:
    strange = ("\N{FIRE}", "損失", "a\tb", "$\\frac$ of $")
    runs = [record(tmp_path / name, name, {own: [1.0, 2.0] for own in strange}) for name in strange]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_groups(runs, tmp_path / "x.png", METHOD)
