"""The size and the depth of the package; who may import whom is for `lint-imports`."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import multi_loss_weighting

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(multi_loss_weighting.__file__).parent
NAME = ROOT.name
# A step takes every running number of a loss further, in one pass without a call.
LONG = {"statistics/_scalar.py: add"}


def test_its_top_can_be_taken_in_at_a_glance() -> None:
    entries = [path.name for path in ROOT.iterdir() if path.suffix == ".py" or has_code(path)]

    assert len(entries) <= 15  # and the marker of typed packages


def has_code(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.py"))


@pytest.mark.parametrize("folder", [path.name for path in ROOT.iterdir() if has_code(path)])
def test_a_folder_has_few_files(folder: str) -> None:
    files = [path for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"]

    assert len(files) <= (20 if folder == "weighting" else 12)  # there, a method is a file


def functions() -> Iterator[tuple[str, int]]:
    """Each function, and the lines of its body without its docstring."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                size = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                yield f"{path.relative_to(ROOT).as_posix()}: {node.name}", size


def test_a_function_fits_on_a_screen() -> None:
    assert {name for name, lines in functions() if lines > 40} == LONG


def test_imports_are_few_floors_deep() -> None:
    grimp = pytest.importorskip("grimp", reason="needs import-linter, of the dev group")
    graph = grimp.build_graph(NAME, exclude_type_checking_imports=False, cache_dir=None)
    faces = {module for module in graph.modules if graph.find_children(module)}

    @cache
    def imported(module: str) -> frozenset[str]:
        """The files that it imports, those that a package passes on among them."""
        direct = graph.find_modules_directly_imported_by(module)
        passed_on = (imported(one) if one in faces else {one} for one in direct)
        return frozenset().union(*passed_on) - {module}

    @cache
    def rooms_below(room: str) -> frozenset[str]:
        files = [module for module in graph.modules - faces if room_of(module) == room]
        return frozenset(room_of(one) for file in files for one in imported(file)) - {room}

    @cache
    def floor(room: str) -> int:
        return 1 + max(map(floor, rooms_below(room)), default=0)

    @cache
    def depth(module: str) -> int:
        return 1 + max(map(depth, imported(module)), default=0)

    assert max(floor(room_of(module)) for module in graph.modules - faces) <= 8
    assert max(depth(module) for module in graph.modules - faces) <= 15


def room_of(module: str) -> str:
    """The folder or file at the top of the package that it is in."""
    return module.split(".")[1]
