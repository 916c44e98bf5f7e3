from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _forget_what_has_no_value() -> Iterator[None]:
    """A meta tensor can never be read back, so at the end nobody shall try."""
    from multi_loss_weighting.accelerator import _readback

    yield
    for readback in _readback._waiting:
        readback._held = [], None
    _readback._waiting.clear()
