"""The scalar form, the array form and the form in place give the same numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from multi_loss_weighting import RatioSettings
from multi_loss_weighting.accelerator._history import DeviceHistory
from multi_loss_weighting.functional import cov_weighting
from multi_loss_weighting.statistics._array_library import arrays_of
from multi_loss_weighting.statistics._array_ratios import add_ratios, cov_shares
from multi_loss_weighting.statistics._arrays import add_losses, clamped, finite_or_zero
from multi_loss_weighting.statistics._record import LossRecord
from multi_loss_weighting.statistics._scalar import clamp
from multi_loss_weighting.statistics._scalar import cov_shares as scalar_cov_shares

from .frameworks.streams import COUNT, SETTINGS, STREAMS, Step, Stream, column, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable


CPU = torch.device("cpu")
NAMES = ("a", "b", "c")


class Arrays:
    """The array form, which has no word for a loss that is missing but that it is nan."""

    def __init__(self, as_array: Callable[[Any], Any], ratio: RatioSettings) -> None:
        self._as_array, self._ratio = as_array, ratio
        self._xp = arrays_of(as_array(np.zeros(1)))
        self._missing = np.zeros(COUNT)
        self.losses, self.ratios = cov_weighting().init(as_array(np.zeros(COUNT)))

    def add(self, step: Step) -> None:
        losses, is_finite = finite_or_zero(self._xp, self._as_array(step.values))
        self.losses = add_losses(self._xp, self.losses, losses, is_finite, step.samples)
        self.ratios = add_ratios(self._xp, self.ratios, losses, is_finite, self._ratio)
        self._missing += np.logical_not(step.is_given)

    def numbers(self) -> dict[str, Any]:
        losses, ratios = self.losses, self.ratios
        has_begun = np.asarray(ratios.count) > 0
        return {
            **{name: getattr(losses, name) for name in ("count", "samples", "squares", "first")},
            "running_mean": losses.mean,
            "variance": losses.variance,
            "lowest": np.where(np.asarray(losses.count), losses.minimum, 0.0),
            "highest": np.where(np.asarray(losses.count), losses.maximum, 0.0),
            "nonfinite": np.asarray(losses.nonfinite) - self._missing,
            "ratio_count": ratios.count,
            "reference": ratios.reference,
            "ratio_running_mean": np.where(has_begun, ratios.mean, 0.0),
            "ratio_variance": np.where(has_begun, ratios.variance, 0.0),
            "spikes": ratios.spikes,
            "restarts": ratios.restarts,
        }

    def cov_shares(self, warmup: int) -> Any:
        return cov_shares(self.ratios, warmup)


class InPlace:
    """The form in place, read from what it keeps."""

    def __init__(self, ratio: RatioSettings) -> None:
        blank = [LossRecord() for _ in NAMES]
        self._history = DeviceHistory(NAMES, blank, ratio, CPU, lambda: blank)
        self._history.ratios(), self._history.moments()
        self._missing = np.zeros(COUNT)

    def add(self, step: Step) -> None:
        losses = torch.from_numpy(step.values)
        self._history.prepare(torch.ones(COUNT), 7)
        self._history.use(self._history.prepare(losses, step.samples))
        self._missing += np.logical_not(step.is_given)

    def numbers(self) -> dict[str, Any]:
        ratios = self._history.ratios()
        count, _, reference, mean, variance, *_ = ratios.columns().T
        losses = self._history.moments().all
        return {
            **{name: getattr(losses, name) for name in ("samples", "squares")},
            "running_mean": losses.mean,
            "count": self._history.count,
            "first": _known(self._history.first),
            "variance": _known(self._history.variance),
            "lowest": _known(self._history.minimum),
            "highest": _known(self._history.maximum),
            "nonfinite": losses.nonfinite.numpy() - self._missing,
            "ratio_count": count,
            "reference": reference.masked_fill(count == 0, 0),
            "ratio_running_mean": mean.masked_fill(count == 0, 0),
            "ratio_variance": variance.masked_fill(count == 0, 0),
        }

    def cov_shares(self, warmup: int) -> Any:
        return self._history.ratios().cov_shares(warmup)


def _known(row: torch.Tensor) -> torch.Tensor:
    return row.nan_to_num(0.0, math.inf, -math.inf)


FORMS: dict[str, Callable[[RatioSettings], Arrays | InPlace]] = {
    "numpy": lambda ratio: Arrays(np.asarray, ratio),
    "torch": lambda ratio: Arrays(torch.from_numpy, ratio),
    "in place": InPlace,
}


TO_ZERO = RatioSettings(decay=0.01, spike=math.inf, patience=2)
"""Here alone a loss near 0 is taken in, and the running mean that is halved becomes 0."""
VANISHES: Stream = [
    (([5e-324, 5e-324, 5e-324], 1), 2),
    (([0.0, 0.0, 1.0], 1), 1),
    (([1.0, None, 0.0], 1), 1),
    (([3.0, 0.0, 0.0], 1), 200),
    (([2.0, 2.0, 2.0], 1), 2),
]


@pytest.mark.parametrize("kind", FORMS)
@given(STREAMS, SETTINGS)
@example(VANISHES, TO_ZERO)
def test_the_numbers_are_those_of_the_scalar_form_bit_for_bit(
    kind: str, stream: Stream, ratio: RatioSettings
) -> None:
    form = FORMS[kind](ratio)

    for step in steps_of(stream, ratio):
        with np.errstate(over="ignore"):
            form.add(step)

        for name, ours in form.numbers().items():
            expected = column(step.records, name)
            np.testing.assert_array_equal(np.asarray(ours), expected, err_msg=name)
        # Each form rounds up to eight times: it adds up in an order of its own, and takes off in
        # its own way what the young ones have.
        for warmup in (2, 3):
            expected = np.array(scalar_cov_shares(step.records, warmup))
            np.testing.assert_array_max_ulp(np.asarray(form.cov_shares(warmup)), expected, 16)


@given(st.lists(st.floats(), min_size=1, max_size=8), st.floats(0.1, 1e6))
def test_a_clamp_by_scaling_is_the_scalar_clamp(losses: list[float], limit: float) -> None:
    expected = np.array([clamp(loss, limit) for loss in losses])

    for array in (np.array(losses), torch.tensor(losses, dtype=torch.float64)):
        np.testing.assert_allclose(np.asarray(clamped(array, limit)), expected, rtol=1e-14)
