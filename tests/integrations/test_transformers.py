"""The real Trainer on small models that are made here: nothing is downloaded."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.ranks.launch import on_ranks
from torch import Tensor, nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    CoVWeighting,
    LossGroup,
    StaticWeighting,
    UncertaintyWeighting,
    Weighting,
)

transformers = pytest.importorskip("transformers", reason="needs the transformers extra")
pytest.importorskip("accelerate", reason="needs the transformers extra")

from transformers import Trainer, TrainingArguments  # noqa: E402

from multi_loss_weighting.integrations.transformers import (  # noqa: E402
    STATE_NAME,
    LossGroupMixin,
    LossGroupTrainer,
)


class Model(nn.Module):
    """Two losses, beside their sum; `seen` has them of each micro-batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.code, self.image = nn.Linear(4, 2), nn.Linear(2, 4)
        self.seen: list[tuple[float, float]] = []

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Any]:
        code = self.code(x)
        recon, kl = (self.image(code) - labels).pow(2).mean(), code.pow(2).mean()
        if self.training:
            self.seen.append((recon.item(), kl.item()))
        return {"loss": recon + kl, "recon_loss": recon, "kl": kl, "code": code}


def data(count: int = 24, seed: int = 1) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {"x": (x := torch.randn(4, generator=generator) * (1 + i)), "labels": x}
        for i in range(count)
    ]


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    defaults: dict[str, Any] = {
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 4,
        "num_train_epochs": 1,
        "learning_rate": 1e-2,
        "logging_steps": 4,
        "save_strategy": "no",
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(output_dir=str(folder), **(defaults | options))


def make(
    folder: Path,
    weighting: Weighting | None = None,
    names: tuple[str, ...] | None = ("recon", "kl"),
    group: dict[str, Any] | None = None,
    trainer: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[LossGroupTrainer, MemoryLogger]:
    """A trainer, and the logger of its group."""
    logger = MemoryLogger()
    losses = LossGroup(names, logger, weighting=weighting, **(group or {}))
    given: dict[str, Any] = {"model": Model(), "train_dataset": data()} | (trainer or {})
    return LossGroupTrainer(args=arguments(folder, **options), loss_group=losses, **given), logger


def logs(trainer: Trainer, key: str) -> list[float]:
    return [entry[key] for entry in trainer.state.log_history if key in entry]


def rows_with(logger: MemoryLogger, key: str, since: int = 0) -> list[tuple[int, dict[str, Any]]]:
    return [(step, row) for step, _, row in logger.rows if key in row and step >= since]


def parameters(trainer: Trainer) -> Tensor:
    return nn.utils.parameters_to_vector(trainer.model.parameters()).detach()


def state(group: LossGroup) -> str:
    """Every number of it, in full; as text, in which nan equals nan."""
    parts = group.state_dict().items()
    return str({key: part.tolist() if isinstance(part, Tensor) else part for key, part in parts})


def means_of_steps(model: Model, micro_batches: int) -> list[tuple[float, float]]:
    """Of what the model saw in each step of the optimizer, the means, in float64."""
    steps = [model.seen[i : i + micro_batches] for i in range(0, len(model.seen), micro_batches)]
    return [tuple(sum(loss) / len(step) for loss in zip(*step, strict=True)) for step in steps]


@pytest.mark.parametrize("accumulation", [1, 3, 5])  # the last step of five has two
def test_without_a_weighting_it_trains_as_the_trainer_alone(
    tmp_path: Path, accumulation: int
) -> None:
    options: dict[str, Any] = {"gradient_accumulation_steps": accumulation, "weight_decay": 0.1}
    alone = Trainer(Model(), arguments(tmp_path, **options), train_dataset=data())
    ours, _ = make(tmp_path, **options)

    alone.train()
    ours.train()

    assert parameters(ours).equal(parameters(alone))
    assert logs(ours, "loss") == logs(alone, "loss")
    assert logs(ours, "grad_norm") == logs(alone, "grad_norm")


@pytest.mark.parametrize("accumulation", [1, 2, 5])
def test_a_step_of_the_optimizer_is_one_row_of_means(tmp_path: Path, accumulation: int) -> None:
    trainer, logger = make(tmp_path, gradient_accumulation_steps=accumulation, num_train_epochs=2)

    trainer.train()

    # An epoch ends with fewer micro-batches where the number does not divide it.
    seen = trainer.model.seen
    epochs = [seen[: len(seen) // 2], seen[len(seen) // 2 :]]
    expected = []
    for epoch in epochs:
        trainer.model.seen = epoch
        expected += means_of_steps(trainer.model, accumulation)
    found = list(zip(logger.values("loss/recon"), logger.values("loss/kl"), strict=True))
    assert len(seen) == 24
    assert [step for step, _ in rows_with(logger, "loss/total")] == list(
        range(trainer.state.global_step)
    )
    assert found == [pytest.approx(means, rel=1e-6) for means in expected]


def test_each_loss_is_in_the_logs_as_the_mean_since_the_last(tmp_path: Path) -> None:
    trainer, logger = make(tmp_path, StaticWeighting(kl=0.5), num_train_epochs=2, logging_steps=5)

    trainer.train()

    recon, kl = logger.values("loss/recon"), logger.values("loss/kl")
    assert logs(trainer, "loss/recon") == pytest.approx(
        [sum(recon[i : i + 5]) / 5 for i in range(0, 20, 5)]
    )
    assert logs(trainer, "loss") == pytest.approx(
        [sum(recon[i : i + 5]) / 5 + sum(kl[i : i + 5]) / 10 for i in range(0, 20, 5)], abs=1e-4
    )
    assert logs(trainer, "weight/kl") == [0.5] * 4
    assert not any(key.startswith("nonfinite") for log in trainer.state.log_history for key in log)


def test_report_to_gets_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path))
    trainer, _ = make(
        tmp_path,
        trainer={"eval_dataset": data(6)},
        report_to="tensorboard",
        eval_strategy="epoch",
    )

    trainer.train()

    (file,) = tmp_path.rglob("events*")
    events = EventAccumulator(str(file))
    events.Reload()
    curve = [(event.step, event.value) for event in events.Scalars("train/loss/recon")]
    assert curve == [
        (step, pytest.approx(value))
        for step, value in zip((4, 8, 12), logs(trainer, "loss/recon"), strict=True)
    ]
    assert events.Scalars("eval/loss/kl")[0].value == pytest.approx(
        logs(trainer, "eval_loss/kl")[0]
    )


class Poisoned(Model):
    """Its second loss is nan in two micro-batches."""

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Any]:
        output = super().forward(x, labels)
        if self.training and len(self.seen) in (3, 6):
            output["kl"] = output["kl"] * math.nan
        return output


@pytest.mark.parametrize(("policy", "harmed"), [("skip", False), ("keep", True)])
@pytest.mark.filterwarnings("ignore:loss '(recon|kl)' is nan at step:RuntimeWarning")
def test_a_nan_that_the_trainer_filters_is_counted_in_its_logs(
    tmp_path: Path, policy: str, harmed: bool
) -> None:
    trainer, logger = make(tmp_path, group={"nonfinite": policy}, trainer={"model": Poisoned()})

    trainer.train()

    if not harmed:
        kl = logger.values("loss/kl")
        assert logs(trainer, "loss/kl")[:2] == pytest.approx(
            [(kl[0] + kl[1] + kl[3]) / 3, (kl[4] + kl[6] + kl[7]) / 3]
        )
        assert logs(trainer, "nonfinite/kl") == [1, 2, 2]
        assert parameters(trainer).isfinite().all()
    assert all(map(math.isfinite, logs(trainer, "loss")))  # the filter at work
    assert logs(trainer, "nonfinite/kl")[-1] == (10 if harmed else 2)


def test_learned_weights_are_learned_as_by_hand(tmp_path: Path) -> None:
    """The Trainer zeroes the gradients of the model alone, so that ours could pile up."""
    trainer, _ = make(
        tmp_path,
        UncertaintyWeighting(2),
        optim="sgd",
        weight_decay=0.5,
        gradient_accumulation_steps=2,
        lr_scheduler_type="constant",
        max_grad_norm=0,
    )
    batches: list[Any] = []
    trainer.model.register_forward_pre_hook(
        lambda _, __, named: batches.append((named["x"], named["labels"])), with_kwargs=True
    )

    trainer.train()

    model, log_variance = Model(), torch.zeros(2, requires_grad=True)
    decayed: dict[str, Any] = {
        "params": [model.code.weight, model.image.weight],
        "weight_decay": 0.5,
    }
    others: dict[str, Any] = {"params": [model.code.bias, model.image.bias, log_variance]}
    optimizer = torch.optim.SGD([decayed, others], lr=1e-2)
    for i, (x, labels) in enumerate(batches):
        output = model(x, labels)
        losses = torch.stack([output["recon_loss"], output["kl"]])
        total = (torch.exp(-log_variance) * losses + log_variance).sum()
        (total / 2).backward()  # type: ignore[no-untyped-call]
        if i % 2:
            optimizer.step()
            optimizer.zero_grad()
    (learned,) = trainer.loss_group.parameters()
    assert len(batches) == 12
    assert learned.detach().abs().min() > 1e-3
    assert parameters(trainer).allclose(nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(learned, log_variance, atol=1e-6, rtol=1e-6)


def test_learned_weights_have_a_learning_rate_of_their_own(tmp_path: Path) -> None:
    given: dict[str, Any] = {"loss_weight_lr": 0.1}
    trainer, _ = make(tmp_path, UncertaintyWeighting(2), trainer=given, weight_decay=0.5)

    trainer.train()
    trainer.train()  # the same optimizer once more

    *network, learned = trainer.optimizer.param_groups
    assert [group["weight_decay"] for group in network] == [0.5, 0.0]
    assert learned["params"] == list(trainer.loss_group.parameters())
    assert learned["weight_decay"] == 0
    assert learned["initial_lr"] == 0.1


def test_an_optimizer_of_ones_own_may_have_the_learned_weights(tmp_path: Path) -> None:
    model, weighting = Model(), UncertaintyWeighting(2)
    optimizer = torch.optim.SGD([{"params": model.parameters()}], lr=0.01)
    optimizer.add_param_group({"params": weighting.parameters(), "lr": 0.5})
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    given: dict[str, Any] = {"model": model, "optimizers": (optimizer, scheduler)}
    trainer, _ = make(tmp_path, weighting, trainer=given)

    trainer.train()

    assert len(optimizer.param_groups) == 2
    assert weighting.params.ne(0).all()


def test_a_scheduler_must_know_the_learned_weights(tmp_path: Path) -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    given: dict[str, Any] = {
        "model": model,
        "optimizers": (optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)),
    }
    trainer, _ = make(tmp_path, UncertaintyWeighting(2), trainer=given)

    with pytest.raises(ValueError, match=r"by loss_group.parameter_group\(\); got one without"):
        trainer.train()

    assert len(optimizer.param_groups) == 1


def test_the_end_of_an_epoch_is_a_row_of_its_means(tmp_path: Path) -> None:
    trainer, logger = make(tmp_path, CoVWeighting(), max_steps=20)

    trainer.train()

    kl = logger.values("loss/kl")
    assert logger["epoch"] == [(11, 0), (19, 1)]  # the last one stops early
    assert logger.values("epoch_loss/kl") == pytest.approx([sum(kl[:12]) / 12, sum(kl[12:]) / 8])


def test_the_checkpoint_of_the_last_step_of_an_epoch_has_ended_it(tmp_path: Path) -> None:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 12, "num_train_epochs": 3}
    whole, rows = make(tmp_path, CoVWeighting(), **options)
    whole.train()

    resumed, more = make(tmp_path, CoVWeighting(), **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-12"))

    assert rows["epoch"] == [(11, 0), (23, 1), (35, 2)]
    assert rows_with(more, "epoch") == rows_with(rows, "epoch", since=12)
    assert state(resumed.loss_group) == state(whole.loss_group)


def test_an_evaluation_is_a_row_with_the_weights_and_at_the_step_of_training(
    tmp_path: Path,
) -> None:
    trainer, logger = make(
        tmp_path, CoVWeighting(), trainer={"eval_dataset": data(6)}, eval_strategy="epoch"
    )

    trainer.train()

    assert logger["loss/eval/kl"] == [(11, logs(trainer, "eval_loss/kl")[0])]
    assert logger.values("weight/eval/kl") == [trainer.loss_group.next_weights()["kl"]]
    assert logger.values("loss/eval/total") == pytest.approx(logs(trainer, "eval_loss"), rel=1e-5)


class GrowingModel(Model):
    """A third loss comes after some micro-batches."""

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Any]:
        output = super().forward(x, labels)
        late = {"late": output["kl"] * 2} if len(self.seen) > 5 else {}
        return {"loss": {"recon": output["recon_loss"], "kl": output["kl"]} | late}


