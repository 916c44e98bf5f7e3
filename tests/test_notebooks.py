"""The notebooks run from top to bottom, and what is saved of them is what such a run leaves."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# What is repeated often is done less often here: the code that runs is all of it.
SHORTER = {
    "1_quickstart": ("for _ in range(40):", "for _ in range(4):"),
    "2_replace_your_tracking": ("for number in range(5)]", "for number in range(1)]"),
    "4_read_runs": ("for _ in range(200):", "for _ in range(60):"),
}
LINKED = re.compile(r"\]\(([^)#]+\.ipynb)\)")

for_each = pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in NOTEBOOKS])


def read(path: Path) -> Any:
    nbformat = pytest.importorskip("nbformat", reason="it reads notebooks")
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def streams(cells: list[Any], name: str) -> list[str]:
    outputs = [output for cell in cells for output in cell.outputs]
    return [output.text for output in outputs if output.get("name") == name]


def shown_text(cell: Any) -> str:
    """What the outputs say, without the pictures that are not text."""
    parts = [out.get("text", "") for out in cell.outputs]
    data = [item for out in cell.outputs for item in out.get("data", {}).items()]
    return "\n".join([*parts, *(str(content) for kind, content in data if kind != "image/png")])


def test_there_is_one_for_each_link_and_a_link_for_each() -> None:
    assert NOTEBOOKS
    for page in (FOLDER.parent / "README.md", FOLDER / "README.md"):
        links = LINKED.findall(page.read_text(encoding="utf-8"))
        assert {Path(link).name for link in links} == {path.name for path in NOTEBOOKS}
        assert all((page.parent / link).is_file() for link in links)


@for_each
def test_links_lead_somewhere(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")

    assert all((FOLDER / link).is_file() for link in LINKED.findall(text))


@for_each
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in ("duckdb", "ipykernel", "matplotlib", "nbclient", "pandas", "polars", "sklearn"):
        pytest.importorskip(needed, reason="a notebook needs it")
    import nbclient

    # As where the environment is activated, so that a notebook finds the command `losses`.
    scripts = Path(sys.executable).parent
    monkeypatch.setenv("PATH", f"{scripts}{os.pathsep}{os.environ['PATH']}")
    notebook = read(path)
    (tmp_path / "evidence").mkdir()  # one of them opens what is there beside the notebooks
    shutil.copy(FOLDER.parent / "evidence" / "results.json", tmp_path / "evidence")
    (tmp_path / "notebooks").mkdir()
    shorten(notebook, *SHORTER.get(path.stem, ("", "")))
    where = {"metadata": {"path": tmp_path / "notebooks"}}

    nbclient.NotebookClient(notebook, timeout=600, resources=where).execute()

    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert streams(cells, "stderr") == []


def shorten(notebook: Any, long: str, short: str) -> None:
    """Change a cell, which is there, before it is run."""
    cells = [cell for cell in notebook.cells if long in cell.source]
    assert len(cells) == 1 or not long
    for cell in cells:
        cell.source = cell.source.replace(long, short)


@for_each
def test_what_is_saved_was_run_from_top_to_bottom(path: Path) -> None:
    cells = code_cells(path)

    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert streams(cells, "stderr") == []


@for_each
def test_what_is_saved_has_pictures_and_is_small(path: Path) -> None:
    kinds = [
        kind for cell in code_cells(path) for out in cell.outputs for kind in out.get("data", ())
    ]

    assert any(kind.startswith(("image/", "text/html")) for kind in kinds)
    assert path.stat().st_size < 300_000


@for_each
def test_what_is_saved_names_no_machine(path: Path) -> None:
    shown = "\n".join(map(shown_text, code_cells(path)))

    paths = [str(FOLDER.parent), "/home/", "/root/", "/tmp/", "site-packages"]
    assert [name for name in paths if name in shown] == []
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", shown)
