"""What a step with 30 numbers costs in each backend: directly, with us, off the thread, by others.

    python benchmarks/loggers.py             two minutes
    python benchmarks/loggers.py --quick     half a minute, to see that it runs

Each backend has a process of its own, and is offline or on this machine. Its contestants run in
interleaved rounds (A B C A B C ...), so that whatever else the machine does hits them alike; half
a millisecond lies between two steps, as the network would need it. "thread" is the median time of
a call on the thread that trains, "CPU" what the whole process worked for a step, other threads and
the rest of the delivery with it. A ratio is the median of the ratios within each round.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from loss_loggers import (
    Background,
    CometLogger,
    CsvLogger,
    MLflowLogger,
    Tee,
    TensorBoardLogger,
    WandbLogger,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROW = {
    f"{statistic}/{loss}": 1 / 7 for statistic in ("loss", "weight", "mean") for loss in range(10)
}
PAUSE = 0.0005
ADAPTER = 1.3
"""How many times the best direct call an adapter may cost."""

BACKGROUND = 10.0
"""How many microseconds a row may cost the thread that trains."""

GROWTH = 4096
"""How many KiB 100,000 steps may add to the memory."""

PACKAGES = {
    "TensorBoard": "tensorboard",
    "Comet": "comet_ml",
    "W&B": "wandb",
    "MLflow": "mlflow",
    "CSV": "loss_loggers",
}


class Contestant(NamedTuple):
    """A way to log a row, and to wait until the backend has it."""

    log: Callable[[int], object]
    settle: Callable[[], object] = lambda: None


Contestants = dict[str, Contestant]


class Effort(NamedTuple):
    rounds: int
    steps: int
    memory_steps: int


FULL = Effort(9, 100, 100_000)
QUICK = Effort(2, 5, 5_000)
DIRECT, OURS, OFF_THREAD = "direct", "ours", "ours in Background"


# Who runs.


def ours(logger: Any, *, in_background: bool = True) -> Contestants:
    alone = {OURS: Contestant(lambda step: logger.log_metrics(ROW, step=step))}
    if not in_background:
        return alone
    background = Background(logger)
    off = Contestant(lambda step: background.log_metrics(ROW, step=step), background.flush)
    return alone | {OFF_THREAD: off}


def lightning(logger: Any) -> Contestants:
    return {"Lightning": Contestant(lambda step: logger.log_metrics(ROW, step=step))}


def accelerate(tracker: Any) -> Contestants:
    from accelerate import Accelerator

    Accelerator(cpu=True)  # or its trackers would not know whether this is the main process
    getattr(tracker, "start", lambda: None)()
    return {"Accelerate": Contestant(lambda step: tracker.log(ROW, step=step))}


def tensorboard(folder: Path) -> Contestants:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from torch.utils.tensorboard import SummaryWriter

    writers: Any = [SummaryWriter(str(folder / name)) for name in ("a", "b", "c")]
    direct, mine, many = writers

    def one_summary(step: int) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in ROW.items()]
        direct._get_file_writer().add_summary(Summary(value=values), step)

    def add_scalars(step: int) -> None:
        for name, value in ROW.items():
            many.add_scalar(name, value, step)

    found = {DIRECT: Contestant(one_summary, direct.flush)} | ours(TensorBoardLogger(mine))
    found["30 x add_scalar"] = Contestant(add_scalars, many.flush)
    if find_spec("lightning"):
        from lightning.pytorch.loggers import TensorBoardLogger as Theirs

        found |= lightning(Theirs(folder))
    if find_spec("accelerate"):
        from accelerate.tracking import TensorBoardTracker

        found |= accelerate(TensorBoardTracker("run", folder))
    return found


def comet(folder: Path) -> Contestants:
    os.environ["COMET_OFFLINE_DIRECTORY"] = str(folder)
    import comet_ml

    others: Contestants = {}
    theirs: Any = None
    if find_spec("lightning"):
        from lightning.pytorch.loggers import CometLogger as Theirs

        theirs = Theirs(project="run", online=False)
        theirs.experiment.end()  # it is disabled when it is offline
        others |= lightning(theirs)
    if find_spec("accelerate"):
        from accelerate.tracking import CometMLTracker

        others |= accelerate(CometMLTracker("run", online=False))
    # A process has one experiment, and all of them log to it.
    experiment = comet_ml.start(project_name="run", online=False)
    if theirs:
        theirs._experiment = experiment

    def log(step: int) -> None:
        experiment.log_metrics(ROW, step=step)

    found = {DIRECT: Contestant(log)} | ours(CometLogger(experiment), in_background=False) | others
    return {
        name: contestant._replace(settle=experiment.flush) for name, contestant in found.items()
    }


def wandb(folder: Path) -> Contestants:
    import wandb as sdk

    def run() -> Any:
        return sdk.init(mode="offline", dir=str(folder), reinit="create_new")

    direct = run()
    found = {DIRECT: Contestant(lambda step: direct.log(ROW, step=step))} | ours(WandbLogger(run()))
    if find_spec("lightning"):
        from lightning.pytorch.loggers import WandbLogger as Theirs

        found |= lightning(Theirs(experiment=run()))
    if find_spec("accelerate"):
        from accelerate.tracking import WandBTracker

        found |= accelerate(WandBTracker("run", mode="offline", dir=folder, reinit="create_new"))
    return found


def mlflow(folder: Path) -> Contestants:
    import mlflow as sdk
    from mlflow.entities import Metric

    uri = f"sqlite:///{folder}/mlflow.db"
    sdk.set_tracking_uri(uri)
    client = sdk.MlflowClient(uri)

    def run() -> str:
        return str(client.create_run("0").info.run_id)

    direct = run()

    def log_batch(step: int) -> None:
        now = int(time.time() * 1000)
        batch = [Metric(name, value, now, step) for name, value in ROW.items()]
        client.log_batch(direct, metrics=batch)

    def log_metrics(step: int) -> None:
        sdk.log_metrics(ROW, step=step)

    found = {DIRECT: Contestant(log_batch)} | ours(MLflowLogger(run(), client))
    sdk.start_run(run())
    found["mlflow.log_metrics"] = Contestant(log_metrics)
    if find_spec("lightning"):
        from lightning.pytorch.loggers import MLFlowLogger as Theirs

        found |= lightning(Theirs(tracking_uri=uri, run_id=run()))
    if find_spec("accelerate"):
        from accelerate.tracking import MLflowTracker

        sdk.end_run()
        found["mlflow.log_metrics"] = Contestant(log_metrics)
        found |= accelerate(MLflowTracker("run"))
    return found


def csv(folder: Path) -> Contestants:
    found = ours(CsvLogger(folder / "ours"))
    if find_spec("lightning"):
        from lightning.pytorch.loggers import CSVLogger as Theirs

        found |= lightning(Theirs(folder))
    return found


BACKENDS: dict[str, Callable[[Path], Contestants]] = {
    "TensorBoard": tensorboard,
    "Comet": comet,
    "W&B": wandb,
    "MLflow": mlflow,
    "CSV": csv,
}


# Measuring.


def race(contestants: Contestants, effort: Effort) -> dict[str, dict[str, list[float]]]:
    """Microseconds on the thread and of the processor, for each contestant and round."""
    times: dict[str, dict[str, list[float]]] = {
        name: {"thread": [], "CPU": []} for name in contestants
    }
    for contestant in contestants.values():  # what is made once is made now
        lap(contestant, 0, min(effort.steps, 20))
    for number in range(1, effort.rounds + 1):
        for name, contestant in contestants.items():
            thread, processor = lap(contestant, number * effort.steps, effort.steps)
            times[name]["thread"].append(thread)
            times[name]["CPU"].append(processor)
    return times


def lap(contestant: Contestant, first: int, steps: int) -> tuple[float, float]:
    contestant.settle()
    calls = []
    worked = time.process_time()
    for step in range(first, first + steps):
        start = time.perf_counter()
        contestant.log(step)
        calls.append(time.perf_counter() - start)
        time.sleep(PAUSE)
    contestant.settle()
    return median(calls) * 1e6, (time.process_time() - worked) / steps * 1e6


class Dead:
    """A backend that refuses every connection."""

    def log_rows(self, rows: object) -> None:  # noqa: ARG002
        raise ConnectionRefusedError

    def log_metrics(self, metrics: object, /, *, step: int) -> None:  # noqa: ARG002
        raise ConnectionRefusedError


class Alive(Dead):
    """A backend that is never at a loss."""

    def log_rows(self, rows: object) -> None: ...


# Ten rows between two pauses: without a backend the queue is soon full, and rows go to the file.
MEMORY: dict[str, Callable[[Path, int], Tee]] = {
    "alive": lambda _, rows: Background(Alive(), max_rows=rows),
    "dead": lambda _, rows: Background(Dead(), max_rows=rows),
    "dead, beside a record": lambda folder, rows: Tee(
        CsvLogger(folder / "gan"), Background(Dead(), max_rows=rows)
    ),
}


def grown(logger: Tee, steps: int) -> tuple[float, float]:
    """Microseconds a row, and KiB that the process grew by after the first fifth of the steps."""
    calls, before = [], 0
    for step in range(steps):
        start = time.perf_counter()
        logger.log_metrics(ROW, step=step)
        if step % 10 == 0:
            calls.append(time.perf_counter() - start)
            time.sleep(PAUSE)
        if step == steps // 5:
            before = memory()
    return median(calls) * 1e6, memory() - before


def memory() -> int:
    """The most memory that this process ever had, in KiB; 0 where nobody tells."""
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // 1024 if sys.platform == "darwin" else most


# Showing.


def rows_of(backend: str, times: dict[str, dict[str, list[float]]]) -> Iterator[list[str]]:
    direct = times.get(DIRECT)
    for name, measured in times.items():
        thread, processor = (median(measured[kind]) for kind in ("thread", "CPU"))
        ratio = ""
        if direct:
            pairs = zip(measured["thread"], direct["thread"], strict=True)
            ratio = f"{median(one / other for one, other in pairs):.2f}"
        target = ""
        if name == OURS and direct:
            target = verdict(float(ratio) <= ADAPTER, f"<= {ADAPTER} x direct")
        elif name == OFF_THREAD:
            target = verdict(thread <= BACKGROUND, f"<= {BACKGROUND:g} µs")
        yield [backend, name, f"{thread:.1f}", f"{processor:.0f}", ratio, target]


def verdict(is_reached: bool, target: str) -> str:
    return f"{'reached' if is_reached else 'MISSED'} ({target})"


def table(header: list[str], rows: list[list[str]], *, markdown: bool) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    between, edge = (" | ", "|") if markdown else ("  ", "")
    lines = []
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [
            cell.rjust(width) if 2 <= index <= 4 else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"{edge} {between.join(cells)} {edge}".strip())
    return "\n".join(lines)


# Processes.


def measured_elsewhere(backend: str, effort: Effort) -> Any:
    """What a process of its own measured."""
    command = [sys.executable, __file__, "--measure", backend, *map(str, effort)]
    quiet = {
        "COMET_DISABLE_AUTO_LOGGING": "1",
        "COMET_LOGGING_CONSOLE": "error",
        "WANDB_SILENT": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **quiet},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{backend} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(what: str, effort: Effort) -> None:
    """Measure one backend and print it, as the last line, for the process that asked."""
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    here = Path.cwd()
    if what in BACKENDS:
        result: Any = race(BACKENDS[what](here), effort)
    else:
        result = grown(MEMORY[what](here, effort.memory_steps // 20), effort.memory_steps)
    print(json.dumps(result), flush=True)
    os._exit(0)  # what the SDKs have left to do would take longer than all of this


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="see that it runs; numbers are noise")
    parser.add_argument("--markdown", action="store_true", help="tables for a README")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, *numbers = options.measure
        measure(what, Effort(*map(int, numbers)))

    effort = QUICK if options.quick else FULL
    where = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    print(f"Python {platform.python_version()}, {where}; {effort.rounds} rounds\n")
    there = [name for name in BACKENDS if find_spec(PACKAGES[name])]
    rows = [row for name in there for row in rows_of(name, measured_elsewhere(name, effort))]
    header = ["backend", "30 numbers, once", "thread, µs", "CPU, µs", "/ direct", "target"]
    print(table(header, rows, markdown=options.markdown))
    if missing := [PACKAGES[name] for name in BACKENDS if name not in there]:
        print(f"\nwithout {', '.join(missing)}: not installed")

    rows = []
    for what in MEMORY:
        thread, growth = measured_elsewhere(what, effort)
        reached = verdict(growth <= GROWTH, f"<= {GROWTH} KiB")
        rows.append(["Background", what, f"{thread:.1f}", "", f"{growth:.0f}", reached])
    header = ["memory", f"{effort.memory_steps:,} steps", "thread, µs", "", "grown, KiB", "target"]
    print(f"\n{table(header, rows, markdown=options.markdown)}")


if __name__ == "__main__":
    main()
