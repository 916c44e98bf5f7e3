"""Which run the user means: a path, a name in `runs`, or `latest`."""

from __future__ import annotations

from pathlib import Path

from loss_loggers.recording import is_run
from loss_loggers.text import printable

from .cache import known_runs

RUNS = Path("runs")
LATEST = "latest"


class RunNotFoundError(LookupError):
    """There is no such run; the message says what there is."""


def find_run(name: str | Path, directory: Path = RUNS) -> Path:
    """The folder of a run.

    Args:
        name: The path of the folder or of a file in it, a name in `directory`, or "latest".
        directory: Where runs are recorded.

    Raises:
        RunNotFoundError: If there is none.
    """
    path = Path(name).expanduser()
    candidates = [path, *([path.parent] if path.is_file() else []), directory / path]
    found = next(filter(is_run, candidates), None)
    if found is None and str(name) == LATEST:
        found = _latest(directory)
    if found is None:
        raise RunNotFoundError(printable(_no_run(name, directory)))
    return found


def directory_of(folder: Path, directory: Path = RUNS) -> Path:
    """The folder that the runs beside this one are in: all of `runs`, or just where it lies.

    >>> directory_of(Path("runs/sweep/gan")).name, directory_of(Path("/elsewhere/gan")).name
    ('runs', 'elsewhere')
    """
    run, home = folder.resolve(), directory.resolve()
    return home if run != home and run.is_relative_to(home) else run.parent


def run_names(directory: Path = RUNS) -> list[str]:
    """What `find_run` takes beside paths, the newest run first."""
    names = [run.name for run in known_runs(directory) if run.path != directory]
    return [LATEST, *names] if names else []


def _latest(directory: Path) -> Path | None:
    runs = known_runs(directory)
    return runs[0].path if runs else None


def _no_run(name: str | Path, directory: Path) -> str:
    """What was looked for, and the names that come closest."""
    from difflib import get_close_matches

    inside = run_names(Path(name))[1:]
    if inside:
        one = Path(name) / inside[0]
        if len(inside) == 1:
            return f"{Path(name)} holds one run, {one}: name it"
        return f"{Path(name)} holds {len(inside)} runs, such as {one}: name one"
    names = run_names(directory)
    close = get_close_matches(str(name), names, n=3) or [*names[:3], *["…"] * (len(names) > 3)]
    there_is = f"there is {', '.join(close)}" if close else f"{directory}/ has no runs"
    return f"no run {name}: a path, a name in {directory}/ or `{LATEST}` is needed; {there_is}"
