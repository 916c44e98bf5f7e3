"""Arguments that are what they must be, or an error that says which is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def checked(
    value: Any, is_right: Callable[[Any], bool], argument: str, needed: str, where: str = ""
) -> Any:
    """`value` itself, if it is right.

    Args:
        value: What came.
        is_right: Whether it is; it may raise for another type.
        argument: Which one it is.
        needed: What it must be.
        where: What else helps to find it.

    Raises:
        ValueError: If it is not.
        TypeError: If it is of another type.

    >>> checked(0, lambda size: size >= 1, "size", "1 or more")
    Traceback (most recent call last):
        ...
    ValueError: size must be 1 or more, got 0
    """
    try:
        if is_right(value):
            return value
        kind: type[Exception] = ValueError
    except (TypeError, ValueError, AttributeError):
        kind = TypeError
    msg = f"{argument} must be {needed}, got {value!r}{where}"
    raise kind(msg)


def checked_count(value: Any, least: int, argument: str, of_what: str) -> int:
    """`value` as a plain int, if it is a whole number, `least` or more."""

    def is_right(count: Any) -> bool:
        return bool(count >= least and count % 1 == 0)

    return int(checked(value, is_right, argument, f"a whole number of {of_what}, {least} or more"))


def checked_kind(value: Any, kind: type, argument: str) -> Any:
    """`value` itself, if it is of this class."""
    if not isinstance(value, kind):
        msg = f"{argument} must be a {kind.__name__}, got {value!r}"
        raise TypeError(msg)
    return value
