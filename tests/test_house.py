"""The size and the depth of the packages; who may import whom is for `lint-imports`."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import loss_dashboard
import loss_loggers
import multi_loss_weighting

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = (loss_dashboard, loss_loggers, multi_loss_weighting)
MANY = {"weighting", "backends", "commands"}
"""Folders in which a method, a backend or a command is a file."""

LONG = {"multi_loss_weighting/statistics/_scalar.py: add"}
"""A step takes every running number of a loss further, in one pass without a call."""


def root_of(package: ModuleType) -> Path:
    return Path(str(package.__file__)).parent


def has_code(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.py"))


ROOMS = [room for package in PACKAGES for room in root_of(package).rglob("*") if has_code(room)]

every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)


@every_package
def test_its_top_can_be_taken_in_at_a_glance(package: ModuleType) -> None:
    paths = root_of(package).iterdir()
    entries = [path.name for path in paths if path.suffix == ".py" or has_code(path)]

    assert len(entries) <= 15  # and the marker of typed packages


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: f"{room.parent.name}/{room.name}")
def test_a_folder_has_few_files(room: Path) -> None:
    files = [path for path in room.glob("*.py") if path.name != "__init__.py"]

    assert len(files) <= (20 if room.name in MANY else 12)


def functions(root: Path) -> Iterator[tuple[str, int]]:
    """Each function, and the lines of its body without its docstring."""
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                size = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                yield f"{path.relative_to(root.parent).as_posix()}: {node.name}", size


def test_a_function_fits_on_a_screen() -> None:
    found = {
        name for package in PACKAGES for name, lines in functions(root_of(package)) if lines > 40
    }

    assert found == LONG


@every_package
def test_imports_are_few_floors_deep(package: ModuleType) -> None:
    grimp = pytest.importorskip("grimp", reason="needs import-linter, of the dev group")
    graph = grimp.build_graph(package.__name__, exclude_type_checking_imports=False, cache_dir=None)
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
    assert max(depth(module) for module in graph.modules - faces) <= 17


def room_of(module: str) -> str:
    """The folder or file at the top of the package that it is in."""
    return module.split(".")[1]


@every_package
def test_a_star_brings_what_is_public_and_no_module(package: ModuleType) -> None:
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    outside = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    nodes = [node for top in outside for node in ast.walk(top)]
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    names = {name.name for node in imports for name in node.names} - {"TYPE_CHECKING"}
    # `import name as name` may be for the packages beside this one alone.
    plain = {name.name for node in imports for name in node.names if name.asname is None}

    assert plain - {"TYPE_CHECKING"} <= set(package.__all__) <= names
    assert not [name for name in names if is_plain_module(getattr(package, name))]


def is_plain_module(value: object) -> bool:
    return isinstance(value, ModuleType) and not callable(value)


def test_a_file_with_an_underscore_is_its_rooms_own() -> None:
    grimp = pytest.importorskip("grimp", reason="needs import-linter, of the dev group")
    graph = grimp.build_graph("loss_dashboard", exclude_type_checking_imports=False, cache_dir=None)
    own = [module for module in graph.modules if module.rpartition(".")[2].startswith("_")]

    reached_into = {
        (importer, module)
        for module in own
        for importer in graph.find_modules_that_directly_import(module)
        if not f"{importer}.".startswith(module.rpartition(".")[0] + ".")
    }

    assert not reached_into
