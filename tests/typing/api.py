"""What the types promise, held by mypy alone: a failing line is an error of the type checker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loss_loggers import (
    AccelerateLogger,
    AlertLogger,
    Background,
    BaseLogger,
    CometLogger,
    ConsoleLogger,
    CsvLogger,
    Every,
    Guard,
    JsonlLogger,
    Logger,
    Loggers,
    MemoryLogger,
    MetricsEndpoint,
    MLflowLogger,
    Rename,
    RunLogger,
    Tee,
    TensorBoardLogger,
    TrackioLogger,
    WandbLogger,
    as_tee,
)

if TYPE_CHECKING:
    import accelerate
    import comet_ml
    import mlflow
    import tensorboardX
    import trackio
    import wandb
    from lightning.pytorch import loggers as lightning
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm


def foreign_loggers_fit_as_they_are(
    experiment: comet_ml.Experiment, theirs: lightning.Logger, csv: lightning.CSVLogger
) -> list[Logger]:
    import mlflow

    Tee(experiment, mlflow, theirs, csv)
    return [experiment, mlflow, theirs, csv]


def our_loggers_are_loggers(logger: Logger, bar: tqdm[int]) -> list[Logger]:
    return [
        AlertLogger(print),
        AlertLogger("https://hooks.slack.com/services/T/B/x", run="gan"),
        Background([logger, logger]),
        ConsoleLogger(bar=bar),
        CsvLogger("runs/gan"),
        Every(50, logger, reduce="mean"),
        Guard(logger),
        JsonlLogger("runs/gan.jsonl"),
        MemoryLogger(),
        Rename("{loss}_{stat}", [logger, logger]),
        Tee(logger),
        as_tee(None),
    ]


def adapters_are_loggers(
    run: wandb.Run,
    writer: SummaryWriter,
    writer_x: tensorboardX.SummaryWriter,
    experiment: comet_ml.CometExperiment,
    active_run: mlflow.ActiveRun,
    client: mlflow.MlflowClient,
    accelerator: accelerate.Accelerator,
    trackio_run: trackio.Run,
) -> list[Logger]:
    return [
        AccelerateLogger(accelerator),
        CometLogger(experiment),
        MLflowLogger(active_run),
        MLflowLogger("3f2a", client),
        MetricsEndpoint(9464, run="gan"),
        RunLogger(trackio_run),
        TrackioLogger(trackio_run),
        TensorBoardLogger(writer),
        TensorBoardLogger(writer_x, layout=False),
        WandbLogger(run),
        WandbLogger(run, step="own"),
    ]


def your_logger_needs_one_method() -> Loggers:
    class Mine:
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None: ...

    class MineToClose(BaseLogger):
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None: ...

    return [Mine(), MineToClose()]


def with_keeps_the_type() -> CsvLogger:
    with CsvLogger("runs/gan") as logger:
        return logger


def what_needs_an_adapter_is_no_logger(run: wandb.Run, writer: SummaryWriter) -> None:
    Tee(run)  # type: ignore[arg-type]
    Tee(writer)  # type: ignore[arg-type]
    Tee("runs/gan")  # type: ignore[arg-type]
    Tee(MemoryLogger)  # type: ignore[arg-type]
    Every(2, MemoryLogger(), reduce="median")  # type: ignore[arg-type]


def an_adapter_takes_one_kind(run: wandb.Run, writer: SummaryWriter) -> None:
    WandbLogger(writer)  # type: ignore[arg-type]
    WandbLogger(run, step="mine")  # type: ignore[arg-type]
    TensorBoardLogger(run)  # type: ignore[arg-type]
    RunLogger(writer)  # type: ignore[arg-type]
    MLflowLogger(7)  # type: ignore[arg-type]
