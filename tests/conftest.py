from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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
