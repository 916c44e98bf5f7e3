from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger, TensorBoardLogger
from multi_loss_weighting import CoVWeighting, LossGroup, StaticWeighting

pytest.importorskip("ignite", reason="needs the ignite extra")

from ignite.engine import Engine, Events, create_supervised_trainer
from ignite.handlers import Checkpoint, DiskSaver

from multi_loss_weighting.integrations.ignite import LossHandler, MetricsLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ["recon", "kl"]


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 4, generator=generator), torch.randn(8, 2, generator=generator))
        for _ in range(count)
    ]


def losses_of(code: Tensor, targets: Tensor) -> dict[str, Tensor]:
    return {"recon": ((code - targets) ** 2).mean(), "kl": code.exp().mean()}


class Training:
    """A model with a group, and the engine that trains it."""

    def __init__(self, make_group: Callable[[Engine], LossGroup]) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(4, 2)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.raw: list[dict[str, float]] = []
        self.engine = Engine(self.step)
        self.group = make_group(self.engine)

    def step(self, _: Engine, batch: tuple[Tensor, Tensor]) -> None:
        images, targets = batch
        self.optimizer.zero_grad()
        losses = losses_of(self.model(images), targets)
        self.group(losses).backward()
        self.optimizer.step()
        self.raw.append({name: loss.item() for name, loss in losses.items()})

    def parts(self) -> dict[str, Any]:
        """What a checkpoint has."""
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "losses": self.group,
            "trainer": self.engine,
        }


def cov_group(logger: Any) -> Callable[[Engine], LossGroup]:
    return lambda _: LossGroup(NAMES, logger, weighting=CoVWeighting())


def test_each_iteration_is_one_row_at_the_step_of_ignite() -> None:
    logger = MemoryLogger()
    training = Training(cov_group(logger))
    LossHandler(training.group).attach(training.engine)

    training.engine.run(batches(5), max_epochs=2)

    assert logger["loss/recon"] == [
        (number, losses["recon"]) for number, losses in enumerate(training.raw, start=1)
    ]
    assert training.group["kl"].count == 10
    assert logger["weight/kl"][-1][1] != 0.5


def test_an_evaluator_that_calls_the_group_of_the_training_records_nothing() -> None:
    logger = MemoryLogger()
    training = Training(cov_group(logger))
    LossHandler(training.group).attach(training.engine, Events.ITERATION_COMPLETED(every=2))

    def evaluate(_: Engine, batch: tuple[Tensor, Tensor]) -> None:
        training.group({name: 100 * loss for name, loss in losses_of(*(2 * [batch[1]])).items()})

    evaluator = Engine(evaluate)
    training.engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: evaluator.run(batches(3)) and None
    )
    training.engine.run(batches(3), max_epochs=2)

    raw = [losses["kl"] for losses in training.raw]
    means = [(raw[index] + raw[index + 1]) / 2 for index in (0, 2, 4)]
    assert logger.values("loss/kl") == pytest.approx(means, rel=1e-6)
    assert training.group["kl"].count == 3


def test_a_schedule_is_asked_for_the_iteration_and_its_row_shows_what_it_gave() -> None:
    logger, asked = MemoryLogger(), []

    def schedule(step: int) -> float:
        asked.append(step)
        return 0.5**step

    weighting = StaticWeighting(kl=schedule)
    training = Training(lambda _: LossGroup(NAMES, logger, weighting=weighting))
    LossHandler(training.group).attach(training.engine)

    training.engine.run(batches(3))

    assert sorted(set(asked)) == [1, 2, 3]
    assert logger["weight/kl"] == [(1, 0.5), (2, 0.25), (3, 0.125)]