def test_a_loss_that_comes_late_joins(tmp_path: Path) -> None:
    given = {"model": GrowingModel(), "eval_dataset": data(6)}
    trainer, logger = make(
        tmp_path, CoVWeighting(), names=None, trainer=given, eval_strategy="epoch"
    )

    trainer.train()

    assert [step for step, _ in logger["loss/late"]] == list(range(5, 12))
    assert logger.values("epoch_loss/late") == [pytest.approx(sum(logger.values("loss/late")) / 7)]
    assert logs(trainer, "eval_loss/late") == pytest.approx(
        [2 * kl for kl in logs(trainer, "eval_loss/kl")]
    )


@pytest.mark.parametrize("weighting", [CoVWeighting, UncertaintyWeighting])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_that_was_resumed_is_the_same_to_the_last_bit(
    tmp_path: Path, weighting: type[Any], accumulation: int
) -> None:
    options: dict[str, Any] = {
        "save_strategy": "steps",
        "save_steps": 8,
        "logging_steps": 4,
        "max_steps": 20,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "gradient_accumulation_steps": accumulation,
    }
    whole, rows = make(tmp_path / "a", weighting(), trainer={"eval_dataset": data(6)}, **options)
    whole.train()

    resumed, more = make(tmp_path / "b", weighting(), trainer={"eval_dataset": data(6)}, **options)
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-8"))

    assert resumed.state.global_step == 20
    for key in ("loss/total", "loss/eval/total", "epoch"):
        assert rows_with(more, key) == rows_with(rows, key, since=8)
    assert parameters(resumed).equal(parameters(whole))
    assert state(resumed.loss_group) == state(whole.loss_group)
    assert state(resumed.eval_groups["eval"]) == state(whole.eval_groups["eval"])
    for key in ("loss/kl", "weight/kl", "eval_loss/kl"):
        assert logs(resumed, key) == logs(whole, key)


