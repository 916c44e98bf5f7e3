"""`losses sync`: send a recorded run to a backend."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._common import RunArgument, fail, run_at

if TYPE_CHECKING:
    from loss_dashboard.destinations import Place
    from loss_loggers import Summary
    from loss_loggers.sync import Progress


class Backend(str, Enum):
    """Where a run can be sent."""

    mlflow = "mlflow"
    wandb = "wandb"
    comet = "comet"
    tensorboard = "tensorboard"


def sync(
    run: RunArgument,
    to: Annotated[Backend, typer.Option(help="The backend.")],
    run_id: Annotated[
        str | None,
        typer.Option(
            help="A run that is there, by its id; by default that of earlier rows, or a new one."
        ),
    ] = None,
    uri: Annotated[str | None, typer.Option(help="MLflow: its server or database.")] = None,
    experiment: Annotated[str | None, typer.Option(help="MLflow: for a new run.")] = None,
    project: Annotated[str | None, typer.Option(help="W&B or Comet: for a new run.")] = None,
    entity: Annotated[str | None, typer.Option(help="W&B: a user or team.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Comet: the workspace.")] = None,
    logdir: Annotated[
        str | None, typer.Option(help="TensorBoard: a folder; by default that of the run.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
) -> None:
    """Send a backend what it lacks of a run: all of it, or what could not be delivered.

    Steps, times and numbers stay as they were. Started again, it goes on where it ended.
    """
    from loss_dashboard.destinations import PACKAGES, Place, count

    folder, backend = run_at(run), to.value
    place = Place(run_id, uri, experiment, project, entity, workspace, logdir)
    if unknown := place.unknown_to(backend):
        fail(f"{backend} knows no {' or '.join(unknown)}")
    if dry_run:
        typer.echo(_described("would send", count(folder, backend, place)))
        return
    if find_spec(PACKAGES[backend]) is None:
        fail(f"{backend} is not installed: pip install 'multi-loss-weighting[{backend}]'")
    typer.echo(_described("sent", _sent(folder, backend, place)))


def _sent(folder: Path, backend: str, place: "Place") -> "Summary":
    from loss_dashboard.destinations import send

    try:
        with _progress() as progress:
            return send(folder, backend, place, progress)
    except Exception as error:  # of whatever kind an SDK raises; it tells about the backend
        message = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        fail(f"not all of it was sent, so run this again later ({message[:300]})")


def _described(verb: str, summary: "Summary") -> str:
    if not summary.rows:
        return f"nothing to send: {summary.target} has all rows"
    steps = f"steps {summary.first_step} to {summary.last_step}"
    return f"{verb} {summary.rows} rows ({summary.numbers} numbers, {steps}) to {summary.target}"


@contextmanager
def _progress() -> Iterator["Progress"]:
    """A bar on the terminal, gone when it is full."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("sending")
        yield lambda done, total: bar.update(task, completed=done, total=total)
