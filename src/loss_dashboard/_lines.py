"""Lines of CSV as columns of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._decimals import decimals

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy import float64
    from numpy.typing import NDArray

    from ._decimals import Places

    Values = NDArray[float64]

NEWLINE = ord("\n")


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

    text, ends, names, refused = _regular(lines, len(header), header.index("name"))
    starts = np.append(0, ends.ravel() + 1)[:-1].reshape(ends.shape)
    places = {name: index for index, name in enumerate(header) if name != "name"}
    columns = [
        name
        for name, index in places.items()
        if name in ("step", "time")
        or ((wanted is None or name in wanted) and (ends[:, index] > starts[:, index]).any())
    ]
    cells = [(starts[:, places[name]], ends[:, places[name]]) for name in columns]
    values = np.stack([decimals(text, *places) for places in cells])
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


def _regular(lines: bytes, width: int, name_at: int) -> tuple[bytes, Places, list[bytes], int]:
    """The lines, where each of their cells ends, their names, and how many were left out."""
    import numpy as np

    ends = _ends(lines)
    at_end = ends[width - 1 :: width]
    is_regular = len(ends) == lines.count(b"\n") * width and b'"' not in lines
    if not is_regular or any(lines[end] != NEWLINE for end in at_end.tolist()):
        return _made_regular(lines, width, name_at)
    table = ends.reshape(-1, width)
    befores = table[:, name_at - 1] if name_at else np.append(-1, at_end[:-1])
    pairs = zip(befores.tolist(), table[:, name_at].tolist(), strict=True)
    return lines, table, [lines[before + 1 : end] for before, end in pairs], 0


def _made_regular(lines: bytes, width: int, name_at: int) -> tuple[bytes, Places, list[bytes], int]:
    """The same for lines with quotes or of other widths, by way of what reads any CSV."""
    import csv

    rows = list(csv.reader(lines.decode(errors="replace").split("\n")[:-1]))
    whole = [row for row in rows if len(row) == width]
    names = [row[name_at].encode() for row in whole]
    for row in whole:
        row[:] = [cell.replace(",", " ").replace("\n", " ") for cell in row]
        row[name_at] = ""
    text = "".join(",".join(row) + "\n" for row in whole).encode()
    return text, _ends(text).reshape(-1, width), names, len(rows) - len(whole)


def _ends(text: bytes) -> Places:
    import numpy as np

    data = np.frombuffer(text, np.uint8)
    ends: Places = np.flatnonzero((data == ord(",")) | (data == NEWLINE))
    return ends
