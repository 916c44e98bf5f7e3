"""Every Python snippet of the README and of the pages in docs/ runs, each by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from loss_loggers import MemoryLogger

TOP = Path(__file__).parent.parent
SDKS = (
    *("accelerate", "comet_ml", "ignite", "lightning", "mlflow", "tensorboard", "transformers"),
    *("duckdb", "pandas", "polars"),
    "torchjd",
    "trackio",
    "wandb",
)


def snippets(page: str) -> list[str]:
    """The Python snippets of a page."""
    return re.findall(r"(?ms)^```python\n(.*?)^```", (TOP / page).read_text(encoding="utf-8"))


ELSEWHERE = ("docs/frameworks.md", "docs/codebases.md")  # in tests/frameworks, tests/codebases
DOCS = sorted(f"docs/{page.name}" for page in (TOP / "docs").glob("*.[mt][dx]*"))  # .md, .txt
PAGES = {page: snippets(page) for page in ("README.md", *DOCS) if page not in ELSEWHERE}
ALL = [
    pytest.param(snippet, id=f"{page}:{number}")
    for page, found in PAGES.items()
    for number, snippet in enumerate(found)
]


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
    data = TensorDataset(torch.randn(40, 4), torch.randn(40, 2))
    return {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=1e-3),
        "loader": DataLoader(data, batch_size=8),
        "experiment": MemoryLogger(),
        "remote": MemoryLogger(),
        "EPOCH_BATCHES": 5,
        "dataset": [{"images": torch.randn(4), "targets": torch.randn(2)} for _ in range(16)],
        "sentences": [
            {
                "input_ids": torch.randint(99, (8,)),
                "labels": torch.randint(99, (8,)),
                "next_sentence_label": torch.randint(2, ()),
            }
            for _ in range(16)
        ],
    }


@pytest.fixture(autouse=True)
def nothing_leaves_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMET_DISABLE_AUTO_LOGGING", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))


@pytest.mark.parametrize("snippet", ALL)
def test_a_snippet_runs(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sdk in SDKS:
        if re.search(rf"^(import|from) .*{sdk}|\"{sdk}\"", snippet, re.MULTILINE):
            module = pytest.importorskip(sdk, reason=f"the snippet needs {sdk}")
            if sdk == "wandb":
                module.teardown()  # it reads the environment once, maybe for another test before
            if sdk == "trackio":  # likewise
                monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path)
    if "MetricsEndpoint" in snippet:
        pytest.importorskip("prometheus_client", reason="the snippet needs prometheus_client")
    if "loss_dashboard.show" in snippet:
        pytest.importorskip("IPython", reason="a figure needs IPython")
    names = what_snippets_leave_open()
    before = [parameter.clone() for parameter in names["model"].parameters()]

    exec(compile(snippet, "a snippet", "exec"), names)

    calls = r"optimizer\.step\(|scaler\.step\(|trainer\.fit\(|^    model,$"
    trains = re.search(calls, snippet, re.MULTILINE) is not None
    moved = any(
        not torch.equal(old, new)
        for old, new in zip(before, names["model"].parameters(), strict=True)
    )
    assert moved == trains


def test_every_kind_of_loop_and_logger_is_shown() -> None:
    assert len(PAGES["README.md"]) >= 4
    assert len(PAGES["docs/migrate.md"]) >= 7
    assert len(PAGES["docs/write_your_own.md"]) >= 2
    assert len(PAGES["docs/loggers.md"]) >= 8
    assert len(PAGES["docs/integrations.md"]) >= 5
    assert len(PAGES["docs/accelerators.md"]) >= 2
    assert len(PAGES["docs/weightings.md"]) >= 6
