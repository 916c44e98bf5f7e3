"""LossTracker: one named loss, tracked, weighed and reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch

from loss_loggers.arguments import checked, checked_kind

from .batch._names import checked_max_loss, checked_name
from .batch._nonfinite import NonfinitePolicy, OnNonfinite, left_out
from .batch._value import check_loss, checked_samples, checked_step, is_transformed, read, widened
from .statistics._record import UPDATES, LossRecord
from .statistics._settings import StatisticsSettings
from .statistics._view import LossView
from .step._backward import check_backward, checked_backward, run_backward
from .step._losses import LossOptions, LossSet
from .step._packing import differences, packed, parsed, take_over
from .step._step import Step
from .step.report._reporter import make_reporter
from .step.report._row import REPORT
from .step.report._settings import report_settings
from .weighting._own import OwnWeight

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from loss_loggers import Loggers

    from .accelerator._readback import Readback
    from .step._backward import Backward
    from .step.report._settings import ReportSettings

_METHOD = "LossTracker"
AS_IT_WAS = "load what state_dict() gave, neither cast nor averaged"


class LossTracker(LossView):
    """Track one loss: its statistics, its weight, its backward and its rows.

    Args:
        name: Names the loss in every row, e.g. `loss/G`.
        logger: Where rows go: anything with `log_metrics(metrics, *, step)`, e.g. a Comet
            experiment, or a list of such; None for nowhere.
        weight: What the loss is multiplied with before backward.
        max_loss: A loss above it is scaled down to it, so that its gradient keeps its direction.
        block_size: Updates per block, e.g. the batches of an epoch; each block's mean and std
            are reported when it ends.
        warmup: After this many updates `cov_weight` becomes the weight; infinity for never.
        backward: Called with the weighted loss instead of its own `backward`, e.g.
            `accelerator.backward` or `lambda loss: scaler.scale(loss).backward()`.
        nonfinite: What to do with a nan or an infinity. "skip" leaves the loss out of the step,
            with one warning; with a `backward` of your own, or in a process group, backward runs
            all the same, since a gradient scaler and DDP count on it. "keep" always leaves it in,
            for a gradient scaler of yours after `do_backwards=False`. "raise" reports the row and
            raises.
        log_every: How many losses on an accelerator are read back at once, each with its own row
            and time; a kill loses those since the last read. None for 50 there, and for each
            update on the CPU. What is read in between, e.g. `mean`, waits for the device.
        statistics: How the statistics, and so `cov_weight`, are kept.
        report: What a row has, out of `STATISTICS`; a `ReportSettings` also says which ranks share
            the mean loss and which report it.

    Raises:
        ValueError: If an option is outside the range that makes sense.
        TypeError: If an option is of another type. That of a logger names what to wrap it in.

    >>> tracker = LossTracker("G", weight=0.5)
    >>> for loss in (2.0, 4.0):
    ...     weighted = tracker.update(loss, do_backwards=False)
    >>> weighted, tracker.mean, tracker.std
    (2.0, 3.0, 1.0)
    """

    def __init__(
        self,
        name: str,
        logger: Loggers | None = None,
        *,
        weight: float = 1.0,
        max_loss: float = math.inf,
        block_size: int | None = None,
        warmup: float = math.inf,
        backward: Backward | None = None,
        nonfinite: OnNonfinite = "skip",
        log_every: int | None = None,
        statistics: StatisticsSettings | None = None,
        report: Iterable[str] | ReportSettings = REPORT,
    ) -> None:
        self.name = checked_name(name)
        self._backward = checked_backward(backward)
        self._nonfinite = NonfinitePolicy(nonfinite, backward is not None)
        self._limit = checked_max_loss(max_loss, name)
        self._weighting = OwnWeight(1.0, _checked_warmup(warmup))
        self._is_straight = False
        self._renewed: Callable[[str], None] | None = None
        reported = report_settings(report)
        settings = StatisticsSettings() if statistics is None else statistics
        checked_kind(settings, StatisticsSettings, "statistics")
        losses = LossSet(
            (name,),
            LossOptions(
                max_loss,
                block_size,
                settings,
                tuple(reported.statistics),
                has_total=False,
                are_given=True,
            ),
        )
        self._steps = Step(
            self._weighting,
            losses,
            reported,
            self._nonfinite,
            backward=backward,
            log_every=log_every,
            reporter=make_reporter(logger, self.hyperparams),
        )
        self.recorder = self._steps.recorder
        self.weight = weight

    # What there is to read.

    @property
    def _now(self) -> LossRecord:
        return LossRecord._make(self.recorder.wait()[0])

    @property
    def is_behind(self) -> bool:
        """Whether losses are still on their way from an accelerator, for which reading waits."""
        return bool(self.recorder.readback)

    @property
    def max_loss(self) -> float:
        """Above it the loss is scaled down to it."""
        return self._limit

    @property
    def warmup(self) -> float:
        """After so many updates `cov_weight` is the weight; it may be set."""
        return self._weighting.warmup

    @warmup.setter
    def warmup(self, warmup: float) -> None:
        self._weighting.warmup = _checked_warmup(warmup)

    @property
    def weight(self) -> float:
        """The weight of the next update: the one that was set, or `cov_weight` after `warmup`."""
        return self._weighting.at(self.recorder.wait()[0])

    @weight.setter
    def weight(self, weight: float) -> None:
        if self.recorder.state.updates >= max(self.warmup, 1):
            msg = (
                f"weight of {self.name!r} must be its cov_weight after warmup: set"
                f" tracker.warmup = math.inf before a weight of your own, got {weight}"
            )
            raise ValueError(msg)
        where = f" (loss {self.name!r})"
        own = checked(weight, isfinite, "weight", "a finite number", where)
        self._weighting.weight = float(own)

    @property
    def step(self) -> int:
        """The next step, from 0; it may be set."""
        return self.recorder.state.step

    @step.setter
    def step(self, step: int) -> None:
        recorder = self.recorder
        with recorder.lock:
            recorder.change(step=checked_step(step))

    @property
    def finite(self) -> Tensor:
        """Whether the last loss was finite, on all ranks: a 0-d bool tensor, where the loss is."""
        return self.recorder.finite

    @property
    def lost(self) -> int:
        """How many losses could not be read back from an accelerator."""
        return self.recorder.lost

    def flush(self) -> None:
        """Wait for the losses that are on their way from an accelerator, and report their rows.

        It is called when a logger of this package closes, when a statistic or a state is read, and
        when the interpreter ends.
        """
        self.recorder.flush()

    # An update.

    def update(
        self,
        loss: Any,
        do_backwards: bool = True,
        *,
        step: int | None = None,
        extra: Mapping[str, Any] | None = None,
        samples: float = 1,
        retain_graph: bool = False,
    ) -> Any:
        """Weigh one loss, call backward, take it into the statistics and report a row.

        If backward raises, nothing has changed.

        Args:
            loss: A tensor of one element, a numpy scalar or a Python number; the mean over the
                batch.
            do_backwards: Whether to call backward on the weighted loss.
            step: The step of the row; by default one more than the last, from 0.
            extra: Numbers of your own for the same row, e.g. `{"lr": lr}`; those of `Trackers` are
                given to their `step`.
            samples: How many samples the loss is the mean of; mean and variance weigh by it. With
                0, e.g. of a batch that is masked throughout, it counts as nothing.
            retain_graph: Whether backward keeps the graph for another backward.

        Returns:
            The weighted loss; live with `do_backwards=False`, else detached. A loss that is left
            out, since it is not finite, gives 0.

        Raises:
            TypeError: If the loss is no number, or has no backward to call, or `extra` is no dict
                of numbers.
            ValueError: If it has more than one element, or no gradient, `step` is no whole number,
                `samples` is below 0, or `extra` has a name of the row's own or is given to one of
                several `Trackers`.
            FloatingPointError: If it is not finite and `nonfinite="raise"`.
        """
        try:
            is_straight = self._is_straight and loss.is_cpu and not is_transformed(loss)
        except AttributeError:
            is_straight = True
        if not (is_straight or self._goes_straight(loss)):
            return self._update_in_steps(loss, do_backwards, step, extra, samples, retain_graph)
        try:
            value = loss.item()
            is_finite = isfinite(value)
        except (AttributeError, TypeError, ValueError, RuntimeError):
            if isinstance(loss, torch.Tensor):
                check_loss(loss, self.name, loss.device)
            value = read(loss, self.name)  # a plain number, or an error that says what came
            is_finite = isfinite(value)
        if type(value) is not float:
            value = float(value)
        own = self._checked_extra(extra) if extra is not None else {}
        if type(samples) is not int or samples < 1:
            samples = checked_samples(samples)
        if step is not None:
            step = checked_step(step)
        if do_backwards:
            check_backward(loss, self.name)

        recorder, weighting = self.recorder, self._weighting
        numbers = recorder.state.records[0]
        weight = weighting.weight if numbers[UPDATES] < weighting.warmup else weighting.at(numbers)
        is_clamped = self._limit < value < math.inf
        if is_clamped or not is_finite:
            weighted = self._weigh_unusual(loss, value, weight)
        else:
            weighted = loss if weight == 1.0 else widened(loss) * weight
        if do_backwards:
            weighted = run_backward(weighted, self._backward, retain_graph)
        if weight == 1.0 and isinstance(loss, torch.Tensor):
            weighted = widened(weighted).clone()  # the caller may write to it
        recorder.take_in_one(value, weight, samples, own, step, is_clamped)
        return weighted

    def _checked_extra(self, extra: Any) -> dict[str, Any]:
        if self._renewed is not None:  # one of several makes no row, in which these could be
            msg = (
                "extra must be given to the step of all, trackers.step(extra=...), which makes the"
                f" row, got it for {self.name!r} alone"
            )
            raise ValueError(msg)
        return self._steps.checked_extra(extra)

    def _weigh_unusual(self, loss: Any, value: float, weight: float) -> Any:
        """A loss that is clamped, or not finite."""
        loss = widened(loss)
        if isfinite(value):
            return loss * (weight * self._limit / value)
        if self._nonfinite.keeps():
            return loss * weight
        return left_out([loss])

    def _goes_straight(self, loss: Any) -> bool:
        """Whether this loss, and those on the CPU after it, can be taken in at once."""
        is_many = self.recorder.ranks.are_many
        self._is_straight = not is_many and self._steps.reading.can_read_now({self.name: loss})
        if isinstance(loss, torch.Tensor) and self._is_straight:
            check_loss(loss, self.name, loss.device)
        return self._is_straight

    def _update_in_steps(
        self,
        loss: Any,
        do_backwards: bool,
        step: int | None,
        extra: Any,
        samples: Any,
        retain_graph: bool,
    ) -> Any:
        """On an accelerator, and on several ranks, take the way of a group of one loss."""
        try:
            if extra is not None:
                self._checked_extra(extra)
            if do_backwards:
                check_backward(loss, self.name)
        except Exception as error:
            self._steps.tell_ranks(error)
            raise
        self._weighting.updates = self.recorder.state.updates
        losses = {self.name: loss}
        return self._steps.update(losses, do_backwards, step, extra, samples, retain_graph)

    def end_epoch(self) -> dict[str, float]:
        """End an epoch: the mean of its losses, by samples, which is reported, too.

        The row is one of its own at the last recorded step: `epoch`, from 0, and `epoch_loss/G`.
        """
        return self.recorder.end_epoch()

    # What surrounds it.

    def join(self, readback: Readback, renewed: Callable[[str], None]) -> None:
        """Be one of several, whose losses are read back together and who end a step together.

        Args:
            readback: That of all.
            renewed: Called with the name when this one was reset or loaded.
        """
        self._renewed = renewed
        self.recorder.stride = 0
        self.recorder.use_readback(readback)

    def use_readback(self) -> None:
        """Have losses on the CPU wait for those of others on an accelerator."""
        self._steps.reading.use_readback()
        self._is_straight = False

    def __getstate__(self) -> dict[str, Any]:
        """Wait for what is on its way, so that the copy is complete."""
        self.flush()
        return self.__dict__ | {"_is_straight": False}

    def hyperparams(self) -> dict[str, Any]:
        """The name and the settings of this loss, as loggers record them."""
        settings = {
            "weight": self._weighting.weight,
            "max_loss": self.max_loss,
            "warmup": self.warmup,
        }
        finite = {name: value for name, value in settings.items() if isfinite(value)}
        return {self.name: finite, "losses": [self.name]}

    def reset(self) -> None:
        """Forget every loss. The step goes on, so that the rows of a run stay in order."""
        self.flush()
        self._steps.reset()
        self._begin()

    def state_dict(self) -> dict[str, Tensor]:
        """Every number that must survive a restart, in one tensor."""
        own = {"method": _METHOD, "state": None, "weight": self._weighting.weight}
        return {"state": packed(self._steps, own)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`, bit-identical.

        Raises:
            ValueError: If it is no such state, or of another loss or settings; nothing has changed.
        """
        saved = self.checked_state(state)
        take_over(self._steps, saved)
        self._weighting.weight = saved["weighting"]["weight"]
        self._begin()

    def _begin(self) -> None:
        self._is_straight = False
        if self._renewed is not None:
            self._renewed(self.name)

    def checked_state(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """What the state says; a ValueError unless it fits."""
        if not isinstance(state, Mapping) or "state" not in state:
            msg = f"state must be the state_dict() of a LossTracker, got {state!r:.80}"
            raise ValueError(msg)
        saved = parsed(state["state"], AS_IT_WAS)
        method = saved["weighting"]["method"]
        if method != _METHOD:
            msg = f"state must be of a {_METHOD}, got that of a group with {method}"
            raise ValueError(msg)
        missing, unexpected = differences(self.recorder.state.losses, saved)
        if missing or unexpected:
            what = "; ".join((*missing, *unexpected))
            msg = (
                f"the state of loss {self.name!r} differs: {what}: make the tracker with the name"
                " and the settings of the state"
            )
            raise ValueError(msg)
        return saved

    def __repr__(self) -> str:
        """One line with what one wants to know first."""
        return (
            f"LossTracker({self.name!r}, step={self.step}, loss={self.value:.4g},"
            f" mean={self.mean:.4g}, std={self.std:.4g}, cov={self.cov:.4g},"
            f" weight={self.weight:.4g})"
        )


def _checked_warmup(warmup: float) -> float:
    own: float = checked(warmup, lambda count: count >= 0, "warmup", "0 or more updates")
    return own
