"""docs/llms.txt: what it says of the command is so; its Python runs in tests/test_readme.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loss_dashboard.cli.losses import app

from .test_json import SHAPES, keys

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "llms.txt").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(?m)^losses (.*)$", PAGE)
KEYS = dict(re.findall(r"(?m)^- `losses (.*?) --json`: (.*)$", PAGE))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_one(command: str) -> None:
    name, *arguments = command.split()
    parent = app.context_class(app, **app.context_settings)  # else click forgets that -h is help

    # It raises if there is no such option.
    app.commands[name].make_context(name, arguments, parent=parent)


@pytest.mark.parametrize("command", SHAPES)
def test_each_command_with_json_is_there_with_some_of_its_keys(command: str) -> None:
    named = re.findall(r"`([\w.]+)`", KEYS[command])

    assert named
    assert set(named) <= keys(SHAPES[command])


def test_each_page_that_it_names_is_one_of_the_site() -> None:
    pages = re.findall(r"\(([\w/]+)\.html\)", PAGE)

    assert len(pages) > 5
    assert [page for page in pages if not (DOCS / f"{page}.md").exists()] == []
