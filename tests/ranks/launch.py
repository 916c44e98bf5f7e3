"""Start work.py, or a script like it, on several ranks, as torchrun does or with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.forked import end, start
from tests.once import once
from torch import distributed

if TYPE_CHECKING:
    import pytest

WORK = Path(__file__).with_name("work.py")


def on_ranks(ranks: int, folder: Path, script: Path, *arguments: str) -> tuple[list[int], str]:
    """The exit code of each rank, and what they said, in the environment that torchrun makes."""
    store = distributed.TCPStore(  # type: ignore[attr-defined]
        "127.0.0.1", 0, is_master=True, wait_for_workers=False
    )
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(ranks)),
    }
    texts = [folder / f"{script.stem}-{rank}.txt" for rank in range(ranks)]
    processes = [
        start(
            script,
            *arguments,
            said=text,
            environment=shared | dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)),
        )
        for rank, text in enumerate(texts)
    ]
    codes = [end(process, 900) for process in processes]
    return codes, "\n".join(map(Path.read_text, texts))


def run(scenario: str, ranks: int, folder: Path, script: Path = WORK) -> tuple[list[Any], str]:
    """The result of each rank, and what they said."""
    _, said = on_ranks(ranks, folder, script, scenario, str(folder))
    return results(scenario, ranks, folder), said


def torchrun(scenario: str, ranks: int, folder: Path) -> tuple[list[Any], str]:
    """The result of each rank, and what torchrun said."""
    options = ("--standalone", "--max-restarts=0", "--nproc-per-node", str(ranks))
    work = (str(WORK), scenario, str(folder))
    said = folder / "torchrun.txt"
    end(start("torch.distributed.run", *options, *work, said=said), 900)
    return results(scenario, ranks, folder), said.read_text()


def results(scenario: str, ranks: int, folder: Path) -> list[Any]:
    files = [folder / f"{scenario}-{rank}.json" for rank in range(ranks)]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def run_once(
    factory: pytest.TempPathFactory, scenario: str, ranks: int, script: Path = WORK
) -> tuple[list[Any], Path]:
    """The result of each rank, and what is left in their folder, for all tests that ask."""

    def make(folder: Path) -> None:
        results, said = run(scenario, ranks, folder, script)
        assert len(results) == ranks, said

    folder = once(factory, f"{script.stem}-{scenario}", make)
    return results(scenario, ranks, folder), folder
