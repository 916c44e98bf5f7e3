"""Send later what a backend did not get.

The module can be called like the function in it: `from loss_loggers import sync` gives what sends,
and `import loss_loggers.sync` what else belongs to it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from .delivery import (
    CopiedRunError,
    NotDeliveredError,
    Progress,
    Summary,
    SyncIsRunningError,
    alone,
    has_news,
    note_of,
    sync,
    targets_of,
)

if TYPE_CHECKING:
    from os import PathLike

    from .base._protocol import Logger

__all__ = [
    "CopiedRunError",
    "NotDeliveredError",
    "Progress",
    "Summary",
    "SyncIsRunningError",
    "alone",
    "has_news",
    "note_of",
    "sync",
    "targets_of",
]


class _CallableModule(ModuleType):
    def __call__(
        self,
        run: str | PathLike[str],
        logger: Logger,
        *,
        dry_run: bool = False,
        everything: bool = False,
        progress: Progress | None = None,
    ) -> Summary:
        return sync(run, logger, dry_run=dry_run, everything=everything, progress=progress)


sys.modules[__name__].__class__ = _CallableModule
