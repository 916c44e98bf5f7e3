"""Lines of CSV as columns of numbers."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, NamedTuple

from loss_loggers.base._paths import open_file

from ._table import KEYS, LONGEST, cells_of, csv_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from numpy import float64, signedinteger
    from numpy.typing import NDArray
    from pyarrow import DoubleArray

    Values = NDArray[float64]
    Codes = NDArray[signedinteger]

WORTH = 1 << 21
"""From so many bytes on pyarrow, which takes a tenth of a second to load, is quicker."""

WORTH_NOW = 1 << 16
"""The same once it is loaded."""

_AT_ONCE = 1 << 24


class Block(NamedTuple):
    """Lines in the order of the file: whose each is, and its numbers.

    Attributes:
        names: the names there are.
        codes: which of them each line has.
        columns: what each row of `values` is.
        values: a column for each line.
        refused: how many lines made no sense.
    """

    names: list[bytes]
    codes: Codes
    columns: list[str]
    values: Values
    refused: int


def parse_lines(
    lines: bytes | memoryview, header: Sequence[str], wanted: Collection[str] | None = None
) -> Block:
    r"""The numbers of whole lines; statistics that are empty throughout are left out.

    A line without a step or a time is refused.

    >>> header = ["step", "time", "name", "loss", "std"]
    >>> block = parse_lines(b"0,1.5,G,0.25,\n0,1.5,D,nan,\n", header)
    >>> block.names, block.codes.tolist(), block.columns, block.values.tolist()
    ([b'G', b'D'], [0, 1], ['step', 'time', 'loss'], [[0.0, 0.0], [1.5, 1.5], [0.25, nan]])
    """
    import numpy as np

    taken = ["step", "time", *(name for name in header if _is_wanted(name, wanted))]
    is_large = len(lines) >= (WORTH_NOW if "pyarrow.csv" in sys.modules else WORTH)
    large = _parse_many(lines, header, taken) if is_large else None
    block = large or _parse_any(lines, header, taken)
    known = np.isfinite(block.values[:2]).all(axis=0)
    if known.all():
        return block
    refused = block.refused + int((~known).sum())
    return block._replace(codes=block.codes[known], values=block.values[:, known], refused=refused)


def parse_file(path: Path, header: Sequence[str]) -> list[Block]:
    """All whole lines below the header of a large file, with pyarrow.

    Raises:
        UnparsableError: If it is small, if pyarrow is missing, or if a line makes no sense to it.
    """
    blocks = []
    if path.stat().st_size < WORTH:
        raise UnparsableError
    with open_file(path) as file:
        file.readline()
        while data := file.read(_AT_ONCE) + file.readline(LONGEST):
            lines = data[: data.rfind(b"\n") + 1]
            block = _parse_many(lines, header, ["step", "time", *header[len(KEYS) :]])
            if block is None or not _is_exact(block) or len(data) - len(lines) >= LONGEST:
                raise UnparsableError
            blocks.append(block)
    return blocks


class UnparsableError(ValueError):
    """Somebody has to look at each line of a file by itself."""


def _is_exact(block: Block) -> bool:
    """Whether float64 has its steps as they are, and its names are text."""
    import numpy as np

    step = block.values[0]
    is_text = all(name.decode(errors="ignore").encode() == name for name in block.names)
    return is_text and bool(((np.abs(step) < 2**53) & (step == np.rint(step))).all())


def header_of(lines: memoryview) -> tuple[list[str], memoryview]:
    r"""The names of the columns, and the lines below them.

    >>> header, rest = header_of(memoryview(b"step,time,name\n0,1.5,G\n"))
    >>> header, bytes(rest)
    (['step', 'time', 'name'], b'0,1.5,G\n')
    """
    line = io.BytesIO(lines).readline()
    return cells_of(str(line, "utf-8-sig", "replace")), lines[len(line) :]


def _is_wanted(name: str, wanted: Collection[str] | None) -> bool:
    return name not in KEYS and (wanted is None or name in wanted)


def _parse_many(lines: bytes | memoryview, header: Sequence[str], taken: list[str]) -> Block | None:
    """With pyarrow; None without it, and where a line makes no sense to it."""
    import numpy as np

    try:
        import pyarrow as pa
        from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv
    except ImportError:
        return None
    kinds = dict.fromkeys(taken, pa.float64()) | {"name": pa.dictionary(pa.int32(), pa.binary())}
    convert = ConvertOptions(
        column_types=kinds, include_columns=[*taken, "name"], null_values=[""], check_utf8=False
    )
    try:
        table = read_csv(
            pa.py_buffer(lines),
            ReadOptions(column_names=header, block_size=len(lines) + 1, use_threads=False),
            ParseOptions(ignore_empty_lines=False),
            convert,
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return None
    name = table["name"].chunk(0)
    names: list[bytes] = name.dictionary.to_pylist()
    codes = np.frombuffer(name.indices.buffers()[1], np.int32, len(name))
    columns = [
        column
        for column in taken
        if column in ("step", "time") or table[column].null_count < len(table)
    ]
    values = np.stack([_floats(table[column].chunk(0)) for column in columns])
    return Block(names, codes, columns, values, 0)


def _floats(cells: DoubleArray) -> Values:
    """What `to_numpy` would give; that imports pandas wherever it is installed: 0.3 s."""
    import numpy as np

    known, data = cells.buffers()
    values = np.frombuffer(data, np.float64, len(cells))
    if not cells.null_count:
        return values
    bits = np.unpackbits(np.frombuffer(known, np.uint8), count=len(cells), bitorder="little")
    return np.where(bits, values, np.nan)


def _parse_any(lines: bytes | memoryview, header: Sequence[str], taken: list[str]) -> Block:
    """With the standard library, which reads whatever there is."""
    import numpy as np

    text = str(lines, "utf-8", "replace").replace("\0", "\ufffd")
    rows = csv_rows(text.split("\n")[:-1])
    whole = [row for row in rows if len(row) == len(header)]
    cells = dict(zip(header, zip(*whole, strict=True), strict=True)) if whole else {}
    codes: dict[str, int] = {}
    own = [codes.setdefault(name, len(codes)) for name in cells.get("name", ())]
    columns = [name for name in taken if name in ("step", "time") or any(cells.get(name, ()))]
    values = np.array([_numbers(cells.get(name, ())) for name in columns])
    names = [name.encode() for name in codes]
    return Block(names, np.array(own, np.intp), columns, values, len(rows) - len(whole))


def _numbers(cells: Sequence[str]) -> list[float]:
    try:
        return [float(cell) if cell else float("nan") for cell in cells]
    except ValueError:
        return [_number(cell) for cell in cells]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
