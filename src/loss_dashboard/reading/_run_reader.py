"""A run, read while it is written."""

from __future__ import annotations

from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from loss_dashboard.runs.cache import stamp
from loss_dashboard.runs.colours import colours_in
from loss_dashboard.runs.run_json import followed_in, resumed_at, settings_in, shown_info
from loss_dashboard.runs.summary import state_of
from loss_loggers.recording import (
    GREY,
    INFO,
    KEYS,
    folder_at,
    header_of,
    missing_parts,
    parse_lines,
    part_number,
    parts,
)
from loss_loggers.text import printable

from ._prefetch import prefetch
from ._problems import KILLED, Problems, missing, refused, torn, unnamed, unreadable
from ._rows import FewRows, Rows, by_name
from ._tail import Tail
from ._throughput import Throughput
from .epochs import EpochMeans, as_epochs
from .nonfinite import marked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from os import PathLike

    from loss_dashboard._typing import Values
    from loss_loggers.recording import Block

SHOWN = ("loss", "weight", "mean", "std", "cov")
"""What the page, the terminal and the notebook show."""


class RunReader:
    """The losses of a run folder, and what has become of it; `poll()` reads what is new.

    It is for showing: in names, and in all other text, characters that could command a terminal are
    escaped (`loss_loggers.text.printable`). `read_run` has them as they were written.

    >>> from tempfile import TemporaryDirectory
    >>> from loss_loggers import CsvLogger
    >>> with TemporaryDirectory() as folder, CsvLogger(f"{folder}/gan") as logger:
    ...     logger.log_metrics({"loss/G": 0.5, "weight/G": 1.0}, step=0)
    ...     reader = RunReader(logger.path)
    ...     logger.log_metrics({"loss/G": 0.25, "weight/G": 1.0}, step=1)
    ...     reader.poll(), reader.state, reader.series("G")["loss"].tolist()
    (True, 'running', [0.5, 0.25])

    Args:
        path: The folder.
        columns: The statistics to read, beside those that are always; by default all. The
            fewer, the sooner it is done.
        always: The statistics that every series has, if only as NaN.
        patience: The seconds after which a poll leaves what is still unread to the next one.
        keep: Whether all rows are kept, or only the first and the last one of each loss.

    Attributes:
        path: the folder.
        info: the content of `run.json`, as it last made sense.
        colours: the colour of each loss that it names.
        followed: the losses of a validation, each with that of the training beside which it stands.
        times_begun: how often it was read from the beginning, as when its files were replaced.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        columns: Collection[str] | None = None,
        *,
        always: Sequence[str] = SHOWN,
        patience: float = inf,
        keep: bool = True,
    ) -> None:
        self.path = folder_at(path)
        self._patience = patience
        self.info: dict[str, Any] = {}
        self.colours: dict[str, str] = {}
        self.followed: dict[str, str] = {}
        self._new_rows = partial(Rows if keep else FewRows, columns, always)
        self._problems = Problems()
        self._epochs = EpochMeans(self.path)
        self.times_begun = 0
        self._last: object = None
        self._forget()
        self.poll()

    @property
    def name(self) -> str:
        """What the run is called: its folder."""
        return printable(self.path.name)

    @property
    def names(self) -> list[str]:
        """The losses, and the user's own numbers, in order of appearance."""
        return list(self._rows.series)

    @property
    def losses(self) -> list[str]:
        """The losses, except their total: not the user's own numbers.

        They are named in run.json, and have a colour there; where a file was put in the place of
        another, or no run.json is left, it is their values that tell.
        """
        return self._rows.losses(self.colours)

    @property
    def totals(self) -> list[str]:
        """The objectives: what a group calls the weighted sum of its losses."""
        return self._rows.totals(self.colours)

    @property
    def extras(self) -> dict[str, dict[str, Values]]:
        """The `step`, `time` and `value` of each of the user's own numbers, as for `series`."""
        return self._rows.extras.series(self.colours)

    @property
    def epochs(self) -> EpochMeans:
        """When each epoch ended, and the means of its losses."""
        return self._epochs

    def epochs_at(self, steps: Values) -> Values:
        """How many epochs had passed with each step; an epoch at least has ended."""
        first = min(float(self.series(name)["step"].min()) for name in self.losses)
        return as_epochs(steps, first, self._epochs.ends)

    def colour_of(self, name: str) -> str:
        """The colour of a loss; grey if the run gave it none. A validation has that of its loss."""
        return self.colours.get(self.followed.get(name, name), GREY)

    @property
    def state(self) -> str:
        """What became of it: "waiting" (no row yet), "running", "stale", "finished" or "crashed".

        It is "stopped" where its logger was dropped before anybody closed it, and "unreadable"
        where rows would be waited for in vain.
        """
        state = self._throughput.state(state_of(self.path, self.info))
        return "unreadable" if state == "waiting" and self.is_unreadable else state

    @property
    def is_unreadable(self) -> bool:
        """Whether no row was read because a file or the folder cannot be."""
        return not self._rows.series and self._problems.keep_from_reading

    @property
    def error(self) -> str | None:
        """Why it crashed, as far as that is known; None if it did not."""
        recorded = self.info.get("error")
        return str(recorded or KILLED) if self.state == "crashed" else None

    @property
    def last_step(self) -> int | None:
        """The largest step of any row; None while there are none."""
        return self._throughput.last_step

    @property
    def steps_per_second(self) -> float:
        """The pace of the last steps; NaN before the second one, also since it was resumed."""
        return self._throughput.steps_per_second

    @property
    def silent(self) -> float:
        """Seconds since the last row; NaN before the first one."""
        return self._throughput.silent

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the end, or to now while the run goes on."""
        return self._throughput.elapsed(self.info, state_of(self.path, self.info))

    @property
    def problems(self) -> list[str]:
        """What is amiss now, a sentence each."""
        return self._problems.sentences

    @property
    def progress(self) -> float:
        """How much of the files was read, from 0 to 1."""
        size = sum(tail.size for tail in self._tails)
        return sum(tail.offset + tail.half for tail in self._tails) / size if size else 1.0

    def series(self, name: str) -> dict[str, Values]:
        """The columns of one loss: `step`, `time` and the statistics, as float64.

        A statistic is there once any loss has it, with NaN in the lines that have none. The arrays
        are views, which stay as they are when the reader polls.
        """
        return self._rows.series[name].columns

    def best(self, name: str) -> float:
        """The smallest finite value of a loss or total, of all rows; infinite if there is none."""
        return self._rows.best(name)

    def poll(self) -> bool:
        """Read what is new; whether anything is."""
        before = self._last  # time alone makes a run stale, and its process may die
        self._until = monotonic() + self._patience
        try:
            self._poll()
            self._problems.say("folder", "")
        except FileNotFoundError:
            gone = f"The folder {self.path} is gone; this is what was read of it."
            self._problems.say("folder", gone)
        except OSError as error:
            self._problems.say("folder", unreadable(self.path, error))
        self._last = self._now()
        return self._last != before

    def glance(self) -> object:
        """What differs once there is news; two quick looks at the disk."""
        newest = self._tails[-1].path if self._tails else self.path
        return stamp(self.path), stamp(newest)

    def _now(self) -> object:
        seen = self._rows.lines, self._epochs.seen
        return self.times_begun, seen, self.info, self.problems, self.state

    def _forget(self) -> None:
        self.times_begun += 1
        self._rows = self._new_rows()
        self._tails: list[Tail] = []
        self._headers: dict[Tail, list[str]] = {}
        self._throughput = Throughput()
        self._info_seen: tuple[int, ...] = ()

    def _poll(self) -> None:
        self._read_info()
        files, known = parts(self.path), [tail.path for tail in self._tails]
        if files[: len(known)] != known:
            odd = min({*known} ^ {*files[: len(known)]}, key=part_number)
            what = "was taken away" if odd in known else "was put back"
            self._start_again(f"{odd.name} {what}")
            return
        self._tails += [Tail(path) for path in files[len(known) :]]
        away = [f"{name} is missing" for name in missing_parts(self.path)]
        self._problems.say("parts", f"{', and '.join(away)}." if away else "")
        for tail in list(self._tails):
            self._read(tail)
        self._epochs.poll()
        self._problems.say("epochs", self._epochs.problem)
        grey = [name for name in self.losses if name not in self.colours]
        self._problems.say("unnamed", unnamed(grey) if self.colours else "")
        named = list(dict.fromkeys([*self.losses, *self._epochs.means]))
        self.followed = followed_in(settings_in(self.info), named)

    def _read_info(self) -> None:
        """Read `run.json` if it was replaced; while it makes no sense the last one counts."""
        status = (self.path / INFO).stat() if (self.path / INFO).exists() else self.path.stat()
        seen = status.st_ino, status.st_size, status.st_mtime_ns
        if seen == self._info_seen:
            return
        self._info_seen = seen
        info = shown_info(self.path)
        self.info = info or self.info
        self.colours = colours_in(self.info)
        self._problems.say("info", "" if info else f"{INFO} is missing or makes no sense.")

    def _read(self, tail: Tail) -> None:
        name = tail.path.name
        try:
            if tail.has_more():
                if reason := tail.why_changed():
                    self._start_again(f"{name} {reason}")
                    return
                self._read_blocks(tail)
            self._problems.say(name, "")
        except OSError as error:
            self._problems.say(name, unreadable(name, error))
        # While a run goes on its last line may just be on its way.
        is_torn = tail.half and self.state not in ("running", "waiting")
        self._problems.say(f"half of {name}", torn(name, tail.half) if is_torn else "")

    def _read_blocks(self, tail: Tail) -> None:
        # While the lines of one block are handed out, those of the next ones are parsed.
        each = prefetch if tail.has_much() else map
        for block, series, ahead in each(partial(self._parse, tail), self._below_header(tail)):
            self._rows.add(block, series, ahead, self.colours)
            steps, times = block.values[:2]
            self._throughput.add(steps, times, resumed_at(self.info))
        self._problems.say("refused", refused(self._rows.refused))

    def _below_header(self, tail: Tail) -> Iterator[tuple[memoryview, float]]:
        """What is new, and about how many times as much is still to come.

        Without the line that names the columns, and only if there is any sense in it.
        """
        for lines in tail.read(self._until):
            below = lines
            if tail not in self._headers:
                self._headers[tail], below = header_of(lines)
                lacking = missing(tail.path.name, self._headers[tail])
                self._problems.say(f"header of {tail.path.name}", lacking)
            if below and set(KEYS) <= set(self._headers[tail]):
                yield below, (tail.size - tail.offset) / len(below)

    def _parse(
        self, tail: Tail, new: tuple[memoryview, float]
    ) -> tuple[Block, dict[str, Values], float]:
        lines, ahead = new
        header = self._headers[tail]
        block = marked(parse_lines(lines, header, self._rows.columns_of(header)), header)
        return block, by_name(block), ahead

    def _start_again(self, reason: str) -> None:
        """Read everything anew, as when a run went back to its checkpoint."""
        self._forget()
        self._problems.say("again", f"{reason}, so all of it was read again.")
        self._poll()
