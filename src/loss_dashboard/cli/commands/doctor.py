"""`losses doctor`: what is installed, and whether a run is sound."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from loss_dashboard.cli._common import json_option, run_argument, run_at, say, say_json
from loss_loggers.text import printable

if TYPE_CHECKING:
    from loss_dashboard.runs.summary import Summary


@click.command()
@run_argument("run", required=False)
@json_option
def doctor(run: str | None, as_json: bool) -> None:
    """Say what is installed, and whether a run is sound; if it is not, the exit code is 1.

    RUN is a path, a name in runs/ or `latest`.
    """
    folder = None if run is None else run_at(run)
    if as_json:
        told = _run(folder) if folder is not None else None
        say_json({"installed": _installed(), "run": told})
        if told and not told["is_sound"]:
            click.get_current_context().exit(1)
        return
    _print_installed()
    if folder is not None and not _print_run(folder):
        click.get_current_context().exit(1)


def _installed() -> list[dict[str, str | None]]:
    """What there is of the packages that are used; the version is None of one that is missing."""
    import platform
    from importlib.metadata import version

    from loss_dashboard._installed import DISTRIBUTION, packages

    always = [(DISTRIBUTION, "", version(DISTRIBUTION)), ("python", "", platform.python_version())]
    return [
        {"name": name, "extra": extra or None, "version": found}
        for name, extra, found in (*always, *packages())
    ]


def _run(folder: Path) -> dict[str, Any]:
    """What is known of a run, and whether it is sound."""
    from loss_dashboard.runs.check import check_run
    from loss_dashboard.runs.summary import summarize

    problems, run = check_run(folder), summarize(folder)
    return {
        "name": run.name,
        "state": run.state,
        "losses": list(run.losses),
        "step": run.last_step,
        "is_sound": not problems,
        "problems": [printable(problem) for problem in problems],
    }


def _print_installed() -> None:
    from loss_dashboard._installed import how_to_install
    from loss_dashboard.terminal.tables import stdout, table

    lines = table("package", "version", "comes with")
    for column in lines.columns:
        column.justify = "left"
    for one in _installed():
        extra = one["extra"]
        lines.add_row(
            one["name"], one["version"] or "missing", how_to_install(extra) if extra else ""
        )
    stdout().print(lines, markup=False)


def _print_run(folder: Path) -> bool:
    """Say what is wrong with a run; whether nothing is."""
    from loss_dashboard._hints import short
    from loss_dashboard.runs.check import check_run
    from loss_dashboard.runs.summary import summarize

    problems = check_run(folder)
    run = summarize(folder)
    click.echo()
    say(f"{short(folder)} is {'not ' * bool(problems)}sound")
    say(f"  {_told(run)}")
    for problem in problems:
        say(f"  {problem}")
    return not problems


def _told(run: "Summary") -> str:
    """A run in a line, as far as anything is known of it."""
    from loss_dashboard.terminal.tables import some

    if run.state == "unreadable":
        return run.state
    losses = f"losses {some(run.losses)}" if run.losses else "no losses"
    step = "no rows yet" if run.last_step is None else f"last step {run.last_step}"
    return f"{run.state}, {losses}, {step}"
