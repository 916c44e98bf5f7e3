"""What a step costs with a method, in steps of the plain sum, for one network alone."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from .methods import METHODS
from .problems import PROBLEMS
from .stack import WeighedStack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK = 20
"""Steps that are timed at once; what measures gradients now and then does so twice in them."""

_BLOCKS = 8


@dataclass(frozen=True)
class Cost:
    """What is to be timed."""

    problem: str
    method: str

    def key(self) -> dict[str, Any]:
        """All that its numbers depend on, apart from the machine."""
        version = [PROBLEMS[self.problem].version, METHODS[self.method].version]
        return {**asdict(self), "version": version, "what": "cost"}


def measure(cost: Cost) -> dict[str, float]:
    """Time blocks of steps in turn with those of the plain sum; the fastest one of each counts.

    What else a machine does makes blocks slower, never faster.
    """
    runs = [_run(cost.problem, "plain"), _run(cost.problem, cost.method)]
    times = [[next(run) for run in runs] for _ in range(_BLOCKS + 1)][1:]
    plain, own = (min(column) / BLOCK for column in zip(*times, strict=True))
    return {"ratio": own / plain, "ms": 1000 * own, "plain_ms": 1000 * plain}


def _run(name: str, method: str) -> Iterator[float]:
    problem = PROBLEMS[name]
    task = problem.make([0])
    stack = WeighedStack(problem, METHODS[method], [0], task.shared, {})
    learned = {"params": [*stack.parameters()]}
    networks = {"params": [*task.parameters]}
    optimizer = torch.optim.Adam([networks, learned], lr=problem.rates[0], fused=True)

    def train(step: int) -> None:
        losses = torch.stack([*task.losses(step).values()], dim=1)
        optimizer.zero_grad()
        stack.total(losses, step).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return _timed(train)


def _timed(train: Callable[[int], None]) -> Iterator[float]:
    step = 0
    while True:
        began = time.process_time()
        for step in range(step, step + BLOCK):  # noqa: B020
            train(step)
        step += 1
        yield time.process_time() - began
