"""The epochs of a run: when each ended, and the means of its losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from loss_dashboard.runs.cache import stamp
from loss_loggers.recording import EPOCHS, read_epochs
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy import float64
    from numpy.typing import NDArray

    Values = NDArray[float64]
    Ends = Sequence[tuple[float, float]]
    """The last step of each epoch, and how many epochs had passed with it."""

LARGEST = 2**53
"""No larger whole number is exact on the page."""


class Mean(NamedTuple):
    """The mean of a loss over an epoch, and how many samples it is of."""

    epoch: int
    step: int
    mean: float
    samples: float


class EpochMeans:
    """What `epochs.csv` of a run says, read again when it has changed: a line an epoch and loss.

    Attributes:
        means: those of each loss, one for each epoch, in the order of the epochs.
        problem: why lines were left out, in a sentence; nothing if none were.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: object = None
        self.means: dict[str, list[Mean]] = {}
        self.problem = ""

    @property
    def seen(self) -> object:
        """What differs once they were read again."""
        return self._seen

    @property
    def ends(self) -> list[tuple[float, float]]:
        """The last step of each epoch, and how many epochs had passed with it; both only rise."""
        last: dict[int, int] = {}
        for own in self.means.values():
            for one in own:
                last[one.epoch] = max(one.step, last.get(one.epoch, one.step))
        ends: list[tuple[float, float]] = []
        for epoch, step in sorted(last.items()):
            if not ends or step > ends[-1][0]:
                ends.append((float(step), float(epoch + 1)))
        return ends

    def poll(self) -> None:
        """Read the file, unless it is as it was."""
        now = stamp(self._folder / EPOCHS)
        if now == self._seen:
            return
        self._seen, self.problem = now, ""
        found: dict[str, dict[int, Mean]] = {}
        try:
            for epoch, step, name, mean, samples, _ in read_epochs(self._folder):
                if max(abs(epoch), abs(step)) < LARGEST:
                    own = found.setdefault(printable(name), {})
                    own[epoch] = Mean(epoch, step, mean, samples)  # one that came again counts
        except (OSError, ValueError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            why = str(why).removeprefix(f"{self._folder / EPOCHS}, ")
            self.problem = f"{EPOCHS} was read as far as it could be ({why})."
        self.means = {name: [own[epoch] for epoch in sorted(own)] for name, own in found.items()}


def as_epochs(steps: Values, first: float, ends: Ends) -> Values:
    """How many epochs had passed with each step: in parts within one, as evenly as its steps.

    After the last epoch that ended it goes on as in that one.

    Args:
        steps: The steps.
        first: The first step of the run.
        ends: As `EpochMeans` has them, one at least.

    >>> import numpy as np
    >>> as_epochs(np.array([0.0, 5.0, 10.0, 12.0, 14.0]), 0.0, [(10.0, 1.0), (14.0, 2.0)]).tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0]
    >>> as_epochs(np.array([15.0, 16.0]), 0.0, [(10.0, 1.0), (14.0, 2.0)]).tolist()
    [2.25, 2.5]
    """
    import numpy as np

    known, passed = np.array([(first, ends[0][1] - 1), *ends]).T
    if known[0] >= known[1]:  # a run whose first epoch was one step
        known[0] = known[1] - 1
    pace = (passed[-1] - passed[-2]) / (known[-1] - known[-2])
    epochs: Values = np.interp(steps, known, passed)
    return np.where(steps > known[-1], passed[-1] + (steps - known[-1]) * pace, epochs)
