"""The command, on one problem with few steps."""

from __future__ import annotations

import json
from multiprocessing import get_context
from typing import TYPE_CHECKING

from evidence.__main__ import main
from evidence.run import METHOD
from tests.forked import TRAINING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_it_makes_a_page_and_goes_on_where_it_was_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--quick", "--workers", "1", "--problems", "circuit_unit"]
    command += ["--methods", "equal,constant,frozen,shares,upgrad"]
    command += ["--cache", str(tmp_path / "cache"), "--to", str(tmp_path)]

    if METHOD == "forkserver":
        get_context(METHOD).set_forkserver_preload(list(TRAINING))

    main(command)
    first = capsys.readouterr().err
    page = (tmp_path / "evidence.md").read_text(encoding="utf-8")
    one, *others = (tmp_path / "cache").glob("*.json")
    before = {file: file.stat().st_mtime_ns for file in others}
    one.unlink()

    main(command)
    second = capsys.readouterr().err

    assert " of 7 fits" in first
    assert "1 of 1 " in second
    assert {file: file.stat().st_mtime_ns for file in others} == before
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    methods = results["problems"]["circuit_unit"]["methods"]
    assert [*methods] == ["plain", "equal", "constant", "frozen", "shares", "upgrad"]
    assert all(len(method["logs"][-1]) == 3 for method in methods.values())
    assert methods["frozen"]["chosen"][0]["of"] in {"shares", "upgrad"}
    assert methods["upgrad"]["cost"]["ratio"] > 0
    assert "| `GradientShareWeighting` |" in page
    for scheme in ("light", "dark"):
        assert (tmp_path / f"evidence-{scheme}.png").stat().st_size > 10_000
