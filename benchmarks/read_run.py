"""What `read_run` costs for a long run, beside `pandas.read_csv` of its largest file.

    python benchmarks/read_run.py                1,000,000 lines: a minute
    python benchmarks/read_run.py --lines 4000   some seconds, to see that it runs

Each contestant reads in a process of its own, in turns: CPU seconds, and by how much reading raised
the peak of its memory. A ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from loss_loggers import CsvLogger
from loss_loggers.recording import STATISTICS

READ = """
import resource, sys, time
import {module} as module
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, start = peak(), time.process_time()
data = module.{call}
print(time.process_time() - start, (peak() - before) / 1024)
"""
CONTESTANTS = {
    "read_run": ("loss_loggers", "read_run(sys.argv[1])"),
    "pandas": ("pandas", "read_csv(sys.argv[1] + '/losses.csv')"),
}
LOSSES = "abcd"


def record(folder: Path, lines: int) -> None:
    numbers = random.Random(0).random
    with CsvLogger(folder) as logger:
        for step in range(lines // len(LOSSES)):
            row = {f"{name}/{loss}": numbers() for name in STATISTICS[:8] for loss in LOSSES}
            logger.log_rows([(step, 1.5e9 + step / 81, row)])


def cost(contestant: str, folder: Path) -> tuple[float, float]:
    module, call = CONTESTANTS[contestant]
    code = READ.format(module=module, call=call)
    seconds, megabytes = subprocess.check_output([sys.executable, "-c", code, folder]).split()
    return float(seconds), float(megabytes)


def measure(lines: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        record(Path(name), lines)
        costs = [{one: cost(one, Path(name)) for one in CONTESTANTS} for _ in range(rounds)]
    print(f"{lines:,} lines of {len(STATISTICS[:8])} numbers, {rounds} rounds")
    for one in CONTESTANTS:
        seconds, megabytes = map(median, zip(*(each[one] for each in costs), strict=True))
        print(f"{one:<10} {seconds:6.2f} s {megabytes:6.0f} MB")
    ratios = [
        [ours / theirs for ours, theirs in zip(*each.values(), strict=True)] for each in costs
    ]
    time, memory = map(median, zip(*ratios, strict=True))
    print(f"read_run takes {time:.2f} times the time of pandas, and {memory:.2f} times its memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    measure(options.lines, options.rounds)


if __name__ == "__main__":
    main()
