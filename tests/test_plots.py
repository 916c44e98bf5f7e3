from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loss_dashboard._curves import smooth, spread
from loss_dashboard.plots import plot_run
from loss_loggers import CsvLogger, read_run

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("matplotlib", reason="plots are drawn with it")


def record(folder: Path, losses: dict[str, list[float]]) -> Path:
    """A run with these values, where None is a step without that loss."""
    with CsvLogger(folder) as logger:
        for step in range(max(map(len, losses.values()), default=0)):
            row = {f"loss/{name}": values[step] for name, values in losses.items() if values[step:]}
            weights = {key.replace("loss", "weight"): 0.5 for key in row}
            logger.log_metrics(row | weights | {"lr": 0.1}, step=step)
    return logger.path


@pytest.mark.parametrize(
    "losses",
    [
        {},
        {"G": [1.0]},
        {"G": [1.0, 2.0], "D": [0.5]},
        {"G": [-1.0, 0.0, 1.0]},
        {"G": [1.0, math.nan, math.inf, 2.0]},
        {"G": [math.nan, math.nan]},
        {f"task{number}": [1.0, 2.0] for number in range(20)},
    ],
    ids=["empty", "one step", "late", "negative", "nonfinite", "nothing finite", "many"],
)
def test_every_run_can_be_drawn(tmp_path: Path, losses: dict[str, list[float]]) -> None:
    folder = record(tmp_path / "run", losses)

    output = plot_run(folder, tmp_path / "run.png")

    assert output.read_bytes().startswith(b"\x89PNG")


def test_names_and_colors_are_those_of_the_run(tmp_path: Path) -> None:
    run = read_run(record(tmp_path / "run", {"G": [1.0, 2.0], "total": [1.0, 2.0]}))

    svg = plot_run(run, tmp_path / "run.svg").read_text()

    assert run.info["losses"]["G"] in svg
    assert "total" not in svg
    assert "<!-- G  " in svg
    assert "<!-- lr" not in svg


def test_a_lost_run_json_costs_the_colors_only(tmp_path: Path) -> None:
    folder = record(tmp_path / "run", {"G": [1.0, 2.0]})
    (folder / "run.json").unlink()

    assert "<!-- G  " in plot_run(folder, tmp_path / "run.svg").read_text()


def test_drawing_leaves_pyplot_alone(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plot_run(record(tmp_path / "run", {"G": [1.0]}), tmp_path / "run.pdf")

    assert dict(mpl.rcParams) == before


def test_smooth_agrees_with_a_mean_of_slices() -> None:
    values = np.random.default_rng(0).normal(size=100)
    values[[3, 50, 51]] = np.nan

    expected = [np.nanmean(values[max(0, i - 5) : i + 6]) for i in range(100)]

    np.testing.assert_allclose(smooth(values, window=10), expected)


def test_labels_are_spread_in_order() -> None:
    spaced = spread([0.5, 0.1, 0.52, 0.51, 0.9], gap=0.1)

    assert sorted(range(5), key=spaced.__getitem__) == [1, 0, 3, 2, 4]
    assert min(np.diff(sorted(spaced))) > 0.1 - 1e-9
    assert (spaced[1], spaced[4]) == (0.1, 0.9)
