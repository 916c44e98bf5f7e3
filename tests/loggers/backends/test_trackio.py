from __future__ import annotations

import math
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import Background, Tee, TrackioLogger
from multi_loss_weighting import LossGroup
from multi_loss_weighting.weighting import StaticWeighting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.loggers.conftest import Caught

trackio = pytest.importorskip("trackio", reason="needs the trackio extra")
storage = pytest.importorskip("trackio.sqlite_storage")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A run in `tmp_path`."""
    monkeypatch.setenv("TRACKIO_STORAGE_MODE", "sqlite")
    monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path)
    yield trackio.init("gan", "first", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    trackio.finish()


def rows() -> list[dict[str, Any]]:
    return storage.SQLiteStorage.get_logs("gan", run="first")  # type: ignore[no-any-return]


def curve(name: str) -> list[tuple[int, float]]:
    return [(row["step"], row[name]) for row in rows() if name in row]


def test_late_rows_are_there_at_once_with_their_times_and_once_only(run: Any) -> None:
    logger = TrackioLogger(run)
    late = [(step, 1e9 + step, {"loss/G": step / 3}) for step in range(10)]

    logger.log_rows(late[:7])
    logger.log_rows(late)

    assert curve("loss/G") == [(step, step / 3) for step in range(10)]
    times = [datetime.fromisoformat(row["timestamp"]).timestamp() for row in rows()]
    assert times == [1e9 + step for step in range(10)]


def test_rows_of_one_step_are_all_kept(run: Any) -> None:
    logger = TrackioLogger(run)

    logger.log_rows([(3, 1e9, {f"loss/{name}": 0.5}) for name in "abc"])
    logger.log_rows([(3, 1e9 + 1, {"loss/a": 0.5})])

    assert len(rows()) == 4


def test_a_background_delivers_all(run: Any) -> None:
    with Background(TrackioLogger(run)) as logger:
        for step in range(500):
            logger.log_metrics({"loss/G": step / 3}, step=step)

    assert curve("loss/G") == [(step, step / 3) for step in range(500)]
    assert (logger.delivered, logger.failed) == (500, 0)


def test_values_and_names_of_any_kind_arrive(run: Any, caught: Caught) -> None:
    torch = pytest.importorskip("torch")
    row = {
        "loss/bf16": torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True),
        "\ud800": 3,
        "loss/inf": -math.inf,
        "loss/nan": math.nan,
        "step": 1.0,
        "__run": 2.0,
        "run_": 4.0,
    }

    TrackioLogger(run).log_rows([(0, 1e9, row)])
    TrackioLogger(run).log_metrics(row, step=1)
    run.finish()

    assert caught == []
    for found in rows():
        assert math.isnan(found.pop("loss/nan"))
        stamp = found.pop("timestamp")
        assert found.pop("step") == (0 if stamp.startswith("2001-09-09") else 1)
        assert found == {
            "loss/bf16": 0.5,
            "\\ud800": 3.0,
            "loss/inf": -math.inf,
            "step_": 1.0,
            "run_": 2.0,
            "run__2": 4.0,
        }


def test_groups_are_introduced_beside_what_the_user_configured(run: Any) -> None:
    run.config["mine"] = 1
    weighting = StaticWeighting(kl=0.5)
    group = LossGroup(["recon", "kl"], TrackioLogger(run), weighting=weighting)

    group.update(dict.fromkeys(group.names, 1.0), do_backwards=False)
    run.finish()

    config = storage.SQLiteStorage.get_run_config("gan", "first")
    assert config["mine"] == 1
    assert config["loss_weighting/weighting/method"] == "StaticWeighting"


@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_a_group_that_joins_later_is_introduced_too(run: Any, pause: float) -> None:
    """Before and after Trackio has sent its first rows."""
    logger = TrackioLogger(run)
    LossGroup(["recon", "kl"], logger).record({"recon": 1.0, "kl": 2.0})
    time.sleep(pause)
    LossGroup(["D"], logger, scope="D").record({"D": 1.0})
    run.finish()

    config = storage.SQLiteStorage.get_run_config("gan", "first")
    losses = [value for name, value in config.items() if "/losses/" in name]
    assert losses == ["recon", "kl", "D/D"]


def test_a_setting_that_changed_leaves_nothing_of_what_it_was(run: Any) -> None:
    logger = TrackioLogger(run)
    logger.log_hyperparams({"layers": [64, 64], "optimizer": {"name": "adam", "beta": 0.9}})
    logger.log_hyperparams({"layers": [128], "optimizer": {"name": "sgd"}})
    logger.log_metrics({"loss/G": 0.5}, step=0)
    run.finish()

    config = storage.SQLiteStorage.get_run_config("gan", "first")
    told = {name: value for name, value in config.items() if name.startswith("loss_weighting/")}
    assert told == {"loss_weighting/layers/1": 128, "loss_weighting/optimizer/name": "sgd"}


def test_a_database_that_cannot_be_written_does_not_stop_training(
    run: Any, tmp_path: Path, caught: Caught
) -> None:
    tee = Tee(TrackioLogger(run))
    (tmp_path / "gan.db").unlink(missing_ok=True)
    (tmp_path / "gan.db").mkdir()

    tee.log_rows([(0, 1e9, {"loss/G": 0.5})])

    assert tee.failed == 1
    assert "the logger TrackioLogger failed" in str(caught[0].message)


def test_its_time_is_that_of_the_universe(run: Any) -> None:
    TrackioLogger(run).log_rows([(0, 0.25, {"loss/G": 0.5})])

    assert rows()[0]["timestamp"] == datetime(1970, 1, 1, 0, 0, 0, 250000, timezone.utc).isoformat()


def test_what_is_no_run_is_an_error(run: Any) -> None:
    with pytest.raises(TypeError, match=r"a Trackio run, as trackio.init\(\) gives, is"):
        TrackioLogger(trackio)
    with pytest.raises(TypeError, match=r"got Run: wrap it as TrackioLogger\(run\)"):
        Tee(run)
