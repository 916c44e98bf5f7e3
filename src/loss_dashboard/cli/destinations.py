"""Where a recorded run is sent later: a run of each backend, opened for it and ended after it."""

from __future__ import annotations

import sys
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, fields, replace
from itertools import chain
from itertools import count as count_from
from typing import TYPE_CHECKING, Any

from loss_dashboard.runs.run_json import shown_info
from loss_loggers import sync
from loss_loggers.recording import folder_at
from loss_loggers.sync import alone, has_news, note_of, targets_of
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loss_loggers import Logger, Summary
    from loss_loggers.sync import Progress

PACKAGES = {
    "mlflow": "mlflow",
    "wandb": "wandb",
    "comet": "comet_ml",
    "tensorboard": "tensorboard",
    "trackio": "trackio",
}
"""What is imported for each backend."""

_OPTIONS = {
    "mlflow": ("run_id", "uri", "experiment"),
    "wandb": ("run_id", "project", "entity"),
    "comet": ("run_id", "project", "workspace"),
    "tensorboard": ("logdir",),
    "trackio": ("run_id", "project"),
}


@dataclass(frozen=True)
class Place:
    """Which run of a backend, or where a new one is made; None for what the backend would choose.

    Attributes:
        run_id: A run that is there already.
    """

    run_id: str | None = None
    uri: str | None = None
    experiment: str | None = None
    project: str | None = None
    entity: str | None = None
    workspace: str | None = None
    logdir: str | None = None

    def unknown_to(self, backend: str) -> list[str]:
        """The options that were given and mean nothing to this backend."""
        names = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        return [f"--{name.replace('_', '-')}" for name in names if name not in _OPTIONS[backend]]


class GoneError(LookupError):
    """What rows of this folder went to is no longer there; the message says how to go on."""

    def __init__(self, folder: Path, target: str, how: str) -> None:
        note = note_of(folder, target)
        super().__init__(f"{target} {how}: remove {note} to send all of the run again")


class _Nowhere:
    """What is counted for a run that is not opened."""

    def __init__(self, target: str) -> None:
        self.target = target

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        """Never called."""


def count(folder: Path, backend: str, place: Place, *, everything: bool = False) -> Summary:
    """What would be sent, without asking the backend."""
    return sync(
        folder,
        _nowhere(backend, _known(folder, backend, place)),
        dry_run=True,
        everything=everything,
    )


def send(
    folder: Path, backend: str, place: Place, progress: Progress, *, everything: bool = False
) -> Summary:
    """Send what the backend lacks, to the run that it has of this folder or to a new one."""
    # One at a time, or each would make a new run.
    with alone(folder / f".sync-{backend}.lock", backend):
        if backend == "mlflow":
            known = place  # it is asked which run it has, and that leaves nothing there
        else:
            known = _known(folder, backend, place)
            nowhere = _nowhere(backend, known)
            if not has_news(folder, nowhere, everything=everything):
                return sync(folder, nowhere, dry_run=True, everything=everything)
        with destination(backend, folder, known) as logger:
            return sync(folder, logger, everything=everything, progress=progress)


def _known(folder: Path, backend: str, place: Place) -> Place:
    """The place, with the run to which rows of this folder went before unless it names another."""
    names = _names(folder, backend)
    if backend == "tensorboard":
        # Beside the record it has the name of the run in TensorBoard.
        logdir = folder_at(place.logdir or folder / (names[-1] if names else ""))
        target = f"{backend} {logdir}"
        if (note_of(folder, target) / "sent.json").exists() and not any(logdir.glob("*tfevents*")):
            raise GoneError(folder, target, "has no events any more")
        return replace(place, logdir=str(logdir))
    # W&B's names are paths, "entity/project/id", and Trackio's "project/name".
    fitting = [name for name in names if f"/{name}".endswith(f"/{place.run_id or name}")]
    parts = -1 if backend == "wandb" else 1  # a run of Trackio may have any name
    fitting = [name for name in fitting if _is_in(place, *name.split("/", parts)[:-1])]
    return replace(place, run_id=fitting[-1]) if fitting else place


def _names(folder: Path, backend: str) -> list[str]:
    """What rows of this folder went to before, the latest last."""
    targets = [target.partition(" ") for target in targets_of(folder)]
    return [name for kind, _, name in targets if kind == backend]


def _is_in(place: Place, *path: str) -> bool:
    """Whether a run with this path, which Comet has not, is where the options say."""
    wanted = [place.entity, place.project][-len(path) :] if path else []
    return all(one in (None, known) for one, known in zip(wanted, path, strict=True))


_NEW = "(a new run)"


def _nowhere(backend: str, known: Place) -> _Nowhere:
    return _Nowhere(f"{backend} {known.logdir or known.run_id or _NEW}")


@contextmanager
def destination(backend: str, folder: Path, place: Place) -> Iterator[Logger]:
    """A logger to a run of the backend that is open; one that was made for this is then ended."""
    if backend == "mlflow":
        yield from _mlflow(folder, place)
    elif backend == "wandb":
        yield from _wandb(folder, place)
    elif backend == "comet":
        yield from _comet(folder, place)
    elif backend == "trackio":
        yield from _trackio(folder, place)
    else:
        yield from _tensorboard(place)