def test_a_checkpoint_of_before_is_continued_with_a_warning(tmp_path: Path) -> None:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 6}
    Trainer(Model(), arguments(tmp_path, **options), train_dataset=data()).train()
    trainer, logger = make(tmp_path, CoVWeighting(), **options)

    with pytest.warns(RuntimeWarning, match=rf"checkpoint-6/{STATE_NAME} is missing: the losses"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))

    assert [step for step, _ in rows_with(logger, "loss/total")] == list(range(6))


def test_a_checkpoint_of_other_losses_is_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 6}
    make(tmp_path, **options)[0].train()
    trainer, _ = make(tmp_path, CoVWeighting(), **options)

    with pytest.raises(RuntimeError, match=r"weighting CoVWeighting.*\n.*weighting PlainSum"):
        trainer.train(resume_from_checkpoint=True)


def test_an_evaluation_has_each_loss_and_changes_no_weight(tmp_path: Path) -> None:
    trainer, logger = make(
        tmp_path, CoVWeighting(), trainer={"eval_logger": (rows := MemoryLogger())}
    )
    trainer.train()
    before, count = state(trainer.loss_group), len(logger.rows)

    metrics = trainer.evaluate({"a": data(10, seed=5), "b": data(5, seed=6)})

    assert state(trainer.loss_group) == before
    assert len(logger.rows) == count
    for name, examples in (("a", data(10, seed=5)), ("b", data(5, seed=6))):
        output = trainer.model(
            torch.stack([example["x"] for example in examples]),
            torch.stack([example["labels"] for example in examples]),
        )
        assert metrics[f"eval_{name}_loss/recon"] == pytest.approx(output["recon_loss"].item())
        assert metrics[f"eval_{name}_loss/kl"] == pytest.approx(output["kl"].item())
        assert rows[f"loss/eval_{name}/kl"] == [(11, metrics[f"eval_{name}_loss/kl"])]
    weights = trainer.loss_group.next_weights()
    assert metrics["eval_a_loss"] == pytest.approx(
        sum(weights[name] * metrics[f"eval_a_loss/{name}"] for name in weights)
    )
    assert trainer.eval_groups["eval_a"]["kl"].count == 1


