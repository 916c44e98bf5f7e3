from __future__ import annotations

import copy
import csv
import math
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    StaticWeighting,
)

pytest.importorskip("lightning", reason="needs the lightning extra")

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.precision import MixedPrecision

from multi_loss_weighting.integrations.lightning import LossCallback

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ["recon", "kl"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*smaller than the logging interval"),
]


def loader(batches: int, alike: bool = False) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(8 * batches, 4, generator=generator)
    if alike:
        images = images[:8].repeat(batches, 1)
    return DataLoader(TensorDataset(images), batch_size=8)


class VAE(LightningModule):
    """A model with a group, as in the documentation."""

    def __init__(self, group: LossGroup) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 2)
        self.losses = group
        self.raw: list[dict[str, float]] = []
        self.weights: list[dict[str, float]] = []

    def losses_of(self, batch: list[Tensor]) -> dict[str, Tensor]:
        code = self.layer(batch[0])
        losses = {"recon": ((code - 1) ** 2).mean(), "kl": code.float().exp().mean()}
        self.raw.append({name: loss.item() for name, loss in losses.items()})
        return losses

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        losses = self.losses_of(batch)
        if self.losses.names:
            self.weights.append(self.losses.next_weights())
        total: Tensor = self.losses(losses)
        return total

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.05)


def make_trainer(folder: Path, logger: Any = False, **options: Any) -> Trainer:
    options = {"max_epochs": 1, "enable_checkpointing": False} | options
    options["callbacks"] = [LossCallback(), *options.get("callbacks", [])]
    return Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        logger=logger,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def cov_group(logger: Any = None) -> LossGroup:
    return LossGroup(NAMES, logger, weighting=CoVWeighting())


def numbered(raw: list[dict[str, float]], name: str) -> list[tuple[int, float]]:
    return [(step, losses[name]) for step, losses in enumerate(raw)]


def rows_since(logger: MemoryLogger, first: int = 0) -> list[tuple[int, dict[str, Any]]]:
    return [(step, row) for step, _, row in logger.rows if step >= first]


