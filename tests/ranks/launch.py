"""Start work.py, or a script like it, on several ranks with torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.once import once

if TYPE_CHECKING:
    import pytest

WORK = Path(__file__).with_name("work.py")


def run(scenario: str, ranks: int, folder: Path, script: Path = WORK) -> tuple[list[Any], str]:
    """The result of each rank, and what torchrun said."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=0"),
        *("--nproc-per-node", str(ranks), str(script), scenario, str(folder)),
    ]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ | threads, check=False
    )
    files = [folder / f"{scenario}-{rank}.json" for rank in range(ranks)]
    results = [json.loads(file.read_text()) for file in files if file.exists()]
    return results, done.stdout + done.stderr


def run_once(
    factory: pytest.TempPathFactory, scenario: str, ranks: int, script: Path = WORK
) -> tuple[list[Any], Path]:
    """The result of each rank, and what is left in their folder, for all tests that ask."""

    def make(folder: Path) -> None:
        results, said = run(scenario, ranks, folder, script)
        assert len(results) == ranks, said

    folder = once(factory, f"{script.stem}-{scenario}", make)
    files = [folder / f"{scenario}-{rank}.json" for rank in range(ranks)]
    return [json.loads(file.read_text()) for file in files], folder