def test_a_prediction_has_them_as_well(tmp_path: Path) -> None:
    trainer, _ = make(tmp_path)

    metrics = trainer.predict(data(6)).metrics

    assert metrics["test_loss"] == pytest.approx(
        metrics["test_loss/kl"] + metrics["test_loss/recon"]
    )


class PoisonedEvaluation(Model):
    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Any]:
        output = super().forward(x, labels)
        if not self.training and len(x) < 4:
            output["kl"] = output["kl"] * math.nan
        return output


def test_a_nan_of_an_evaluation_is_counted(tmp_path: Path) -> None:
    trainer, _ = make(tmp_path, trainer={"model": PoisonedEvaluation()})

    whole, part = trainer.evaluate(data(8)), trainer.evaluate(data(10))

    assert part["eval_loss/kl"] == whole["eval_loss/kl"]  # the first eight
    assert part["eval_nonfinite/kl"] == 1
    assert "eval_nonfinite/kl" not in whole


def test_the_best_model_can_be_chosen_by_one_loss(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "metric_for_best_model": "eval_loss/kl",
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "num_train_epochs": 3,
    }
    given: dict[str, Any] = {"eval_dataset": data(6)}

    with pytest.raises(ValueError, match="less is better: pass greater_is_better=False; got True"):
        make(tmp_path, trainer=given, **options)
    trainer, _ = make(tmp_path, trainer=given, **options, greater_is_better=False)
    trainer.train()

    assert trainer.state.best_metric == min(logs(trainer, "eval_loss/kl"))


