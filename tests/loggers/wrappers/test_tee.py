from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from loss_loggers import CsvLogger, Every, MemoryLogger, Tee, as_tee, run_info

ROWS = [{"loss/G": 0.5, "weight/G": 1.0}, {"loss/G": 0.25, "weight/G": 2.0}]


class Broken:
    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        raise OSError


def send(tee: Tee) -> None:
    for step, row in enumerate(ROWS):
        tee.log_metrics(row, step=step)


def test_each_logger_gets_each_row() -> None:
    first, second = MemoryLogger(), MemoryLogger()

    send(Tee(first, second))

    assert first["loss/G"] == second["loss/G"] == [(0, 0.5), (1, 0.25)]


def test_a_broken_logger_does_not_starve_the_others() -> None:
    memory = MemoryLogger()
    tee = Tee(Broken(), memory)

    with pytest.warns(RuntimeWarning, match="Broken failed") as caught:
        send(tee)

    assert len(caught) == 1
    assert tee.failed + tee.withheld == 2
    assert memory.values("loss/G") == [0.5, 0.25]


def test_tees_and_lists_nest() -> None:
    loggers = [MemoryLogger() for _ in range(4)]

    tee = Tee(Tee(loggers[0], [loggers[1]]), [Tee(loggers[2]), (loggers[3],)])  # type: ignore[list-item]
    send(tee)

    assert len(tee.guards) == 4
    assert all(len(logger.rows) == 2 for logger in loggers)


def test_no_logger_is_fine() -> None:
    send(Tee())
    send(as_tee(None))
    send(as_tee([]))


def test_a_tee_stays_itself() -> None:
    tee = Tee(MemoryLogger())

    assert as_tee(tee) is tee


def test_a_list_becomes_a_tee() -> None:
    assert [type(guard.logger) for guard in as_tee([MemoryLogger(), Broken()]).guards] == [
        MemoryLogger,
        Broken,
    ]


@pytest.mark.parametrize("logger", ["runs/gan", ["runs/gan"]])
def test_what_is_no_logger_is_an_error(logger: Any) -> None:
    with pytest.raises(TypeError, match=r"wrap it as CsvLogger\(path\)"):
        as_tee(logger)


def test_an_exception_in_its_block_reaches_the_record(tmp_path: Path) -> None:
    msg = "the loss is NaN"

    with pytest.raises(ZeroDivisionError), Tee(Every(2, CsvLogger(tmp_path / "gan"))):
        raise ZeroDivisionError(msg)

    info = run_info(tmp_path / "gan")
    assert (info["state"], info["error"]) == ("crashed", "ZeroDivisionError: the loss is NaN")


def test_a_copy_of_a_model_shares_its_loggers(tmp_path: Path) -> None:
    tee = Tee(CsvLogger(tmp_path / "gan"))

    assert copy.deepcopy({"logger": tee})["logger"] is tee


def test_a_comet_experiment_is_a_logger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMET_DISABLE_AUTO_LOGGING", "1")
    comet_ml = pytest.importorskip("comet_ml", reason="needs the comet extra")
    experiment = comet_ml.OfflineExperiment(
        offline_directory=str(tmp_path), display_summary_level=0
    )

    with Tee(experiment) as tee:
        send(tee)
    experiment.end()

    (path,) = tmp_path.glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        lines = [json.loads(line) for line in archive.read("messages.json").splitlines()]
    metrics = [line["payload"]["metric"] for line in lines if line["type"] == "metric_msg"]
    arrived = {(m["metricName"], m["step"]): float(m["metricValue"]) for m in metrics}
    assert tee.failed == 0
    assert {key: arrived.get(key) for key in [("loss/G", 0), ("weight/G", 1)]} == {
        ("loss/G", 0): 0.5,
        ("weight/G", 1): 2.0,
    }


def test_the_mlflow_module_is_a_logger(mlflow_uri: str) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    mlflow.set_tracking_uri(mlflow_uri)

    with mlflow.start_run() as run, Tee(mlflow) as tee:
        send(tee)

    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss/G")
    assert tee.failed == 0
    assert [(metric.step, metric.value) for metric in history] == [(0, 0.5), (1, 0.25)]


def test_a_lightning_logger_is_a_logger(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch.loggers", reason="needs lightning")
    logger = lightning.CSVLogger(tmp_path)

    with Tee(logger) as tee:
        tee.log_hyperparams({"losses": ["G"]})
        send(tee)

    lines = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    assert tee.failed == 0
    assert lines == ["loss/G,step,weight/G", "0.5,0,1.0", "0.25,1,2.0"]
    assert "losses" in (Path(logger.log_dir) / "hparams.yaml").read_text()
