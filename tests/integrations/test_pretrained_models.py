"""A model of Transformers that owns a group: save_pretrained, from_pretrained and the Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    StaticWeighting,
    StatisticsSettings,
    UncertaintyWeighting,
)

transformers = pytest.importorskip("transformers", reason="needs the transformers extra")
pytest.importorskip("accelerate", reason="needs the transformers extra")

from transformers import (  # noqa: E402
    PretrainedConfig,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY = "losses._extra_state"
WEIGHTINGS: dict[str, Any] = {
    "none": lambda: None,
    "cov": CoVWeighting,
    "automatic": lambda: AutomaticWeightedLoss(2),
    "uncertainty": lambda: UncertaintyWeighting(2),
    "static": lambda: StaticWeighting(kl=0.5),
}


class Config(PretrainedConfig):
    model_type = "two_losses"

    def __init__(self, weighting: str = "cov", names: Any = ("recon", "kl"), **kwargs: Any) -> None:
        self.weighting, self.names = weighting, names
        super().__init__(**kwargs)


class Model(PreTrainedModel):
    config_class = Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.code, self.image = nn.Linear(4, 2), nn.Linear(2, 4)
        weighting = WEIGHTINGS[config.weighting]()
        self.losses = LossGroup(
            config.names,
            weighting=weighting,
            block_size=3,
            statistics=StatisticsSettings(history=8),
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.constant_(module.weight, 0.1)
            nn.init.zeros_(module.bias)
        elif callable(reset := getattr(module, "reset_parameters", None)):
            reset()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        code = self.code(x)
        losses = {"recon": (self.image(code) - x).pow(2).mean(), "kl": code.pow(2).mean()}
        loss = self.losses.weigh(losses)
        if self.training:
            self.losses.accumulate(losses)
        return {"loss": loss}


class Record(TrainerCallback):
    """Ends a step of the group with each step of the optimizer."""

    def on_pre_optimizer_step(self, *_: Any, model: Model, **__: Any) -> None:
        model.losses.record()


def trained(kind: str, steps: int, names: Any = ("recon", "kl")) -> Model:
    model = Model(Config(kind, names)).train()
    return train_steps(model, range(steps))


def train_steps(model: Model, steps: Any) -> Model:
    for step in steps:
        model.zero_grad()
        x = torch.randn(3, 4, generator=torch.Generator().manual_seed(step))
        model(x)["loss"].backward()
        model.losses.record()
        torch.optim.SGD(model.parameters(), 0.1).step()
    return model


def numbers(model: Model) -> dict[str, Any]:
    group = model.losses
    read = {name: (loss := group[name], loss.mean, loss.std, loss.count)[1:] for name in group}
    state = {key: value.tolist() for key, value in model.state_dict().items()}
    return {"step": group.step, "losses": read, "next": group.next_weights(), "state": state}


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_a_pretrained_model_goes_on_with_the_same_numbers(kind: str, tmp_path: Path) -> None:
    whole, half = trained(kind, 9), trained(kind, 5)

    half.save_pretrained(tmp_path)
    model, info = Model.from_pretrained(tmp_path, output_loading_info=True)

    assert not any(info.values())
    assert repr(numbers(model)) == repr(numbers(half))
    assert repr(numbers(train_steps(model.train(), range(5, 9)))) == repr(numbers(whole))


def test_a_group_without_names_takes_those_that_were_saved(tmp_path: Path) -> None:
    half = trained("cov", 5, None)

    half.save_pretrained(tmp_path)

    assert repr(numbers(Model.from_pretrained(tmp_path))) == repr(numbers(half))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "auto"])
def test_the_dtype_of_the_model_leaves_the_statistics_alone(dtype: str, tmp_path: Path) -> None:
    half = trained("cov", 5)
    half.save_pretrained(tmp_path)

    model = Model.from_pretrained(tmp_path, dtype=dtype)

    assert model.state_dict()[KEY].equal(half.state_dict()[KEY])


def test_shards_are_put_together(tmp_path: Path) -> None:
    half = trained("automatic", 5)

    half.save_pretrained(tmp_path, max_shard_size=100)

    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert repr(numbers(Model.from_pretrained(tmp_path))) == repr(numbers(half))


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_a_checkpoint_from_before_there_was_a_group_begins_anew(kind: str, tmp_path: Path) -> None:
    half, new = trained(kind, 5), Model(Config(kind))
    keys = [key for key in half.state_dict() if "losses" not in key]
    half.save_pretrained(tmp_path, state_dict={key: half.state_dict()[key] for key in keys})

    model, info = Model.from_pretrained(tmp_path, output_loading_info=True)

    assert KEY in info["missing_keys"]
    assert model.code.weight.equal(half.code.weight)
    assert model.losses.step == model.losses["kl"].count == 0
    assert model.losses.next_weights() == new.losses.next_weights()
    assert [p.tolist() for p in model.losses.parameters()] == [
        p.tolist() for p in new.losses.parameters()
    ]
    assert train_steps(model.train(), range(2)).losses.step == 2


def test_other_losses_are_said_and_the_rest_is_loaded(tmp_path: Path) -> None:
    half = trained("cov", 5)
    half.save_pretrained(tmp_path)

    with pytest.warns(RuntimeWarning, match="'lpips'|'recon'"):
        model = Model.from_pretrained(tmp_path, names=("kl", "lpips"))

    assert model.code.weight.equal(half.code.weight)
    assert model.losses["kl"].mean == half.losses["kl"].mean
    assert model.losses["lpips"].count == 0


def run(folder: Path, kind: str, until: int, resume: bool = False) -> tuple[Trainer, Model]:
    arguments = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=12,
        lr_scheduler_type="constant",
        save_strategy="steps",
        save_steps=until,
        learning_rate=1e-2,
        dataloader_pin_memory=False,
    )
    torch.manual_seed(0)
    samples = torch.randn(40, 4)
    data = [{"x": x} for x in samples]
    model = Model(Config(kind))
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[Record()])
    trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{until}") if resume else None)
    return trainer, model


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_a_trainer_resumes_bit_for_bit(kind: str, tmp_path: Path) -> None:
    _, whole = run(tmp_path, kind, until=5)

    _, resumed = run(tmp_path, kind, until=5, resume=True)

    assert (whole.losses.step, whole.losses["kl"].count) == (12, 12)
    assert repr(numbers(resumed)) == repr(numbers(whole))


def test_the_best_model_is_loaded_with_its_statistics(tmp_path: Path) -> None:
    trainer, model = run(tmp_path, "cov", until=5)
    saved = Model.from_pretrained(tmp_path / "checkpoint-5")

    trainer.state.best_model_checkpoint = str(tmp_path / "checkpoint-5")
    trainer._load_best_model()

    assert repr(numbers(model)) == repr(numbers(saved))
    assert model.losses.step == 5