def returned_as_loss(output: dict[str, Any]) -> dict[str, Any]:
    losses = {"recon": output.pop("recon_loss"), "kl": output.pop("kl")}
    return {**output, "loss": losses}


class DictModel(Model):
    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Any]:
        return returned_as_loss(super().forward(x, labels))


class DictTrainer(Trainer):
    """Somebody's trainer, whose `compute_loss` returns a dict."""

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        output = returned_as_loss(model(**inputs))
        return output["loss"], output


class WeighingTrainer(LossGroupTrainer):
    """Ours, with a `compute_loss` of the user's own."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any
    ) -> Any:
        output = returned_as_loss(model(**inputs))
        loss = self.weigh_losses(output["loss"])
        return (loss, output) if return_outputs else loss


class PoppingBase(Trainer):
    """It takes the labels out of the inputs, as the Trainer does to smooth them."""

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        output = model(labels=inputs.pop("labels"), **inputs)
        return output["loss"], output


class TrlTrainer(Trainer):
    """Built as TRL's are: what it measures is logged by a `log` of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.measured: list[float] = []
        self.asked: set[bool] = set()

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = super().compute_loss(
            model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch
        )
        self.measured.append(outputs["code"].norm().item())
        self.asked.add(return_outputs)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        logs |= {"code_norm": sum(self.measured) / len(self.measured)}
        super().log(logs, start_time)