def _mlflow(folder: Path, place: Place) -> Iterator[Logger]:
    from mlflow import MlflowClient

    from loss_loggers import MLflowLogger

    client = MlflowClient(place.uri)
    run_id = place.run_id or _known_mlflow_run(client, folder, place.experiment)
    run_id = run_id or _new_mlflow_run(client, folder, place.experiment or "Default")
    yield MLflowLogger(run_id, client)
    if _MADE_HERE in client.get_run(run_id).data.tags:
        info = shown_info(folder)
        status = "FINISHED" if info.get("state") == "finished" else "FAILED"
        client.set_terminated(run_id, status, _milliseconds(info.get("end")))


def _known_mlflow_run(client: Any, folder: Path, experiment: str | None) -> str | None:
    """The run to which rows of this folder went before, if this server has it: the latest."""
    from mlflow.exceptions import MlflowException

    for run_id in reversed(_names(folder, "mlflow")):
        try:
            info = client.get_run(run_id).info
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue  # it is on another server
        if experiment in (None, client.get_experiment(info.experiment_id).name):
            if info.lifecycle_stage == "deleted":
                raise GoneError(folder, f"mlflow {run_id}", "was deleted")
            return run_id
    return None


def _new_mlflow_run(client: Any, folder: Path, experiment: str) -> str:
    known = client.get_experiment_by_name(experiment)
    experiment_id = known.experiment_id if known else client.create_experiment(experiment)
    info = shown_info(folder)
    # A file may say anything, and the id becomes a part of a query.
    tags = {_MADE_HERE: str(folder), _RUN: "".join(filter(str.isalnum, str(info.get("id"))))}
    # One that was killed as soon as it had made its run left a run that nobody knows.
    for run in client.search_runs([experiment_id], f"tags.`{_RUN}` = '{tags[_RUN]}'"):
        if run.data.tags.get(_MADE_HERE) == tags[_MADE_HERE]:
            return str(run.info.run_id)
    run = client.create_run(
        experiment_id, _milliseconds(info.get("start")), tags, printable(folder.name)
    )
    return str(run.info.run_id)


_MADE_HERE, _RUN = "loss_loggers.run_folder", "loss_loggers.run_id"


def _milliseconds(seconds: float | None) -> int | None:
    """A time of `run.json` as MLflow takes it."""
    return None if seconds is None else int(seconds * 1000)


def _wandb(folder: Path, place: Place) -> Iterator[Logger]:
    import wandb

    from loss_loggers import WandbLogger

    # A run that is known by its path, "entity/project/id", or by its id alone.
    *path, run_id = (place.run_id or "").split("/")
    project = place.project or (path[-1] if path else None)
    entity = place.entity or (path[-2] if len(path) > 1 else None)
    name = None if run_id else printable(folder.name)
    with wandb.init(
        project=project, entity=entity, id=run_id or None, name=name, resume="allow"
    ) as run:
        yield WandbLogger(run)


def _comet(folder: Path, place: Place) -> Iterator[Logger]:
    import comet_ml

    from loss_loggers import CometLogger

    experiment = comet_ml.start(
        workspace=place.workspace,
        project_name=place.project,
        experiment_key=place.run_id,
        # It is a copy of another process: what this one does is of no interest.
        experiment_config=comet_ml.ExperimentConfig(
            name=None if place.run_id else printable(folder.name),
            auto_metric_logging=False,
            auto_output_logging="",
            auto_param_logging=False,
            display_summary_level=0,
            log_code=False,
            log_env_details=False,
            log_git_metadata=False,
        ),
    )
    try:
        yield CometLogger(experiment)
    finally:
        experiment.end()


def _trackio(folder: Path, place: Place) -> Iterator[Logger]:
    import trackio

    from loss_loggers import TrackioLogger

    *path, name = (place.run_id or "").split("/", 1)
    project = place.project or (path[0] if path else "losses")
    name = name or _new_trackio_name(project, printable(folder.name))
    with redirect_stdout(sys.stderr):  # it talks
        run = trackio.init(
            project, name, resume="allow", embed=False, auto_log_gpu=False, auto_log_cpu=False
        )
    try:
        yield TrackioLogger(run)
    finally:
        with redirect_stdout(sys.stderr):
            trackio.finish()


def _new_trackio_name(project: str, wanted: str) -> str:
    """A name that no run of the project has: a run is found again by its name."""
    from trackio.sqlite_storage import SQLiteStorage

    taken = SQLiteStorage.get_runs(project)
    numbered = (f"{wanted}-{number}" for number in count_from(2))
    return next(name for name in chain([wanted], numbered) if name not in taken)


def _tensorboard(place: Place) -> Iterator[Logger]:
    from torch.utils.tensorboard import SummaryWriter

    from loss_loggers import TensorBoardLogger

    with SummaryWriter(place.logdir) as writer:
        yield TensorBoardLogger(writer)
