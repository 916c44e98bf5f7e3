"""`losses plot`: a picture of one run, or of several compared."""

from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loss_dashboard.cli._common import (
    fail,
    group_option,
    json_option,
    run_argument,
    runs_at,
    say,
    say_json,
    why,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from loss_dashboard.plotting.group_plots import DrawnGroups


@click.command()
@run_argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("losses.png"),
    help="A file that ends in .png, .svg or .pdf.",
)
@click.option("--x", type=click.Choice(("step", "epoch")), default="step", help="Over what.")
@group_option
@click.option(
    "--smooth",
    type=click.IntRange(0),
    default=0,
    help="With --group, average losses over so many steps.",
)
@json_option
def plot(
    runs: tuple[str, ...], output: Path, x: str, group: str | None, smooth: int, as_json: bool
) -> None:
    """Draw losses and weights; the first run has solid lines, the others have dashed ones.

    RUN is a path, a name in runs/, a folder of runs or `latest`. With --group each loss has a
    panel, with the mean and the 95 % Student-t interval of each group of runs, and a table says how
    they ended. Over epochs their means have a panel, too.
    """
    folders = runs_at(runs)
    if find_spec("matplotlib") is None:
        fail("plot needs matplotlib: pip install 'multi-loss-weighting[plot]'")
    if smooth and group is None:
        fail("--smooth needs --group")
    if x == "epoch" and group is not None:
        fail("groups of runs are drawn over steps: leave out --x or --group")
    if group is None:
        picture = _drawn(folders, output, x)
        if as_json:
            say_json({"picture": str(picture), "finals": []})
        else:
            say(picture)
    else:
        drawn = _drawn_groups(folders, output, group, smooth)
        if as_json:
            say_json({"picture": str(drawn.path), "finals": _finals(drawn)})
        else:
            _print_finals(drawn, smooth)


@contextmanager
def _told_why(output: Path) -> "Iterator[None]":
    """Fail with a sentence where there is nothing to draw, or nowhere to write."""
    from loss_dashboard.plotting.plots import NothingToDrawError

    try:
        yield
    except NothingToDrawError as error:
        fail(str(error))
    except (OSError, ValueError) as error:
        fail(f"cannot draw {output}: {why(error, output)}")


def _drawn(folders: list[Path], output: Path, x: str) -> Path:
    from loss_dashboard.plotting.load_matplotlib import load_without_help
    from loss_dashboard.plotting.plots import plot_runs

    tell = partial(say, err=True)
    with _told_why(output):
        return plot_runs(folders, output, x=x, load_matplotlib=load_without_help, tell=tell)


def _drawn_groups(folders: list[Path], output: Path, key: str, smoothing: int) -> "DrawnGroups":
    from loss_dashboard.plotting.group_plots import plot_groups
    from loss_dashboard.plotting.load_matplotlib import load_without_help

    tell, load = partial(say, err=True), load_without_help
    with _told_why(output):
        return plot_groups(
            folders, output, key, smoothing=smoothing, load_matplotlib=load, tell=tell
        )


def _finals(drawn: "DrawnGroups") -> "list[dict[str, Any]]":
    """How the groups ended, each called by its name."""
    from loss_dashboard.curves.groups import final_rows

    rows = final_rows(drawn.losses, drawn.groups)
    return [{**row.told(), "group": drawn.groups[row.group].name} for row in rows]


def _print_finals(drawn: "DrawnGroups", smoothing: int) -> None:
    """Where the picture is, and how the groups ended."""
    from loss_dashboard.curves.groups import INTERVAL
    from loss_dashboard.terminal.tables import final_table, stdout

    value = f"mean of the last {smoothing} rows" if smoothing > 1 else "last row"
    say(f"{drawn.path}  Final values ({value} of each run), with the {INTERVAL}:")
    stdout().print(final_table(drawn.groups, drawn.losses))
