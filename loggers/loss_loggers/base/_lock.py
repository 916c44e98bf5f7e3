"""A file that one process holds; the operating system lets go of it when that process ends."""

from __future__ import annotations

import json
import os
import platform
import weakref
from contextlib import suppress
from errno import EACCES, EPERM, EROFS
from functools import lru_cache
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

_MOMENT = 0.3
"""Seconds after which whoever only asked whether a lock is taken has let go of it."""

_TEXT = 4096
"""Bytes of the file that say who holds it. Windows lets nobody read what is locked, so the locked
byte stands behind them."""

_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class LocksMissingError(OSError):
    """The file system has no locks."""


class FileLock:
    """A lock on a file of its own, which goes when it is released, and stays after a kill.

    A forked child does not hold what its parent does.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     first, second = FileLock(Path(folder, "lock")), FileLock(Path(folder, "lock"))
    ...     print(first.acquire(), second.acquire(), second.holder()["pid"] == os.getpid())
    ...     first.release()
    ...     print(second.acquire())
    ...     second.release()
    True False True
    True
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._close: Callable[[], object] = int

    @property
    def is_held(self) -> bool:
        """Whether this process holds it by this object."""
        return self._file is not None

    def acquire(self, wait: float = _MOMENT) -> bool:
        """Take it, unless somebody holds it for so many seconds; whether we have it now.

        Raises:
            LocksMissingError: If the file system has no locks.
            OSError: If the file cannot be written.
        """
        if not self.is_ours():  # it may have been deleted, and another may hold a new one
            self.forget()
        while self._file is None:
            file = _opened(self.path)
            try:
                if not _locked_soon(file, wait):
                    return False
                # Whoever deleted the file in between has another one.
                if not _is_at(file, self.path):
                    continue
                self._close = weakref.finalize(self, os.close, file)
                self._file, file = file, -1
            finally:
                if file >= 0:
                    os.close(file)
        _held.add(self)
        with suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, json.dumps(this_process()).encode(), 0)
        return True

    def is_free(self, wait: float = _MOMENT) -> bool:
        """Take it where there are locks; whether nobody else is known to hold it."""
        with suppress(LocksMissingError):
            return self.acquire(wait)
        return True

    def is_taken(self) -> bool:
        """Whether somebody holds it, by another object than this one.

        Raises:
            LocksMissingError: If the file system has no locks.
        """
        try:
            file = _opened(self.path, create=0)
        except FileNotFoundError:
            return False
        try:
            return not _lock(file, is_shared=True)  # with others that ask
        finally:
            os.close(file)

    def holder(self) -> dict[str, Any]:
        """The process that took it last: its `pid`, `host` and `boot`; nothing if unknown."""
        try:
            known = json.loads(self.path.read_bytes()[:_TEXT]) if self.path.is_file() else {}
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def held_by(self) -> str:
        """That process in words."""
        who = self.holder()
        return f"process {who.get('pid', 'unknown')} on {who.get('host', 'another host')}"

    def is_ours(self) -> bool:
        """Whether the file that we hold is still the one at its path."""
        return self._file is not None and _is_at(self._file, self.path)

    def release(self) -> None:
        """Let go of it, and leave no file behind; nothing happens if we do not have it."""
        if self.is_ours():
            # While it is ours: whoever has opened it already sees that it is at no path any more.
            with suppress(OSError):
                self.path.unlink()
        self.forget()

    def forget(self) -> None:
        """Close the file, as a forked child does, which does not hold it."""
        self._file = None
        _held.discard(self)
        with suppress(OSError):
            self._close()


def this_process() -> dict[str, Any]:
    """Who we are: the process, the host, and the boot of its kernel, which containers share."""
    return {"pid": os.getpid(), "host": platform.node(), "boot": _boot()}


def is_there(lock: Path, who: Mapping[str, Any], *, has_lock: bool) -> bool | None:
    """Whether a process goes on, by its `pid`, `host` and `boot`; None where nobody can know.

    Its lock says so on the machine where it was taken, in whichever container; and where a host is
    up again, what it ran before is gone. Of another machine a lock says nothing, for not every file
    system passes it on.

    Args:
        lock: Its lock file.
        who: What `this_process` said there.
        has_lock: Whether it could take its lock: not every file system has locks.
    """
    try:
        if FileLock(lock).is_taken():
            return True
    except OSError:
        has_lock = False
    here = this_process()
    is_same_host, is_same_boot = who.get("host") == here["host"], who.get("boot") == here["boot"]
    if has_lock:
        is_gone = is_same_host or (is_same_boot and bool(here["boot"]))
    else:
        is_gone = is_same_host and not (is_same_boot and _is_process(who.get("pid")))
    return False if is_gone else None


def _is_process(pid: object) -> bool:
    """Whether this system has such a process, or may have it."""
    if os.name == "nt" or not isinstance(pid, int):  # there signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except OverflowError:
        return False
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


@lru_cache(maxsize=1)
def _boot() -> str:
    from pathlib import Path  # here, for it is a tenth of what importing this package costs

    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode().strip()
    except OSError:
        return ""


def _opened(path: Path, create: int = os.O_CREAT) -> int:
    # Where a pipe stands at the path, nobody waits for who writes into it.
    flags = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, flags | os.O_RDWR | create, 0o666)
    except OSError as error:
        if error.errno not in (EACCES, EPERM, EROFS):
            raise
        with suppress(FileNotFoundError):  # what one may only read can be held, too
            return os.open(path, flags | os.O_RDONLY)
        raise


def _locked_soon(file: int, wait: float) -> bool:
    """Whether it could be locked: who only asks whether it is taken has it for a moment."""
    end = monotonic() + wait
    while not (is_locked := _lock(file)) and monotonic() < end:
        sleep(0.005)
    return is_locked


def _lock(file: int, *, is_shared: bool = False) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:
            os.lseek(file, _TEXT, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        msg = f"the file system has no locks ({error})"
        raise LocksMissingError(msg) from error
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _let_go_in_child() -> None:
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
