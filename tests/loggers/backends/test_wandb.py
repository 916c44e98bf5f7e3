from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from loss_loggers import Tee, WandbLogger
from multi_loss_weighting import LossGroup, LossTracker
from multi_loss_weighting.weighting import StaticWeighting

from .wandb_file import history, records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


wandb = pytest.importorskip("wandb", reason="needs the wandb extra")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A run that talks to nobody, in `tmp_path`."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(mode="offline", dir=tmp_path)
    yield run
    run.finish()


STEP = "multi_loss_weighting/step"


def curves(folder: Path, step: str = STEP) -> dict[str, list[tuple[Any, Any]]]:
    """The points that a chart of each metric shows, over this step."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    for row in history(folder):
        for name, value in row.items():
            if not name.startswith("_") and name != STEP:
                found.setdefault(name, []).append((row.get(step), value))
    return found


def values(folder: Path, name: str) -> list[Any]:
    return [row[name] for row in history(folder) if name in row]


def line(steps: int) -> list[tuple[int, float]]:
    return [(step, step / 3) for step in range(steps)]


@pytest.mark.parametrize("step", ["auto", "explicit", "own"])
def test_each_row_arrives(run: Any, tmp_path: Path, step: Any) -> None:
    logger = WandbLogger(run, step)

    for number in range(20):
        logger.log_metrics({"loss/G": number / 3, "weight/val/G": 1}, step=number)
    run.finish()

    found = curves(tmp_path, "_step" if step == "explicit" else STEP)
    assert found == {"loss/G": line(20), "weight/val/G": [(number, 1.0) for number in range(20)]}
    assert logger.failed == 0


@pytest.mark.parametrize("ours_first", [False, True])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_user_who_names_the_same_steps_loses_nothing(
    run: Any, tmp_path: Path, ours_first: bool, rows: int
) -> None:
    logger = WandbLogger(run)

    for step in range(20):
        if ours_first:
            logger.log_metrics({"loss/G": step / 3}, step=step)
        for number in range(rows):
            run.log({f"mine/{number}": step}, step=step)
        if not ours_first:
            logger.log_metrics({"loss/G": step / 3}, step=step)
    run.finish()

    found = curves(tmp_path)
    assert found.pop("loss/G") == line(20)
    assert found == {f"mine/{number}": [(n, n) for n in range(20)] for number in range(rows)}


@pytest.mark.parametrize("step", ["auto", "own"])
def test_a_user_who_names_no_steps_loses_nothing(run: Any, tmp_path: Path, step: Any) -> None:
    logger = WandbLogger(run, step)

    for number in range(20):
        run.log({"before": number})
        run.log({"again": number})
        logger.log_metrics({"loss/G": number / 3}, step=number)
        run.log({"after": number})
    run.finish()

    assert curves(tmp_path)["loss/G"] == line(20)
    for name in ("before", "again", "after"):
        assert values(tmp_path, name) == list(range(20))


@pytest.mark.parametrize("step", ["auto", "own"])
def test_trackers_with_steps_of_their_own_lose_nothing(run: Any, tmp_path: Path, step: Any) -> None:
    first, second = WandbLogger(run, step), WandbLogger(run, step)
    trackers = [LossTracker("G", first), LossTracker("D", first), LossTracker("late", second)]
    losses = [number / 3 for number in range(10)]

    for loss in losses:
        trackers[0].update(loss, do_backwards=False)
        for _ in range(3):
            trackers[1].update(loss, do_backwards=False)
    for loss in losses:
        trackers[2].update(loss, do_backwards=False)
    run.finish()

    found = curves(tmp_path)
    assert found["loss/G"] == found["loss/late"] == line(10)
    assert [value for _, value in found["loss/D"]] == [loss for loss in losses for _ in range(3)]
    assert [step for step, _ in found["loss/D"]] == list(range(30))


def test_steps_may_repeat_go_back_and_be_numpy(run: Any, tmp_path: Path) -> None:
    logger = WandbLogger(run)
    steps: list[Any] = [np.int64(7), 3, 3, torch.tensor(5), 5, 9]

    for value, step in enumerate(steps):
        logger.log_metrics({"loss/G": value}, step=step)
    run.finish()

    assert curves(tmp_path)["loss/G"] == [(7, 0), (3, 1), (3, 2), (5, 3), (5, 4), (9, 5)]


def test_late_rows_arrive_with_their_times(run: Any, tmp_path: Path) -> None:
    logger = WandbLogger(run)

    logger.log_metrics({"loss/G": 0.5}, step=10)
    for step in range(10):
        run.log({"mine": step})
    logger.log_metrics({"loss/G": 0.25}, step=11)
    logger.log_rows([(step, 12.5 + step, {"loss/G": step / 3}) for step in range(10)])
    logger.log_metrics({"loss/G": 0.125}, step=12)
    run.finish()

    assert curves(tmp_path)["loss/G"] == [(10, 0.5), (11, 0.25), *line(10), (12, 0.125)]
    assert values(tmp_path, "mine") == list(range(10))
    assert [row["_timestamp"] for row in history(tmp_path) if row.get(STEP) == 9] == [21.5]


def test_late_rows_from_a_thread_lose_nothing(run: Any, tmp_path: Path) -> None:
    logger = WandbLogger(run)

    with ThreadPoolExecutor(1) as pool:
        for start in range(0, 200, 10):
            rows = [(step, 0.0, {"loss/G": step / 3}) for step in range(start, start + 10)]
            pool.submit(logger.log_rows, rows)
            for step in range(start, start + 10):
                run.log({"mine": step})
    run.finish()

    assert curves(tmp_path)["loss/G"] == line(200)
    assert values(tmp_path, "mine") == list(range(200))


def test_an_explicit_step_that_is_past_is_counted(run: Any, tmp_path: Path) -> None:
    logger = WandbLogger(run, "explicit")
    run.log({"mine": 1.0}, step=5)

    with pytest.warns(RuntimeWarning, match="W&B is at step 5, and drops what comes for step 3"):
        logger.log_rows([(step, 0.0, {"loss/G": step / 3}) for step in range(3, 8)])
    run.finish()

    assert logger.failed == 2
    assert curves(tmp_path, "_step")["loss/G"] == [(5, 5 / 3), (6, 2.0), (7, 7 / 3)]


def test_charts_are_over_our_step(run: Any, tmp_path: Path) -> None:
    logger = WandbLogger(run)

    logger.log_metrics({"loss/G": 0.5, "loss/a*b": 1.0, "lr": 0.1}, step=0)
    run.finish()

    metrics = [record.metric for record in records(tmp_path) if record.HasField("metric")]
    over = {metric.name: metric.step_metric for metric in metrics}
    assert over == {STEP: "", "loss/G": STEP, "lr": STEP}
    assert values(tmp_path, "loss/a*b") == [1.0]


@pytest.mark.parametrize("step", ["auto", "own"])
def test_numbers_of_the_user_keep_their_names(run: Any, tmp_path: Path, step: Any) -> None:
    """`loss_step` is what Lightning calls a loss that is logged at each step."""
    logger = WandbLogger(run, step)

    for number in range(3):
        logger.log_metrics({"loss_step": 0.25, "_step": 7.0, STEP: 8.0}, step=number)
        run.log({"mine_step": 0.5})
        logger.log_metrics({"loss/G": 1.0}, step=number)
        run.log({"loss_step": 0.5})
    run.finish()

    assert values(tmp_path, "loss_step") == [0.25, 0.5] * 3
    assert values(tmp_path, "_step_2") == [7.0] * 3
    assert values(tmp_path, f"{STEP}_2") == [8.0] * 3
    metrics = [record.metric for record in records(tmp_path) if record.HasField("metric")]
    assert {metric.name for metric in metrics if metric.options.hidden} <= {STEP}


def test_the_step_metric_can_be_named(run: Any, tmp_path: Path) -> None:
    first, second = WandbLogger(run, step_metric="iteration"), WandbLogger(run)

    for number in range(3):
        first.log_metrics({"loss/G": 1.0}, step=number)
        second.log_metrics({"loss/D": 1.0}, step=10 * number)
    run.finish()

    assert curves(tmp_path, "iteration")["loss/G"] == [(number, 1.0) for number in range(3)]
    assert curves(tmp_path)["loss/D"] == [(10 * number, 1.0) for number in range(3)]
    with pytest.raises(ValueError, match=r"step_metric must be the name of a metric, .*'a/\*'"):
        WandbLogger(run, step_metric="a/*")


def test_groups_are_introduced_beside_what_the_user_configured(run: Any) -> None:
    run.config.update({"weighting": "mine"})
    groups = [
        LossGroup(["recon", "kl"], WandbLogger(run), weighting=StaticWeighting(kl=0.5)),
        LossGroup(["recon"], WandbLogger(run), scope="val"),
    ]

    for group in groups:
        group.update(dict.fromkeys(group.names, 1.0), do_backwards=False)

    assert run.config["weighting"] == "mine"
    assert run.config["loss_weighting"]["losses"] == ["recon", "kl", "val/recon"]
    assert run.config["loss_weighting"]["weighting"]["method"] == "StaticWeighting"


def test_a_setting_that_changed_leaves_nothing_of_what_it_was(run: Any) -> None:
    for settings in ({"name": "adam", "beta": 0.9}, {"name": "sgd"}):
        WandbLogger(run).log_hyperparams({"optimizer": settings})

    assert run.config["loss_weighting"] == {"optimizer": {"name": "sgd"}}


def test_a_run_that_is_over_gets_nothing(run: Any, tmp_path: Path) -> None:
    logger = WandbLogger(run)
    logger.log_metrics({"loss/G": 0.5}, step=0)
    run.finish()

    with pytest.warns(RuntimeWarning, match="cannot deliver: the run is finished") as caught:
        log_more(logger)

    assert len(caught) == 1
    assert logger.failed == 3
    assert values(tmp_path, "loss/G") == [0.5]
    with pytest.raises(ValueError, match="a run that goes on is needed; this one is finished"):
        WandbLogger(run)


def log_more(logger: WandbLogger) -> None:
    for step in (1, 2):
        logger.log_metrics({"loss/G": 0.5}, step=step)
    logger.log_rows([(3, 0.0, {"loss/G": 0.5})])
    logger.log_hyperparams({"losses": ["G"]})


@pytest.mark.parametrize("step", ["auto", "explicit", "own"])
def test_a_disabled_run_is_warned_about_once(step: Any) -> None:
    with pytest.warns(RuntimeWarning, match="cannot deliver: the run is disabled") as caught:
        tee = Tee(WandbLogger(wandb.init(mode="disabled"), step))

    tee.log_metrics({"loss/G": 0.5}, step=0)

    assert len(caught) == tee.failed == 1


def test_what_is_no_run_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"a W&B run, as wandb.init\(\) gives, is needed; got None"):
        WandbLogger(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"got module: wrap it as WandbLogger\(wandb.run\)"):
        WandbLogger(wandb)


def test_another_way_to_step_is_an_error(run: Any) -> None:
    with pytest.raises(ValueError, match="step is 'auto', 'explicit' or 'own'; got 'mine'"):
        WandbLogger(run, "mine")  # type: ignore[arg-type]
