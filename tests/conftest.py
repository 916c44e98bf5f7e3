from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.once import once

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "golden"


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
def mlflow_uri(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A new store of MLflow: a copy, for to make its tables takes a second and more."""
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")

    def make(folder: Path) -> None:
        mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()

    shutil.copy(once(tmp_path_factory, "mlflow", make) / "mlflow.db", tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"
