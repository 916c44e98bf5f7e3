"""A run as a table for other programs, each number exactly as it was recorded."""

from __future__ import annotations

import csv
import json
from codecs import StreamWriter, getwriter
from math import isfinite
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from loss_loggers import JsonlLogger
from loss_loggers.recording import (
    EPOCH_COLUMNS,
    EPOCHS,
    KEYS,
    UnreadableError,
    read_logged,
    read_table,
    readable_parts,
    run_info,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Format = Literal["csv", "json", "jsonl", "parquet"]
Row = dict[str, str]


def export_run(folder: Path, file: BinaryIO, form: Format) -> None:
    """Write a run into an open binary file; lines that are not whole are left out.

    CSV puts all parts of the record below one header. JSON has the content of `run.json` and an
    object for each line, without its empty cells, and for each of `epochs.csv`; what is not finite
    is a string there, "nan" or "inf". JSON lines are those of a `JsonlLogger`, one a row, with the
    rows of epochs. Parquet has a null for an empty cell. The tables have no epochs: these are one
    in `epochs.csv` already.

    Raises:
        ImportError: If it is Parquet, and neither pyarrow nor polars is installed.
    """
    if form == "parquet":
        _write_parquet(folder, file)
        return
    # Without a buffer of its own, which would be in the way where the file is full.
    text = getwriter("utf-8")(file)
    _WRITERS[form](folder, text)


def columns(folder: Path) -> list[str]:
    """The columns of all parts, beginning with the keys of a line."""
    headers = [read_table(part)[0] for _, part in readable_parts(folder)]
    return list(dict.fromkeys(name for header in [KEYS, *headers] for name in header))


def rows(folder: Path) -> Iterator[Row]:
    """The cells of each whole line, as text, by the names of their columns."""
    for _, part in readable_parts(folder):
        header, lines = read_table(part)
        if header and not {*KEYS} <= {*header}:  # its lines would be left out without a word
            msg = f"its columns must be separated by commas, among them {', '.join(KEYS)}"
            raise UnreadableError(part, 1, f"{msg}; got {','.join(header)[:60]!r}")
        yield from (dict(zip(header, line.cells, strict=True)) for line in lines)


def number(cell: str) -> float | int:
    """The number in a cell; an integer stays one, whatever its size.

    >>> number("41"), number("0.1"), number("1e+16")
    (41, 0.1, 1e+16)
    """
    return int(cell) if cell.lstrip("-").isdecimal() else float(cell)


def _write_csv(folder: Path, file: StreamWriter) -> None:
    writer = csv.DictWriter(file, columns(folder), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(folder))


def _write_json(folder: Path, file: StreamWriter) -> None:
    file.write(f'{{"run": {json.dumps(run_info(folder))}, "rows": [')
    _write_objects(rows(folder), file)
    file.write('\n], "epochs": [')
    _write_objects(_epochs(folder), file)
    file.write("\n]}\n")


def _write_objects(lines: Iterable[Row], file: StreamWriter) -> None:
    for index, row in enumerate(lines):
        line = {name: _plain(name, cell) for name, cell in row.items() if cell}
        file.write((",\n" if index else "\n") + json.dumps(line))


def _epochs(folder: Path) -> Iterator[Row]:
    path = folder / EPOCHS
    if path.exists():
        header, lines = read_table(path, default=EPOCH_COLUMNS)
        yield from (dict(zip(header, line.cells, strict=True)) for line in lines)


def _write_jsonl(folder: Path, file: StreamWriter) -> None:
    file.writelines(map(JsonlLogger.line, read_logged(folder)))


_WRITERS = {"csv": _write_csv, "json": _write_json, "jsonl": _write_jsonl}


def _plain(name: str, cell: str) -> float | str:
    """The cell as JSON takes it: JSON has neither nan nor infinity."""
    if name == "name":
        return cell
    value = number(cell)
    return value if isfinite(value) else cell


def _write_parquet(folder: Path, file: BinaryIO) -> None:
    table: dict[str, list[Any]] = {name: [] for name in columns(folder)}
    for row in rows(folder):
        for name, cells in table.items():
            cells.append(_typed(name, row.get(name, "")))
    # Said, not guessed: of a column without a value nobody could, and runs are read together.
    try:
        import pyarrow
        from pyarrow.parquet import write_table
    except ImportError:
        import polars

        kinds = {"step": polars.Int64, "name": polars.String}
        schema = {name: kinds.get(name, polars.Float64) for name in table}
        polars.DataFrame(table, schema).write_parquet(file)
    else:
        types = {"step": pyarrow.int64(), "name": pyarrow.string()}
        fields = [(name, types.get(name, pyarrow.float64())) for name in table]
        write_table(pyarrow.table(table, pyarrow.schema(fields)), file)


def _typed(name: str, cell: str) -> str | float | None:
    if name == "name":
        return cell
    if not cell:
        return None
    if name != "step":
        return float(cell)
    if not -(2**63) <= (step := int(cell)) < 2**63:
        msg = f"a step must have 64 bits in Parquet, got {step}: choose csv, json or jsonl"
        raise ValueError(msg)
    return step
