"""What is known of the losses on an accelerator, for a weighting as tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting.statistics._history import History, Vector

from ._means import DeviceMoments, widest
from ._ratio import DeviceRatios

if TYPE_CHECKING:
    from collections.abc import Callable

    from multi_loss_weighting._state import State
    from multi_loss_weighting.statistics._ratio import RatioSettings

_MOMENTS = ("count", "mean", "variance", "std", "cov", "minimum", "maximum")
# Numbers that are kept of each loss: in float64, and in float32, with what rounding took away.
_KEPT = {"ratios": (8, 11), "moments": (6, 8)}


class DeviceHistory(History):
    """A `History` whose vectors are tensors [K] on the device of the losses, good for one step.

    Only what the weighting asks for is kept there, from the first time that it asks: the moments
    and the loss ratio. Anything else is read from the host, which waits for the device. What is
    kept is made outside of inference mode, where a validation may ask first, or no training could
    write to it.

    Args:
        history: The same on the host, up to the last step that was read back.
        settings: How the loss ratios are kept.
        device: Where the losses are.
        catch_up: Reads back what the host does not know yet.
        dtype: What to count in; by default the most precise that the device has.
    """

    def __init__(
        self,
        history: History,
        settings: RatioSettings,
        device: torch.device,
        catch_up: Callable[[], None],
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(history.names, history.statistics)
        self.device = device
        self._dtype = dtype or widest(device)
        self._settings = settings
        self._catch_up = catch_up
        self._is_ahead = False
        self._ratios: DeviceRatios | None = None
        self._moments: DeviceMoments | None = None
        self._saved: State = {}
        self._shown: tuple[Tensor | None, Tensor | None] = (None, None)

    # A step.

    def show(self, raw: Tensor | None, given: Tensor | None = None) -> None:
        """The losses [K] of the step that is being weighed.

        Args:
            raw: As they are, nan for one that is missing; None where all that are given take part.
            given: Which are given, a bool tensor [K]; None for all.
        """
        self._shown = raw, given

    @property
    def present(self) -> Tensor | None:
        """Which losses take part in this step, a bool tensor [K], or None where all do."""
        raw, given = self._shown
        return given if raw is None else raw.eq(raw.nan_to_num(0.0, 0.0, 0.0))

    @present.setter
    def present(self, present: Tensor | None) -> None:
        """Nothing: on an accelerator it follows from the losses."""

    def take_in(self, losses: Tensor, samples: float | Tensor) -> None:
        """Take in one step: the losses [K], nan for one that was not given."""
        self._is_ahead = True
        if self._ratios is not None:
            self._ratios.add(losses)
        if self._moments is not None:
            self._moments.add(losses, samples)

    # What is kept here.

    def ratios(self) -> DeviceRatios:
        """The loss ratios, kept from now on."""
        if self._ratios is None:
            self._know_all()
            with torch.inference_mode(False):
                self._ratios = DeviceRatios(
                    self._settings, self._loss_ratios, self.device, self._dtype
                )
            _fill(self._ratios.tensors(), self._saved.pop("ratios", None))
        return self._ratios

    def moments(self) -> DeviceMoments:
        """The moments, kept from now on."""
        if self._moments is None:
            self._know_all()
            with torch.inference_mode(False):
                self._moments = DeviceMoments(self.statistics, self.device, self._dtype)
            _fill(self._moments.tensors(), self._saved.pop("moments", None))
        return self._moments

    def _know_all(self) -> None:
        """Have the host know all steps; before the first one here it does."""
        if self._is_ahead:
            self._catch_up()

    def state_dict(self) -> State:
        """Every number that is kept here: rounded otherwise than on the host, by a last bit."""
        kept = {"ratios": self._ratios, "moments": self._moments}
        return {
            name: torch.cat([part.flatten().cpu().double() for part in own.tensors()]).tolist()
            for name, own in kept.items()
            if own is not None
        } | self._saved

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`, when it is asked for."""
        self._ratios = self._moments = None
        self._saved = dict(state)

    def gather(self, name: str) -> Any:
        """A number of each loss's `Statistics`."""
        if name in _MOMENTS:
            return getattr(self.moments(), name)
        self._catch_up()
        return self._tensor(super().gather(name))

    @property
    def exponential_mean(self) -> Any:
        """Mean that forgets; nan unless the group was given a `decay`."""
        self._catch_up()
        return self._tensor(super().exponential_mean)

    @property
    def block_mean(self) -> Any:
        """Mean of the last complete block; nan unless the group was given a `block_size`."""
        self._catch_up()
        return self._tensor(super().block_mean)

    @property
    def ratio_count(self) -> Any:
        """How many values entered the loss ratio since its start or its last restart."""
        return self.ratios().count

    @property
    def youngest_ratio(self) -> int:
        """The smallest of `ratio_count`; it waits."""
        self._catch_up()
        return super().youngest_ratio

    @property
    def ratio_mean(self) -> Any:
        """Mean of the loss ratio."""
        return self._known(self.ratios().mean)

    @property
    def ratio_std(self) -> Any:
        """Standard deviation of the loss ratio."""
        return self._known(self.ratios().std)

    @property
    def ratio_cov(self) -> Any:
        """Coefficient of variation of the loss ratio, c = sigma_l / mu_l."""
        return self.ratios().cov

    def _known(self, row: Tensor) -> Tensor:
        return row.masked_fill(self.ratios().count == 0, math.nan)

    def _tensor(self, vector: Vector) -> Tensor:
        return torch.as_tensor(vector).to(self.device, self._dtype)


def check_kept(state: State, count: int, where: str) -> None:
    """Raise a ValueError unless `state` is a `state_dict()` of so many losses, or has nothing."""
    for name, numbers in state.items():
        needed = [many * count for many in _KEPT[name]]
        if len(numbers) not in (0, *needed):
            msg = (
                f"{where}, 'device', {name!r}, needs no numbers, or"
                f" {' or '.join(map(str, needed))}; got {len(numbers)}"
            )
            raise ValueError(msg)


def _fill(tensors: list[Tensor], values: list[float] | None) -> None:
    """Put back the numbers that `state_dict` took out."""
    if values is None:
        return
    flat = torch.tensor(values, dtype=torch.float64)
    start = 0
    # A device without float64 keeps more, of which a state from elsewhere knows nothing.
    for tensor in tensors:
        part = flat[start : start + tensor.numel()]
        start += tensor.numel()
        if len(part):
            tensor.copy_(part.reshape(tensor.shape))
