from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _forget_what_has_no_value() -> Iterator[None]:
    """A meta tensor can never be read back, so at the end nobody shall try."""
    from multi_loss_weighting.accelerator import _readback as _backlog

    yield
    for backlog in _backlog._waiting:
        backlog._steps.clear()
    _backlog._waiting.clear()
