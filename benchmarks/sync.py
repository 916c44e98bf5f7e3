"""What `sync` costs for a long run, beside the best direct call for the same rows.

    python benchmarks/sync.py                100,000 rows of 3 losses: some minutes
    python benchmarks/sync.py --rows 5000    half a minute, to see that it runs

The direct calls are one event a row for TensorBoard, and for MLflow on SQLite batches of 100 rows,
from rows that are in memory. `sync` reads them from the record and writes down after each batch how
far it is. Both are measured as the CPU time of the process, in turns, each time into a new place; a
ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from loss_loggers import CsvLogger, MLflowLogger, TensorBoardLogger, sync

if TYPE_CHECKING:
    from collections.abc import Callable

    from loss_loggers import Row

LIMIT = 1.3
"""How many times the direct call `sync` may cost."""

STATISTICS = ("loss", "weight", "weighted", "mean", "std", "cov", "block_mean", "block_std")
NAMES = [f"{statistic}/{loss}" for loss in "abc" for statistic in STATISTICS]
BATCH = 100


def rows(count: int) -> list[Row]:
    return [
        (step, 1.5e9 + step, {name: (step + place) / 7 for place, name in enumerate(NAMES)})
        for step in range(count)
    ]


def cpu_seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def tensorboard(folder: Path, run: Path, known: list[Row]) -> tuple[float, float]:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from torch.utils.tensorboard import SummaryWriter

    def direct() -> None:
        with SummaryWriter(str(folder / "direct")) as writer:
            file = writer._get_file_writer()
            for step, moment, metrics in known:
                values = [Summary.Value(tag=n, simple_value=v) for n, v in metrics.items()]
                file.add_summary(Summary(value=values), step, moment)

    def ours() -> None:
        with SummaryWriter(str(folder / "ours")) as writer:
            sync(run, TensorBoardLogger(writer))

    return cpu_seconds(direct), cpu_seconds(ours)


def mlflow(folder: Path, run: Path, known: list[Row]) -> tuple[float, float]:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client: Any = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    first, second = (client.create_run("0").info.run_id for _ in range(2))

    def direct() -> None:
        for start in range(0, len(known), BATCH):
            batch = [
                Metric(name, value, int(moment * 1000), step)
                for step, moment, metrics in known[start : start + BATCH]
                for name, value in metrics.items()
            ]
            client.log_batch(first, metrics=batch, synchronous=True)

    return cpu_seconds(direct), cpu_seconds(lambda: sync(run, MLflowLogger(second, client)))


def measure(count: int, rounds: int) -> None:
    known = rows(count)
    print(f"{count:,} rows of {len(NAMES)} numbers, {rounds} rounds; CPU seconds")
    for name, contest in (("TensorBoard", tensorboard), ("MLflow on SQLite", mlflow)):
        pairs = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                with CsvLogger(Path(folder, "run")) as record:
                    record.log_rows(known)
                pairs.append(contest(Path(folder), record.path, known))
        direct, ours = map(median, zip(*pairs, strict=True))
        ratio = median(ours / direct for direct, ours in pairs)
        verdict = "" if ratio <= LIMIT else f"  more than {LIMIT}"
        print(f"{name:<18} direct {direct:8.2f}   sync {ours:8.2f}   {ratio:5.2f} times{verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    measure(options.rows, options.rounds)


if __name__ == "__main__":
    main()
