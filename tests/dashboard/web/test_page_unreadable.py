"""What the page says of a run whose files cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.dashboard.browser import Tab, wait_for_text

from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_file_that_cannot_be_read_is_not_waited_for(
    tmp_path: Path, serve: Any, tab: Callable[..., Tab]
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        (logger.path / "losses.csv").unlink()
        (logger.path / "losses.csv").mkdir()
        with serve(str(tmp_path)) as address:
            page = tab().open(address)
            wait_for_text(page, "#alerts", "losses.csv cannot be read")
            wait_for_text(page, "#state", "unreadable")
            wait_for_text(page, "#empty", "Nothing could be read")
