"""What to type next."""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from loss_loggers.text import printable


def hints(commands: dict[str, str]) -> str:
    """A line for each command and what it does; "losses" becomes what works in this shell.

    >>> print(hints({"cd runs": "go there", "ls": "look around"}))
      cd runs  go there
      ls       look around
    """
    program = f"{_program()} "
    typed = [re.sub("^losses ", lambda _: program, command) for command in commands]
    width = max(map(len, typed))
    lines = zip(typed, commands.values(), strict=True)
    return "\n".join(f"  {command:{width}}  {why}" for command, why in lines)


def short(path: Path) -> str:
    """The path as one would type it from here."""
    with suppress(FileNotFoundError):  # the working directory may be deleted by now
        is_below = path != Path.cwd() and path.is_relative_to(Path.cwd())
        path = path.relative_to(Path.cwd()) if is_below else path
    return printable(path)


def _program() -> str:
    """How this program can be started again: `make demo` starts it from outside the PATH."""
    if shutil.which("losses"):
        return "losses"
    program = Path(sys.argv[0])
    return short(program) if program.stem == "losses" else "python -m loss_dashboard"