def test_iterations_that_accumulate_are_one_row_of_their_mean() -> None:
    logger = MemoryLogger()
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    group = LossGroup(NAMES, logger, weighting=CoVWeighting())
    weights, raw = [], []

    def loss_of(code: Tensor, targets: Tensor) -> Tensor:
        losses = losses_of(code, targets)
        weights.append(group.next_weights())
        raw.append(losses["recon"].item())
        total: Tensor = group(losses)
        return total

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = create_supervised_trainer(model, optimizer, loss_of, gradient_accumulation_steps=4)
    LossHandler(group).attach(trainer, Events.ITERATION_COMPLETED(every=4))

    trainer.run(batches(12))

    assert [step for step, _ in logger["loss/recon"]] == [4, 8, 12]
    means = [sum(raw[start : start + 4]) / 4 for start in (0, 4, 8)]
    assert [value for _, value in logger["loss/recon"]] == pytest.approx(means, rel=1e-6)
    assert all(weights[start : start + 4] == [weights[start]] * 4 for start in (0, 4, 8))


def test_a_gradient_scaler_of_ignite_scales_no_statistic() -> None:
    def mean_loss(scaler: Any) -> float:
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
        group = LossGroup(NAMES)
        trainer = create_supervised_trainer(
            model,
            torch.optim.SGD(model.parameters(), lr=0.125),
            lambda code, targets: group(losses_of(code, targets)),
            amp_mode="amp" if scaler else None,
            scaler=scaler,
        )
        LossHandler(group).attach(trainer)
        trainer.run(batches(5))
        return group["recon"].mean

    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    assert mean_loss(scaler) == pytest.approx(mean_loss(False), rel=1e-6)


def test_a_validation_is_one_row_at_the_iteration_of_its_trainer() -> None:
    logger = MemoryLogger()
    training = Training(cov_group(logger))
    validation = LossGroup(NAMES, logger, scope="val")
    raw = []

    def evaluate(_: Engine, batch: tuple[Tensor, Tensor]) -> None:
        with torch.no_grad():
            raw.append(validation(losses_of(training.model(batch[0]), batch[1])).item())

    evaluator = Engine(evaluate)
    LossHandler(training.group).attach(training.engine)
    LossHandler(validation).attach(evaluator, Events.COMPLETED, training.engine)
    training.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(batches(3)))

    training.engine.run(batches(5), max_epochs=2)

    assert [step for step, _ in logger["loss/val/total"]] == [5, 10]
    assert logger["loss/val/total"][0][1] == pytest.approx(sum(raw[:3]) / 3)
    assert validation["recon"].count == 2
    assert training.group["recon"].count == 10


def test_a_follower_has_the_weights_of_training() -> None:
    logger = MemoryLogger()
    training = Training(cov_group(logger))
    validation = training.group.follower("val")
    weights = []

    def evaluate(_: Engine, batch: tuple[Tensor, Tensor]) -> None:
        with torch.no_grad():
            validation(losses_of(training.model(batch[0]), batch[1]))

    def validate() -> None:
        weights.append(training.group.next_weights()["kl"])
        evaluator.run(batches(3))

    evaluator = Engine(evaluate)
    LossHandler(training.group).attach(training.engine)
    LossHandler(validation).attach(evaluator, Events.COMPLETED, training.engine)
    training.engine.add_event_handler(Events.EPOCH_COMPLETED, validate)

    training.engine.run(batches(5), max_epochs=2)

    assert logger["weight/val/kl"] == list(zip((5, 10), weights, strict=True))
    assert weights[0] != weights[1]
    assert logger.values("epoch") == [0, 1]  # an evaluation is none


@pytest.mark.parametrize(("every", "steps"), [(1, [5, 10]), (2, [4, 10]), (4, [4, 8])])
def test_the_end_of_an_epoch_is_a_row_of_its_means(every: int, steps: list[int]) -> None:
    logger = MemoryLogger()
    training = Training(cov_group(logger))
    LossHandler(training.group).attach(training.engine, Events.ITERATION_COMPLETED(every=every))

    training.engine.run(batches(5), max_epochs=2)

    assert logger["epoch"] == [(steps[0], 0), (steps[1], 1)]
    recon = dict(logger["loss/recon"])
    first = [value for step, value in recon.items() if step <= 5]
    second = [value for step, value in recon.items() if step > 5]
    assert logger.values("epoch_loss/recon") == [
        pytest.approx(sum(values) / len(values)) for values in (first, second)
    ]


