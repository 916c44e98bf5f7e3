"""Weights that you give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from loss_loggers import Run, read_run
from loss_loggers.arguments import checked, checked_kind

from ._base import Weighted, weighted_sum

if TYPE_CHECKING:
    from os import PathLike

    from torch import Tensor

    from multi_loss_weighting.statistics._history import History

Schedule = Callable[[int], float]


class StaticWeighting:
    """sum w_i L_i with weights of your own: numbers, or schedules from the step to a number.

    A weight can be set during a run: `weighting["kl"] = 0.5`.

    Args:
        weights: From the name of a loss to its weight; a loss without one has the weight 1.
        **more: The same, by keyword.

    Raises:
        ValueError: If a weight is not finite.

    >>> weighting = StaticWeighting({"recon": 2.0}, kl=lambda step: min(1, step / 1000))
    >>> weighting["recon"] = 1.5
    >>> weighting.weights_at(500, ("recon", "kl", "adv"))
    [1.5, 0.5, 1.0]
    """

    def __init__(
        self, weights: Mapping[str, float | Schedule] | None = None, /, **more: float | Schedule
    ) -> None:
        self._weights: dict[str, float | Schedule] = {}
        if weights is not None:
            checked_kind(weights, Mapping, "weights")
        for name, weight in {**(weights or {}), **more}.items():
            self[name] = weight

    @classmethod
    def from_run(
        cls, path: str | PathLike[str], *, scope: str = "", start: int = 0
    ) -> StaticWeighting:
        """The mean weights of a recorded run, frozen.

        For a run with weights that moved, of which one wants to know whether their mean does as
        well: it costs nothing, and the objective stays the same for the whole training.

        Args:
            path: The folder of the run, as `CsvLogger` wrote it.
            scope: The scope of the group whose weights to take.
            start: The first step that counts.

        Raises:
            FileNotFoundError: If there is no run.
            ValueError: If it has no weights of that group.

        >>> from tempfile import TemporaryDirectory
        >>> from loss_loggers import CsvLogger
        >>> from multi_loss_weighting import LossGroup
        >>> with TemporaryDirectory() as folder:
        ...     with CsvLogger(f"{folder}/warm") as logger:
        ...         moving = StaticWeighting(kl=lambda step: step / 4)
        ...         group = LossGroup(["recon", "kl"], logger, weighting=moving)
        ...         for step in range(5):
        ...             group.record({"recon": 1.0, "kl": 2.0})
        ...     StaticWeighting.from_run(logger.path).hyperparams()
        {'weights': {'recon': 1.0, 'kl': 0.5}}
        """
        weights = _mean_weights(read_run(path), scope, start)
        if not weights:
            whose = f" of the scope {scope!r}" if scope else ""
            msg = f"path must be a run with weights{whose} from step {start} on, got {path!s}"
            raise ValueError(msg)
        return cls(weights)

    def __getitem__(self, name: str) -> float | Schedule:
        return self._weights.get(name, 1.0)

    def __setitem__(self, name: str, weight: float | Schedule) -> None:
        self._weights[name] = weight if callable(weight) else _checked(weight, name)

    @property
    def has_schedule(self) -> bool:
        """Whether one of the weights is a function of the step."""
        return any(map(callable, self._weights.values()))

    def weights_at(self, step: int, names: tuple[str, ...]) -> list[float]:
        """The weights of the losses `names` at a step.

        Raises:
            ValueError: If a schedule gives a weight that is not finite.
        """
        weights: list[Any] = [self._weights.get(name, 1.0) for name in names]
        for index, weight in enumerate(weights):
            if callable(weight):
                weights[index] = _checked(weight(step), f"{names[index]} at step {step}")
        return weights

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times their weights at this step.

        Raises:
            ValueError: If there is a weight for a loss that the group does not have, and no other
                can come, or a schedule gives a weight that is not finite.
        """
        names = history.names
        if history.are_given and not self._weights.keys() <= set(names):
            unknown = ", ".join(name for name in self._weights if name not in names)
            msg = f"weights must be of the losses {', '.join(names)}, got weights for {unknown}"
            raise ValueError(msg)
        return weighted_sum(losses, self.weights_at(history.step, names))

    def hyperparams(self) -> dict[str, Any]:
        """The weights; a schedule is just called that."""
        weights = {
            name: "schedule" if callable(weight) else weight
            for name, weight in self._weights.items()
        }
        return {"weights": weights}

    def state_dict(self) -> dict[str, float]:
        """The weights that are numbers; schedules are code."""
        return {name: weight for name, weight in self._weights.items() if not callable(weight)}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take over the numbers of `state_dict()`; a schedule stays.

        Raises:
            TypeError: If it is no mapping; nothing has changed.
            ValueError: If a weight is no finite number.
        """
        self._weights |= {
            name: _checked(weight, name)
            for name, weight in checked_kind(state, Mapping, "state").items()
            if not callable(self[name])
        }


def goes_by_step(weighting: object) -> bool:
    """Whether the weights may change with the step alone; one of the user's may do so."""
    if type(weighting) is StaticWeighting:
        return weighting.has_schedule
    return not type(weighting).__module__.startswith("multi_loss_weighting.")


def _mean_weights(run: Run, scope: str, start: int) -> dict[str, float]:
    """The mean weight of each loss of a scope, from a step on."""
    settings = run.info.get("hyperparameters", {})
    scopes = [key.removesuffix("weighting") for key in settings if key.endswith("/weighting")]
    prefix = f"{scope}/" if scope else ""
    weights = {}
    # The settings have the losses in order, but for those that came later.
    for label in dict.fromkeys([*settings.get("losses", ()), *run.names]):
        is_other = not scope and label.startswith(tuple(scopes))
        if is_other or not label.startswith(prefix) or label not in run.names:
            continue
        rows = run[label]
        used = rows["weight"][rows["step"] >= start]
        used = used[np.isfinite(used)]
        if len(used):
            weights[label.removeprefix(prefix)] = float(used.mean())
    return weights


def _checked(weight: float, name: str) -> float:
    return float(checked(weight, math.isfinite, f"the weight of {name}", "a finite number"))
