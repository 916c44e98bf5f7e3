"""What several of these tests use."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

Caught = list[warnings.WarningMessage]
FailsInAFork = Callable[[Any, int], int]
Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def script() -> Script:
    """Run Python code in a process of its own; its arguments are in `sys.argv[1:]`."""

    def run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


def failed_in_a_fork(logger: Any, steps: int) -> int:
    """How many of some rows a logger counts as failed in a forked process."""
    if not hasattr(os, "fork"):
        pytest.skip("needs a system that forks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
        if not child:
            for step in range(steps):
                logger.log_metrics({"loss/G": 0.5}, step=step)
            os._exit(logger.failed)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def fails_in_a_fork() -> FailsInAFork:
    """As a fixture."""
    return failed_in_a_fork


@pytest.fixture
def caught() -> Iterator[Caught]:
    """The warnings of the test, from whatever thread, as they come."""
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # of what other tests left behind
        yield messages
