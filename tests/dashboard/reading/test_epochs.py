"""The epochs of a run: as an axis, and the means of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from loss_dashboard.cli.losses import app
from loss_dashboard.curves.live_curves import LiveCurves
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader
from loss_dashboard.reading.epochs import as_epochs
from loss_dashboard.reading.headline import headline
from loss_dashboard.web._run_view import view
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes


def write(logger: CsvLogger, epochs: range, size: int = 10) -> None:
    for epoch in epochs:
        for step in range(epoch * size, (epoch + 1) * size):
            logger.log_metrics({"loss/G": 1.0, "loss/D": 2.0, "weight/G": 1.0}, step=step)
        logger.log_epoch(epoch, {"G": (1.0 + epoch, 64.0), "val/G": (3.0, 8.0)}, step=step)


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[CsvLogger]:
    with CsvLogger(tmp_path / "gan") as logger:
        yield logger


def test_they_are_read_while_they_are_written(logger: CsvLogger) -> None:
    reader = RunReader(logger.path)
    assert (reader.epochs.ends, reader.epochs.means) == ([], {})

    write(logger, range(2))
    assert reader.poll()
    write(logger, range(2, 3))
    assert reader.poll()

    assert reader.epochs.ends == [(9, 1), (19, 2), (29, 3)]
    assert [tuple(one) for one in reader.epochs.means["G"]] == [
        (0, 9, 1.0, 64.0),
        (1, 19, 2.0, 64.0),
        (2, 29, 3.0, 64.0),
    ]
    assert list(reader.epochs.means) == ["G", "val/G"]


def test_the_headline_says_how_many_epochs_have_passed(logger: CsvLogger) -> None:
    write(logger, range(2))
    assert "step 19  epoch 2" in headline(RunReader(logger.path))

    logger.log_metrics({"loss/G": 1.0}, step=24)
    assert "step 24  epoch 2.5" in headline(RunReader(logger.path))


def test_an_epoch_alone_is_news(logger: CsvLogger) -> None:
    write(logger, range(1))
    reader = RunReader(logger.path)
    logger.log_epoch(1, {"G": (0.5, 1.0)}, step=9)

    assert reader.poll()
    assert not reader.poll()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "epoch,step,name,mean,samples\n",
        "epoch,step,name,mean,samples\n0,9,G,abc,1\n",
        "epoch,step,name,mean,samples\n0,9,G\n",
        "epoch,step,name,mean,samples\nnan,1e400,G,1,1\n",
        f"epoch,step,name,mean,samples\n{2**64},{-(2**64)},G,1,1\n",
        "epoch,step,name,mean,samples\r\n0,9,G,1,1\r\n",
        "what,is,this\n1,2,3\n",
        "\x00\xff",
        f"epoch,step,name,mean,samples\n0,9,{'x' * 200_000},nan,inf\n",
    ],
    ids=range(10),
)
def test_a_file_that_makes_no_sense_hides_nothing_else(logger: CsvLogger, content: str) -> None:
    logger.log_metrics({"loss/G": 1.0, "weight/G": 1.0}, step=9)
    (logger.path / "epochs.csv").write_bytes(content.encode("latin-1"))

    reader = RunReader(logger.path)

    assert reader.losses == ["G"]
    assert reader.state == "running"
    shown = view(reader, LiveCurves(ViewOptions()))
    assert shown["epochs"] is None or len(shown["epochs"]["ends"]) == 1
    assert len(reader.problems) <= 1


def test_what_is_amiss_with_the_file_is_said(logger: CsvLogger) -> None:
    write(logger, range(1))
    with (logger.path / "epochs.csv").open("a") as file:
        file.write("1,19,G,much,64\n")

    reader = RunReader(logger.path)

    assert reader.problems == [
        "epochs.csv was read as far as it could be (line 4: it makes no sense (ValueError:"
        " could not convert string to float: 'much'))."
    ]
    assert reader.epochs.ends == [(9, 1)]


@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=20),
    st.integers(0, 5),
    st.lists(st.integers(0, 30_000), min_size=1, max_size=50),
)
def test_steps_become_epochs_in_order_and_end_with_whole_ones(
    sizes: list[int], first_epoch: int, steps: list[int]
) -> None:
    last = np.cumsum(sizes)
    ends = [(float(step), float(first_epoch + 1 + at)) for at, step in enumerate(last.tolist())]

    epochs = as_epochs(np.sort(np.array(steps, float)), 0.0, ends)

    assert (np.diff(epochs) >= 0).all()
    assert (epochs >= first_epoch).all()
    assert as_epochs(last.astype(float), 0.0, ends) == pytest.approx([end for _, end in ends])


def test_the_page_is_told_of_them_with_the_colours_of_the_losses(logger: CsvLogger) -> None:
    logger.log_hyperparams({"weighting": {}, "val/weighting": {}})
    write(logger, range(2))
    reader = RunReader(logger.path)

    told: dict[str, Any] = view(reader, LiveCurves(ViewOptions()))["epochs"]

    assert (told["first"], told["ends"]) == (0.0, [(9.0, 1.0), (19.0, 2.0)])
    own, followed = told["each"]
    assert (own["name"], own["of"], own["epoch"], own["mean"]) == ("G", None, [0, 1], [1.0, 2.0])
    assert (followed["name"], followed["of"]) == ("val/G", "G")
    assert own["colour"] == followed["colour"] == reader.colour_of("G")


def test_a_picture_is_drawn_over_epochs(logger: CsvLogger, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    from loss_dashboard.plotting.plots import draw_runs

    write(logger, range(3))

    losses, weights, means = draw_runs([RunReader(logger.path)], "epoch").axes

    def drawn(axes: Axes) -> tuple[list[float], list[float]]:
        line = axes.lines[0]
        return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()

    assert [drawn(losses)[0][at] for at in (0, -1)] == [0.0, 3.0]
    assert drawn(weights)[0][-1] == 3.0
    assert drawn(means) == ([0.5, 1.5, 2.5], [1.0, 2.0, 3.0])
    assert means.get_xlabel() == "epoch"
    done = CliRunner().invoke(
        app, ["plot", str(logger.path), "--x", "epoch", "-o", str(tmp_path / "x.svg")]
    )
    assert (done.exit_code, (tmp_path / "x.svg").exists()) == (0, True)


def test_without_epochs_a_picture_over_them_is_refused_in_a_line(logger: CsvLogger) -> None:
    pytest.importorskip("matplotlib", reason="needs the plot extra")
    logger.log_metrics({"loss/G": 1.0}, step=0)

    done = CliRunner().invoke(app, ["plot", str(logger.path), "--x", "epoch"])

    assert (done.exit_code, done.output) == (1, "no epoch has ended in gan: draw over steps\n")
