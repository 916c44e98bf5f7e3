"""Every logger with the real thing behind it, and how to read back what arrived there."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import zipfile
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from tests.loggers.backends.wandb_file import history

from loss_loggers import (
    AccelerateLogger,
    CometLogger,
    CsvLogger,
    JsonlLogger,
    MemoryLogger,
    MLflowLogger,
    RunLogger,
    TensorBoardLogger,
    TrackioLogger,
    WandbLogger,
    run_info,
)
from loss_loggers.base._hyperparameters import flat

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Curves = dict[str, list[tuple[int, float]]]


@dataclass
class Opened:
    """A logger that is open.

    Attributes:
        end: Ends what its user started, so that all is written.
        curves: The steps and values of each metric.
        settings: The hyperparameters, on one level.
        infinity: What is kept of it.
        takes_rows_after_end: Whether a row arrives after the end; others are counted.
        is_ours: Whether `close()` is its end.
        is_for_threads: Whether `Background` takes it.
        stays_in_a_fork: Whether a forked process has nothing to spoil.
        takes_later_settings: Whether those that come after the first row are kept.
    """

    logger: Any
    end: Callable[[], object]
    curves: Callable[[], Curves]
    settings: Callable[[], dict[str, Any]]
    infinity: float = math.inf
    takes_rows_after_end: bool = False
    is_ours: bool = False
    is_for_threads: bool = True
    stays_in_a_fork: bool = False
    takes_later_settings: bool = True


def collected(points: list[tuple[str, int, Any]]) -> Curves:
    found: Curves = {}
    for name, step, value in points:
        found.setdefault(name, []).append((int(step), float(value)))
    return found


def csv_file(folder: Path) -> Opened:
    logger = CsvLogger(folder / "run")

    def curves() -> Curves:
        points: list[tuple[str, int, Any]] = []
        for path in sorted(logger.path.glob("losses*.csv")):
            with path.open(newline="") as file:
                for line in csv.DictReader(file):
                    step, _, name = (line.pop(key) for key in ("step", "time", "name"))
                    cells = [(column, cell) for column, cell in line.items() if cell]
                    points += [
                        (name if column == "value" else f"{column}/{name}", int(step), cell)
                        for column, cell in cells
                    ]
        epochs = logger.path / "epochs.csv"
        if epochs.exists():
            with epochs.open(newline="") as file:
                rows = list(csv.DictReader(file))
            points += [(f"epoch_loss/{row['name']}", int(row["step"]), row["mean"]) for row in rows]
        return collected(points)

    def settings() -> dict[str, Any]:
        return flat(run_info(logger.path)["hyperparameters"])

    return Opened(logger, logger.close, curves, settings, is_ours=True)


def jsonl(folder: Path) -> Opened:
    logger = JsonlLogger(folder / "run.jsonl")

    def curves() -> Curves:
        points: list[tuple[str, int, Any]] = []
        for line in map(json.loads, logger.path.read_text().splitlines()):
            lost = line.get("nonfinite", {})
            tags = {
                f"{statistic}/{loss}": value
                for loss, statistics in line["losses"].items()
                for statistic, value in statistics.items()
            } | line["values"]
            points += [(tag, line["step"], lost.get(tag, value)) for tag, value in tags.items()]
        return collected(points)

    return Opened(logger, logger.close, curves, dict, is_ours=True)


def memory(_: Path) -> Opened:
    logger = MemoryLogger()

    def curves() -> Curves:
        rows = [(name, step, value) for step, _, row in logger.rows for name, value in row.items()]
        return collected([one for one in rows if not isinstance(one[2], str)])

    def settings() -> dict[str, Any]:
        return flat(logger.hyperparameters)

    return Opened(
        logger, logger.close, curves, settings, takes_rows_after_end=True, stays_in_a_fork=True
    )


def tensorboard(folder: Path, package: str = "torch.utils.tensorboard") -> Opened:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    pytest.importorskip(package, reason="needs this SummaryWriter")
    writer = import_module(package).SummaryWriter(str(folder))

    def read(kind: str) -> dict[str, list[Any]]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        tags = events.Tags()[kind]
        return {tag: (events.Scalars if kind == "scalars" else events.Tensors)(tag) for tag in tags}

    def curves() -> Curves:
        return {tag: [(e.step, e.value) for e in found] for tag, found in read("scalars").items()}

    def settings() -> dict[str, Any]:
        *_, table = read("tensors")["loss_weighting/text_summary"]
        lines = re.findall(
            r"^\| (\S+) \| (.*) \|$", table.tensor_proto.string_val[0].decode(), re.MULTILINE
        )
        return dict(lines)

    return Opened(TensorBoardLogger(writer), writer.close, curves, settings)


def tensorboardx(folder: Path) -> Opened:
    return tensorboard(folder, "tensorboardX")


def wandb(folder: Path) -> Opened:
    package = pytest.importorskip("wandb", reason="needs the wandb extra")
    run = package.init(mode="offline", dir=folder, settings=package.Settings(silent=True))

    def curves() -> Curves:
        step = "multi_loss_weighting/step"
        return collected(
            [
                (name, row[step], value)
                for row in history(folder)
                for name, value in row.items()
                if step in row and name not in (step, "_step", "_timestamp", "_runtime")
            ]
        )

    def settings() -> dict[str, Any]:
        return flat(dict(run.config["loss_weighting"]))

    return Opened(WandbLogger(run), run.finish, curves, settings)


def comet(folder: Path) -> Opened:
    os.environ.setdefault("COMET_DISABLE_AUTO_LOGGING", "1")
    package = pytest.importorskip("comet_ml", reason="needs the comet extra")
    experiment = package.OfflineExperiment(
        offline_directory=str(folder), log_env_details=False, display_summary_level=0
    )

    def messages(kind: str) -> list[dict[str, Any]]:
        (path,) = folder.glob("*.zip")
        with zipfile.ZipFile(path) as archive:
            lines = map(json.loads, archive.read("messages.json").splitlines())
            return [line["payload"] for line in lines if line["type"] == kind]

    def curves() -> Curves:
        metrics = [payload["metric"] for payload in messages("metric_msg")]
        return collected(
            [
                (one["metricName"], one["step"], one["metricValue"])
                for one in metrics
                if one["metricName"] != "process duration"
            ]
        )

    def settings() -> dict[str, Any]:
        found = [payload["param"] for payload in messages("parameter_msg") if payload.get("param")]
        return {one["paramName"]: one["paramValue"] for one in found}

    return Opened(CometLogger(experiment), experiment.end, curves, settings, is_for_threads=False)


def mlflow(folder: Path) -> Opened:
    package = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    client = package.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run = client.create_run("0").info.run_id

    def curves() -> Curves:
        names = client.get_run(run).data.metrics
        histories = {name: client.get_metric_history(run, name) for name in names}
        return {name: [(m.step, m.value) for m in found] for name, found in histories.items()}

    def settings() -> dict[str, Any]:
        data = client.get_run(run).data
        return data.params | data.tags  # type: ignore[no-any-return]

    return Opened(
        MLflowLogger(run, client),
        lambda: client.set_terminated(run),
        curves,
        settings,
        infinity=1.7976931348623157e308,
        takes_rows_after_end=True,
    )


def trackio(folder: Path) -> Opened:
    package = pytest.importorskip("trackio", reason="needs the trackio extra")
    storage: Any = import_module("trackio.sqlite_storage")
    # Where the project is, is asked for at every call: for the rest of this process, here.
    storage.TRACKIO_DIR = folder
    run = package.init("gan", "first", embed=False, auto_log_gpu=False, auto_log_cpu=False)

    def curves() -> Curves:
        rows = storage.SQLiteStorage.get_logs("gan", run="first")
        return collected(
            [
                (name, row["step"], value)
                for row in rows
                for name, value in row.items()
                if name not in ("step", "timestamp")
            ]
        )

    def settings() -> dict[str, Any]:
        return dict(storage.SQLiteStorage.get_run_config("gan", "first"))

    return Opened(
        TrackioLogger(run),
        run.finish,
        curves,
        settings,
        takes_rows_after_end=True,
        takes_later_settings=False,
    )


class Run:
    """A run that is shaped like one of W&B."""

    def __init__(self) -> None:
        self.points: list[tuple[str, int, Any]] = []
        self.config: dict[str, Any] = {}

    def log(self, row: dict[str, Any], step: int | None = None) -> None:
        assert type(step) is int
        assert {type(value) for value in row.values()} <= {float}
        self.points += [(name, step, value) for name, value in row.items()]


def run(_: Path) -> Opened:
    own = Run()
    return Opened(
        RunLogger(own),
        lambda: None,
        lambda: collected(own.points),
        lambda: own.config,
        takes_rows_after_end=True,
    )


def accelerate(_: Path) -> Opened:
    tracking = pytest.importorskip("accelerate.tracking", reason="needs accelerate")
    own = Run()

    class Tracker(tracking.GeneralTracker):  # type: ignore[misc,name-defined]
        """A tracker of one's own, as the documentation of Accelerate describes it."""

        name = "own"
        requires_logging_directory = False
        tracker = own
        store_init_configuration = staticmethod(own.config.update)

        def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
            own.log(values, step)

    return Opened(
        AccelerateLogger(Tracker()),
        lambda: None,
        lambda: collected(own.points),
        lambda: own.config,
        takes_rows_after_end=True,
    )


BACKENDS = (
    csv_file,
    jsonl,
    memory,
    tensorboard,
    tensorboardx,
    wandb,
    comet,
    mlflow,
    trackio,
    run,
    accelerate,
)
