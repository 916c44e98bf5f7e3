"""Start work.py, or a script like it, on several ranks with torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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
