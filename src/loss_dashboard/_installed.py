"""What is installed of the packages that this one can use."""

from __future__ import annotations

import re
from collections import Counter
from importlib.util import find_spec
from typing import NamedTuple

DISTRIBUTION = "multi-loss-weighting"


class Package(NamedTuple):
    """A package, the extra that brings it (none if it always comes), and its version if any."""

    name: str
    extra: str
    version: str | None


def packages() -> list[Package]:
    """Every package that is required, always or by an extra.

    >>> [package.extra for package in packages() if package.name in ("torch", "matplotlib")]
    ['', 'plot']
    """
    from importlib.metadata import requires

    pairs = [_name_and_extra(requirement) for requirement in requires(DISTRIBUTION) or []]
    sizes = Counter(extra for _, extra in pairs)
    extras: dict[str, str] = {}
    # Extras hold one another: the smallest one with a package is the one to name.
    for name, extra in sorted(pairs, key=lambda pair: (bool(pair[1]), sizes[pair[1]])):
        extras.setdefault(name, extra)
    return [Package(name, extra, _version(name)) for name, extra in extras.items()]


def how_to_install(extra: str) -> str:
    """What to type for an extra.

    >>> how_to_install("plot")
    "pip install 'multi-loss-weighting[plot]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def what_first(extra: str, *needed: str) -> str:
    """What a hint ends with: what to type before it, if anything that is needed is missing.

    >>> what_first("plot", "json"), what_first("plot", "json", "no_such_package")
    ('', ", after pip install 'multi-loss-weighting[plot]'")
    """
    return "" if all(map(find_spec, needed)) else f", after {how_to_install(extra)}"


def _name_and_extra(requirement: str) -> tuple[str, str]:
    """A package and the extra that needs it.

    >>> _name_and_extra("textual>=1.0; extra == 'tui'"), _name_and_extra("torch>=2.4")
    (('textual', 'tui'), ('torch', ''))
    """
    extra = re.search(r"extra == ['\"]([\w-]+)", requirement)
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0], extra[1] if extra else ""


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None
