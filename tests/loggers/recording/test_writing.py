"""What is written beside a record: an export, a picture or a page."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import pytest

from loss_loggers import CsvLogger
from loss_loggers.recording import writing

posix = pytest.mark.skipif(os.name != "posix", reason="needs permissions")


def write(output: Path) -> None:
    with writing(output) as draft:
        draft.write_text("new")


@pytest.mark.parametrize("name", ["table.csv", "more.json", "losses.png", "losses-old.csv"])
def test_what_is_no_file_of_a_record_is_replaced_beside_it(tmp_path: Path, name: str) -> None:
    CsvLogger(tmp_path).close()
    (tmp_path / name).write_text("last")

    write(tmp_path / name)

    assert (tmp_path / name).read_text() == "new"


@pytest.mark.parametrize("name", ["losses-2.csv", "Losses.csv", "epochs-2.csv", "notes.json"])
def test_what_a_record_may_have_one_day_is_not_begun_by_others(tmp_path: Path, name: str) -> None:
    CsvLogger(tmp_path).close()
    before = {path.name for path in tmp_path.iterdir()}

    with pytest.raises(ValueError, match="belongs to a run and stays as it is"):
        write(tmp_path / name)

    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_record_whose_file_is_a_link_is_not_overwritten(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
    file = tmp_path / "gan/losses.csv"
    elsewhere = file.rename(tmp_path / "elsewhere")
    file.symlink_to(elsewhere)
    before = elsewhere.read_text()

    with pytest.raises(ValueError, match="belongs to a run and stays as it is"):
        write(file)

    assert elsewhere.read_text() == before


@posix
def test_a_file_that_others_may_not_read_stays_so(tmp_path: Path) -> None:
    (output := tmp_path / "gan.csv").touch(0o600)

    with writing(output) as draft:
        draft.write_text("new")
        assert draft.stat().st_mode & 0o777 == 0o600

    assert output.stat().st_mode & 0o777 == 0o600
    assert output.read_text() == "new"


@posix
def test_a_file_that_may_not_be_written_stays() -> None:
    with TemporaryDirectory(dir="/tmp") as folder:  # where everybody may look for it
        Path(folder).chmod(0o777)
        (output := Path(folder, "gan.csv")).write_text("last")
        user = os.geteuid()
        output.chmod(0o444 if user else 0o644)  # of oneself, or of root
        os.seteuid(user or 65534)
        try:
            with pytest.raises(PermissionError) as caught:
                write(output)
        finally:
            os.seteuid(user)

        assert caught.value.filename == str(output)
        assert output.read_text() == "last"
        assert [*Path(folder).iterdir()] == [output]


def test_a_name_may_be_as_long_as_one_can_be(tmp_path: Path) -> None:
    output = tmp_path / ("ä" * 120 + ".csv")

    write(output)

    assert output.read_text() == "new"


@posix
def test_a_loop_of_links_stays(tmp_path: Path) -> None:
    output = tmp_path / "gan.csv"
    output.symlink_to(output)

    with pytest.raises(OSError, match="links"):
        write(output)

    assert output.is_symlink()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_file_that_has_no_name_any_more_is_written_itself(tmp_path: Path) -> None:
    with TemporaryFile(dir=tmp_path) as file:
        write(Path(f"/proc/self/fd/{file.fileno()}"))

        assert file.read() == b"new"
    assert not [*tmp_path.iterdir()]


@posix
def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "gan.csv"

    with pytest.raises(NotADirectoryError) as caught:
        write(output)

    assert caught.value.filename == str(output)
