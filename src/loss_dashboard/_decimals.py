"""Many decimal numbers at once: what `float` does for one, in vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import bool_, intp, uint8
    from numpy.typing import NDArray

    from ._lines import Values

    Bytes = NDArray[uint8]
    Places = NDArray[intp]

DIGITS = 9
"""As many digits as a float has no trouble with make a group; two groups hold all of a number."""


def decimals(text: bytes, starts: Places, ends: Places) -> Values:
    """The numbers between these places, to the last digit but for its rounding; else NaN.

    >>> import numpy as np
    >>> text = b"12,-0.5,nan,1e-05,,0.1,"
    >>> ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord(","))
    >>> decimals(text, np.append(0, ends[:-1] + 1), ends).tolist()
    [12.0, -0.5, nan, 1e-05, nan, 0.1]
    """
    import numpy as np

    data = np.frombuffer(text, np.uint8)
    negative = (ends > starts) & (data[starts] == ord("-"))
    starts = starts + negative
    points = _points(data, starts, ends)
    whole, plain = _read(data, points - 1, -1, points - starts, 2)
    rest, plain_too = _read(data, points + 1, 1, ends - points - 1, 2)
    values = np.where(negative, -(whole + rest), whole + rest)
    digits = ends - starts - (points < ends)
    for index in np.flatnonzero(~(plain & plain_too) | (digits == 0)).tolist():
        values[index] = _slowly(text[starts[index] - negative[index] : ends[index]])
    return values


def _points(data: Bytes, starts: Places, ends: Places) -> Places:
    """Where the decimal point of each number is, or where it would be."""
    import numpy as np

    points: Places = ends.copy()
    open_ = np.arange(len(starts))
    places = starts.copy()
    while len(open_):
        inside = places < ends[open_]
        open_, places = open_[inside], places[inside]
        found = data[places] == ord(".")
        points[open_[found]] = places[found]
        open_, places = open_[~found], places[~found] + 1
    return points


def _read(
    data: Bytes, places: Places, direction: int, counts: Places, groups: int
) -> tuple[Values, NDArray[bool_]]:
    """The digits before or after the point, and where they are nothing but so many digits."""
    import numpy as np

    value = np.zeros(len(places))
    plain = counts <= groups * DIGITS
    for group in range(groups):
        part = np.zeros(len(places))
        first, longest = group * DIGITS, min(int(counts.max(initial=0)), (group + 1) * DIGITS)
        for digit in range(first, longest):
            has = digit < counts
            figure = data.take(places + direction * digit, mode="clip") - np.uint8(ord("0"))
            plain &= (figure < 10) | ~has
            power = digit - first if direction < 0 else DIGITS - 1 - (digit - first)
            part += np.where(has, figure, 0) * 10.0**power
        value += part * 10.0**first if direction < 0 else part / 10.0 ** (first + DIGITS)
    return value, plain


def _slowly(cell: bytes) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
