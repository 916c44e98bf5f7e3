"""Which losses were lost, and which were never there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy import bool_
    from numpy.typing import NDArray

    from loss_dashboard._typing import Values
    from loss_loggers.recording import Block

ABSENT = "(no loss)"
"""A column that is 1 in the lines of a file without the column `loss`."""


def nonfinite_in(series: dict[str, Values]) -> NDArray[bool_]:
    """Which lines have a loss that is NaN or infinite.

    One without any statistic has none, nor has one of a file without losses.

    >>> import numpy as np
    >>> loss, weight = np.array([0.5, np.nan, np.nan]), np.array([1.0, 1.0, np.nan])
    >>> nonfinite_in({"loss": loss, "weight": weight}).tolist()
    [False, True, False]
    """
    import numpy as np

    lost = ~np.isfinite(series["loss"])
    if not lost.any():
        return lost
    if ABSENT in series:
        lost &= series[ABSENT] != 1
    others = [np.isfinite(series[column]) for column in ("weight", "mean") if column in series]
    known = np.logical_or.reduce(others)
    return lost & (known | np.isinf(series["loss"])) if known.any() else lost


def marked(block: Block, header: Collection[str]) -> Block:
    """The block, where lines below a header without losses say so."""
    import numpy as np

    if "loss" in header:
        return block
    values = np.vstack([block.values, np.ones(len(block.codes))])
    return block._replace(columns=[*block.columns, ABSENT], values=values)
