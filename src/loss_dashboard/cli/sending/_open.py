"""Open a run of each backend for what is sent later, and end it if it was made for that."""

from __future__ import annotations

import sys
from contextlib import contextmanager, redirect_stdout
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from loss_dashboard.runs.run_json import shown_info
from loss_loggers.text import printable

from ._known import known_mlflow_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loss_loggers import Logger

    from ._place import Place


@contextmanager
def opened(backend: str, folder: Path, place: Place) -> Iterator[Logger]:
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
    run_id = place.run_id or known_mlflow_run(client, folder, place.experiment)
    run_id = run_id or _new_mlflow_run(client, folder, place.experiment or "Default")
    yield MLflowLogger(run_id, client)
    if _MADE_HERE in client.get_run(run_id).data.tags:
        info = shown_info(folder)
        status = "FINISHED" if info.get("state") == "finished" else "FAILED"
        client.set_terminated(run_id, status, _milliseconds(info.get("end")))


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
    numbered = (f"{wanted}-{number}" for number in count(2))
    return next(name for name in chain([wanted], numbered) if name not in taken)


def _tensorboard(place: Place) -> Iterator[Logger]:
    from torch.utils.tensorboard import SummaryWriter

    from loss_loggers import TensorBoardLogger

    with SummaryWriter(place.logdir) as writer:
        yield TensorBoardLogger(writer)
