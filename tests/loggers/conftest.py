"""What several of these tests use."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Caught = list[warnings.WarningMessage]
Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def script() -> Script:
    """Run Python code in a process of its own; its arguments are in `sys.argv[1:]`."""

    def run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def caught() -> Iterator[Caught]:
    """The warnings of the test, from whatever thread, as they come."""
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        yield messages
