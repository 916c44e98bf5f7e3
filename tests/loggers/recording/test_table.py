from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loss_loggers.recording import read_table

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "step,time,name,loss\n"


def cells(path: Path, text: str, start: int = 0) -> list[list[str]]:
    path.write_text(text, encoding="utf-8", newline="")
    header, lines = read_table(path, start)

    assert header == HEADER.strip().split(",")
    return [line.cells for line in lines]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("0,1.5,G,0.5\n", [["0", "1.5", "G", "0.5"]]),
        ("0,1.5,G,\n", [["0", "1.5", "G", ""]]),
        ('0,1.5,"a, b",0.5\n', [["0", "1.5", "a, b", "0.5"]]),
        ('0,1.5,"say ""hi""",0.5\n', [["0", "1.5", 'say "hi"', "0.5"]]),
        ("0,1.5,G,0.5\r\n", [["0", "1.5", "G", "0.5"]]),
        ("\n\n0,1.5,G,0.5\n", [["0", "1.5", "G", "0.5"]]),
    ],
)
def test_the_cells_of_a_line_are_read(tmp_path: Path, text: str, expected: list[list[str]]) -> None:
    assert cells(tmp_path / "losses.csv", HEADER + text) == expected


def test_a_line_that_is_not_whole_is_left_out(tmp_path: Path) -> None:
    found = cells(tmp_path / "losses.csv", HEADER + "0,1.5,G\n1,1.5,G,0.5\n2,1.5,G,0.2")

    assert found == [["1", "1.5", "G", "0.5"]]


def test_a_quote_that_is_never_closed_costs_its_line_alone(tmp_path: Path) -> None:
    found = cells(tmp_path / "losses.csv", HEADER + '0,1.5,"G\n1,1.5,G,0.5\n2,1.5,G,0.25\n')

    assert [step for step, *_ in found] == ["1", "2"]


def test_a_name_may_go_on_over_two_lines(tmp_path: Path) -> None:
    found = cells(tmp_path / "losses.csv", HEADER + '0,1.5,"G\nH",0.5\n1,1.5,G,0.5\n')

    assert [name for _, _, name, _ in found] == ["G\nH", "G"]


def test_it_goes_on_where_a_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    cells(path, HEADER + '0,1.5,"ä, b",0.5\n1,1.5,G,0.5\n2,1.5,G,0.25\n')
    first, *others = read_table(path)[1]

    later = [line._replace(number=line.number + 1) for line in read_table(path, first.end)[1]]
    assert later == others
    assert path.read_bytes()[others[0].end :] == others[1].text


def test_a_header_that_is_being_written_is_none(tmp_path: Path) -> None:
    path = tmp_path / "losses.csv"
    path.write_text("step,ti")

    assert read_table(path)[0] == []
    assert read_table(path, default=["step", "loss"])[0] == ["step", "loss"]
