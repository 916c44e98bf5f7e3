from __future__ import annotations

import math
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loss_loggers import CsvLogger, is_run, read_run, run_info
from loss_loggers.recording import _columns

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True, params=["line by line", "at once"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is read with pyarrow, to the same numbers."""
    is_large = request.param == "at once"
    if is_large:
        pytest.importorskip("pyarrow", reason="needs pyarrow")
    monkeypatch.setattr(_columns, "WORTH", 1 if is_large else math.inf)


def record(path: Path) -> None:
    with CsvLogger(path) as logger:
        for step in range(3):
            logger.log_metrics({"loss/G": step / 3, "loss/D": 1.0, "lr": 0.1}, step=step)


def test_columns_have_the_types_of_what_they_hold(tmp_path: Path) -> None:
    record(tmp_path)

    columns = read_run(tmp_path).columns

    assert columns["step"].dtype == np.int64
    assert columns["time"].dtype == columns["loss"].dtype == np.float64
    assert columns["name"].tolist() == ["G", "D", "lr"] * 3
    assert np.isnan(columns["weight"]).all()


def test_names_come_in_order_of_appearance(tmp_path: Path) -> None:
    record(tmp_path)

    assert read_run(tmp_path).names == ["G", "D", "lr"]


def test_a_loss_has_its_own_columns(tmp_path: Path) -> None:
    record(tmp_path)

    mine = read_run(tmp_path)["G"]

    assert mine["step"].tolist() == [0, 1, 2]
    assert mine["loss"].tolist() == [0 / 3, 1 / 3, 2 / 3]


def test_an_unknown_loss_is_told_what_there_is(tmp_path: Path) -> None:
    record(tmp_path)

    with pytest.raises(KeyError, match=r"has no loss 'E'; it has \['G', 'D', 'lr'\]"):
        read_run(tmp_path)["E"]


def test_a_half_written_line_is_not_read(tmp_path: Path) -> None:
    record(tmp_path)
    with (tmp_path / "losses.csv").open("a") as file:
        file.write("3,1.5,G,0.")

    assert read_run(tmp_path)["G"]["step"].tolist() == [0, 1, 2]


def test_a_half_written_header_is_a_run_without_rows(tmp_path: Path) -> None:
    CsvLogger(tmp_path).close()
    (tmp_path / "losses.csv").write_text("step,ti")

    run = read_run(tmp_path)

    assert run.names == []
    assert run.columns["loss"].tolist() == []


def test_parts_are_joined(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
        logger.log_metrics({"loss/G": 2.0, "median/G": 3.0}, step=1)
        logger.log_metrics({"loss/G": 4.0, "mode/G": 5.0}, step=2)

    run = read_run(tmp_path)

    assert run["G"]["loss"].tolist() == [1.0, 2.0, 4.0]
    np.testing.assert_array_equal(run["G"]["median"], [np.nan, 3.0, np.nan])
    np.testing.assert_array_equal(run["G"]["mode"], [np.nan, np.nan, 5.0])


@pytest.mark.parametrize("text", [None, "", "{", "[]"])
def test_a_run_without_its_description_is_read_with_a_note(tmp_path: Path, text: str) -> None:
    record(tmp_path)
    (tmp_path / "run.json").unlink()
    if text is not None:
        (tmp_path / "run.json").write_text(text)

    run = read_run(tmp_path)

    assert (run.info, len(run["G"]["step"])) == ({}, 3)
    assert run.note.endswith("run.json is missing or unreadable")


def test_a_run_that_was_claimed_and_no_more_is_empty(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()

    assert read_run(tmp_path).names == []


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"with run.json or losses.csv; .* has neither"):
        read_run(tmp_path)


def test_a_run_is_known_without_reading_it(tmp_path: Path) -> None:
    record(tmp_path / "gan")

    assert is_run(tmp_path / "gan")
    assert not is_run(tmp_path)
    assert run_info(tmp_path / "gan")["state"] == "finished"
    assert run_info(tmp_path) == {}


ODD = {
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_another_program_adds_to_a_file_is_read(tmp_path: Path, kind: str) -> None:
    with CsvLogger(tmp_path) as logger:
        for step in range(4):
            logger.log_metrics({"loss/a": 1.0}, step=step)
    path = tmp_path / "losses.csv"
    path.write_bytes(ODD[kind](path.read_bytes()))

    assert read_run(tmp_path).columns["step"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("data", "line", "why"),
    [
        (b"step,time\n0,1.5\n", 1, "must begin with step,time,name"),
        (b"step,time,name,loss\r0,1.5,a,1\r", 1, "must end with a line feed"),
        (b"step,time,name,loss\n0,1.5,a,1\n1,1.5,\xff\xfe,1\n", 3, "must be text"),
        (b"step,time,name,loss\n0,1.5,a,1\n1,1.5,a,x\n", 3, "loss must be a number, got 'x'"),
        (b"step,time,name\n1e99,1.5,a\n", 2, "step must be an integer of 64 bits, got '1e99'"),
        (b"step,time,name\n%d,1.5,a\n" % 2**63, 2, f"integer of 64 bits, got '{2**63}'"),
    ],
)
def test_a_file_that_makes_no_sense_is_named_with_its_line(
    tmp_path: Path, data: bytes, line: int, why: str
) -> None:
    CsvLogger(tmp_path).close()
    (tmp_path / "losses.csv").write_bytes(data)

    with pytest.raises(ValueError, match=rf"losses\.csv, line {line}: .*{why}"):
        read_run(tmp_path)


def test_a_run_is_asked_for_its_losses_as_a_dict_is(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/NA": 1.0, "loss/nan": 2.0}, step=0)

    run = read_run(tmp_path)

    assert list(run) == ["NA", "nan"]
    assert len(run) == 2
    assert "nan" in run
    assert "b" not in run


LINE = st.tuples(
    st.integers(-(2**62), 2**62),
    st.sampled_from(["G", "NA", "nan", "a, b", 'say "hi"', "été"]) | st.text(min_size=1),
    st.floats(),
    st.none() | st.floats(),
)


@given(st.lists(LINE, min_size=1, max_size=20))
def test_every_number_is_read_as_it_was_written(
    lines: list[tuple[int, str, float, float | None]],
) -> None:
    with TemporaryDirectory() as folder:
        with CsvLogger(folder) as logger:
            for step, name, loss, std in lines:
                more = {} if std is None else {f"std/{name}": std}
                logger.log_metrics({f"loss/{name}": loss, **more}, step=step)
        columns = read_run(folder).columns

    assert columns["step"].tolist() == [step for step, *_ in lines]
    numbers = zip(columns["loss"].tolist(), columns["std"].tolist(), strict=True)
    wanted = [(loss, math.nan if std is None else std) for *_, loss, std in lines]
    assert list(map(repr, numbers)) == list(map(repr, wanted))


def test_a_line_without_end_is_an_error_and_fills_no_memory(tmp_path: Path) -> None:
    record(tmp_path)
    with (tmp_path / "losses.csv").open("a") as file:
        for _ in range(20):
            file.write("x" * (1 << 20))

    with pytest.raises(ValueError, match=r"losses\.csv, line 11: it must be shorter than 16 MB"):
        read_run(tmp_path)


def test_a_large_file_is_read_in_several_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_columns, "_AT_ONCE", 100)
    with CsvLogger(tmp_path) as logger:
        for step in range(200):
            logger.log_metrics({f"loss/{step % 7}": step / 3, "loss/G": 0.1}, step=step)

    run = read_run(tmp_path)

    assert run["G"]["step"].tolist() == list(range(200))
    assert run["3"]["loss"].tolist() == [step / 3 for step in range(3, 200, 7)]
