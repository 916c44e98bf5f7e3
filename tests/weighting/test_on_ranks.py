"""Weightings with a memory on two ranks: real processes over gloo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.ranks.launch import run_once

if not torch.distributed.is_available():
    pytest.skip("this torch was built without torch.distributed", allow_module_level=True)

SCRIPT = Path(__file__).parent.parent / "ranks" / "measure.py"
KINDS = ("share", "gradnorm", "normalized share", "relobralo", "softadapt", "target")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return run_once(tmp_path_factory, "measure", 2, SCRIPT)[0]


@pytest.mark.parametrize("odd", ["", " odd"])
@pytest.mark.parametrize("later", ["", " later"])
@pytest.mark.parametrize("kind", KINDS)
def test_ranks_have_the_same_weights_bit_for_bit(
    two: list[Any], kind: str, later: str, odd: str
) -> None:
    one, other = (rank[f"{kind}{later}{odd}"]["weights"] for rank in two)

    common = [(mine, theirs) for mine, theirs in zip(one, other, strict=True) if len(mine) > 2]
    assert common
    assert all(mine == theirs for mine, theirs in common)


@pytest.mark.parametrize(("kind", "ranks"), [("share", (0, 1)), ("masked", (0,))])
@pytest.mark.parametrize("later", ["", " later"])
def test_weights_go_by_the_mean_of_the_norms_over_ranks_that_have_samples(
    two: list[Any], later: str, kind: str, ranks: tuple[int, ...]
) -> None:
    norms = [two[rank][f"{kind}{later}"]["measured"] for rank in ranks]
    averages: dict[str, tuple[float, float]] = {}
    for step in range(0, 10, 2):
        for name in ("a", "b", "late"):
            total, count = averages.get(name, (0.0, 0.0))
            mean = sum(own[step][name] for own in norms) / len(norms)
            averages[name] = 0.5 * total + mean, 0.5 * count + 1

    sizes = {name: total / count for name, (total, count) in averages.items()}
    weights = two[1][f"{kind}{later}"]["weights"][-1]
    ours = {name: float.fromhex(value) for name, value in weights.items()}
    assert ours == pytest.approx(
        {name: sizes["a"] / size for name, size in sizes.items()}, rel=1e-5
    )
