from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from loss_loggers import Background, RunLogger
from loss_loggers.base._protocol import target_of
from multi_loss_weighting import CoVWeighting, LossGroup

if TYPE_CHECKING:
    from pathlib import Path


class Run:
    """A run as SwanLab and others have it."""

    id = "x1"

    def __init__(self) -> None:
        self.config: dict[str, Any] = {"mine": 1}
        self.rows: list[tuple[int | None, dict[str, Any]]] = []

    def log(self, data: dict[str, Any], step: int | None = None) -> None:
        assert type(step) is int
        self.rows.append((step, data))


def test_each_row_arrives_with_its_step_and_plain_numbers() -> None:
    run = Run()
    logger = RunLogger(run)

    for step in range(3):
        row = {"loss/G": np.float32(step / 2), "weight/G": 1}
        logger.log_metrics(row, step=np.int64(step))

    assert run.rows == [(step, {"loss/G": step / 2, "weight/G": 1.0}) for step in range(3)]
    assert all(type(value) is float for _, row in run.rows for value in row.values())


def test_a_group_is_introduced_in_the_configuration() -> None:
    run = Run()
    group = LossGroup(["G", "D"], RunLogger(run), weighting=CoVWeighting())

    group.update({"G": 1.0, "D": 2.0}, do_backwards=False)

    assert run.config["mine"] == 1
    assert run.config["loss_weighting/weighting/method"] == "CoVWeighting"


def test_a_run_without_a_configuration_takes_rows() -> None:
    class Bare:
        def log(self, data: dict[str, Any], step: int | None = None) -> None:
            rows.append((step, data))

    rows: list[Any] = []
    logger = RunLogger(Bare())

    logger.log_hyperparams({"losses": ["G"]})
    with Background(logger) as background:
        background.log_metrics({"loss/G": 0.5}, step=3)

    assert rows == [(3, {"loss/G": 0.5})]


def test_a_real_run_of_that_shape_takes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trackio = pytest.importorskip("trackio", reason="needs the trackio extra")
    storage = pytest.importorskip("trackio.sqlite_storage")
    monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path)
    run = trackio.init("gan", "first", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    logger = RunLogger(run)

    logger.log_hyperparams({"losses": ["G"]})
    for step in range(20):
        logger.log_metrics({"loss/G": step / 3}, step=step)
    trackio.finish()

    rows = storage.SQLiteStorage.get_logs("gan", run="first")
    assert [(row["step"], row["loss/G"]) for row in rows] == [(n, n / 3) for n in range(20)]
    config = storage.SQLiteStorage.get_run_config("gan", "first")
    assert config["loss_weighting/losses/1"] == "G"


def test_it_is_remembered_by_its_package_and_its_id() -> None:
    assert target_of(RunLogger(Run())).endswith(" x1")


def test_what_is_no_such_run_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"a run with log\(dict, step=...\), is needed; got str"):
        RunLogger("run")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got the class Run, not an instance of it"):
        RunLogger(Run)  # type: ignore[arg-type]

    class WithoutSteps:
        def log(self, row: dict[str, Any]) -> None:
            """Take a row."""

    with pytest.raises(TypeError, match=r"log\(dict, step=...\), is needed; got .*Without"):
        RunLogger(WithoutSteps())  # type: ignore[arg-type]


def test_for_a_run_of_wandb_there_is_its_own() -> None:
    wandb = pytest.importorskip("wandb", reason="needs the wandb extra")

    with pytest.raises(TypeError, match=r"got module: wrap it as WandbLogger\(wandb.run\)"):
        RunLogger(wandb)
