"""Pictures of runs, for papers and notes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

from loss_dashboard.reading import RunReader
from loss_loggers import Run
from loss_loggers.recording import writing

from ._figure import draw_runs as draw_runs
from .load_matplotlib import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure


DRAWN = ("loss", "weight")


FORMATS = (".png", ".svg", ".pdf")
MOST_RUNS = 60
"""Above the picture is room for so many names."""


class NothingToDrawError(ValueError):
    """No run has a loss; the message says why, a clause for each run."""


def plot_run(run: Run | str | Path, output: str | Path) -> Path:
    """Draw the losses and weights of a run.

    Clear lines are the mean of a loss over the last steps, with the losses as they came behind
    them; a cross marks a loss that was not finite.

    Args:
        run: A run, or the path of its folder.
        output: Where to write, in the format of its suffix: `.png`, which is added to a name
            without one, `.svg` or `.pdf`.

    Returns:
        The path written.

    Raises:
        NothingToDrawError: If the run has no losses, or they cannot be read.
        ValueError: If the suffix is another one.
    """
    return plot_runs([run], output)


def plot_runs(
    runs: Sequence[Run | str | Path],
    output: str | Path,
    *,
    x: str = "step",
    load_matplotlib: Callable[[], None] = load,
    tell: Callable[[str], object] = warn,
) -> Path:
    """Draw the losses and weights of runs, the first with solid lines and the others dashed.

    Args:
        runs: Runs, or the paths of their folders. Those without losses are left out.
        output: Where to write, in the format of its suffix: `.png`, which is added to a name
            without one, `.svg` or `.pdf`.
        x: "step", or "epoch" where the means of epochs were recorded; these have a panel, then.
        load_matplotlib: How it is loaded, while the runs are read.
        tell: Is told what is amiss with the runs, one sentence a time.

    Returns:
        The path written.

    Raises:
        NothingToDrawError: If no run has losses, or they cannot be read, or a run has no epochs
            where they are asked for, or there are more than 60 runs.
        ValueError: If the suffix is another one.
    """
    written = with_format(Path(output))
    paths = [run.path if isinstance(run, Run) else run for run in runs]
    readers = drawable(read_during(load_matplotlib, paths), tell)
    if len(readers) > MOST_RUNS:
        room = f"a picture has room for the names of {MOST_RUNS} runs, got {len(readers)}"
        msg = f"{room}: draw the means of groups, with --group or plot_groups"
        raise NothingToDrawError(msg)
    if x == "epoch":
        _check_epochs(readers)
    import numpy as np

    with np.errstate(all="ignore"):  # a loss may be as large as floats go
        save(draw_runs(readers, x), written)
    return written


def save(figure: Figure, written: Path) -> None:
    """Write a picture, in the format of its suffix."""
    from matplotlib import rc_context

    # A picture of few colours gains little from being packed for long.
    is_png = written.suffix.lower() == ".png"
    packing: dict[str, Any] = {"pil_kwargs": {"compress_level": 1}} if is_png else {}
    # Letters that journals take, and that can be searched.
    with rc_context({"pdf.fonttype": 42}), writing(written) as draft:
        figure.savefig(draft, format=written.suffix[1:].lower(), dpi=150, **packing)


def with_format(output: Path) -> Path:
    """Where to write: a name without a suffix gets that of the first format.

    Raises:
        ValueError: If it has another one, or there is no name.
    """
    if not output.name.strip("."):
        msg = f"a picture needs a name, such as losses{FORMATS[0]}; got {output}"
        raise ValueError(msg)
    written = output if output.suffix else Path(f"{output}{FORMATS[0]}")
    if written.suffix.lower() not in FORMATS:
        msg = f"a picture ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; got {output.suffix}"
        raise ValueError(msg)
    return written


def drawable(readers: list[RunReader], tell: Callable[[str], object]) -> list[RunReader]:
    """Those with losses, once it is told what is amiss with any."""
    empty = {reader.path: _why_empty(reader) for reader in readers if not _has_losses(reader)}
    if len(empty) == len(readers):
        raise NothingToDrawError("; ".join(empty.values()))
    for reader in readers:
        problems = [f"{reader.name}: {problem}" for problem in reader.problems]
        for line in [empty[reader.path]] if reader.path in empty else problems:
            tell(line)
    return [reader for reader in readers if reader.path not in empty]


def _check_epochs(readers: Sequence[RunReader]) -> None:
    if lacking := [reader.name for reader in readers if not reader.epochs.ends]:
        msg = f"no epoch has ended in {', '.join(lacking)}: draw over steps"
        raise NothingToDrawError(msg)


def _has_losses(reader: RunReader) -> bool:
    """Whether there are any, beside the user's own numbers."""
    return bool(reader.losses) and reader.info.get("losses") != {}


def _why_empty(reader: RunReader) -> str:
    if reader.problems:
        return f"{reader.name}: {' '.join(reader.problems)}"
    return f"{reader.name} has no {'losses' if reader.names else 'rows yet'}"


def read_during(
    other: Callable[[], None], paths: Sequence[str | Path], always: Sequence[str] = DRAWN
) -> list[RunReader]:
    """Read these columns of the runs while something else is done."""
    import numpy as np  # noqa: F401, both need it, and two threads should not load it at once

    with ThreadPoolExecutor(1) as pool:
        reading = [pool.submit(RunReader, path, (), always=always) for path in paths]
        other()
        return [reader.result() for reader in reading]