class InnerTrainer(Trainer):
    """It calls what is inside of the model, so that no hook sees what comes out."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any
    ) -> Any:
        output = model.forward(**inputs)
        return (output["loss"], output) if return_outputs else output["loss"]


class PoppingTrainer(LossGroupMixin, PoppingBase):
    pass


class OurInnerTrainer(LossGroupMixin, InnerTrainer):
    pass


class OurDictTrainer(LossGroupMixin, DictTrainer):
    pass


class OurTrlTrainer(LossGroupMixin, TrlTrainer):
    pass


def by_function(loss: Any, outputs: Any, inputs: Any) -> dict[str, Tensor]:
    assert set(inputs) == {"x", "labels"}
    assert loss == outputs["loss"]
    return {"recon": outputs["recon_loss"], "kl": outputs["kl"]}


def from_labels(outputs: Any, labels: Tensor, **_: Any) -> dict[str, Tensor]:
    return {"recon": (outputs["image"] - labels).pow(2).mean(), "kl": outputs["code"].pow(2).mean()}


class BareModel(Model):
    def forward(self, x: Tensor, labels: Any = None) -> dict[str, Any]:
        code = self.code(x)
        return {"code": code, "image": self.image(code)}


WAYS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "a function of the user's": (LossGroupTrainer, {"losses": by_function}),
    "a function that sees all inputs": (PoppingTrainer, {"losses": by_function}),
    "a dict as the model's loss": (LossGroupTrainer, {"model": DictModel}),
    "a compute_loss_func": (
        LossGroupTrainer,
        {"model": BareModel, "compute_loss_func": from_labels},
    ),
    "a trainer that returns a dict": (OurDictTrainer, {}),
    "a compute_loss of the user's": (WeighingTrainer, {}),
    "a trainer that hides the model": (OurInnerTrainer, {"names": ("recon", "kl")}),
    "a trainer as TRL's": (OurTrlTrainer, {"names": ("recon", "kl")}),
}


@pytest.mark.parametrize("way", WAYS)
def test_losses_come_in_many_ways(tmp_path: Path, way: str) -> None:
    options: dict[str, Any] = {"gradient_accumulation_steps": 2, "logging_steps": 2}
    evaluated = data(6, seed=3)
    known, _ = make(tmp_path, CoVWeighting(), **options)
    known.train()
    kind, given = WAYS[way]
    given = {"model": Model} | given

    trainer = kind(
        args=arguments(tmp_path, **options),
        loss_group=LossGroup(given.pop("names", None), weighting=CoVWeighting()),
        train_dataset=data(),
        **(given | {"model": given["model"]()}),
    )
    trainer.train()
    was_asked = True in getattr(trainer, "asked", ())
    metrics = trainer.evaluate(evaluated)

    assert not was_asked  # the model would run once more
    assert trainer.loss_group.names == ("recon", "kl")
    torch.testing.assert_close(parameters(trainer), parameters(known), rtol=1e-6, atol=1e-6)
    for key in ("loss", "loss/recon", "loss/kl", "weight/kl"):
        assert logs(trainer, key) == pytest.approx(logs(known, key), rel=1e-5)
    expected = known.evaluate(evaluated)
    assert metrics["eval_loss/kl"] == pytest.approx(expected["eval_loss/kl"], rel=1e-5)
    if isinstance(trainer, TrlTrainer):
        assert len(logs(trainer, "code_norm")) == len(trainer.state.log_history)


def test_a_model_without_such_losses_is_told_what_is_needed(tmp_path: Path) -> None:
    nameless, _ = make(tmp_path, names=None)
    mistaken, _ = make(tmp_path, names=("recon_error", "kl_error"))

    with pytest.raises(ValueError, match=r"needs names in the LossGroup \(or a dict as its loss"):
        nameless.train()
    with pytest.raises(ValueError, match=r"fields recon_error, kl_error.*got loss, recon_loss, kl"):
        mistaken.train()


def test_an_older_transformers_takes_no_dict_from_a_loss_func(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Trainer, "loss_is_scaled_for_ga")

    with pytest.raises(TypeError, match=r"needs a newer Transformers.*: pass losses= instead"):
        make(tmp_path, trainer={"compute_loss_func": from_labels})


def test_a_loss_per_device_is_averaged(tmp_path: Path) -> None:
    """As nn.DataParallel returns it, which there is no hardware for here."""
    trainer, _ = make(tmp_path)
    trainer.args._n_gpu = 2

    total = trainer.weigh_losses({"recon": torch.tensor([1.0, 3.0]), "kl": torch.tensor([4.0, 4])})

    assert total == 6


def lm() -> Any:
    config = transformers.GPT2Config(
        vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0
    )
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(config)


def texts(count: int = 8) -> list[dict[str, Tensor]]:
    """Of different length: the rest is padding, which is no label."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for i in range(count):
        tokens = torch.randint(11, (8,), generator=generator)
        labels = tokens.where(torch.arange(8) < 2 + i % 7, -100)
        found.append({"input_ids": tokens, "labels": labels})
    return found


