"""Look at recorded losses and weights."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .notebook import Figure as Figure
    from .notebook import LiveLogger as LiveLogger
    from .notebook import show as show

__all__ = ["Figure", "LiveLogger", "show"]


def __getattr__(name: str) -> object:
    """What a notebook needs, when it is asked for: the command `losses` begins sooner without."""
    if name in __all__:
        from . import notebook

        return getattr(notebook, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
