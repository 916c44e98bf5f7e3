"""What weighing alike on two ranks costs a step: with the reduction, and without it.

    python benchmarks/ranks.py            half a minute
    python benchmarks/ranks.py --quick    some seconds, to see that it runs

Starts two processes on this machine that talk over gloo. Contestants take turns on both of them,
each turn begins with a barrier, and a time is the median over the turns, by the clock on the wall,
since waiting is what there is to measure. The floor is a bare `all_reduce` of as many numbers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import distributed
from torch.multiprocessing.spawn import start_processes

from multi_loss_weighting import AutomaticWeightedLoss, CoVWeighting, LossGroup, ReportSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contestants import Losses, Step
    from benchmarks.speed import environment, make_losses, table
else:  # beside a script, modules go by their bare names
    from speed import environment, make_losses, table

COUNTS = (3, 32, 256)
RANKS = 2


class Effort(NamedTuple):
    """How long to measure; as many rounds and steps as `speed.py` says of itself."""

    rounds: int
    steps: int


FULL, QUICK = Effort(15, 20), Effort(3, 3)


def group(count: int, weighting: object, process_group: object, log_every: int | None) -> Step:
    names = [f"loss{index}" for index in range(count)]
    record = LossGroup(
        names,
        weighting=weighting,  # type: ignore[arg-type]
        report=ReportSettings(process_group=process_group),  # type: ignore[arg-type]
        log_every=log_every,
    ).record
    return lambda losses: record(losses.named)


def bare_reduction(count: int) -> Step:
    sums = torch.ones(5 * count + 1, dtype=torch.float64)
    return lambda _: distributed.all_reduce(sums.fill_(1))


def contestants(count: int) -> dict[str, Step]:
    made: dict[str, Step] = {"bare all_reduce of 5K+1 numbers": bare_reduction(count)}
    weightings: dict[str, Callable[[], object]] = {
        "CoV": CoVWeighting,
        "automatic": lambda: AutomaticWeightedLoss(count),
    }
    for name, make in weightings.items():
        for path, log_every in (("", None), (", accelerator's way", 50)):
            label = f"LossGroup, {name}{path}"
            made[f"{label}, alone"] = group(count, make(), None, log_every)
            made[f"{label}, mean over ranks"] = group(count, make(), "default", log_every)
    return made


def microseconds(step: Step, data: list[Losses], steps: int) -> float:
    every = list(islice(cycle(data), steps))
    distributed.barrier()
    start = perf_counter()
    for losses in every:
        step(losses)
    return (perf_counter() - start) / steps * 1e6


def race(steps: Mapping[str, Step], data: list[Losses], effort: Effort) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(effort.rounds):
        for name, step in steps.items():
            times[name].append(microseconds(step, data, effort.steps))
    return {name: median(its) for name, its in times.items()}


def work(rank: int, meeting: str, effort: Effort, markdown: bool) -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*have not moved")
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=RANKS)
    times = {}
    for count in COUNTS:
        with torch.no_grad():
            times[count] = race(contestants(count), make_losses(count), effort)
    if rank == 0:
        print(f"{RANKS} ranks, gloo; {environment(effort.rounds)}\n")
        rows = [[name, *(f"{times[k][name]:.0f}" for k in COUNTS)] for name in times[COUNTS[0]]]
        print(table(["µs per step", *(f"K={count}" for count in COUNTS)], rows, markdown))
    distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="see that it runs; numbers are noise")
    parser.add_argument("--markdown", action="store_true", help="a table for a README")
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    method = "fork" if sys.platform == "linux" else "spawn"
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "store").as_uri()
        start_processes(  # type: ignore[no-untyped-call]
            work, (meeting, effort, options.markdown), RANKS, start_method=method
        )


if __name__ == "__main__":
    main()
