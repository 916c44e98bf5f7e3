"""Weightings that what holds for all of them is tested on: a name, and what makes one anew.

Those that measure gradients need the parameters of a network: tests/weighting/test_gradients.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multi_loss_weighting import (
    NormalizedWeighting,
    ReLoBRaLo,
    SoftAdapt,
    TargetWeighting,
    UncertaintySoftmax,
    UncertaintyWeighting,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def methods(names: str) -> dict[str, Callable[[], Any]]:
    """For losses that are called by these letters, or by words."""
    first, *_ = listed = names.split()
    return {
        "normalized": NormalizedWeighting,
        "normalized by the first": lambda: NormalizedWeighting(by="first"),
        "normalized, learned": lambda: NormalizedWeighting(UncertaintyWeighting(len(listed))),
        "normalized, with a memory": lambda: NormalizedWeighting(ReLoBRaLo(temperature=1.0)),
        "relobralo": lambda: ReLoBRaLo(alpha=0.5, temperature=1.0, rho=0.5),
        "softadapt": lambda: SoftAdapt(beta=1.0, every=2),
        "softadapt by size": lambda: SoftAdapt(every=1, normalize=False, by_size=True, sum_to="K"),
        "target": lambda: TargetWeighting({first: 1.5}, rate=0.1, proportional=0.1),
        "target from both sides": lambda: TargetWeighting({first: 0.5}, equal=True),
        "uncertainty softmax": lambda: UncertaintySoftmax(temperature=2.0, sum_to="K"),
    }
