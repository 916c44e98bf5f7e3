from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torchvision
import ultralytics
import yaml
from PIL import Image
from torch import nn
from ultralytics.utils.nms import TorchNMS

from loss_loggers import read_run

from .page import Change, changes, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD, WEIGH = changes("Ultralytics")
PACKAGE = Path(ultralytics.__file__).parent
GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}


def what_is_open(folder: Path) -> dict[str, Any]:
    """A small detector, and images with one box each."""
    random = np.random.default_rng(0)
    for part in ("train", "val"):
        for number in range(8):
            image = random.integers(0, 60, (64, 64, 3), dtype=np.uint8)
            image[20:44, 16:40] = 220
            save(folder, part, number, image)
    network = yaml.safe_load((PACKAGE / "cfg/models/v8/yolov8.yaml").read_text())
    network |= {"nc": 1, "scales": {"n": [0.33, 0.0625, 128]}}
    data = {"path": str(folder), "train": "images/train", "val": "images/val", "names": {0: "box"}}
    for name, content in {"yolov8n.yaml": network, "data.yaml": data}.items():
        (folder / name).write_text(yaml.safe_dump(content))
    options = {"imgsz": 64, "batch": 4, "device": "cpu", "workers": 0, "amp": False, "val": False}
    quiet = {"plots": False, "verbose": False, "project": str(folder / "work"), "warmup_epochs": 0}
    return {
        "config": str(folder / "yolov8n.yaml"),
        "data": str(folder / "data.yaml"),
        "options": options | quiet | {"optimizer": "SGD", "lr0": 1e-3},
    }


def save(folder: Path, part: str, number: int, image: NDArray[np.uint8]) -> None:
    files = [folder / kind / part / str(number) for kind in ("images", "labels")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(files[0].with_suffix(".png"))
    files[1].with_suffix(".txt").write_text("0 0.4375 0.5 0.375 0.375\n")


def trained(code: str, folder: Path) -> tuple[dict[str, Any], torch.Tensor]:
    names = run(code, what_is_open(folder))
    return names, nn.utils.parameters_to_vector(names["model"].model.parameters())


@pytest.fixture(scope="module", autouse=True)
def _boxes_are_told_apart() -> None:
    """A validation needs an operator that torchvision may lack; Ultralytics has it in Python."""
    if not torch.version.cuda:
        torchvision.ops.nms = TorchNMS.nms


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """The parameters that a training without us leaves."""
    return trained(RECORD.before, tmp_path_factory.mktemp("plain"))[1]


def test_each_batch_is_a_row_with_the_gains_as_weights(plain: torch.Tensor, tmp_path: Path) -> None:
    names, parameters = trained(RECORD.after, tmp_path)

    recorded = read_run("runs/yolo")
    items = names["model"].trainer.loss_items
    assert torch.equal(parameters, plain)
    for name, gain in GAINS.items():
        assert recorded[name]["step"].tolist() == [0, 1, 2, 3]
        assert recorded[name]["weight"].tolist() == [gain] * 4
        assert recorded[name]["weighted"][-1] == pytest.approx(items[f"{name}_loss"].item())


def test_weights_of_ours_train_it_otherwise(plain: torch.Tensor, tmp_path: Path) -> None:
    names, parameters = trained(WEIGH.after, tmp_path)

    recorded, trainer = read_run("runs/weighed"), names["model"].trainer
    weighted = sum(recorded[f"{name}_loss"]["weighted"][-1] for name in GAINS)
    assert not torch.allclose(parameters, plain)
    assert 4 * weighted == pytest.approx(trainer.loss.item(), rel=1e-4)  # of four images


def test_weights_of_1_change_nothing(plain: torch.Tensor, tmp_path: Path) -> None:
    same = Change(*(side.replace("NormalizedWeighting()", "None") for side in WEIGH))

    _, parameters = trained(same.after, tmp_path)

    assert torch.allclose(parameters, plain, atol=1e-5)
