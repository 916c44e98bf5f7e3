from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from loss_loggers import BaseLogger, Logger, MemoryLogger, check_logger


@dataclass(slots=True)
class WithSlots(BaseLogger):
    path: str = "x"


def test_a_logger_of_ones_own_is_pickled_with_all_that_it_has() -> None:
    assert pickle.loads(pickle.dumps(WithSlots("y"))) == WithSlots("y")


def test_anything_with_log_metrics_is_a_logger() -> None:
    logger = MemoryLogger()

    assert check_logger(logger) is logger
    assert isinstance(logger, Logger)


@pytest.mark.parametrize("path", ["runs/gan", Path("runs/gan")])
def test_a_path_is_told_to_become_a_csv_logger(path: object) -> None:
    with pytest.raises(TypeError, match=r"wrap it as CsvLogger\(path\)$"):
        check_logger(path)


def test_a_class_is_not_an_instance() -> None:
    with pytest.raises(TypeError, match="got the class MemoryLogger, not an instance of it"):
        check_logger(MemoryLogger)


def test_what_knows_no_metrics_is_named() -> None:
    with pytest.raises(TypeError, match=r"has log_metrics\(metrics, \*, step\); got dict$"):
        check_logger({})


def test_a_wandb_run_is_told_to_become_a_wandb_logger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb", reason="needs the wandb extra")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(mode="offline", dir=tmp_path)

    try:
        with pytest.raises(TypeError, match=r"got Run: wrap it as WandbLogger\(run\)$"):
            check_logger(run)
        with pytest.raises(TypeError, match=r"got module: wrap it as WandbLogger\(wandb\.run\)$"):
            check_logger(wandb)
    finally:
        run.finish()


@pytest.mark.parametrize("module", ["torch.utils.tensorboard", "tensorboardX"])
def test_a_summary_writer_is_told_to_become_a_tensorboard_logger(
    module: str, tmp_path: Path
) -> None:
    tensorboard = pytest.importorskip(module, reason="needs TensorBoard")
    writer = tensorboard.SummaryWriter(str(tmp_path))

    with pytest.raises(TypeError, match=r"SummaryWriter: wrap it as TensorBoardLogger\(writer\)$"):
        check_logger(writer)

    writer.close()


def test_an_mlflow_client_is_told_to_become_an_mlflow_logger(mlflow_uri: str) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    client = mlflow.MlflowClient(mlflow_uri)

    with pytest.raises(TypeError, match=r"MlflowClient: wrap it as MLflowLogger\("):
        check_logger(client)


def test_importing_the_loggers_imports_no_library() -> None:
    code = (
        "import sys; import loss_loggers; "
        "print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )

    before = subprocess.check_output([sys.executable, "-c", code.replace("loss_loggers", "re")])
    after = subprocess.check_output([sys.executable, "-c", code])

    assert set(after.split()) - set(before.split()) == {b"loss_loggers"}


def test_importing_the_loggers_imports_what_is_asked_for_and_no_more() -> None:
    code = (
        "import sys; from loss_loggers import CsvLogger; "
        "print(*{name.split('.')[1] for name in sys.modules if name.startswith('loss_loggers.')})"
    )

    rooms = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())

    assert rooms == {"base", "recording", "text"}
