"""Do what is to be done, in several processes, and go on where it was stopped."""

from __future__ import annotations

import signal
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_all_start_methods, get_context
from typing import TYPE_CHECKING

import torch

from . import cache
from .cost import Cost, measure
from .fit import Fit, train

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Job = Fit | Cost

METHOD = "forkserver" if "forkserver" in get_all_start_methods() else "spawn"
"""Of starting a process: a fork of this one, with the threads of torch in it, may hang."""


def make_pool(workers: int) -> ProcessPoolExecutor:
    """Processes of one thread each."""
    return ProcessPoolExecutor(workers, get_context(METHOD), _begin)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # at Ctrl-C they finish what is under way
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of losses that are not finite: they are counted


def do(jobs: Iterable[Job], folder: Path, pool: ProcessPoolExecutor, what: str) -> None:
    """Do those that are not done yet."""
    left = [job for job in jobs if not cache.file_of(folder, job).exists()]
    began = time.monotonic()
    futures = [pool.submit(_work, folder, job) for job in left]
    try:
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            minutes = (time.monotonic() - began) / done * (len(left) - done) / 60
            _say(
                f"{done} of {len(left)} {what}, some {minutes:.0f} minutes left", done == len(left)
            )
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _say(text: str, is_last: bool) -> None:
    end = "\n" if is_last or not sys.stderr.isatty() else "\r"
    print(f"{text:60}", end=end, file=sys.stderr, flush=True)


def _work(folder: Path, job: Job) -> None:
    cache.write(folder, job, measure(job) if isinstance(job, Cost) else train(job))