def test_a_run_that_a_checkpoint_resumes_gives_the_same_numbers(tmp_path: Path) -> None:
    def training(logger: Any) -> Training:
        new = Training(cov_group(logger))
        LossHandler(new.group).attach(new.engine)
        return new

    whole_rows, rows = MemoryLogger(), MemoryLogger()
    whole = training(whole_rows)
    whole.engine.run(batches(5), max_epochs=4)

    first = training(rows)
    saver = Checkpoint(first.parts(), DiskSaver(tmp_path, require_empty=False))
    first.engine.add_event_handler(Events.EPOCH_COMPLETED, saver)
    first.engine.run(batches(5), max_epochs=2)
    second = training(rows)
    saved = torch.load(tmp_path / str(saver.last_checkpoint), weights_only=True)
    Checkpoint.load_objects(second.parts(), saved)
    second.engine.run(batches(5), max_epochs=4)

    assert [(step, row) for step, _, row in rows.rows] == [
        (step, row) for step, _, row in whole_rows.rows
    ]
    assert second.group.get_extra_state().equal(whole.group.get_extra_state())
    assert torch.equal(second.model.weight, whole.model.weight)


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_any_logger_of_ignite_finds_the_rows_among_the_metrics(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="needs tensorboardX")
    from ignite.handlers import TensorboardLogger

    training = Training(lambda engine: LossGroup(NAMES, MetricsLogger(engine)))
    LossHandler(training.group).attach(training.engine)
    with TensorboardLogger(log_dir=str(tmp_path)) as theirs:
        theirs.attach_output_handler(
            training.engine, Events.ITERATION_COMPLETED, tag="training", metric_names="all"
        )
        training.engine.run(batches(3))

    expected = [(number, losses["recon"]) for number, losses in enumerate(training.raw, start=1)]
    assert curve(tmp_path, "training/loss/recon") == expected


def test_its_tensorboard_logger_lends_its_writer(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="needs tensorboardX")
    from ignite.handlers import TensorboardLogger

    theirs = TensorboardLogger(log_dir=str(tmp_path))
    with theirs:
        training = Training(cov_group(TensorBoardLogger(theirs.writer)))
        LossHandler(training.group).attach(training.engine)
        training.engine.run(batches(3))

    expected = [(number, losses["recon"]) for number, losses in enumerate(training.raw, start=1)]
    assert curve(tmp_path, "loss/recon") == expected


def test_its_mlflow_logger_is_a_logger_as_it_is(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    from ignite.handlers import MLflowLogger

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    theirs = MLflowLogger(uri)
    training = Training(cov_group(theirs))
    LossHandler(training.group).attach(training.engine)
    training.engine.run(batches(2))
    assert theirs.active_run is not None
    run_id = theirs.active_run.info.run_id
    theirs.close()

    history = mlflow.MlflowClient(uri).get_metric_history(run_id, "loss/recon")
    assert [(metric.step, metric.value) for metric in history] == [
        (number, losses["recon"]) for number, losses in enumerate(training.raw, start=1)
    ]


def test_what_a_crashed_epoch_left_is_not_in_the_next_run() -> None:
    logger = MemoryLogger()
    training = Training(cov_group(logger))
    LossHandler(training.group).attach(training.engine, Events.ITERATION_COMPLETED(every=2))

    with pytest.raises(ValueError, match="not enough values"):
        training.engine.run([*batches(1), ()])
    training.engine.state.max_epochs = None  # Ignite's way to say: from the start
    training.engine.run(batches(2), max_epochs=1)

    (row,) = logger["loss/recon"]
    assert row[1] == pytest.approx((training.raw[1]["recon"] + training.raw[2]["recon"]) / 2)
