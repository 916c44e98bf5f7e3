from __future__ import annotations

import math
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tests.loggers.delivery.mlflow_server import MlflowServer

from loss_loggers import MLflowLogger, Tee, check_logger
from multi_loss_weighting import LossTracker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")


@pytest.fixture(scope="module")
def database(mlflow_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of an MLflow store in SQLite."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{shutil.copy(mlflow_store, folder)}"
    mlflow.MlflowClient(uri).create_experiment("tests", artifact_location=f"{folder}/artifacts")
    return uri


@pytest.fixture
def client(database: str) -> Any:
    return mlflow.MlflowClient(database)


@pytest.fixture
def run(client: Any) -> str:
    """The id of a new run."""
    experiment = client.get_experiment_by_name("tests").experiment_id
    return str(client.create_run(experiment).info.run_id)


@pytest.fixture(scope="module")
def server(database: str) -> Iterator[str]:
    """The address of an MLflow server for the same store."""
    server = MlflowServer(database)
    yield server.start().address
    server.kill()


def curve(client: Any, run: str, name: str) -> list[tuple[int, float]]:
    history = client.get_metric_history(run, name)
    return [(metric.step, metric.value) for metric in history]


def test_a_batch_larger_than_a_request_arrives_with_its_times(client: Any, run: str) -> None:
    rows = [
        (step, 1.5e9 + step, {f"loss/{loss}": step / 3 + loss for loss in range(25)})
        for step in range(100)
    ]

    MLflowLogger(run, client).log_rows(rows)

    for loss in range(25):
        history = client.get_metric_history(run, f"loss/{loss}")
        assert [(metric.step, metric.timestamp, metric.value) for metric in history] == [
            (step, int(moment * 1000), metrics[f"loss/{loss}"]) for step, moment, metrics in rows
        ]


def test_a_batch_that_is_sent_again_is_there_once(client: Any, run: str) -> None:
    logger = MLflowLogger(run, client)
    rows = [(step, 1.5e9 + step, {"loss/G": step / 3}) for step in range(10)]

    logger.log_rows(rows[:5])
    logger.log_rows(rows)

    assert curve(client, run, "loss/G") == [(step, step / 3) for step in range(10)]


def test_steps_may_repeat_go_back_and_be_numpy(client: Any, run: str) -> None:
    logger = MLflowLogger(run, client)
    steps: list[Any] = [np.int64(7), 3, 3, torch.tensor(5)]

    for value, step in enumerate(steps):
        logger.log_metrics({"loss/G": value}, step=step)

    assert sorted(curve(client, run, "loss/G")) == [(3, 1.0), (3, 2.0), (5, 3.0), (7, 0.0)]


def test_any_name_arrives(client: Any, run: str) -> None:
    names = {
        "loss/ü b": "loss/ü b",
        "loss/a=b": "loss/a_b",
        "loss/a*b": "loss/a_b_2",
        "/loss//G/": "loss/G",
        "loss/../x": "loss/_/x",
        "..loss": "_loss",
        "loss\n": "loss_",
        "\ud800": "_ud800",
        "": "_",
        "l" * 300: "l" * 250,
        "l" * 301: "l" * 248 + "_2",
    }
    logger = MLflowLogger(run, client)

    for _ in range(2):
        logger.log_metrics(dict(zip(names, range(len(names)), strict=True)), step=0)

    metrics = client.get_run(run).data.metrics
    assert metrics == dict(zip(names.values(), map(float, range(len(names))), strict=True))


def test_trackers_share_a_run_with_its_user(client: Any, run: str) -> None:
    logger = Tee(MLflowLogger(run, client))
    trackers = [LossTracker(name, logger, weight=0.5) for name in "GD"]
    losses = [1.0, 0.5, 0.25]

    for step, loss in enumerate(losses):
        for tracker in trackers:
            tracker.update(loss, do_backwards=False)
        client.log_metric(run, "accuracy", step / 2, step=step)

    assert curve(client, run, "accuracy") == [(0, 0.0), (1, 0.5), (2, 1.0)]
    for name in "GD":
        assert curve(client, run, f"loss/{name}") == list(enumerate(losses))
        assert curve(client, run, f"weighted/{name}") == [(0, 0.5), (1, 0.25), (2, 0.125)]
    data = client.get_run(run).data
    assert data.params["loss_weighting/D/weight"] == "0.5"
    assert data.params["loss_weighting/losses/2"] == "D"
    assert logger.failed == 0


def test_what_changes_is_a_tag(client: Any, run: str) -> None:
    logger = MLflowLogger(run, client)

    logger.log_hyperparams({"G": {"weight": 0.5, "note": "n" * 6000}, "lr": 0.1})
    for lr in (0.2, 0.1):
        logger.log_hyperparams({"G": {"weight": 2.0}, "lr": lr})

    data = client.get_run(run).data
    told = {"G/weight": "0.5", "G/note": "n" * 6000, "lr": "0.1"}
    assert data.params == {f"loss_weighting/{name}": text for name, text in told.items()}
    assert data.tags["loss_weighting/G/weight"] == "2.0"
    assert data.tags["loss_weighting/G/note"] == "no longer set"
    assert data.tags["loss_weighting/lr"] == "0.1"


def test_a_resumed_run_tells_what_is_no_longer_set(client: Any, run: str) -> None:
    MLflowLogger(run, client).log_hyperparams({"losses": ["G", "D"], "layers": [64, 64], "seed": 3})
    resumed = MLflowLogger(run, client)

    for layers in ([128], [128, 32]):
        resumed.log_hyperparams({"losses": ["G"], "layers": layers})
        data = client.get_run(run).data
        tags = {name: text for name, text in data.tags.items() if name in data.params}
        second = "no longer set" if len(layers) == 1 else "32"
        assert tags == {"loss_weighting/layers/1": "128", "loss_weighting/layers/2": second}


def test_what_another_rank_logs_first_is_a_tag(database: str, client: Any, run: str) -> None:
    others = MLflowLogger(run, client)

    class Late(mlflow.MlflowClient):  # type: ignore[misc, name-defined]
        """Another rank logs between the two requests of this one."""

        def get_run(self, run_id: str) -> Any:
            found = super().get_run(run_id)
            others.log_hyperparams({"weighting": "CoVWeighting"})
            return found

    MLflowLogger(run, Late(database)).log_hyperparams({"weighting": "PlainSum"})

    data = client.get_run(run).data
    assert data.params == {"loss_weighting/weighting": "CoVWeighting"}
    assert data.tags["loss_weighting/weighting"] == "PlainSum"


def test_what_changes_behind_the_cut_is_a_tag(client: Any, run: str) -> None:
    logger = MLflowLogger(run, client)

    for ending in "AAB":
        logger.log_hyperparams({"command": "x" * 9000 + ending})

    data = client.get_run(run).data
    param, tag = (known["loss_weighting/command"] for known in (data.params, data.tags))
    assert len(param) == len(tag) == 6000
    assert param.startswith("x" * 5900)
    assert "… (9001 characters, crc32 " in param
    assert param != tag


def test_the_active_run_is_kept_when_it_has_ended(
    database: str, client: Any, run: str, tmp_path: Path
) -> None:
    mlflow.set_tracking_uri(database)
    with mlflow.start_run(run) as ours:
        logger = MLflowLogger(ours)
        logger.log_metrics({"loss/G": 0.5}, step=0)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/another.db")

    logger.log_metrics({"loss/G": 0.25}, step=1)

    assert curve(client, run, "loss/G") == [(0, 0.5), (1, 0.25)]
    assert mlflow.active_run() is None


def test_a_server_gets_each_row(server: str, client: Any, run: str) -> None:
    logger = MLflowLogger(run, mlflow.MlflowClient(server))
    rows = [(step, 1.5e9 + step, {"loss/ü": step / 3, "loss/nan": math.nan}) for step in range(700)]

    logger.log_hyperparams({"losses": ["ü"], "weighting": {"method": "EqualWeighting"}})
    logger.log_metrics({"loss/ü": math.inf}, step=1000)
    logger.log_rows(rows)

    assert curve(client, run, "loss/ü") == [
        *((step, step / 3) for step in range(700)),
        (1000, sys.float_info.max),
    ]
    assert len(curve(client, run, "loss/nan")) == 700
    assert client.get_run(run).data.params["loss_weighting/weighting/method"] == "EqualWeighting"


def test_a_deleted_run_is_reported(client: Any, run: str) -> None:
    client.delete_run(run)
    tee = Tee(MLflowLogger(run, client))

    with pytest.warns(RuntimeWarning, match=r"MLflowLogger failed .* the 'active' state"):
        tee.log_metrics({"loss/G": 0.5}, step=0)

    assert tee.failed == 1


@pytest.mark.parametrize("what", [None, 7, mlflow])
def test_what_is_no_run_is_an_error(what: Any) -> None:
    match = r"a run, as mlflow.start_run\(\) gives, or its id, is needed; got"
    with pytest.raises(TypeError, match=match):
        MLflowLogger(what)


def test_a_client_is_told_to_come_second(client: Any) -> None:
    with pytest.raises(TypeError, match=r"got MlflowClient: wrap it as MLflowLogger\(run_id, cl"):
        MLflowLogger(client)


def test_a_run_is_told_to_become_a_logger(client: Any, run: str) -> None:
    with pytest.raises(TypeError, match=r"got Run: wrap it as MLflowLogger\(run\)$"):
        check_logger(client.get_run(run))
