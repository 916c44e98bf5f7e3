"""What is written beside a record: an export, a picture or a page."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from loss_loggers.recording import writing

if TYPE_CHECKING:
    from pathlib import Path

posix = pytest.mark.skipif(os.name != "posix", reason="needs permissions")


def write(output: Path) -> None:
    with writing(output) as draft:
        draft.write_text("new")


def test_a_name_may_be_as_long_as_one_can_be(tmp_path: Path) -> None:
    output = tmp_path / ("ä" * 120 + ".csv")

    write(output)

    assert output.read_text() == "new"


@posix
def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "gan.csv"

    with pytest.raises(NotADirectoryError) as caught:
        write(output)

    assert caught.value.filename == str(output)
