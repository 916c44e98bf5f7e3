"""Every Python snippet of the README runs, each by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger

README = Path(__file__).parent.parent / "README.md"
SNIPPETS = re.findall(
    r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


class Model(nn.Module):
    """What the snippets leave open: a small model that returns a dict of losses."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        code = self.layer(images)
        return {"recon": ((code - targets) ** 2).mean(), "kl": code.exp().mean()}


def what_snippets_leave_open() -> dict[str, Any]:
    torch.manual_seed(0)
    model = Model()
    return {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=1e-3),
        "loader": [(torch.randn(8, 4), torch.randn(8, 2)) for _ in range(5)],
        "experiment": MemoryLogger(),
        "EPOCH_BATCHES": 5,
    }


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[s.splitlines()[0][:60] for s in SNIPPETS])
def test_a_readme_snippet_runs(
    snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = what_snippets_leave_open()
    before = [parameter.clone() for parameter in names["model"].parameters()]

    exec(compile(snippet, str(README), "exec"), names)

    trains = "optimizer.step()" in snippet
    moved = any(
        not torch.equal(old, new)
        for old, new in zip(before, names["model"].parameters(), strict=True)
    )
    assert moved == trains


def test_every_kind_of_loop_is_shown() -> None:
    assert len(SNIPPETS) >= 8
