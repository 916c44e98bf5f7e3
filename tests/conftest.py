from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.once import once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = Path(__file__).parent / "golden"
# Else each run of Weights & Biases lists every package that is installed, for a tenth of a second.
os.environ["WANDB__SAVE_REQUIREMENTS"] = "false"


@pytest.fixture
def golden() -> Callable[[str], dict[str, Any]]:
    """Numbers that the authors' own code gave, by the name of their file."""

    def load(name: str) -> dict[str, Any]:
        numbers: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
        return numbers

    return load


@pytest.fixture(scope="module", autouse=True)
def what_was_imported_is_no_garbage() -> None:
    """Else each collection looks at millions of objects of torch and of others: 1.6 s, not 0.01."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    """For whoever compiles: torch skips code for good, in every group, that once broke a graph."""
    import torch

    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of MLflow without runs, to be copied: to make its tables takes a second."""
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")

    def make(folder: Path) -> None:
        mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()

    return once(tmp_path_factory, "mlflow", make) / "mlflow.db"


@pytest.fixture
def mlflow_uri(mlflow_store: Path, tmp_path: Path) -> str:
    """A new store of MLflow."""
    return f"sqlite:///{shutil.copy(mlflow_store, tmp_path)}"


@pytest.fixture(scope="session")
def playing() -> Iterator[tuple[Any, Any]]:
    """Chromium without a window, which takes seconds to start, and the loop that talks to it."""
    from tests.dashboard.browser import CHROMIUM, FLAGS, browsers

    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with browsers().sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        yield chromium, loop
        asyncio._set_running_loop(loop)
        chromium.close()


@pytest.fixture
def browser(playing: tuple[Any, Any]) -> Iterator[Any]:
    """The one Chromium of all tests.

    The loop of Playwright waits inside `run_until_complete` as long as it is open; that it runs is
    told during these tests alone, for elsewhere `asyncio.run` would refuse.
    """
    chromium, loop = playing
    asyncio._set_running_loop(loop)
    yield chromium
    asyncio._set_running_loop(None)
