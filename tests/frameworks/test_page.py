"""Every Python snippet of docs/frameworks.md runs, each by itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "frameworks.md"
SNIPPETS = re.findall(r"(?ms)^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"))


def model(params: Any, batch: Any) -> dict[str, Any]:
    outputs = batch[0] @ params
    return {"recon": ((outputs - batch[1]) ** 2).mean(), "kl": jnp.exp(outputs).mean()}


def what_snippets_leave_open() -> dict[str, Any]:
    random = np.random.default_rng(0)
    inputs, targets = (random.random((64, size), np.float32) for size in (4, 2))
    return {
        "model": model,
        "params": jnp.zeros((4, 2)),
        "loader": [(inputs[i : i + 8], targets[i : i + 8]) for i in range(0, 64, 8)],
        "inputs": inputs,
        "targets": targets,
    }


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_runs_and_trains(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = what_snippets_leave_open()

    exec(compile(SNIPPETS[number], "a snippet", "exec"), names)

    trained = names.get("weight", names["params"])
    assert "vae" in names or np.abs(np.asarray(trained)).max() > 0.01


def test_every_framework_is_shown() -> None:
    for word in ("jax.jit", "tf.function", "keras.Model"):
        assert any(word in snippet for snippet in SNIPPETS)