def test_the_loggers_of_the_trainer_get_a_row_for_each_step(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    class Logging(VAE):
        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            total = super().training_step(batch, index)
            self.log("theirs", total)
            return total

    table, board = CSVLogger(tmp_path / "table"), TensorBoardLogger(tmp_path / "board")
    model = Logging(LossGroup())
    make_trainer(tmp_path, [table, board], max_epochs=2, log_every_n_steps=1).fit(model, loader(5))

    with (Path(table.log_dir) / "metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    found = [(int(row["step"]), float(row["loss/kl"])) for row in lines if row["loss/kl"]]
    totals = {row["step"]: row["loss/total"] for row in lines if row["loss/total"]}
    assert found == numbered(model.raw, "kl")
    assert len(totals) == 10
    for row in lines:  # rows of Lightning's own stand at the same steps
        if row["theirs"]:
            assert float(totals[row["step"]]) == pytest.approx(float(row["theirs"]))
    assert "PlainSum" in (Path(table.log_dir) / "hparams.yaml").read_text()

    events = EventAccumulator(board.log_dir)
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss/kl")] == found


def test_a_group_keeps_its_own_logger_beside_them(tmp_path: Path) -> None:
    memory, table = MemoryLogger(), CSVLogger(tmp_path)
    model = VAE(cov_group([memory, table]))
    make_trainer(tmp_path, table).fit(model, loader(3))

    with (Path(table.log_dir) / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["loss/kl"]]
    assert len(rows) == 3  # once, though both lists have it
    assert memory["loss/kl"] == numbered(model.raw, "kl")
    model.losses.record({"recon": 1.0, "kl": 1.0})
    assert len(memory["loss/kl"]) == 4


def test_batches_that_accumulate_are_one_row_of_their_mean(tmp_path: Path) -> None:
    memory = MemoryLogger()
    model = VAE(cov_group(memory))
    make_trainer(tmp_path, accumulate_grad_batches=4).fit(model, loader(10))

    pieces = [model.raw[:4], model.raw[4:8], model.raw[8:]]
    means = [sum(one["recon"] for one in piece) / len(piece) for piece in pieces]
    assert [step for step, _ in memory["loss/recon"]] == [0, 1, 2]
    assert [value for _, value in memory["loss/recon"]] == pytest.approx(means, rel=1e-6)
    assert model.weights[8] == model.weights[9] != model.weights[7] == model.weights[4]
    assert model.losses["recon"].count == 3


def test_the_weights_of_a_row_are_those_that_the_step_had(tmp_path: Path) -> None:
    memory = MemoryLogger()
    model = VAE(LossGroup(NAMES, memory, weighting=AutomaticWeightedLoss(2)))
    make_trainer(tmp_path).fit(model, loader(5))

    shown = [value for _, value in memory["weight/kl"]]
    assert shown == [weights["kl"] for weights in model.weights]
    assert len(set(shown)) == 5


def test_a_schedule_follows_the_steps_of_the_trainer(tmp_path: Path) -> None:
    memory = MemoryLogger()
    group = LossGroup(NAMES, memory, weighting=StaticWeighting(kl=lambda step: 0.5**step))
    model = VAE(group)
    for _ in range(2):
        make_trainer(tmp_path).fit(model, loader(3))

    assert memory["weight/kl"] == 2 * [(0, 1.0), (1, 0.5), (2, 0.25)]
    assert [weights["kl"] for weights in model.weights] == 2 * [1.0, 0.5, 0.25]
    assert len(model.raw) == model.losses["kl"].count == 6


def test_a_gradient_scaler_scales_no_statistic(tmp_path: Path) -> None:
    memory = MemoryLogger()
    model = VAE(cov_group(memory))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    precision = MixedPrecision("16-mixed", "cpu", scaler)
    make_trainer(tmp_path, plugins=[precision]).fit(model, loader(5))

    assert memory["loss/kl"] == numbered(model.raw, "kl")
    assert scaler.get_scale() == 1024.0


def test_a_step_that_is_called_again_by_lbfgs_counts_once(tmp_path: Path) -> None:
    class WithClosure(VAE):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.LBFGS(self.parameters(), max_iter=5)

    memory = MemoryLogger()
    model = WithClosure(cov_group(memory))
    make_trainer(tmp_path).fit(model, loader(3))

    assert len(model.raw) > 3
    assert [step for step, _ in memory["loss/kl"]] == [0, 1, 2]
    assert memory["loss/kl"][0][1] == model.raw[0]["kl"]


def test_a_batch_that_is_skipped_has_no_row(tmp_path: Path) -> None:
    class Skipping(VAE):
        def training_step(self, batch: list[Tensor], index: int) -> Any:
            return None if index == 1 else super().training_step(batch, index)

    memory = MemoryLogger()
    make_trainer(tmp_path).fit(Skipping(cov_group(memory)), loader(3))

    assert [step for step, _ in memory["loss/kl"]] == [0, 2]


@pytest.mark.filterwarnings("ignore:the loss 'kl':RuntimeWarning")
def test_a_nan_in_one_of_the_batches_that_accumulate_is_counted(tmp_path: Path) -> None:
    class Breaking(VAE):
        def losses_of(self, batch: list[Tensor]) -> dict[str, Tensor]:
            losses = super().losses_of(batch)
            if len(self.raw) == 3:
                losses["kl"] = losses["kl"] * math.nan
            return losses

    memory = MemoryLogger()
    model = Breaking(cov_group(memory))
    with pytest.warns(RuntimeWarning, match="kl"):
        make_trainer(tmp_path, accumulate_grad_batches=2).fit(model, loader(6))

    assert model.losses["kl"].nonfinite == 1
    assert memory["nonfinite/kl"][0] == (1, 1)
    assert memory["loss/kl"][1] == (1, model.raw[3]["kl"])
    assert model.layer.weight.isfinite().all()


class GAN(LightningModule):
    """Two players, whose optimizers step in the same batch."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.automatic_optimization = False
        self.generator, self.critic = nn.Linear(4, 2), nn.Linear(2, 1)
        self.players = LossGroup(["D", "G"], logger)
        self.raw: dict[str, list[float]] = {"D": [], "G": []}

    def training_step(self, batch: list[Tensor], _: int) -> None:
        critic, generator = self.optimizers()  # type: ignore[attr-defined]
        for _ in range(2):
            fake = self.generator(batch[0]).detach()
            self.play(critic, {"D": self.critic(fake).mean() + self.critic.weight.pow(2).sum()})
        self.play(generator, {"G": -self.critic(self.generator(batch[0])).mean()})

    def play(self, optimizer: Any, losses: dict[str, Tensor]) -> None:
        optimizer.zero_grad()
        self.manual_backward(self.players(losses))
        optimizer.step()
        for name, loss in losses.items():
            self.raw[name].append(loss.item())

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        players = (self.critic, self.generator)
        return [torch.optim.Adam(player.parameters(), lr=0.01) for player in players]


def test_a_gan_counts_each_batch_once_however_often_its_players_step(tmp_path: Path) -> None:
    memory = MemoryLogger()
    model = GAN(memory)
    trainer = make_trainer(tmp_path, max_epochs=2)
    trainer.fit(model, loader(4))

    critic = model.raw["D"]
    means = [(critic[place] + critic[place + 1]) / 2 for place in range(0, 16, 2)]
    assert trainer.global_step == 24
    assert memory["loss/G"] == list(enumerate(model.raw["G"]))
    assert [step for step, _ in memory["loss/D"]] == list(range(8))
    assert [value for _, value in memory["loss/D"]] == pytest.approx(means, rel=1e-6)


def test_a_module_that_steps_every_second_batch_has_a_row_then(tmp_path: Path) -> None:
    class Manual(VAE):
        automatic_optimization = False

        def training_step(self, batch: list[Tensor], index: int) -> None:  # type: ignore[override]
            optimizer = self.optimizers()
            self.manual_backward(self.losses(self.losses_of(batch)) / 2)
            if index % 2:
                optimizer.step()  # type: ignore[union-attr]
                optimizer.zero_grad()  # type: ignore[union-attr]

    memory = MemoryLogger()
    model = Manual(cov_group(memory))
    make_trainer(tmp_path).fit(model, loader(6))

    assert [step for step, _ in memory["loss/kl"]] == [1, 3, 5]
    means = [(model.raw[i]["kl"] + model.raw[i + 1]["kl"]) / 2 for i in (0, 2, 4)]
    assert [value for _, value in memory["loss/kl"]] == pytest.approx(means, rel=1e-6)


class Validated(VAE):
    """A model that validates with a group of its own, and weighs with that of the training."""

    def __init__(self, logger: Any) -> None:
        super().__init__(cov_group(logger))
        self.validation = LossGroup(scope="val")
        self.seen: list[float] = []

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        losses = self.losses_of(batch)
        self.raw.pop()
        self.losses(losses)
        self.seen.append(self.validation(losses).item())

    test_step = validation_step


def test_a_validation_is_one_row_and_changes_no_training(tmp_path: Path) -> None:
    memory, table = MemoryLogger(), CSVLogger(tmp_path)
    model = Validated(memory)
    make_trainer(
        tmp_path, table, max_epochs=2, accumulate_grad_batches=2, val_check_interval=3
    ).fit(model, loader(6), loader(3))

    with (Path(table.log_dir) / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["loss/val/total"]]
    sanity, runs = 2, 4
    assert len(model.seen) == sanity + 3 * runs
    first = sum(model.seen[sanity : sanity + 3]) / 3
    assert float(rows[0]["loss/val/total"]) == pytest.approx(first)
    assert [int(row["step"]) for row in rows] == [1, 2, 4, 5]
    assert model.validation["kl"].count == runs

    alone = VAE(cov_group())
    make_trainer(tmp_path, max_epochs=2, accumulate_grad_batches=2).fit(alone, loader(6))
    assert model.losses.get_extra_state().equal(alone.losses.get_extra_state())
    assert len(memory["loss/kl"]) == 6


def test_a_follower_has_the_weights_of_training_and_a_row_at_its_step(tmp_path: Path) -> None:
    class Following(Validated):
        def __init__(self, logger: Any) -> None:
            super().__init__(logger)
            self.validation = self.losses.follower("val")

    memory = MemoryLogger()
    model = Following(memory)
    weights = []
    model.on_validation_start = lambda: weights.append(model.losses.next_weights())  # type: ignore[method-assign]
    make_trainer(tmp_path, max_epochs=3).fit(model, loader(6), loader(3))

    assert [step for step, _ in memory["loss/val/kl"]] == [5, 11, 17]
    assert memory.values("weight/val/kl") == [one["kl"] for one in weights[1:]]
    assert len(set(memory.values("weight/val/kl"))) == 3
    total = memory.values("loss/val/total")
    assert total[0] == pytest.approx(sum(model.seen[2:5]) / 3)
    assert memory.values("epoch") == [0, 1, 2]  # a validation is none


def test_the_end_of_an_epoch_is_a_row_of_its_means(tmp_path: Path) -> None:
    memory, table = MemoryLogger(), CSVLogger(tmp_path)
    model = Validated(memory)
    make_trainer(tmp_path, table, max_epochs=2).fit(model, loader(5), loader(2))

    assert memory["epoch"] == [(4, 0), (9, 1)]
    for epoch, value in enumerate(memory.values("epoch_loss/kl")):
        values = [losses["kl"] for losses in model.raw[5 * epoch :][:5]]
        assert value == pytest.approx(sum(values) / 5, rel=1e-12)
    with (Path(table.log_dir) / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["epoch_loss/kl"]]
    assert [(row["step"], row["epoch"]) for row in rows] == [("4", "0"), ("9", "1")]


def test_an_epoch_that_stops_early_and_a_module_that_steps_itself_have_one(tmp_path: Path) -> None:
    stopped, gan = MemoryLogger(), MemoryLogger()
    make_trainer(tmp_path, max_steps=7, max_epochs=-1).fit(VAE(cov_group(stopped)), loader(5))
    make_trainer(tmp_path, max_epochs=2).fit(GAN(gan), loader(4))

    assert stopped["epoch"] == [(4, 0), (6, 1)]
    assert gan["epoch"] == [(3, 0), (7, 1)]
    assert set(gan.rows[-1][2]) == {"epoch", "epoch_loss/D", "epoch_loss/G"}


def test_a_loss_that_comes_late_joins(tmp_path: Path) -> None:
    class Growing(VAE):
        def losses_of(self, batch: list[Tensor]) -> dict[str, Tensor]:
            losses = super().losses_of(batch)
            return losses | ({"late": losses["kl"] ** 2} if len(self.raw) > 4 else {})

    memory = MemoryLogger()
    model = Growing(LossGroup(None, memory, weighting=CoVWeighting()))
    make_trainer(tmp_path, max_epochs=2).fit(model, loader(3))

    assert [step for step, _ in memory["loss/late"]] == [4, 5]
    assert memory.values("epoch_loss/late") == [pytest.approx(model.losses["late"].mean)]


def test_a_validation_is_the_mean_over_samples_as_lightning_takes_it(tmp_path: Path) -> None:
    class Logged(Validated):
        def validation_step(self, batch: list[Tensor], index: int) -> None:
            super().validation_step(batch, index)
            self.log("theirs", self.seen[-1])

    model = Logged(None)
    uneven = DataLoader(TensorDataset(torch.randn(19, 4)), batch_size=8)
    (theirs,) = make_trainer(tmp_path).validate(model, uneven, verbose=False)

    recon, kl = model.validation["recon"].value, model.validation["kl"].value
    assert recon + kl == pytest.approx(theirs["theirs"])
    assert recon + kl != pytest.approx(sum(model.seen) / 3)


def test_validate_and_test_without_training_record_the_scoped_group_alone(tmp_path: Path) -> None:
    model = Validated(None)
    for _ in range(2):
        make_trainer(tmp_path).validate(model, loader(3), verbose=False)
    make_trainer(tmp_path).test(model, loader(3), verbose=False)

    assert model.validation["kl"].count == 3
    assert model.losses["kl"].count == 0


class Players(GAN):
    """Each player has a group with a scope, which its evaluations call too."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        del self.players
        self.losses = LossGroup(["adv", "size"], logger, scope="G", weighting=CoVWeighting())
        self.others = LossGroup(["adv"], logger, scope="D")
        self.follower = self.losses.follower("holdout")
        self.own = LossGroup(["adv"], logger, scope="G/val")

    def losses_of(self, batch: list[Tensor]) -> dict[str, Tensor]:
        fake = self.generator(batch[0])
        return {"adv": -self.critic(fake).mean(), "size": fake.square().mean()}

    def training_step(self, batch: list[Tensor], _: int) -> None:
        critic, generator = self.optimizers()  # type: ignore[attr-defined]
        for group, optimizer in ((self.others, critic), (self.losses, generator)):
            losses = self.losses_of(batch)
            optimizer.zero_grad()
            self.manual_backward(group({name: losses[name] for name in group.names}))
            optimizer.step()

    def validation_step(self, batch: list[Tensor], _: int) -> None:
        losses = self.losses_of(batch)
        for group in (self.losses, self.others, self.follower, self.own):
            group({name: losses[name] for name in group.names})

    test_step = validation_step


def test_an_evaluation_before_or_after_a_fit_records_no_group_of_the_training(
    tmp_path: Path,
) -> None:
    memory = MemoryLogger()
    model, batches = Players(memory), loader(4)
    trainer = make_trainer(tmp_path, enable_checkpointing=True)

    trainer.validate(model, batches, verbose=False)
    assert not any("loss/G/adv" in row or "loss/D/adv" in row for _, _, row in memory.rows)
    trainer.fit(model, batches, batches)
    state, weights = model.losses.get_extra_state(), model.losses.next_weights()
    trainer.test(model, batches, verbose=False)
    trainer.validate(model, batches, verbose=False)

    assert model.losses.get_extra_state().equal(state)
    assert model.losses.next_weights() == weights
    assert [step for step, _ in memory["loss/G/adv"]] == [0, 1, 2, 3]
    assert [step for step, _ in memory["loss/D/adv"]] == [0, 1, 2, 3]
    assert [step for step, _ in memory["loss/G/holdout/size"]] == [0, 3, 4, 4]
    assert len(memory["loss/G/val/adv"]) == 4


def test_an_evaluation_of_a_checkpoint_records_no_group_of_the_training(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, enable_checkpointing=True)
    trained, again = Players(None), Players(None)
    trainer.fit(trained, loader(4))
    trainer.save_checkpoint(tmp_path / "players.ckpt")

    make_trainer(tmp_path).test(
        again, loader(4), ckpt_path=tmp_path / "players.ckpt", verbose=False
    )

    assert again.losses.get_extra_state().equal(trained.losses.get_extra_state())
    assert (again.losses["adv"].count, again.follower["adv"].count) == (4, 1)


@pytest.mark.filterwarnings("ignore:.*dataloader is not resumable", "ignore:Be aware that")
@pytest.mark.parametrize("when", ["at the end of an epoch", "in the middle"])
def test_a_run_that_a_checkpoint_resumes_gives_the_same_numbers(tmp_path: Path, when: str) -> None:
    in_the_middle = when == "in the middle"
    step = 4 if in_the_middle else 3
    # Lightning reads the epoch in which it stopped from its beginning, so the batches are alike.
    batches = loader(6, alike=in_the_middle)

    def fit(logger: Any, ckpt_path: Any = None, **options: Any) -> VAE:
        model = VAE(LossGroup(None, logger, weighting=CoVWeighting()))
        trainer = make_trainer(tmp_path, max_epochs=3, accumulate_grad_batches=2, **options)
        trainer.fit(model, batches, ckpt_path=ckpt_path)
        return model

    saver = ModelCheckpoint(tmp_path, every_n_train_steps=step, save_top_k=-1)
    whole_rows, rows = MemoryLogger(), MemoryLogger()
    whole = fit(whole_rows, callbacks=[saver], enable_checkpointing=True)
    (path,) = tmp_path.glob(f"*step={step}.ckpt")
    resumed = fit(rows, path)

    assert rows_since(rows) == rows_since(whole_rows, step)
    assert [step for step, _ in rows["loss/kl"]] == list(range(step, 9))
    assert rows["epoch"] == [(5, 1), (8, 2)]
    assert resumed.losses.get_extra_state().equal(whole.losses.get_extra_state())
    assert torch.equal(resumed.layer.weight, whole.layer.weight)


def test_a_second_trainer_and_one_after_a_crash_record_each_step_once(tmp_path: Path) -> None:
    class Crashing(VAE):
        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            if len(self.raw) == 2:
                self.raw.append({})
                raise OSError
            return super().training_step(batch, index)

    memory = MemoryLogger()
    model = Crashing(cov_group(memory))
    with pytest.raises(OSError):  # noqa: PT011
        make_trainer(tmp_path).fit(model, loader(4))
    make_trainer(tmp_path).fit(model, loader(4))

    assert [step for step, _ in memory["loss/kl"]] == [0, 1, 0, 1, 2, 3]
    assert not model.losses._forward_hooks


def test_a_copy_of_the_model_that_training_makes_is_not_recorded(tmp_path: Path) -> None:
    class Copying(VAE):
        def on_train_batch_end(self, *_: Any) -> None:
            for other in (copy.deepcopy(self.losses), pickle.loads(pickle.dumps(self.losses))):
                other({"recon": 100.0, "kl": 100.0})

    model = Copying(cov_group())
    make_trainer(tmp_path, accumulate_grad_batches=2).fit(model, loader(4))

    assert model.losses["kl"].maximum < 100
    assert model.losses["kl"].count == 2


def test_a_logger_that_fails_stops_no_training(tmp_path: Path) -> None:
    table = CSVLogger(tmp_path)
    table.log_metrics = lambda *_, **__: 1 / 0  # type: ignore[assignment]
    model = VAE(cov_group())
    with pytest.warns(RuntimeWarning, match="CSVLogger failed"):
        make_trainer(tmp_path, table).fit(model, loader(3))

    assert model.losses["kl"].count == 3


def test_a_module_without_a_group_is_told_so(tmp_path: Path) -> None:
    class Without(VAE):
        def __init__(self) -> None:
            super().__init__(cov_group())
            del self.losses

    with pytest.raises(ValueError, match=r"self\.losses = LossGroup\(\); Without has none"):
        make_trainer(tmp_path).fit(Without(), loader(1))


def test_an_epoch_without_a_call_of_the_group_is_warned_about(tmp_path: Path) -> None:
    class Weighing(VAE):
        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            return self.losses.weigh(self.losses_of(batch))

    with pytest.warns(RuntimeWarning, match=r"total = self\.losses\(losses\)"):
        make_trainer(tmp_path).fit(Weighing(cov_group()), loader(1))


def test_the_older_name_of_the_package_serves_as_well(tmp_path: Path) -> None:
    older = pytest.importorskip("pytorch_lightning", reason="needs pytorch_lightning")

    class Model(older.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.losses = nn.Linear(4, 2), LossGroup()

        def training_step(self, batch: list[Tensor], _: int) -> Any:
            return self.losses({"kl": self.layer(batch[0]).exp().mean()})

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    make: Callable[..., Any] = older.Trainer
    table = older.loggers.CSVLogger(tmp_path)
    trainer = make(
        max_epochs=1,
        accelerator="cpu",
        logger=table,
        callbacks=[LossCallback()],
        enable_checkpointing=False,
        enable_progress_bar=False,
    )
    trainer.fit(Model(), loader(3))

    with (Path(table.log_dir) / "metrics.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file) if row["loss/kl"]] == ["0", "1", "2"]
