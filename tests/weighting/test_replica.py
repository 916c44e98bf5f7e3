"""Learned weights as a part of a model in DDP: two real processes that talk over gloo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.ranks import launch

if not torch.distributed.is_available():
    pytest.skip("this torch was built without torch.distributed", allow_module_level=True)

KINDS = ["default", "find unused", "find unused, views", "static graph"]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    script = Path(launch.__file__).with_name("replicas.py")
    return launch.run_once(tmp_path_factory, "replicas", 2, script)[0]


@pytest.mark.parametrize("method", ["automatic", "uncertainty"])
@pytest.mark.parametrize("place", ["inside", "outside", "alone"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_ranks_learn_what_one_process_learns_from_the_mean(
    two: list[Any], method: str, place: str, kind: str
) -> None:
    first, second = (rank[f"{method}, {place}, {kind}"] for rank in two)

    assert first["got"] == second["got"]
    assert numbers(first["got"]) == pytest.approx(numbers(first["expected"]), rel=1e-12)
    assert len(set(first["got"])) > 8


def numbers(hexed: list[str]) -> list[float]:
    return [float.fromhex(value) for value in hexed]