@pytest.mark.parametrize("asks_for_it", [True, False], ids=["version 5", "version 4"])
def test_a_loss_over_tokens_enters_the_statistics_unscaled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks_for_it: bool
) -> None:
    """Else a language model divides its loss by the tokens of all micro-batches."""
    if not asks_for_it:
        monkeypatch.setattr(LossGroupMixin, "loss_is_scaled_for_ga", None)

    def losses(_: Any, outputs: Any, __: Any) -> dict[str, Tensor]:
        return {"lm": outputs["loss"], "size": outputs["logits"].pow(2).mean()}

    model, logger = lm().eval(), MemoryLogger()
    expected = []
    for i in (0, 4):
        batches = [texts()[j] for j in range(i, i + 4)]
        both = [
            model(input_ids=b["input_ids"][None], labels=b["labels"][None]).loss.item()
            for b in batches
        ]
        expected.append(sum(both) / 4)
    trainer = LossGroupTrainer(
        lm(),
        arguments(
            tmp_path,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=4,
            learning_rate=0.0,
            logging_steps=1,
            train_sampling_strategy="sequential",
        ),
        train_dataset=texts(),
        loss_group=LossGroup(logger=logger),
        losses=losses,
    )
    trainer.model.config.attn_pdrop = 0.0
    for module in trainer.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0

    trainer.train()

    assert logger.values("loss/lm") == pytest.approx(expected, rel=1e-5)
    assert logs(trainer, "loss") == pytest.approx(logger.values("loss/total"), rel=1e-5)


def test_bert_learns_both_of_its_pretraining_tasks(tmp_path: Path) -> None:
    """It returns the sum alone; a function has the two from its output and inputs."""

    def losses(_: Any, outputs: Any, inputs: Any) -> dict[str, Tensor]:
        words = outputs.prediction_logits.flatten(0, 1)
        return {
            "mlm": nn.functional.cross_entropy(words, inputs["labels"].flatten()),
            "nsp": nn.functional.cross_entropy(
                outputs.seq_relationship_logits, inputs["next_sentence_label"]
            ),
        }

    config = transformers.BertConfig(
        vocab_size=11,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=8,
    )
    rows = [text | {"next_sentence_label": torch.tensor(i % 2)} for i, text in enumerate(texts())]
    trainer = LossGroupTrainer(
        transformers.BertForPreTraining(config),
        arguments(tmp_path, logging_steps=1, save_strategy="epoch"),
        train_dataset=rows,
        eval_dataset=rows,
        loss_group=LossGroup(),
        losses=losses,
    )
    alone = Trainer(trainer.model, arguments(tmp_path), eval_dataset=rows)

    trainer.train()
    metrics = trainer.evaluate()

    sums = zip(logs(trainer, "loss/mlm"), logs(trainer, "loss/nsp"), strict=True)
    assert logs(trainer, "loss") == pytest.approx([mlm + nsp for mlm, nsp in sums], rel=1e-4)
    assert metrics["eval_loss"] == pytest.approx(
        metrics["eval_loss/mlm"] + metrics["eval_loss/nsp"], rel=1e-5
    )
    assert metrics["eval_loss"] == pytest.approx(alone.evaluate()["eval_loss"], rel=1e-5)
    assert (tmp_path / "checkpoint-4" / "model.safetensors").is_file()


