"""One fit: the networks of some seeds, trained with one method at one learning rate."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .methods import METHODS
from .predictor import Observer
from .problems import PROBLEMS, InParts, Task
from .stack import WeighedStack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loss_loggers import Advice

CHECKPOINTS = 8
"""At so many points of a fit, evenly spaced, the metric is known; the last one is the end."""

REPEATS = 3
"""At the end it is the geometric mean of so many values, since a constant rate leaves noise."""

APART = 0.01
"""The part of a fit between two of these values."""

_SAMPLES = 100
"""So many times in a fit the weights are looked at for their mean."""


@dataclass(frozen=True)
class Fit:
    """What is to be trained. Adam at a constant rate, nothing decays, float32."""

    problem: str
    method: str
    rate: float
    seeds: tuple[int, ...]
    steps: int
    weights: tuple[tuple[str, float], ...] = ()
    """Of a constant; others have none."""

    def key(self) -> dict[str, Any]:
        """All that its numbers depend on."""
        version = [PROBLEMS[self.problem].version, METHODS[self.method].version]
        return {**asdict(self), "version": version}


def train(fit: Fit) -> dict[str, Any]:
    """The numbers of a fit; every list has one entry a seed, a curve one list a checkpoint."""
    problem, method = PROBLEMS[fit.problem], METHODS[fit.method]
    task = problem.make(fit.seeds)
    stack = WeighedStack(problem, method, fit.seeds, task.shared, dict(fit.weights))
    learned = {"params": [*stack.parameters()]}
    networks = {"params": [*task.parameters]}
    optimizer = torch.optim.Adam([networks, learned], lr=fit.rate, fused=True)
    observer = Observer(problem.losses) if fit.method == "plain" else None
    start, curve, seen = task.metric(), Curve(fit.steps), []
    began = time.process_time()
    for step in range(fit.steps):
        losses = torch.stack([*task.losses(step).values()], dim=1)
        if observer is not None:
            observer.look(losses, task.shared, step)
        optimizer.zero_grad()
        stack.total(losses, step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        curve.after(step, task, stack.stopped)
        if step % max(1, fit.steps // _SAMPLES) == 0:
            seen.append(stack.weights())
    return {
        "seconds": time.process_time() - began,
        "start": start.tolist(),
        "curve": curve.points().tolist(),
        "collapsed": task.collapsed().tolist(),
        "parts": _parts(task),
        "nonfinite": stack.nonfinite(),
        "losses": _by_name(problem.losses, losses.detach().mT),
        "weights": _by_name(problem.losses, torch.stack(seen).mean(dim=0).mT),
        "last_weights": _by_name(problem.losses, stack.weights().mT),
        "advice": None if observer is None else _told(observer.advice()),
    }


class Curve:
    """The metric at the checkpoints of a fit of so many steps."""

    def __init__(self, steps: int) -> None:
        parts = [[point / CHECKPOINTS] for point in range(1, CHECKPOINTS)]
        parts.append([1 - APART * repeat for repeat in range(REPEATS)])
        self._steps = [[max(1, round(steps * part)) for part in point] for point in parts]
        self._due = {step for steps in self._steps for step in steps}
        self._values: dict[int, Tensor] = {}

    def after(self, step: int, task: Task, stopped: Tensor) -> None:
        """Take in what a task has reached after a step: nan for a seed that has stopped."""
        if step + 1 in self._due:
            self._values[step + 1] = task.metric().double().masked_fill(stopped, math.nan)

    def points(self) -> Tensor:
        """The geometric means, [checkpoints, seeds]."""
        rows = [
            torch.stack([self._values[step] for step in steps]).log().mean(dim=0)
            for steps in self._steps
        ]
        return torch.stack(rows).exp()


def _by_name(names: tuple[str, ...], rows: Tensor) -> dict[str, list[float]]:
    return dict(zip(names, rows.tolist(), strict=True))


def _parts(task: Task) -> dict[str, list[float]]:
    """What the metric is the mean of, at the end; empty where it is one thing."""
    if not isinstance(task, InParts):
        return {}
    return {name: part.tolist() for name, part in task.parts().items()}


def _told(advice: Advice) -> Mapping[str, Any]:
    return {
        "sentences": advice.sentences,
        "finding": advice.finding,
        "advice": advice.advice,
        "is_sure": advice.is_sure,
        "agreement": advice.agreement,
        "ratio": advice.ratio,
        "ratio_of_one_size": advice.ratio_of_one_size,
        "least_cosine": min(advice.cosines.values(), default=0.0),
    }
