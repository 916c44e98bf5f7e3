"""Whose a run folder is: one writer's at a time, whoever else would like it."""

from __future__ import annotations

import os
from contextlib import suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from loss_loggers.base._lock import FileLock, LocksMissingError
from loss_loggers.base._process import is_first_rank, rank
from loss_loggers.base._warn import warn

from ._run_folder import (
    INFO,
    LOCK,
    NotOursError,
    RunIsHeldError,
    claim,
    is_run,
    names,
    run_info,
    write_info,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ._run_info import RunInfo

_PATIENCE = 5.0
"""Seconds that a takeover waits for the other process to let go."""

_claims: WeakValueDictionary[Path, FolderClaim] = WeakValueDictionary()
"""Who has which folder in this process."""


class FolderClaim:
    """A run folder that is claimed or resumed, and held until it is released.

    Args:
        wanted: The folder that was asked for.
        info: What its `run.json` is to say.
        resume: Whether to go on with the run that is there.
        takeover: Whether to do so although another process writes it.
        let_go: Called when another one has taken it over.

    Attributes:
        path: The folder: the one that was asked for, or a sibling once it is claimed.
        is_resumed: Whether it goes on with a run.
        reason: Why nothing may be written any more; empty as long as it may.
        pid: The process that may write.
    """

    def __init__(
        self,
        wanted: Path,
        info: RunInfo,
        *,
        resume: bool,
        takeover: bool,
        let_go: Callable[[], object],
    ) -> None:
        self.path = self._wanted = wanted
        self.is_resumed = resume
        self.reason = ""
        self._info = info
        self._takeover = takeover
        self._let_go = let_go
        self._is_taken = False
        self._lock = FileLock(wanted / LOCK)
        self._saved: tuple[int, int] | None = None
        self.pid = os.getpid()

    def why_not(self) -> str:
        """Why nothing may be written, if so: a forked child shares the files of its parent."""
        if self.reason:
            return self.reason
        return "" if os.getpid() == self.pid else "it belongs to the process that forked this one"

    def take(self) -> None:
        """Have the folder, or a new one beside it; a second time nothing happens.

        Raises:
            RunIsHeldError: If it is to be resumed, and another process writes it.
        """
        if self._is_taken:
            return
        if self.is_resumed and self._find():
            self._info.resume(run_info(self.path))
        else:
            is_asked_for = self.is_resumed and (self._takeover or is_first_rank())
            is_missed = is_asked_for and is_run(self._wanted)
            self.is_resumed = False
            self.path = claim(self._wanted)
            if is_missed:
                warn(
                    f"another rank began {self._wanted}, so this one begins {self.path}:"
                    " takeover=True goes on with it, on the first rank alone"
                )
            self._lock = FileLock(self.path / LOCK)
            self.hold_again()
            if ours := rank():
                self._info.values["rank"] = ours
                with suppress(OSError):  # at once, for other ranks that look for theirs
                    self.save()
        _claims[self.path] = self
        self._is_taken = True

    def _find(self) -> bool:
        """Have the run that is there; under a launcher, that which this rank began."""
        ours, seen = rank(), set[str]()
        for folder in names(self._wanted):
            began = str(run_info(folder).get("rank", "0"))
            # Where a rank has begun a second one, there is another training.
            if not is_run(folder) or began in seen:
                return False
            seen.add(began)
            if ours in ("", began) or (self._takeover and is_first_rank()):
                self.path, self._lock = folder, FileLock(folder / LOCK)
                if self._is_taken_over():
                    return True
        raise AssertionError  # names do not end

    def _is_taken_over(self) -> bool:
        """Whether the run is ours now; False where this is a later rank, which takes a sibling."""
        other = _claims.get(self.path)
        if other is not None and not other.why_not():
            other.give_up("another logger of this process goes on with it")
            warn(f"{self.path} is written by a new logger of this process; the earlier one stops")
        if self.hold_again():
            return True
        where = self._lock.held_by()
        if self._takeover:
            self._ask_for_it()
            warn(f"{self.path} is taken over from {where}")
            return True
        if not is_first_rank():
            return False
        msg = (
            f"resume must wait until no other process writes the run, but {where} writes"
            f" {self.path}: end it, or pass takeover=True"
        )
        raise RunIsHeldError(msg)

    def hold_again(self) -> bool:
        """Whether the lock is ours; also where it has to be taken anew, in a folder made again."""
        try:
            return self._lock.acquire()
        except LocksMissingError as error:
            warn(f"{self.path} cannot be held against other processes: {error}")
            return True

    def _ask_for_it(self) -> None:
        """Put our name into `run.json`, where the other process will see it, and wait for it."""
        write_info(self.path, {**run_info(self.path), "writer": self._info.values["writer"]})
        deadline = monotonic() + _PATIENCE
        while not self._lock.acquire() and monotonic() < deadline:
            sleep(0.05)

    # While it is written.

    def save(self) -> None:
        """Write `run.json`."""
        write_info(self.path, self._info.values)
        self._saved = self._version()
        self._info.changed = False

    def is_there(self) -> bool:
        """Whether the folder and its `run.json` are there.

        Raises:
            NotOursError: If another process has taken it over.
        """
        version = self._version()
        if version != self._saved and version is not None:
            writer = run_info(self.path).get("writer")
            if writer is not None and writer != self._info.values["writer"]:
                self.give_up("another process has taken it over")
                raise NotOursError
            self._saved = version
        return version is not None

    def _version(self) -> tuple[int, int] | None:
        """Tells apart two contents of `run.json`."""
        try:
            stat = (self.path / INFO).stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_ino

    def give_up(self, reason: str) -> None:
        """Write nothing any more, since another one does."""
        self.reason = reason
        self._let_go()
        self.release()

    def release(self) -> None:
        """Let others have it."""
        self._lock.release()