RANK = """
import os, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
import test_transformers as here

folder, rank = Path(sys.argv[2]), int(os.environ["RANK"])
for weighting in (here.CoVWeighting, here.UncertaintyWeighting):
    trainer, rows = here.make_two_a_batch(folder, weighting(), ddp_backend="gloo")
    trainer.train()
    if rank == 0:
        trainer.weigh_losses({"recon": 1.0, "kl": 3.0})
    trainer.weigh_losses({"kl": 4.0 + rank})
    trainer._record_step()
    torch.save(here.outcome(trainer, rows), folder / f"{weighting.__name__}-{rank}.pt")
trainer.accelerator.end_training()
"""


def make_two_a_batch(
    folder: Path, weighting: Weighting, **options: Any
) -> tuple[LossGroupTrainer, MemoryLogger]:
    return make(
        folder,
        weighting,
        trainer={"eval_dataset": data(8)},
        train_sampling_strategy="sequential",
        gradient_accumulation_steps=2,
        logging_steps=1,
        eval_strategy="epoch",
        **options,
    )


def outcome(trainer: LossGroupTrainer, rows: MemoryLogger) -> dict[str, Any]:
    return {
        "parameters": parameters(trainer),
        "learned": [parameter.detach() for parameter in trainer.loss_group.parameters()],
        "state": state(trainer.loss_group),
        "rows": [dict(row) for _, _, row in rows.rows],
        "loss": logs(trainer, "loss"),
        "logged": logs(trainer, "loss/kl"),
        "evaluated": logs(trainer, "eval_loss/kl"),
    }


def test_two_ranks_weigh_alike_and_as_one_does(tmp_path: Path) -> None:
    """Two ranks with batches of two are one with batches of four."""
    (script := tmp_path / "rank.py").write_text(RANK)

    codes, said = on_ranks(2, tmp_path, script, str(Path(__file__).parent), str(tmp_path))

    assert codes == [0, 0], said
    for weighting in (CoVWeighting, UncertaintyWeighting):
        first, second = (
            torch.load(tmp_path / f"{weighting.__name__}-{rank}.pt") for rank in (0, 1)
        )
        trainer, rows = make_two_a_batch(tmp_path, weighting(), per_device_train_batch_size=4)
        trainer.train()
        one = outcome(trainer, rows)
        assert first["state"] == second["state"]
        assert second["rows"] == []  # the first rank speaks for all
        assert first["parameters"].equal(second["parameters"])
        assert all(a.equal(b) for a, b in zip(first["learned"], second["learned"], strict=True))
        # The last row is of losses that the ranks have not all: 3 and 4 of one, 5 of the other.
        *steps, uneven = first["rows"]
        assert (uneven["loss/kl"], uneven["loss/recon"]) == (4.0, 1.0)
        assert len(steps) == len(one["rows"])
        for ours, alone in zip(steps, one["rows"], strict=True):
            assert ours == pytest.approx(alone, rel=1e-4, nan_ok=True)
        torch.testing.assert_close(first["parameters"], one["parameters"], rtol=1e-4, atol=1e-5)
        for key in ("loss", "logged", "evaluated"):
            assert first[key] == pytest.approx(one[key], rel=1e-4)
