from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import MixtralConfig, MixtralForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from loss_loggers import read_run
from multi_loss_weighting import LossGroup, StaticWeighting
from multi_loss_weighting.integrations.transformers import LossGroupMixin

from .page import changes, run

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ["<pad>", "<eos>", "<unk>", "a", "b", "c", "d", "e", "f", "g"]
OPTIONS = {
    "output_dir": "checkpoints",
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
    "max_steps": 4,
    "save_strategy": "no",
    "learning_rate": 1e-2,
    "gradient_checkpointing": False,
}
GENERATION = {
    "bf16": False,
    "per_device_train_batch_size": 4,
    "num_generations": 4,
    "max_completion_length": 5,
}


@pytest.fixture
def tokenizer() -> Any:
    """Ten words."""
    words = models.WordLevel({word: id_ for id_, word in enumerate(WORDS)}, unk_token="<unk>")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A small mixture of two experts, on disk: TRL reads its reference model from there."""
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 2}
    router = {"output_router_logits": True, "router_aux_loss_coef": 0.02}
    tokens = {"vocab_size": len(WORDS), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    config = MixtralConfig(**size, **heads, **router, **tokens)
    MixtralForCausalLM(config).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_policy_kl_and_router_loss_of_grpo_are_rows(saved: Path, tokenizer: Any) -> None:
    (change,) = changes("TRL")
    names = {
        "model": MixtralForCausalLM.from_pretrained(saved),
        "tokenizer": tokenizer,
        "prompts": Dataset.from_list([{"prompt": "a b"}, {"prompt": "c d"}] * 8),
        "reward": lambda completions, **_: [float(len(text)) for text in completions],
        "options": OPTIONS | GENERATION,
    }

    logs = run(change.after, names)["trainer"].state.log_history[:-1]

    recorded = read_run("runs/grpo")
    assert recorded["policy"]["step"].tolist() == [1, 2, 3, 4]
    for column, key in (("kl", "kl"), ("aux_loss", "aux_loss"), ("total", "loss")):
        assert recorded[column]["loss"].tolist() == pytest.approx([log[key] for log in logs])
    assert recorded["kl"]["weight"].tolist() == [0.1] * 4
    assert recorded["aux_loss"]["weight"].tolist() == [0.02] * 4
    assert np.abs(recorded["policy"]["loss"]).max() > 0


@pytest.mark.filterwarnings("error:.*return_outputs")  # it would run the model once more
def test_sft_weighs_the_router_loss_and_trains_as_before(saved: Path, tokenizer: Any) -> None:
    class Ours(LossGroupMixin, SFTTrainer):  # type: ignore[misc, unused-ignore]
        pass

    def losses(loss: Any, outputs: Any, _: Any) -> dict[str, Any]:
        return {"lm": loss - 0.02 * outputs.aux_loss, "router": outputs.aux_loss}

    weigh: dict[str, Any] = {
        "losses": losses,
        "loss_group": LossGroup(weighting=StaticWeighting(router=0.02)),
    }
    trained = []
    sides: list[tuple[Any, dict[str, Any]]] = [(SFTTrainer, {}), (Ours, weigh)]
    for kind, options in sides:
        torch.manual_seed(0)
        trainer = kind(
            MixtralForCausalLM.from_pretrained(saved),
            args=SFTConfig(**OPTIONS, logging_steps=1, per_device_train_batch_size=2, bf16=False),
            train_dataset=Dataset.from_list([{"text": "a b c d"}, {"text": "c d f g a"}] * 8),
            processing_class=tokenizer,
            **options,
        )
        trainer.train()
        trained.append(trainer)

    old, new = (nn.utils.parameters_to_vector(one.model.parameters()) for one in trained)
    assert torch.allclose(old, new, atol=1e-6)
    for before, after in zip(*(one.state.log_history[:-1] for one in trained), strict=True):
        assert after["loss/lm"] + 0.02 * after["loss/router"] == pytest.approx(before["loss"])


def test_the_router_loss_of_transformers_is_weighed(saved: Path) -> None:
    (change,) = changes("The router loss of a mixture of experts")
    torch.manual_seed(0)
    texts = [{"input_ids": (ids := torch.randint(3, 10, (6,))), "labels": ids} for _ in range(16)]

    def trained(code: str) -> dict[str, Any]:
        options = OPTIONS | {"per_device_train_batch_size": 2, "logging_steps": 1}
        model = MixtralForCausalLM.from_pretrained(saved)
        return run(code, {"model": model, "texts": texts, "options": options})

    sides = [trained(change.before), trained(change.after)]

    old, new = (nn.utils.parameters_to_vector(side["model"].parameters()) for side in sides)
    recorded = read_run("runs/experts")
    logs = sides[0]["trainer"].state.log_history[:-1]
    assert torch.allclose(old, new, atol=1e-4)
    assert recorded["router"]["weight"].tolist() == [0.02] * 4
    assert recorded["total"]["loss"].tolist() == pytest.approx([log["loss"] for log in logs], 1e-4)
