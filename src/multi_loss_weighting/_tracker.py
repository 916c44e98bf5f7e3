"""LossTracker: one named loss, tracked, weighed and reported."""

from __future__ import annotations

import math
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .accelerator._history import check_kept
from .batch._nonfinite import (
    OnNonfinite,
    checked_nonfinite,
    describe,
    keeps_nonfinite,
    left_out,
    warn_nonfinite,
)
from .batch._value import checked_samples, checked_step, read, read_metrics
from .distributed._ranks import Ranks
from .statistics._history import History
from .statistics._ratio import LossRatio, RatioSettings
from .statistics._statistics import Statistics
from .step._backward import Backward, check_backward, run_backward
from .step._loss import REPORT, NamedLoss
from .step._losses import Members
from .step._recorder import Intake
from .step._reporter import make_reporter
from .step._step import Steps
from .weighting import Weighted, weighted_sum

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loss_loggers import Loggers

    from ._state import State
    from .accelerator._readback import Backlog
    from .distributed._ranks import ProcessGroup

# The spread of a single ratio is 0, whatever the loss.
_ENOUGH_FOR_SPREAD = 2


class LossTracker(NamedLoss):
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
        history: How many of the last values `get_history` and `statistics.recent` keep.
        decay: Of the `exponential_mean`, e.g. 0.98; None for none.
        ratio: How the statistics of the loss ratio, and so `cov_weight`, are kept.
        report: The statistics in a row, out of `STATISTICS`.
        log_every: How many losses on an accelerator are read back at once, each with its own row
            and time; a kill loses those since the last read. None for 50 there, and for each
            update on the CPU. What is read in between, e.g. `mean`, waits for the device.
        process_group: The ranks whose mean loss makes the statistics and `cov_weight`. Each of
            them has to make each update. "default" is all of them, once `torch.distributed` is
            initialised; None is for what one rank tracks alone.
        report_all: Whether each rank reports its rows, and not the first of them alone.

    Raises:
        ValueError: If an option is outside the range that makes sense.
        TypeError: If the logger is none; the error names what to wrap it in.

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
        history: int = 1000,
        decay: float | None = None,
        ratio: RatioSettings | None = None,
        report: Iterable[str] = REPORT,
        log_every: int | None = None,
        process_group: ProcessGroup = "default",
        report_all: bool = False,
    ) -> None:
        if not warmup >= 0:
            msg = f"warmup counts updates, so it is 0 or more; got {warmup}"
            raise ValueError(msg)
        self._ratio = ratio
        self._make_statistics = partial(
            Statistics, block_size=block_size, history=history, decay=decay
        )
        self._backward = backward
        self._on_nonfinite = checked_nonfinite(nonfinite)
        self._reporter = make_reporter(logger, self.hyperparams)
        self._ranks = Ranks(process_group, report_all=report_all)
        self._intake = Intake(
            ranks=self._ranks,
            on_nonfinite=self._on_nonfinite,
            keeps_nonfinite=self._keeps_nonfinite,
            log_every=log_every,
            reporter=self._reporter,
        )
        self._steps = Steps(
            self._members,
            None,
            intake=self._intake,
            ranks=self._ranks,
            keeps_nonfinite=self._keeps_nonfinite,
            is_always_late=log_every is not None,
        )
        statistics = self._make_statistics(loss_ratio=LossRatio(ratio))
        super().__init__(
            name, statistics, max_loss=max_loss, report=report, backlog=self._intake.backlog
        )
        self._seen = 0
        self._is_straight = False
        self.warmup = warmup
        self.weight = weight
        self.step = 0
        self._stride = 1

    @property
    def weight(self) -> float:
        """The weight of the next update: the one that was set, or `cov_weight` after `warmup`."""
        statistics = self.statistics
        if statistics.updates < self.warmup or statistics.loss_ratio.count < _ENOUGH_FOR_SPREAD:
            return self._static_weight
        return statistics.loss_ratio.cov

    @weight.setter
    def weight(self, weight: float) -> None:
        if self._updates >= max(self.warmup, 1):
            msg = (
                f"after warmup the weight of {self.name!r} is its cov_weight: set"
                f" tracker.warmup = math.inf before a weight of your own; got {weight}"
            )
            raise ValueError(msg)
        if not isfinite(weight):
            msg = f"the weight of {self.name!r} is a finite number; got {weight}"
            raise ValueError(msg)
        self._static_weight = float(weight)

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
            extra: Numbers of your own for the same row, e.g. `{"lr": lr}`.
            samples: How many samples the loss is the mean of; mean and variance weigh by it.
            retain_graph: Whether backward keeps the graph for another backward.

        Returns:
            The weighted loss; live with `do_backwards=False`, else detached. A loss that is left
            out, since it is not finite, gives 0.

        Raises:
            TypeError: If the loss is no number, or has no backward to call.
            ValueError: If it has more than one element, or no gradient.
            FloatingPointError: If it is not finite and `nonfinite="raise"`.
        """
        try:
            is_straight = self._is_straight and loss.is_cpu
        except AttributeError:
            is_straight = True
        if not (is_straight or self._go_straight(loss)):
            return self._update_in_steps(loss, do_backwards, step, extra, samples, retain_graph)
        try:
            value = loss.item()
            is_finite = isfinite(value)
        except (AttributeError, TypeError, ValueError, RuntimeError):
            value = read(loss, self.name)  # a plain number, or an error that says what came
            is_finite = isfinite(value)
        own_metrics = read_metrics(extra) if extra else None
        if type(samples) is not int or samples < 1:
            samples = checked_samples(samples)
        if do_backwards:
            check_backward(loss, self.name)
        step = self.step if step is None else checked_step(step)

        statistics = self._statistics
        weight = self._static_weight if statistics.updates < self.warmup else self.weight
        is_clamped = False
        if not is_finite:
            weighted = self._weigh_nonfinite(loss, weight)
        elif value > self.max_loss:
            is_clamped = True
            weighted = loss * (weight * self.max_loss / value)
        else:
            weighted = loss if weight == 1.0 else loss * weight
        if do_backwards:
            weighted = run_backward(weighted, self._backward, retain_graph)

        statistics.add(value, samples, step)
        self._used_weight = weight
        if is_clamped:
            self._clamped += 1
        self.step = step + self._stride
        if self._reporter is not None and self._ranks.is_reporter:
            self._reporter.report(self.row() | (own_metrics or {}), step)
        if not is_finite:
            self._complain(value, step)
        return weighted

    def _weigh_nonfinite(self, loss: Any, weight: float) -> Any:
        return loss * weight if self._keeps_nonfinite() else left_out(loss)

    def _keeps_nonfinite(self) -> bool:
        return keeps_nonfinite(self._on_nonfinite, self._backward)

    def _complain(self, value: float, step: int) -> None:
        if self._on_nonfinite == "raise":
            raise FloatingPointError(describe(self.name, value, step))
        if self.nonfinite == 1:
            warn_nonfinite(self.name, value, step, self._keeps_nonfinite())

    def _go_straight(self, loss: Any) -> bool:
        """Whether this loss, and those on the CPU after it, can be taken in at once."""
        self._is_straight = not self._ranks.are_many and self._steps.can_read_now({self.name: loss})
        return self._is_straight

    def _join(self, backlog: Backlog) -> None:
        """Be one of several, whose losses are read back together and who end a step together."""
        self._stride = 0
        self._backlog = self._intake.backlog = backlog

    def _come_late(self) -> None:
        """Have losses on the CPU wait for those of others on an accelerator."""
        self._steps.come_late()
        self._is_straight = False

    # On an accelerator, and on several ranks, a tracker takes the way of a group of one loss.

    def _update_in_steps(
        self,
        loss: Any,
        do_backwards: bool,
        step: int | None,
        extra: Mapping[str, Any] | None,
        samples: float,
        retain_graph: bool,
    ) -> Any:
        own_metrics = read_metrics(extra) if extra else {}
        samples = checked_samples(samples)
        if do_backwards:
            check_backward(loss, self.name)
        step = self.step if step is None else checked_step(step)
        members, batch = self._steps.read({self.name: loss})
        weighted = self._steps.weigh(self, members, batch, step)
        if do_backwards:
            total = run_backward(weighted.total, self._backward, retain_graph)
            weighted = weighted._replace(total=total)
        self._seen = self._updates + 1
        self._steps.record(self, members, batch, weighted, samples, own_metrics, step, step)
        self.step = step + self._stride
        self._intake.raise_error()
        return weighted.total

    @property
    def _updates(self) -> int:
        """How many updates there were, those on their way from a device among them."""
        return max(self._statistics.updates, self._seen)

    def _members(self, names: Any, backlog: Backlog) -> Members:  # noqa: ARG002, as for a group
        history = History((self.name,), [self._statistics])
        return Members({self.name: self}, history, self._ratio or RatioSettings())

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The weighting of a group of this one loss."""
        # Asked for from the first step on, since a device keeps only what somebody asks for.
        cov = history.ratio_cov if self.warmup < math.inf else None
        if cov is None or self._updates < self.warmup:
            return weighted_sum(losses, np.array([self._static_weight]))
        is_young = history.ratio_count < _ENOUGH_FOR_SPREAD
        if isinstance(cov, Tensor):
            return weighted_sum(losses, cov.masked_fill_(is_young, self._static_weight))
        return weighted_sum(losses, np.where(is_young, self._static_weight, cov))

    @property
    def finite(self) -> Tensor:
        """Whether the last loss was finite, on all ranks: a 0-d bool tensor, where the loss is."""
        if not self._is_straight:
            return self._intake.finite
        statistics = self._statistics
        return torch.tensor(not statistics.updates or isfinite(statistics.value))

    def flush(self) -> None:
        """Wait for the losses that are on their way from an accelerator, and report their rows.

        It comes by itself when a logger of this package closes, when a statistic or a state is
        read, and when the interpreter ends.
        """
        self._intake.backlog.catch_up()
        self._intake.raise_error()

    def __getstate__(self) -> dict[str, Any]:
        """A copy knows everything that this tracker was told."""
        self.flush()
        return self.__dict__ | {"_is_straight": False}

    def hyperparams(self) -> dict[str, Any]:
        """The name and the settings of this loss, as loggers record them."""
        settings = {"weight": self._static_weight, "max_loss": self.max_loss, "warmup": self.warmup}
        finite = {name: value for name, value in settings.items() if isfinite(value)}
        return {self.name: finite, "losses": [self.name]}

    def reset(self) -> None:
        """Forget every loss. The step goes on, so that the rows of a run stay in order."""
        self.flush()
        self._statistics = self._make_statistics(loss_ratio=LossRatio(self._ratio))
        self._seen = 0
        self._steps.reset()
        self.forget_weight()

    def state_dict(self) -> State:
        """Every number that must survive a restart; JSON and `torch.save` take it."""
        return {
            **super().state_dict(),
            "static_weight": self._static_weight,
            "step": self.step,
            "device": self._steps.device_state(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continue from `state_dict()`, to the last bit.

        Raises:
            ValueError: If the state has another shape or is of another loss; nothing has changed.
        """
        super().load_state_dict(state)
        self._static_weight, self.step = state["static_weight"], state["step"]
        self._steps.load_device_state(state["device"])
        self._seen = 0
        self._is_straight = False

    def check_state(self, state: State) -> None:
        """Raise a ValueError unless the state fits."""
        super().check_state(state)
        check_kept(state["device"], 1, f"the state of loss {self.name!r}")

    def __repr__(self) -> str:
        """One line with what one wants to know first."""
        return (
            f"LossTracker({self.name!r}, step={self.step}, loss={self.value:.4g},"
            f" mean={self.mean:.4g}, std={self.std:.4g}, cov={self.cov:.4g},"
            f" weight={self.weight:.4g})"
        )
