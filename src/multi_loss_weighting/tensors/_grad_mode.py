"""What asks for no gradient, in a way that Ctrl-C cannot leave half-way."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


def without_grad(function: Callable[P, T]) -> Callable[P, T]:
    """As the decorator `torch.no_grad()`, after which gradients are as before even after Ctrl-C.

    Python looks for signals when a function of Python begins, and after a call. Torch's own enters
    and leaves by functions of Python, so that a signal may come when gradients are off and nothing
    turns them on again: training would go on without them. Here both calls are in C, in the `try`
    and last in the `finally`.

    >>> without_grad(torch.is_grad_enabled)(), torch.is_grad_enabled()
    (False, True)
    """

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        before = torch.is_grad_enabled()
        try:
            torch._C._set_grad_enabled(False)  # noqa: SLF001
            return function(*args, **kwargs)
        finally:
            torch._C._set_grad_enabled(before)  # noqa: SLF001

    return wrapped
