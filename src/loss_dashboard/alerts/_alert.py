"""What an alert is."""

from __future__ import annotations

from typing import NamedTuple


class Alert(NamedTuple):
    """Something in a run that deserves a look.

    Attributes:
        kind: One of "nonfinite", "spike", "stopped", "small weight", "large weight", "frozen" and
            "unmoved".
        loss: Whose it is; empty where it concerns all weights of a group.
        step: Where it began.
        text: The whole of it in words.
    """

    kind: str
    loss: str
    step: int
    text: str
