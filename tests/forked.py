"""Scripts in processes of their own, forked from one that has imported torch: 0.1 s, not 3 of each.

Elsewhere than on Linux, where a fork may fail, each imports it for itself.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from pathlib import Path

# With what they would import at their first backward, DDP, page or demo, as far as it is installed.
TRAINING = ("torch._dynamo", "torch.distributed", "multi_loss_weighting")
SERVING = (
    "loss_dashboard.cli.losses",
    "loss_dashboard.web.serving",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)
DEMO = ("sklearn.datasets", "matplotlib.figure")

FORKS = sys.platform == "linux"
CONTEXT: Any = multiprocessing.get_context("forkserver" if FORKS else "spawn")
if FORKS:
    CONTEXT.set_forkserver_preload([*TRAINING, *SERVING, *DEMO])


def start(script: Path | str, *arguments: str, said: Path, **environment: str) -> BaseProcess:
    """Begin to run a script, or a module by its name, whose output goes to a file."""
    everything = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    process: BaseProcess = CONTEXT.Process(target=_run, args=(script, arguments, said, everything))
    process.start()
    return process


def end(process: BaseProcess, seconds: float) -> int:
    """Its exit code; one that is not over in time is killed."""
    process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _run(
    script: Path | str, arguments: tuple[str, ...], said: Path, environment: dict[str, str]
) -> None:
    import torch

    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    sys.argv = [str(script), *arguments]
    if isinstance(script, str):
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(script.parent))
        runpy.run_path(str(script), run_name="__main__")
