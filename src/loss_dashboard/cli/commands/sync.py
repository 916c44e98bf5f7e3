"""`losses sync`: send a recorded run to a backend."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from loss_dashboard.cli._common import fail, run_argument, run_at, say

if TYPE_CHECKING:
    from loss_dashboard.cli.sending import Place
    from loss_loggers import Summary
    from loss_loggers.sync import Progress

BACKENDS = ("mlflow", "wandb", "comet", "tensorboard", "trackio")


@click.command()
@run_argument("run")
@click.option("--to", type=click.Choice(BACKENDS), required=True, help="The backend.")
@click.option(
    "--run-id",
    help="A run that is there, by its id (in Trackio its name); by default that of earlier rows, or"
    " a new one.",
)
@click.option("--uri", help="MLflow: its server or database.")
@click.option("--experiment", help="MLflow: that of the run, known or new.")
@click.option(
    "--project", help="W&B or Trackio: that of the run, known or new; Comet: for a new run."
)
@click.option("--entity", help="W&B: a user or team.")
@click.option("--workspace", help="Comet: the workspace.")
@click.option(
    "--logdir", help="TensorBoard: a folder; by default that of earlier rows, or the run's."
)
@click.option("--dry-run", is_flag=True, help="Count only.")
@click.option(
    "--all", "everything", is_flag=True, help="Send also what a Background may still send."
)
def sync(run: str, to: str, dry_run: bool, everything: bool, **options: str | None) -> None:
    """Send a backend what it lacks of a run: all of it, or what could not be delivered.

    Steps, times and numbers stay as they were. Started again, it goes on where it ended.

    RUN is a path, a name in runs/ or `latest`.
    """
    from loss_dashboard.cli.sending import PACKAGES, Place

    folder, place = run_at(run).resolve(), Place(**options)
    if unknown := place.unknown_to(to):
        fail(f"{to} knows no {' or '.join(unknown)}")
    if not dry_run and find_spec(PACKAGES[to]) is None:
        fail(f"{to} is not installed: pip install 'multi-loss-weighting[{to}]'")
    summary = _done(folder, to, place, dry_run=dry_run, everything=everything)
    say(_described(summary, dry_run=dry_run))


def _done(
    folder: Path, backend: str, place: "Place", *, dry_run: bool, everything: bool
) -> "Summary":
    from loss_dashboard.cli.sending import GoneError, count, send
    from loss_loggers import SyncIsRunningError
    from loss_loggers.recording import UnreadableError
    from loss_loggers.sync import CopiedRunError

    try:
        if dry_run:
            return count(folder, backend, place, everything=everything)
        with _progress() as progress:
            return send(folder, backend, place, progress, everything=everything)
    except (CopiedRunError, GoneError, SyncIsRunningError, UnreadableError) as error:
        fail(str(error))
    except Exception as error:  # of whatever kind an SDK raises; it tells about the backend
        if isinstance(error, OSError) and f"{error.filename}".startswith(f"{folder}{os.sep}"):
            fail(_about_file(folder, error))
        message = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        fail(f"not all of it was sent, so run this again later ({message[:300]})")


def _about_file(folder: Path, error: OSError) -> str:
    if f"{error.filename}".endswith(".lock"):
        return (
            f"{folder} must be writable, for it notes what was sent ({error.strerror}): copy it to"
            " where you may write, and send the copy"
        )
    return f"{error.filename} cannot be read: {error.strerror}"


def _described(summary: "Summary", *, dry_run: bool) -> str:
    held_back = ""
    if summary.withheld:
        held_back = (
            f"; {summary.withheld} rows are held back for {summary.sender}: add --all to send them,"
            " too"
        )
    if not summary.rows:
        lacks = "has all others" if held_back else "has all rows"
        noted = ", as is noted in the run folder" if dry_run and not held_back else ""
        return f"nothing to send: {summary.target} {lacks}{noted}{held_back}"
    steps = f"steps {summary.first_step} to {summary.last_step}"
    numbers = f"{summary.rows} rows ({summary.numbers} numbers, {steps})"
    return f"{'would send' if dry_run else 'sent'} {numbers} to {summary.target}{held_back}"


@contextmanager
def _progress() -> Iterator["Progress"]:
    """A bar on the terminal, gone when it is full."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("sending")
        yield lambda done, total: bar.update(task, completed=done, total=total)
