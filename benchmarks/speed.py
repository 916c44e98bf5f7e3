"""What tracking and weighing K losses costs on the CPU, side by side with others.

    python benchmarks/speed.py             a minute
    python benchmarks/speed.py --quick     some seconds, to see that it runs

All contestants run in this process, in interleaved rounds (A B C A B C ...), so that whatever else
the machine does hits them alike. A time is the median over the rounds; a ratio is the median of
the ratios within each round.
"""

from __future__ import annotations

import argparse
import os
import platform
import warnings
from itertools import cycle, islice
from math import isnan, nan
from pathlib import Path
from statistics import median
from time import get_clock_info, perf_counter, process_time
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from multi_loss_weighting import CoVWeighting, LossGroup, LossTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contestants import Losses, Step, contestants
else:  # beside a script, modules go by their bare names
    from contestants import Losses, Step, contestants

COUNTS = (1, 3, 32, 256)
FLAT = 1.25
"""How much dearer an old loss may be than a young one before we call it growth, not noise."""

Times = dict[str, list[float]]
Row = list[str]


class Effort(NamedTuple):
    """How long to measure: rounds, seconds per contestant and round, and the ages to look at."""

    rounds: int
    seconds: float
    ages: tuple[int, ...]


FULL = Effort(21, 0.015, (10, 1_000, 100_000, 1_000_000))
QUICK = Effort(3, 0.0002, (10, 100, 1_000, 2_000))


class Ratio(NamedTuple):
    """Two contestants, and what the time of the first over that of the second should be."""

    label: str
    above: str
    below: str
    at_most: float = 0
    at_least: Mapping[int, float] = {}

    def cell(self, ratio: float, count: int) -> str:
        if self.at_most:
            return f"{ratio:.2f} {verdict(ratio <= self.at_most)} (<= {self.at_most:g})"
        if count in self.at_least:
            least = self.at_least[count]
            return f"{ratio:.2f} {verdict(ratio >= least)} (>= {least:g})"
        return f"{ratio:.2f}"


COV = {3: 3, 32: 4, 256: 5}
RATIOS = (
    Ratio("LossTracker / floor, weight 1", "LossTracker, weight 1", "item, Welford", 4),
    Ratio("LossTracker / floor, weight 0.5", "LossTracker, weight 0.5", "item, Welford, x 0.5", 4),
    Ratio("CoV: published / ours", "published, CoV", "LossGroup, CoV", at_least=COV),
    Ratio(
        "CoV: published / ours, + backward",
        "published, CoV + backward",
        "LossGroup, CoV + backward",
    ),
    Ratio("automatic: published / ours", "published, automatic", "LossGroup, automatic"),
    Ratio(
        "automatic: published / ours, + backward",
        "published, automatic + backward",
        "LossGroup, automatic + backward",
    ),
    Ratio("MeanMetric / LossTracker", "torchmetrics MeanMetric", "LossTracker, weight 1"),
    Ratio("RunningMean / LossTracker", "torchmetrics RunningMean(100)", "LossTracker, weight 1"),
)


def verdict(is_reached: bool) -> str:
    return "reached" if is_reached else "MISSED"


# Measuring.

# The time that this process had is not lengthened by others that it had to wait for; some systems
# count it too coarsely.
clock = process_time if get_clock_info("process_time").resolution < 1e-6 else perf_counter


def make_losses(count: int, steps: int = 8) -> list[Losses]:
    """Losses that carry gradients and change from step to step. Backward ends at them."""
    generator = torch.Generator().manual_seed(count)
    every = []
    for _ in range(steps):
        values = torch.rand(count, generator=generator) + 0.5
        tensors = [value.clone().requires_grad_() for value in values]
        every.append(Losses(tensors, {f"loss{i}": loss for i, loss in enumerate(tensors)}))
    return every


def seconds_for(step: Step, data: list[Losses], calls: int) -> float:
    losses_of_each_call = list(islice(cycle(data), calls))
    start = clock()
    for losses in losses_of_each_call:
        step(losses)
    return clock() - start


