"""Lines of CSV as columns of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy import float64
    from numpy.typing import NDArray

    Values = NDArray[float64]


class Block(NamedTuple):
    """Lines in the order of the file: whose each is, and its numbers.

    Attributes:
        names: the name of each line.
        columns: what each row of `values` is.
        values: a column for each line.
        refused: how many lines made no sense.
    """

    names: list[bytes]
    columns: list[str]
    values: Values
    refused: int


def parse(lines: bytes, header: Sequence[str], wanted: Collection[str] | None = None) -> Block:
    r"""The numbers of whole lines; statistics that are empty throughout are left out.

    >>> block = parse(b"0,1.5,G,0.25,\n0,1.5,D,nan,\n", ["step", "time", "name", "loss", "std"])
    >>> block.names, block.columns, block.values.tolist()
    ([b'G', b'D'], ['step', 'time', 'loss'], [[0.0, 0.0], [1.5, 1.5], [0.25, nan]])
    """
    import numpy as np

    cells, refused = _cells(lines, len(header))
    own = {name: cells[index :: len(header)] for index, name in enumerate(header)}
    names = own.pop("name")
    keys = [name for name in own if name in ("step", "time")]
    statistics = [name for name in own if name not in keys and (wanted is None or name in wanted)]
    columns = keys + [name for name in statistics if any(own[name])]
    values = np.stack([_numbers(own[name]) for name in columns])
    known = np.isfinite(values[columns.index("step")])
    if not known.all():
        names = [name for name, is_known in zip(names, known, strict=True) if is_known]
    return Block(names, columns, values[:, known], refused + int((~known).sum()))


def header_of(lines: bytes) -> tuple[list[str], bytes]:
    r"""The names of the columns, and the lines below them.

    >>> header_of(b"step,time,name\n0,1.5,G\n")
    (['step', 'time', 'name'], b'0,1.5,G\n')
    """
    import csv

    line, _, rest = lines.partition(b"\n")
    return next(csv.reader([line.decode(errors="replace")]), []), rest


def _cells(lines: bytes, width: int) -> tuple[list[bytes], int]:
    """The cells of all lines in one list, and how many lines do not have that many."""
    if b'"' not in lines:
        # The end of a line as a cell of its own tells at once whether all lines are as wide.
        cells = lines.replace(b"\n", b",\n,").split(b",")[:-1]
        ends = cells[width :: width + 1]
        if ends.count(b"\n") == len(ends) == lines.count(b"\n"):
            del cells[width :: width + 1]
            return cells, 0
    return _cells_of_each(lines, width)


def _cells_of_each(lines: bytes, width: int) -> tuple[list[bytes], int]:
    import csv

    rows = list(csv.reader(lines.decode(errors="replace").split("\n")[:-1]))
    whole = [row for row in rows if len(row) == width]
    return [cell.encode() for row in whole for cell in row], len(rows) - len(whole)


def _numbers(cells: list[bytes]) -> Values:
    import numpy as np

    try:
        return np.array(list(map(float, cells)), dtype=np.float64)
    except ValueError:
        return np.array(list(map(_number, cells)), dtype=np.float64)


def _number(cell: bytes) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
