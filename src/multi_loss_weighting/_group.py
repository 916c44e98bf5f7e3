"""LossGroup: several losses of one objective."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from loss_loggers.arguments import checked_kind

from ._warn import warn_user
from .accelerator import _compiled
from .batch._names import checked_name
from .batch._nonfinite import NonfinitePolicy, OnNonfinite
from .batch._value import checked_step, losses_by_name
from .gradients._diagnosis import Diagnosis
from .statistics._settings import StatisticsSettings
from .step._backward import checked_backward
from .step._follow import FollowedWeights
from .step._loading import follow_names, load, weighting_state
from .step._losses import LossOptions, LossSet
from .step._one_of_many import OneOfMany, place_of
from .step._packing import packed
from .step._step import Step
from .step.report._reporter import make_reporter
from .step.report._row import REPORT, label
from .step.report._settings import ReportSettings, report_settings
from .weighting._base import settings_of
from .weighting.normalized import innermost
from .weighting.plain_sum import weighting_or_sum
from .weighting.static import goes_by_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from loss_loggers import Loggers

    from .statistics._history import History
    from .step._backward import Backward
    from .step.report._reporter import Reporter
    from .weighting import Weighting


class LossGroup(nn.Module):
    """Weigh several losses into one objective: one backward, one row and one step for all.

    `update` is for plain loops. Its halves fit everywhere else (closures, gradient scalers, a
    framework that calls backward itself): `total = group.weigh(losses)`, their backward, then
    `group.record(losses)`, whose row has the weights that `weigh` used.

    The weights of a step come from the statistics up to the step before. A loss may be missing
    from a step: its statistics stay as they are, and the other losses keep their weights. One that
    is not finite is left out of the step in the same way, and counted. Losses in half precision
    are weighed in float32.

    Args:
        names: The losses, in order; another one is then an error. None to take them as they come,
            also at a later step.
        logger: Where rows go: anything with `log_metrics(metrics, *, step)`, a list of such, or
            None for nowhere.
        weighting: How to weigh; None for the plain sum, which changes no training. Another one, or
            None, may be set later, and goes on with the same statistics.
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
        scope: Put before the loss in every row, e.g. "val" for `loss/val/kl`.
        log_every: How many steps on an accelerator are read back at once, each with its own row
            and time; a kill loses those since the last read. None for 50 there, and for each step
            on the CPU. What is read in between, e.g. `group["kl"].mean`, waits for the device.
        statistics: How the statistics of each loss are kept.
        report: What a row has, out of `STATISTICS`; a `ReportSettings` also says which ranks share
            the objective and which report it.

    Raises:
        ValueError: If an option is outside the range that makes sense.
        TypeError: If an option is of another type. That of a logger names what to wrap it in.

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
        log_every: int | None = None,
        statistics: StatisticsSettings | None = None,
        report: Iterable[str] | ReportSettings = REPORT,
    ) -> None:
        super().__init__()
        _check_not_names(names)
        weighting = weighting_or_sum(weighting)
        reported = report_settings(report)
        self.scope = _checked_scope(scope)
        self._nonfinite = NonfinitePolicy(nonfinite, checked_backward(backward) is not None)
        self._ignored = _ignored(ignore)
        settings = StatisticsSettings() if statistics is None else statistics
        options = LossOptions(
            max_loss,
            block_size,
            checked_kind(settings, StatisticsSettings, "statistics"),
            tuple(reported.statistics),
            self.scope,
            has_total=True,
            are_given=names is not None,
        )
        self._step = Step(
            weighting,
            LossSet(() if names is None else names, options.for_weighting(weighting)),
            reported,
            self._nonfinite,
            backward=backward,
            log_every=log_every,
            reporter=make_reporter(logger, self.hyperparams),
        )
        self.weighting = weighting
        self._key = _compiled.register(self._step)
        self._leader: Step | None = None

    if TYPE_CHECKING:  # torch keeps a module elsewhere than a property would

        @property
        def weighting(self) -> Weighting:
            """How to weigh; it may be set, to None for the plain sum."""

        @weighting.setter
        def weighting(self, weighting: Weighting | None) -> None: ...

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "weighting":
            value = weighting_or_sum(value)
            self._step.weigh_by(value)
            self._modules.pop(name, None)  # torch would let no other than a module follow
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """Wait for what is on its way, so that the copy is complete."""
        self.flush()
        return self.__dict__ | {"_key": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy is a group of its own to compiled code."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.__dict__["_key"] = _compiled.register(self._step)

    # What there is to read.

    @property
    def step(self) -> int:
        """The next step, from 0; it may be set."""
        return self._step.recorder.state.step

    @step.setter
    def step(self, step: int) -> None:
        recorder = self._step.recorder
        with recorder.lock:
            recorder.change(step=checked_step(step))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the losses, in order; empty until they are known."""
        return self._step.recorder.state.losses.names

    def __getitem__(self, name: str) -> OneOfMany:
        place_of(name, self.names)
        return OneOfMany(self._step, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __bool__(self) -> bool:
        """A group is something even before it knows its losses."""
        return True

    @property
    def history(self) -> History:
        """What the weighting knows of the losses: a vector [K] per statistic.

        Raises:
            RuntimeError: If the names of the losses are not known yet.
        """
        self._check_names_are_known()
        return self._step.reading.history()

    def _check_names_are_known(self) -> None:
        if not self.names:
            self._raise_unknown()

    def _raise_unknown(self) -> NoReturn:
        msg = "names are unknown until the first step: pass names=[...] or call update() first"
        raise RuntimeError(msg)

    @property
    def weights(self) -> dict[str, float]:
        """The weights of the last step; before the first, those that it will have."""
        if not self.names or self._step.recorder.state.number:
            return {name: self[name].last_weight for name in self.names}
        return self.next_weights()

    def next_weights(self) -> dict[str, float]:
        """The weights that the next step will have, of losses that are all there.

        Where they also depend on the losses of that step (`UncertaintySoftmax`, or the first step
        of `NormalizedWeighting`), what is known so far.

        Raises:
            RuntimeError: If the names of the losses are not known yet.
        """
        self._check_names_are_known()
        return self._step.weighing.next_weights()

    def weights_for(self, losses: Tensor) -> Tensor:
        """The weights [K] that the next step will have, for losses [K] and where those are.

        They are in float32, or in float64 for losses in float64.

        Raises:
            RuntimeError: If the names of the losses are not known yet.
            ValueError: If there is not one loss for each name.
        """
        self._check_names_are_known()
        if not isinstance(losses, Tensor) or losses.shape != (len(self),):
            got = list(losses.shape) if isinstance(losses, Tensor) else repr(losses)
            msg = f"losses must be a tensor [{len(self)}], of {', '.join(self)}, got {got}"
            raise ValueError(msg)
        return self._step.weighing.weights_for(losses.detach())

    @property
    def finite(self) -> Tensor:
        """Whether all losses of the last recorded step were finite, on all ranks.

        A 0-d bool tensor on the device of the losses, e.g. to skip the optimizer's step after a
        nan. Reading it on the host waits for the device.
        """
        return self._step.recorder.finite

    @property
    def lost(self) -> int:
        """How many steps could not be read back from an accelerator."""
        return self._step.recorder.lost

    def flush(self) -> None:
        """Wait for the losses that are on their way from an accelerator, and report their rows.

        It is called when a logger of this package closes, when a statistic or a state is read, and
        when the interpreter ends.

        Raises:
            FloatingPointError: If one of them is not finite and `nonfinite="raise"`.
        """
        self._step.settle()
        self._step.recorder.flush()

    # A step.

    def weigh(self, losses: Mapping[str, Any], *, step: int | None = None) -> Tensor:
        """The objective for the losses of a step, whose weights the next row will have.

        Apart from that it changes nothing, and without gradients (`torch.no_grad()`) nothing at
        all. Called more than once before `record`, the last call with a loss counts.

        Inside `torch.compile` it is part of one graph, whatever the weights become: give the group
        its names, and call `record` outside. There a loss that is not finite adds 0 to the total,
        but its gradient may still be nan, since the host would have to read it to leave it out.

        Args:
            losses: From name to loss: tensors of one element, numpy scalars or Python numbers,
                each the mean over the batch.
            step: The step that a schedule goes by; by default one more than the last, from 0. In
                compiled code give it as an argument of what is compiled: a number that a module
                has is a constant to torch, which compiles anew for each if weights go by it.

        Returns:
            The weighted total, live.

        Raises:
            TypeError: If a loss is no number.
            ValueError: If a loss is unknown or has more than one element, or none was given.
        """
        if torch.compiler.is_compiling():
            return self._weigh_compiled(losses, step)
        return self._step.weighing.weigh_and_remember(self._own(losses), step)

    forward = weigh

    def _weigh_compiled(self, losses: Mapping[str, Tensor], step: int | None) -> Tensor:
        reader = self._step.reading.reader
        if not reader.names:
            self._raise_unknown()
        batch, given = _compiled.read(reader, self._own(losses), self._nonfinite.keeps())
        inner = innermost(self.weighting)
        if not goes_by_step(inner):
            step = None  # a number is a part of the graph, so each would need another
        if isinstance(inner, nn.Module):
            seen = batch.losses.detach()
            history = _compiled.CompiledHistory(reader.names, batch.present, step, self._key, seen)
            return self.weighting.weigh(batch.losses, history).total
        if not isinstance(step, int | None):
            msg = f"step must be a Python int in compiled code, got {type(step).__name__}"
            raise TypeError(msg)
        weights = _compiled.weights_of(
            self._key, batch.losses.detach(), given, step, torch.is_grad_enabled()
        )
        return batch.losses.dot(weights)

    def accumulate(
        self,
        losses: Mapping[str, Any],
        *,
        samples: float = 1,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Take in the losses of a micro-batch; the next `record()` is of the means of all of them.

        Until then the statistics, and so the weights, stay as they are. What the gradient of a
        micro-batch is divided by is yours: `(group.weigh(losses) / 4).backward()`.

        Args:
            losses: As for `weigh`.
            samples: How many samples the losses are the mean of; the means weigh by it, and with
                0 they count as nothing.
            extra: Numbers of your own, of which the row of the step has the mean.

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
        self._step.accumulate(self._own_or_tell(losses), samples, extra)

    def forget_accumulated(self) -> None:
        """Take back what was accumulated since the last step, e.g. of a step that was given up."""
        self._step.forget_accumulated()

    def record(
        self,
        losses: Mapping[str, Any] | None = None,
        *,
        step: int | None = None,
        extra: Mapping[str, Any] | None = None,
        samples: float = 1,
    ) -> None:
        """Take the losses of a step into the statistics, and report one row.

        The row has the weights that `weigh` used since the last one; of a loss that was not
        weighed, those that it would have had. Call it after backward, whose gradients of learned
        weights it brings into step over the ranks, and before the optimizer's step.

        Args:
            losses: As for `weigh`; None for the means of those that were accumulated.
            step: The step of the row; by default one more than the last, from 0.
            extra: Numbers of your own for the same row, e.g. `{"lr": lr}`.
            samples: How many samples the losses are the mean of; mean and variance weigh by it.
                With 0, e.g. of a batch that is masked throughout, they count as nothing: the row
                has a total of 0, and no loss.

        Raises:
            TypeError: If a loss is no number, or `extra` no dict of numbers.
            ValueError: If a loss is unknown or has more than one element, none was given, `step` is
                no whole number, `samples` is below 0, or `extra` has a name of the row's own.
            FloatingPointError: If a loss is not finite and `nonfinite="raise"`.
        """
        if step is None and self._leader is not None:
            step = max(self._leader.recorder.state.step - 1, 0)
        own = None if losses is None else self._own_or_tell(losses)
        self._step.record(own, step, extra, samples)

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
            samples: How many samples the losses are the mean of. With 0 they count as nothing in
                the row and the statistics; backward is called, and the total returned, all the
                same.
            retain_graph: Whether backward keeps the graph for another backward.

        Returns:
            The weighted total; live with `do_backwards=False`, else detached.

        Raises:
            TypeError: If a loss is no number, or `extra` no dict of numbers.
            ValueError: As for `record`, or if none of the losses has a gradient.
            FloatingPointError: If a loss is not finite and `nonfinite="raise"`.
        """
        if self._ignored:
            losses = self._own_or_tell(losses)
        if step is None and self._leader is not None:
            step = max(self._leader.recorder.state.step - 1, 0)
        return self._step.update(losses, do_backwards, step, extra, samples, retain_graph)

    def diagnose(
        self,
        parameters: Iterable[Tensor] | Tensor,
        *,
        steps: int = 100,
        every: int | None = None,
    ) -> Diagnosis:
        """Find out in the next steps whether weighting can help, and which kind to try first.

        Train on as before, best with the plain sum; `print` what this returns afterwards. From the
        norms and cosines of the gradients of the losses it says in two sentences whether the losses
        differ in size, pull against each other, or neither, how sure that is, and what to try. Its
        `advice` has the numbers. Training is bit-identical; a step that measures costs a backward a
        loss more.

        Args:
            parameters: What to differentiate by: those of the network, or the last layer that all
                losses share, which costs less.
            steps: How many steps to look at.
            every: Steps from one measurement to the next; None for some 20 measurements in all.

        Raises:
            TypeError: If a parameter is no tensor.
            ValueError: If no parameter requires a gradient, or a number of steps is below 1.

        >>> weight = torch.ones(2, requires_grad=True)
        >>> group = LossGroup(["meters", "grams"])
        >>> diagnosis = group.diagnose(weight, steps=20)
        >>> for step in range(20):
        ...     total = group.update({"meters": weight[0], "grams": 1000 * weight[1]})
        >>> advice = diagnosis.advice
        >>> advice.finding, advice.ratio, advice.advice, advice.is_sure
        ('sizes', 1000.0, 'one size', True)
        """
        diagnosis = Diagnosis(parameters, steps=steps, every=every)
        self._step.weighing.observe(diagnosis.look)
        return diagnosis

    def end_epoch(self) -> dict[str, float]:
        """End an epoch: the mean of each loss that came in it, by samples, which is reported, too.

        The row is one of its own at the last recorded step: `epoch`, from 0, and `epoch_loss/kl`.
        `CsvLogger` keeps it in `epochs.csv`.

        >>> group = LossGroup(["recon", "kl"])
        >>> for recon in (1.0, 3.0):
        ...     group.record({"recon": recon, "kl": 0.5})
        >>> group.end_epoch()
        {'recon': 2.0, 'kl': 0.5}
        """
        return self._step.recorder.end_epoch()

    def follower(
        self,
        scope: str = "val",
        *,
        logger: Loggers | None = None,
        report: Iterable[str] | ReportSettings = ("loss", "weight", "weighted"),
    ) -> LossGroup:
        """A group for a validation: the same losses and weights, with statistics of its own.

        `accumulate` the losses of each batch, then `record()` once: a row of their means by samples
        at the last recorded step of this group. It has no part in the weights. Ranks share one
        mean, at `record()`.

        Args:
            scope: Put before the loss in its rows: `loss/val/kl`; behind the scope of this group,
                where it has one: `loss/gan/val/kl`.
            logger: Where rows go; None for the loggers of this group.
            report: What its rows have; by default the same ranks share and report them.

        >>> group = LossGroup(["recon", "kl"])
        >>> group.record({"recon": 1.0, "kl": 0.5})
        >>> validation = group.follower()
        >>> for recon, samples in ((1.0, 32), (4.0, 16)):
        ...     validation.accumulate({"recon": recon, "kl": 0.5}, samples=samples)
        >>> validation.record()
        >>> validation["recon"].value
        2.0
        """
        own, leader = self.reporter, self._leader or self._step
        losses = self._step.recorder.state.losses
        around = leader.recorder.state.losses.options.scope
        if not isinstance(report, ReportSettings):
            ranks = self._step.recorder.ranks
            report = ReportSettings(report, ranks.process_group, ranks.report_all)
        follower = LossGroup(
            losses.names if losses.options.are_given else None,
            own.logger if logger is None and own is not None else logger,
            weighting=FollowedWeights(leader),
            max_loss=losses.options.max_loss,
            nonfinite=self._nonfinite.name,
            ignore=self._ignored,
            scope=_checked_scope(scope, around),
            report=report,
        )
        follower._leader = leader
        return follower

    def _own(self, losses: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self._ignored:
            return losses
        named = losses_by_name(losses)
        return {name: loss for name, loss in named.items() if name not in self._ignored}

    def _own_or_tell(self, losses: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self._own(losses)
        except Exception as error:
            self._step.tell_ranks(error)
            raise

    def hyperparams(self) -> dict[str, Any]:
        """The names, the weighting and its settings, as loggers record them."""
        losses = self._step.recorder.state.losses
        limits = zip(losses.names, losses.limits, strict=True)
        finite = {name: limit for name, limit in limits if limit < math.inf}
        return {
            "losses": losses.template.labels,
            label(self.scope, "weighting"): settings_of(self.weighting),
            label(self.scope, "nonfinite"): self._nonfinite.name,
            label(self.scope, "max_loss"): finite,  # also none, in place of those before a resume
        }

    def parameter_group(self) -> dict[str, Any]:
        """The learned weights, for the optimizer: `[{"params": net.parameters()}, this]`.

        Without weight decay, which would drive the weights. Empty where none are learned.
        """
        return {"params": list(self.parameters()), "weight_decay": 0.0}

    def network_parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """The parameters of `model` without the learned weights, e.g. to clip their gradient.

        The gradient of a learned weight is about as large as its loss, so it would take most of a
        norm that is clipped over all parameters.

        >>> network, group = nn.Linear(2, 1), LossGroup(["recon", "kl"])
        >>> model = nn.ModuleDict({"network": network, "losses": group})
        >>> len(group.network_parameters(model))
        2
        """
        learned = {id(parameter) for parameter in self.parameters()}
        return [parameter for parameter in model.parameters() if id(parameter) not in learned]

    def reset(self) -> None:
        """Forget every loss. Learned weights stay, and the step goes on."""
        self._step.reset()

    def __repr__(self) -> str:
        """One line with what one wants to know first."""
        losses = ", ".join(
            f"{name}={self[name].value:.4g} (weight {weight:.4g})"
            for name, weight in self.weights.items()
        )
        method = type(self.weighting).__name__
        return f"LossGroup({losses or 'names from the first step'}, {method}, step={self.step})"

    def report_to(self, reporter: Reporter | None) -> None:
        """Who gets the rows from now on."""
        self._step.recorder.report_to(reporter)

    @property
    def reporter(self) -> Reporter | None:
        """Who gets the rows."""
        return self._step.recorder.outbox.reporter

    # What survives a restart; the learned weights are parameters, as everywhere in torch.

    def get_extra_state(self) -> Tensor:
        """Every number that must survive a restart, beside the parameters, in one tensor."""
        return packed(self._step, weighting_state(self.weighting, self.names))

    def set_extra_state(self, state: Tensor) -> None:
        """Continue from `get_extra_state()` with the losses that both have; warn of the others.

        `load_state_dict` calls it, and says what differs by its own means.
        """
        loaded = load(self._step, state)
        for text in (*loaded.missing, *loaded.unexpected, *loaded.errors):
            warn_user(f"in the saved state of a LossGroup: {text}")

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = f"{prefix}_extra_state"
        others = {name: value for name, value in state_dict.items() if name != key}
        super()._load_from_state_dict(
            others, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        if key not in state_dict:
            return
        # Strict or not, torch looks at the lists of keys: what differs goes there.
        missing_keys[:] = [name for name in missing_keys if name != key]
        loaded = load(self._step, state_dict[key])
        missing_keys += [f"{key}: {text}" for text in loaded.missing]
        unexpected_keys += [f"{key}: {text}" for text in loaded.unexpected]
        error_msgs += [f"{key}: {text}" for text in loaded.errors]
        own = f"{prefix}weighting."
        if loaded.is_of_other_method:  # what one has learned says nothing to another
            for name in [name for name in state_dict if name.startswith(own)]:
                del state_dict[name]
        elif loaded.names is not None:
            differ = follow_names(self.weighting, self.names, loaded.names, state_dict, own)
            unexpected_keys += [f"{key}: {text}" for text in differ]


def _check_not_names(names: Any) -> None:
    """Say so where the weighting, or the logger, was given in the place of the names."""
    for keyword, method in (("weighting", "weigh"), ("logger", "log_metrics")):
        if hasattr(names, method):
            kind = type(names).__name__
            msg = f"names must be a list of str, got {kind}: pass it as {keyword}=..."
            raise TypeError(msg)


def _checked_scope(scope: str, around: str = "") -> str:
    """The scope, within the one around it."""
    return around if scope == "" else label(around, checked_name(scope, "scope"))


def _ignored(ignore: Iterable[str]) -> frozenset[str]:
    try:
        return frozenset([ignore] if isinstance(ignore, str) else ignore)
    except TypeError as error:
        msg = f"ignore must be a list of keys, got {ignore!r}"
        raise TypeError(msg) from error