def race(steps: Mapping[str, Step], count: int, effort: Effort) -> Times:
    """Microseconds per step of each contestant, one number a round."""
    data = make_losses(count)
    calls = {}
    for name, step in steps.items():
        seconds_for(step, data, 3)
        calls[name] = max(1, int(effort.seconds / seconds_for(step, data, 3) * 3))
    times: Times = {name: [] for name in steps}
    for _ in range(effort.rounds):
        for name, step in steps.items():
            seconds_for(step, data, calls[name] // 4)  # what it needs is in the caches again
            times[name].append(seconds_for(step, data, calls[name]) / calls[name] * 1e6)
    return times


def median_ratio(above: list[float], below: list[float]) -> float:
    return median(one / other for one, other in zip(above, below, strict=True))


# Growing old: the same loss after ten updates and after a million.


class Subject(NamedTuple):
    """A tracker or a group, how many losses it has, and which shape of them it takes."""

    make: Callable[[], Any]
    size: int
    pick: Callable[[Losses], Any]

    def step(self, one: Any) -> Step:
        update, pick = one.update, self.pick
        return lambda losses: update(pick(losses), do_backwards=False)


SUBJECTS = {
    "LossTracker": Subject(lambda: LossTracker("loss0"), 1, lambda losses: losses.tensors[0]),
    "LossGroup, CoV, K=3": Subject(
        lambda: LossGroup(weighting=CoVWeighting()), 3, lambda losses: losses.named
    ),
}


def resident_kib() -> float:
    """Memory of this process; nan on a system that does not say it as Linux does."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return nan
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def grow(subject: Subject, ages: tuple[int, ...]) -> tuple[dict[int, Any], float]:
    """The state at each age, and by how many KiB memory grew from the second age to the last."""
    one, data = subject.make(), make_losses(subject.size)
    states, memory, reached = {}, [], 0
    for age in ages:
        for losses in islice(cycle(data), age - reached):
            one.update(subject.pick(losses), do_backwards=False)
        reached = age
        memory.append(resident_kib())
        states[age] = one.state_dict()
    return states, memory[-1] - memory[1]


def race_of_ages(
    subject: Subject, states: Mapping[int, Any], rounds: int, window: int = 100
) -> Times:
    """Microseconds per update for the `window` updates that follow each age."""
    data = make_losses(subject.size)
    times: Times = {f"{age:,}": [] for age in states}
    for _ in range(rounds * 10):
        for age, state in states.items():
            one = subject.make()
            one.load_state_dict(state)
            seconds = seconds_for(subject.step(one), data, window)
            times[f"{age:,}"].append(seconds / window * 1e6)
    return times


# Showing.


def time_rows(sections: Mapping[str, Mapping[str, Any]], times: Mapping[int, Times]) -> list[Row]:
    rows = []
    for section, names in sections.items():
        rows.append([section.upper(), *("" for _ in COUNTS)])
        rows += [[name, *(f"{median(times[k][name]):.1f}" for k in COUNTS)] for name in names]
    return rows


def ratio_rows(times: Mapping[int, Times]) -> list[Row]:
    known = times[COUNTS[0]]
    return [
        [
            ratio.label,
            *(
                ratio.cell(median_ratio(times[k][ratio.above], times[k][ratio.below]), k)
                for k in COUNTS
            ),
        ]
        for ratio in RATIOS
        if {ratio.above, ratio.below} <= set(known)
    ]


def age_row(name: str, effort: Effort) -> Row:
    states, kib = grow(SUBJECTS[name], effort.ages)
    times = list(race_of_ages(SUBJECTS[name], states, effort.rounds).values())
    ratio = median_ratio(times[-1], times[0])
    return [
        name,
        *(f"{median(time):.1f}" for time in times),
        f"{ratio:.2f} {verdict(ratio <= FLAT)} (<= {FLAT:g})",
        "unknown here" if isnan(kib) else f"{kib:.0f} {verdict(kib < 1024)} (< 1024)",
    ]


def table(header: Row, rows: list[Row], markdown: bool) -> str:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    between, edge = (" | ", "|") if markdown else ("  ", "")
    rule = ["-" * width for width in widths]
    lines = []
    for first, *others in [header, rule, *rows]:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append(f"{edge} {between.join(cells)} {edge}".strip())
    return "\n".join(lines)


def environment(rounds: int) -> str:
    return (
        f"torch {torch.__version__}, {torch.get_num_threads()} thread on {os.cpu_count()} CPUs,"
        f" Python {platform.python_version()}, {platform.system()} {platform.machine()};"
        f" {rounds} rounds"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="see that it runs; numbers are noise")
    parser.add_argument("--markdown", action="store_true", help="tables for a README")
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    torch.set_num_threads(1)
    # Nothing here steps an optimizer.
    warnings.filterwarnings("ignore", message=".*have not moved")

    print(environment(effort.rounds))
    ages = [age_row(name, effort) for name in SUBJECTS]
    sections = contestants()
    times = {}
    for count in COUNTS:
        steps = {name: make(count) for makers in sections.values() for name, make in makers.items()}
        times[count] = race(steps, count, effort)

    columns = [f"K={count}" for count in COUNTS]
    for header, rows in (
        (["microseconds per step", *columns], time_rows(sections, times)),
        (["ratio", *columns], ratio_rows(times)),
        (
            [
                "microseconds from step",
                *(f"{age:,}" for age in effort.ages),
                "last / first",
                "grown, KiB",
            ],
            ages,
        ),
    ):
        print(f"\n{table(header, rows, options.markdown)}")


if __name__ == "__main__":
    main()
