"""Which run of a backend is meant, as the options of the command say it."""

from __future__ import annotations

from dataclasses import dataclass, fields

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
