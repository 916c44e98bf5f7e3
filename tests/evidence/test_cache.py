"""A fit that is done is not done again, unless its code has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from evidence import cache
from evidence.fit import Fit
from evidence.methods import METHODS
from evidence.problems import PROBLEMS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FIT = Fit("circuit_unit", "cov", 0.01, (0, 1), 20)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert cache.read(tmp_path, FIT) is None

    cache.write(tmp_path, FIT, {"metric": [0.1, float("nan")]})

    numbers = cache.read(tmp_path, FIT)
    assert numbers is not None
    assert numbers["metric"][0] == 0.1
    assert numbers["metric"][1] != numbers["metric"][1]
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]


def test_each_difference_makes_another_fit(tmp_path: Path) -> None:
    others = [
        replace(FIT, problem="circuit_raw"),
        replace(FIT, method="equal"),
        replace(FIT, rate=0.02),
        replace(FIT, seeds=(0, 2)),
        replace(FIT, steps=21),
        replace(FIT, weights=(("phase", 2.0),)),
    ]

    files = {cache.file_of(tmp_path, job) for job in [FIT, *others]}

    assert len(files) == 1 + len(others)


def test_another_version_of_the_code_makes_another_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = cache.file_of(tmp_path, FIT)

    with monkeypatch.context() as patch:
        patch.setitem(PROBLEMS, FIT.problem, replace(PROBLEMS[FIT.problem], version=99))
        of_problem = cache.file_of(tmp_path, FIT)
    with monkeypatch.context() as patch:
        patch.setitem(METHODS, FIT.method, replace(METHODS[FIT.method], version=99))
        of_method = cache.file_of(tmp_path, FIT)

    assert len({old, of_problem, of_method}) == 3
