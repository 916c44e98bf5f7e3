"""LossGroup: several losses of one objective."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ._state import State, check_state
from .accelerator import _compiled
from .batch._nonfinite import OnNonfinite, checked_nonfinite, keeps_nonfinite
from .batch._value import checked_samples, checked_step, read_metrics
from .distributed._ranks import Ranks
from .statistics._ratio import RatioSettings
from .statistics._statistics import Statistics
from .step._backward import Backward, run_backward
from .step._loss import REPORT, NamedLoss, checked_report
from .step._losses import TOTAL, make_members
from .step._recorder import Intake
from .step._reporter import make_reporter
from .step._step import Steps, losses_by_name
from .weighting import PlainSum, Weighted, Weighting
from .weighting._base import checked_weighting, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loss_loggers import Loggers

    from .distributed._ranks import ProcessGroup
    from .statistics._history import History
    from .step._losses import Members


class LossGroup(nn.Module):
    """Weigh several losses into one objective: one backward, one row and one step for all.

    `update` is for plain loops. Its halves fit everywhere else (closures, gradient scalers, a
    framework that calls backward itself): `total = group.weigh(losses)`, their backward, then
    `group.record(losses)`.

    The weights of a step come from the statistics up to the step before. A loss may be missing
    from a step: its statistics stay as they are, and the other losses keep their weights. One that
    is not finite is left out of the step in the same way, and counted.

    Args:
        names: The losses, in order; None to take those of the first step.
        logger: Where rows go: anything with `log_metrics(metrics, *, step)`, a list of such, or
            None for nowhere.
        weighting: How to weigh; None for the plain sum, which changes no training.
        max_loss: A loss above it is scaled down to it, so that its gradient keeps its direction:
            one number for all, or a dict by name.
        block_size: Updates per block, e.g. the batches of an epoch.
        backward: Called with the total instead of its own `backward`, e.g.
            `accelerator.backward`.
        nonfinite: "skip" leaves a loss that is nan or infinite out of the step, with one warning
            per loss; with a `backward` of your own, or in a process group, it stays in, since a
            gradient scaler and DDP count on it. "keep" always leaves it in, for a gradient scaler
            of yours after `weigh`. "raise" reports the row and raises.
        ignore: Keys to pass over, e.g. a detector's own total.
        scope: Stands before the loss in every row, e.g. "val" for `loss/val/kl`.
        history: How many of the last values are kept of each loss.
        decay: Of the exponential means, e.g. 0.98; None for none.
        report: The statistics in a row, out of `STATISTICS`.
        log_every: How many steps on an accelerator are read back at once, each with its own row
            and time; a kill loses those since the last read. None for 50 there, and for each step
            on the CPU. What is read in between, e.g. `group["kl"].mean`, waits for the device.
        process_group: The ranks whose mean of each loss makes the statistics and the weights. Each
            of them has to `record` each step. "default" is all of them, once `torch.distributed`
            is initialised; None is for what one rank records alone.
        report_all: Whether each rank reports its rows, and not the first of them alone.

    Raises:
        ValueError: If an option is outside the range that makes sense.
        TypeError: If the logger is none; the error names what to wrap it in.

    >>> from multi_loss_weighting.weighting import StaticWeighting
    >>> group = LossGroup(["recon", "kl"], weighting=StaticWeighting(kl=0.5))
    >>> weight = torch.ones(1, requires_grad=True)
    >>> group.update({"recon": (weight**2).sum(), "kl": (4 * weight).sum()})
    tensor(3.)
    >>> group.weights, group["kl"].mean, weight.grad
    ({'recon': 1.0, 'kl': 0.5}, 4.0, tensor([4.]))
    """

    def __init__(
        self,
        names: Iterable[str] | None = None,
        logger: Loggers | None = None,
        *,
        weighting: Weighting | None = None,
        max_loss: float | Mapping[str, float] = math.inf,
        block_size: int | None = None,
        backward: Backward | None = None,
        nonfinite: OnNonfinite = "skip",
        ignore: Iterable[str] = (),
        scope: str = "",
        history: int = 1000,
        decay: float | None = None,
        report: Iterable[str] = REPORT,
        log_every: int | None = None,
        process_group: ProcessGroup = "default",
        report_all: bool = False,
    ) -> None:
        super().__init__()
        self.weighting = PlainSum() if weighting is None else checked_weighting(weighting)
        self.step = 0
        self.scope = scope
        self._backward = backward
        self._on_nonfinite = checked_nonfinite(nonfinite)
        self._ignored = frozenset([ignore] if isinstance(ignore, str) else ignore)
        make_statistics = partial(Statistics, block_size=block_size, history=history, decay=decay)
        make_statistics()  # a bad setting is an error now, not at the first step
        make_own = partial(
            make_members,
            ratio=getattr(self.weighting, "ratio_settings", RatioSettings()),
            max_loss=max_loss,
            report=checked_report(report),
            scope=scope,
            make_statistics=make_statistics,
        )
        ranks = Ranks(process_group, report_all=report_all)
        self._intake = Intake(
            ranks=ranks,
            on_nonfinite=self._on_nonfinite,
            keeps_nonfinite=self._keeps_nonfinite,
            log_every=log_every,
            reporter=make_reporter(logger, self.hyperparams),
            total=f"loss/{self._label(TOTAL)}",
        )
        self._steps = Steps(
            make_own,
            names,
            intake=self._intake,
            ranks=ranks,
            keeps_nonfinite=self._keeps_nonfinite,
            is_always_late=log_every is not None,
        )
        self._key = _compiled.register(self)
        self.register_load_state_dict_pre_hook(_check_before_loading)  # type: ignore[no-untyped-call]

    def __getstate__(self) -> dict[str, Any]:
        """A copy knows everything that this group was told."""
        self.flush()
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy is a group of its own to compiled code."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._key = _compiled.register(self)

    # What there is to read.

    @property
    def _losses(self) -> Mapping[str, NamedLoss]:
        members = self._steps.members
        return {} if members is None else members.losses

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the losses, in order; empty until they are known."""
        return tuple(self._losses)

    def __getitem__(self, name: str) -> NamedLoss:
        try:
            return self._losses[name]
        except KeyError:
            names = ", ".join(self._losses) or "not known before the first step"
            msg = f"the losses of this group are {names}; got {name!r}"
            raise KeyError(msg) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._losses)

    def __len__(self) -> int:
        return len(self._losses)

    def __contains__(self, name: object) -> bool:
        return name in self._losses

    def __bool__(self) -> bool:
        """A group is something even before it knows its losses."""
        return True

    @property
    def history(self) -> History:
        """What the weighting knows of the losses: a vector [K] per statistic.

        Raises:
            RuntimeError: If the names of the losses are not known yet.
        """
        return self._steps.history(self._known_members())

    def _known_members(self) -> Members:
        members = self._steps.members
        if members is None:
            msg = "a group without names knows its losses from the first step on; none came yet"
            raise RuntimeError(msg)
        return members

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the last step; before the first, those that it will have."""
        if not self._losses or self.step:
            return {name: loss.weight for name, loss in self._losses.items()}
        return self.next_weights()

    def next_weights(self) -> dict[str, float]:
        """The weights that the next step will have, of losses that are all there.

        Raises:
            RuntimeError: If the names of the losses are not known yet.
        """
        members = self._known_members()
        weights = self._steps.weights(self.weighting, members, torch.zeros(len(self)), self.step)
        return dict(zip(self, weights.tolist(), strict=True))

    def weights_for(self, losses: Tensor) -> Tensor:
        """The weights [K] that the next step will have, for losses [K] and where those are.

        Raises:
            RuntimeError: If the names of the losses are not known yet.
        """
        weights = self._steps.weights(self.weighting, self._known_members(), losses, self.step)
        return torch.as_tensor(weights).to(losses, non_blocking=True)

    @property
    def finite(self) -> Tensor:
        """Whether all losses of the last recorded step were finite, on all ranks.

        A bool tensor of no dimension, where the losses are. On an accelerator nothing but you can
        look at it, so that you may skip the optimizer's step of a nan there.
        """
        return self._intake.finite

    def flush(self) -> None:
        """Wait for the losses that are on their way from an accelerator, and report their rows.

        It comes by itself when a logger of this package closes, when a statistic or a state is
        read, and when the interpreter ends.

        Raises:
            FloatingPointError: If one of them is not finite and `nonfinite="raise"`.
        """
        self._intake.backlog.catch_up()
        self._intake.raise_error()

    # A step.

    def weigh(self, losses: Mapping[str, Any]) -> Tensor:
        """The objective for the losses of a step. It changes nothing.

        Inside `torch.compile` it is part of one graph, whatever the weights become: give the group
        its names, and call `record` outside. There a loss that is not finite adds 0 to the total,
        but its gradient may still be nan, since leaving it out would take a look at it.

        Args:
            losses: From name to loss: tensors of one element, numpy scalars or Python numbers,
                each the mean over the batch.

        Returns:
            The weighted total, live.

        Raises:
            TypeError: If a loss is no number.
            ValueError: If a loss is unknown or has more than one element, or none was given.
        """
        if torch.compiler.is_compiling():
            return self._weigh_compiled(losses)
        members, batch = self._steps.read(self._own(losses))
        return self._steps.weigh(self.weighting, members, batch, self.step).total

    forward = weigh

    def _weigh_compiled(self, losses: Mapping[str, Tensor]) -> Tensor:
        members = self._known_members()
        batch = _compiled.read(members.reader, self._own(losses), self._keeps_nonfinite())
        if isinstance(self.weighting, nn.Module):
            members.history.present = batch.present
            return self.weighting.weigh(batch.losses, members.history).total
        return batch.losses.dot(_compiled.weights_of(self._key, batch.losses.detach()))

    def accumulate(self, losses: Mapping[str, Any], *, samples: float = 1) -> None:
        """Take in the losses of a micro-batch; the next `record()` is of the means of all of them.

        Until then the statistics, and so the weights, stay as they are. What the gradient of a
        micro-batch is divided by is yours: `(group.weigh(losses) / 4).backward()`.

        Args:
            losses: As for `weigh`.
            samples: How many samples the losses are the mean of; the means weigh by it.

        Raises:
            TypeError: If a loss is no number.
            ValueError: If a loss is unknown or has more than one element, or none was given.

        >>> group = LossGroup(["recon", "kl"])
        >>> for recon in (1.0, 3.0):
        ...     group.accumulate({"recon": recon, "kl": 0.5})
        >>> group.record()
        >>> group.step, group["recon"].value, group["recon"].count
        (1, 2.0, 1)
        """
        samples = checked_samples(samples)
        with torch.no_grad():
            _, batch = self._steps.read(self._own(losses))
            self._steps.accumulate(batch, samples)

    def forget_accumulated(self) -> None:
        """Take back what was accumulated since the last step, e.g. of a step that was given up."""
        self._steps.forget_accumulated()

    def record(
        self,
        losses: Mapping[str, Any] | None = None,
        *,
        step: int | None = None,
        extra: Mapping[str, Any] | None = None,
        samples: float = 1,
    ) -> None:
        """Take the losses of a step into the statistics, and report one row.

        Call it after backward, whose gradients of learned weights it brings into step over the
        ranks, and before the optimizer's step.

        Args:
            losses: As for `weigh`; None for the means of those that were accumulated.
            step: The step of the row; by default one more than the last, from 0. A schedule goes by
                `group.step`, as in `weigh`: set that, if yours is another.
            extra: Numbers of your own for the same row, e.g. `{"lr": lr}`.
            samples: How many samples the losses are the mean of; mean and variance weigh by it.

        Raises:
            TypeError: If a loss is no number.
            ValueError: If a loss is unknown or has more than one element, or none was given.
            FloatingPointError: If a loss is not finite and `nonfinite="raise"`.
        """
        own_metrics = read_metrics(extra) if extra else {}
        if type(samples) is not int or samples < 1:
            samples = checked_samples(samples)
        at = self.step
        step = at if step is None else checked_step(step)
        if losses is None:
            self._steps.record_means(self.weighting, self._known_members(), own_metrics, step, at)
        else:
            with torch.no_grad():
                members, batch = self._steps.read(self._own(losses))
            self._steps.record(self.weighting, members, batch, None, samples, own_metrics, step, at)
        self._end_step(step)

    def update(
        self,
        losses: Mapping[str, Any],
        do_backwards: bool = True,
        *,
        step: int | None = None,
        extra: Mapping[str, Any] | None = None,
        samples: float = 1,
        retain_graph: bool = False,
    ) -> Tensor:
        """Weigh the losses of a step, call backward on the total, and record them.

        If backward raises, nothing has changed.

        Args:
            losses: As for `weigh`.
            do_backwards: Whether to call backward on the total.
            step: As for `record`, as are `extra` and `samples`.
            extra: Numbers of your own for the same row, e.g. `{"lr": lr}`.
            samples: How many samples the losses are the mean of.
            retain_graph: Whether backward keeps the graph for another backward.

        Returns:
            The weighted total; live with `do_backwards=False`, else detached.

        Raises:
            TypeError: If a loss is no number.
            ValueError: If a loss is unknown or has more than one element, or none was given, or
                none has a gradient.
            FloatingPointError: If a loss is not finite and `nonfinite="raise"`.
        """
        own_metrics = read_metrics(extra) if extra else {}
        if type(samples) is not int or samples < 1:
            samples = checked_samples(samples)
        step = self.step if step is None else checked_step(step)
        members, batch = self._steps.read(self._own(losses))
        if do_backwards and not batch.losses.requires_grad:
            raise ValueError(self._steps.why_no_backward(losses))
        weighting = self.weighting
        weighted = self._steps.weigh(weighting, members, batch, step)
        if do_backwards:
            total = run_backward(weighted.total, self._backward, retain_graph)
            weighted = Weighted(total, weighted.weights)
        self._steps.record(weighting, members, batch, weighted, samples, own_metrics, step, step)
        self._end_step(step)
        return weighted.total

    def _own(self, losses: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self._ignored:
            return losses
        named = losses_by_name(losses)
        return {name: loss for name, loss in named.items() if name not in self._ignored}

    def _keeps_nonfinite(self) -> bool:
        return keeps_nonfinite(self._on_nonfinite, self._backward)

    def _end_step(self, step: int) -> None:
        # nn.Module's own way to set an attribute costs a microsecond.
        self.__dict__["step"] = step + 1
        recorded = getattr(self.weighting, "recorded", None)
        if recorded is not None:
            recorded()
        self._intake.raise_error()

    def _label(self, name: str) -> str:
        return f"{self.scope}/{name}" if self.scope else name

    def hyperparams(self) -> dict[str, Any]:
        """The names, the weighting and its settings, as loggers record them."""
        limits = {name: loss.max_loss for name, loss in self._losses.items()}
        finite = {name: limit for name, limit in limits.items() if limit < math.inf}
        return {
            "losses": [self._label(name) for name in self.names],
            self._label("weighting"): settings_of(self.weighting),
            self._label("nonfinite"): self._on_nonfinite,
            **({self._label("max_loss"): finite} if finite else {}),
        }

    def parameter_group(self) -> dict[str, Any]:
        """The learned weights, for the optimizer: `[{"params": net.parameters()}, this]`.

        Without weight decay, which would drive the weights. Empty where none are learned.
        """
        return {"params": list(self.parameters()), "weight_decay": 0.0}

    def reset(self) -> None:
        """Forget every loss. Learned weights stay, and the step goes on."""
        self._steps.reset()

    def __repr__(self) -> str:
        """One line with what one wants to know first."""
        losses = ", ".join(
            f"{name}={self[name].value:.4g} (weight {weight:.4g})"
            for name, weight in self.weights.items()
        )
        method = type(self.weighting).__name__
        return f"LossGroup({losses or 'names from the first step'}, {method}, step={self.step})"

    # What survives a restart; the learned weights are parameters, as everywhere in torch.

    def get_extra_state(self) -> State:
        """Every number that must survive a restart, beside the parameters."""
        own = getattr(self.weighting, "state_dict", dict)
        return {
            "step": self.step,
            "method": type(self.weighting).__name__,
            "weighting": {} if isinstance(self.weighting, nn.Module) else own(),
            **self._steps.state_dict(),
        }

    def set_extra_state(self, state: State) -> None:
        """Continue from `get_extra_state()`; a group without names takes those of the state.

        Raises:
            ValueError: If the state has another shape or other losses; nothing has changed.
        """
        members = self.check_state(state)
        if state["weighting"]:
            self.weighting.load_state_dict(state["weighting"])  # type: ignore[attr-defined]
        self._steps.load_state_dict(state, members)
        self.step = state["step"]

    def check_state(self, state: State) -> Members | None:
        """The losses that the state is of; a ValueError unless they and the rest of it fit."""
        own = self.get_extra_state()
        members = self._steps.fitting(state)
        losses = {} if members is None else members.state_dict()
        own |= {"losses": losses, "weighting": 0}
        where = "the state of the group"
        check_state(own, {**state, "weighting": 0}, where)
        if members is None and state["step"]:
            msg = (
                f"the state is of {state['step']} steps and of no loss: with"
                " torch.distributed.checkpoint give the group its names, LossGroup([...]), since"
                " it loads only what is there already"
            )
            raise ValueError(msg)
        if own["method"] != state["method"]:
            msg = f"the state of a {own['method']} is needed; got that of a {state['method']}"
            raise ValueError(msg)
        self._steps.check_state(state, members, where)
        return members


def _check_before_loading(
    group: LossGroup, state_dict: Mapping[str, Any], prefix: str, *_: object
) -> None:
    """Look at all of a group's state before torch takes over the first part of it."""
    for name, own in group.named_parameters():
        saved = state_dict.get(prefix + name)
        if saved is not None and saved.shape != own.shape:
            msg = f"{name} has the shape {tuple(own.shape)}; got {tuple(saved.shape)}"
            raise ValueError(msg)
    saved = state_dict.get(f"{prefix}weighting._extra_state")
    if saved is not None and hasattr(group.weighting, "check_state"):
        group.weighting.check_state(saved)
    if prefix + "_extra_state" in state_dict:
        group.check_state(state_dict[prefix + "_extra_state"])
