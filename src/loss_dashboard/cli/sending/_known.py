"""To which run of a backend rows of a run folder went before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loss_loggers.recording import folder_at
from loss_loggers.sync import note_of, targets_of

if TYPE_CHECKING:
    from pathlib import Path

    from ._place import Place


class GoneError(LookupError):
    """What rows of this folder went to is no longer there; the message says how to go on."""

    def __init__(self, folder: Path, target: str, how: str) -> None:
        note = note_of(folder, target)
        super().__init__(f"{target} {how}: remove {note} to send all of the run again")


def known_place(folder: Path, backend: str, place: Place) -> Place:
    """The place, with the run to which rows of this folder went before unless it names another."""
    names = names_before(folder, backend)
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


def names_before(folder: Path, backend: str) -> list[str]:
    """What rows of this folder went to before, the latest last."""
    targets = [target.partition(" ") for target in targets_of(folder)]
    return [name for kind, _, name in targets if kind == backend]


def _is_in(place: Place, *path: str) -> bool:
    """Whether a run with this path, which Comet has not, is where the options say."""
    wanted = [place.entity, place.project][-len(path) :] if path else []
    return all(one in (None, known) for one, known in zip(wanted, path, strict=True))


def known_mlflow_run(client: Any, folder: Path, experiment: str | None) -> str | None:
    """The run to which rows of this folder went before, if this server has it: the latest."""
    from mlflow.exceptions import MlflowException

    for run_id in reversed(names_before(folder, "mlflow")):
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
