from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from pathlib import Path

# Before anything imports them: no settings in the home of who tests, and nothing from a hub.
os.environ.update(
    DDE_BACKEND="pytorch",
    HF_HUB_OFFLINE="1",
    YOLO_CONFIG_DIR=tempfile.mkdtemp(prefix="ultralytics-"),
    YOLO_OFFLINE="true",
)

# The torchvision of PyPI is built for CUDA on Linux, and beside a torch for the CPU it has no
# operators. It can be imported once these are declared.
try:
    import torchvision  # noqa: F401
except RuntimeError:
    for operator in ("nms", "qnms"):
        signature = "(Tensor boxes, Tensor scores, float threshold) -> Tensor"
        torch.library.define(f"torchvision::{operator}", signature)


@pytest.fixture(autouse=True)
def _nothing_leaves_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
