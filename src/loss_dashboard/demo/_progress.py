"""What a training run shows while it runs: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from multi_loss_weighting import LossGroup

    Show = Callable[[int, str], None]


@contextmanager
def progress(steps: int, console: Console) -> Iterator[Callable[[int, LossGroup], None]]:
    """A function to call after each step, with the steps done and the group they updated."""
    on_terminal = console.is_terminal and not console.is_dumb_terminal
    started = 0.0
    with (_bar if on_terminal else _lines)(steps, console) as show:

        def after_step(done: int, group: LossGroup) -> None:
            # From the second step on: the first one pays for what torch loads late.
            nonlocal started
            started = started or time.perf_counter()
            speed = (done - 1) / (time.perf_counter() - started)
            show(done, f"{describe(group)}  {speed:.0f} steps/s")

        yield after_step


def describe(group: LossGroup) -> str:
    """Each loss of this step and its weight, on one line."""
    weights = group.weights
    return "  ".join(f"{name} {group[name].value:.3f} x{weights[name]:.2f}" for name in weights)


@contextmanager
def _bar(steps: int, console: Console) -> Iterator[Show]:
    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, expand=True) as bar:
        task = bar.add_task("", total=steps)
        yield lambda done, text: bar.update(task, completed=done, description=text)


@contextmanager
def _lines(steps: int, console: Console) -> Iterator[Show]:
    every = max(1, steps // 10)

    def show(done: int, text: str) -> None:
        if done % every == 0:
            line = f"{done:>{len(str(steps))}}/{steps}  {text}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    yield show
