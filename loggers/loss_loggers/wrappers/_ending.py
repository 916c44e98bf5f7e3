"""The end of a logger of another project, which waits for somebody to tell it."""

from __future__ import annotations

import os
from functools import partial
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING

from loss_loggers.base._base_logger import BaseLogger
from loss_loggers.base._faults import ended_well, is_the_users
from loss_loggers.base._process import finalizer, last_error
from loss_loggers.base._protocol import is_a
from loss_loggers.base._warn import in_short, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RUNS = ("comet_ml.experiment.CometExperiment", "comet_ml.experiment.BaseExperiment")
"""What is a run itself: its user ends it, and only then has it all that it is to have."""

_unended: dict[int, tuple[object, int]] = {}
"""Loggers that no `Tee` has closed yet, each with the number of its guards, by identity."""


def await_end(logger: object) -> bool:
    """Have it told when the process ends, unless it is forgotten before; False if it need not."""
    if not any(_last_calls(logger)):
        return False
    if not _unended:
        finalizer(_end_all, _end_all)
    _, guards = _unended.get(id(logger), (logger, 0))
    _unended[id(logger)] = (logger, guards + 1)
    return True


def forget_end(logger: object) -> None:
    """One guard less waits for its end."""
    logger, guards = _unended.pop(id(logger), (logger, 0))
    if guards > 1:
        _unended[id(logger)] = (logger, guards - 1)


def end(logger: object, error: BaseException | None = None) -> None:
    """Close a logger of ours, or make the last calls to another one: `finalize` and its like.

    Lightning's CSVLogger writes every 100 rows, and the rest of them then. A run that the user
    opened (`mlflow`, a Comet experiment) gets none. All calls are made; the first error is raised.
    """
    if isinstance(logger, BaseLogger):
        logger.close(error)
    errors: list[BaseException] = []
    for call in _last_calls(logger, "success" if ended_well(error) else "failed"):
        try:
            call()
        except BaseException as problem:  # noqa: PERF203  it is somebody else's code
            errors.append(problem)
            if is_the_users(problem):
                break
    if errors:
        raise errors[-1] if is_the_users(errors[-1]) else errors[0]


def failure(logger: object, error: BaseException) -> str:
    """What to say of a logger that raised an error."""
    name = getattr(logger, "__name__", type(logger).__qualname__)
    return f"the logger {name} failed ({in_short(error)})"


def _last_calls(logger: object, status: str = "success") -> Iterator[Callable[[], object]]:
    """Those that its class has, with a signature that we can serve."""
    if isinstance(logger, BaseLogger | ModuleType) or is_a(logger, *_RUNS):
        return
    for name, choices in (("save", [()]), ("flush", [()]), ("finalize", [(status,), ()])):
        # Asked of the class, for some hand on whatever name they do not know.
        if callable(getattr(type(logger), name, None)):
            method = getattr(logger, name)
            fitting = (arguments for arguments in choices if _takes(method, *arguments))
            yield from (partial(method, *arguments) for arguments in islice(fitting, 1))


def _takes(method: Callable[..., object], *arguments: object) -> bool:
    from inspect import signature  # here, for it is a tenth of what importing this package costs

    try:
        signature(method).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def _end_all() -> None:
    error = last_error()
    while _unended:
        _, (logger, _) = _unended.popitem()
        try:
            end(logger, error)
        except BaseException as problem:
            if is_the_users(problem):
                raise
            warn(f"{failure(logger, problem)} when the process ended.")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unended.clear)  # a fork has a copy of what is its parent's
