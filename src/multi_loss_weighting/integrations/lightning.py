"""Lightning: a callback that records the groups of a module, one row per optimizer step."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from loss_loggers import is_validation
from multi_loss_weighting import LossGroup
from multi_loss_weighting._warn import warn_user
from multi_loss_weighting.step._follow import FollowedWeights

from ._recorded_calls import RecordedCalls
from ._reporting import reporting

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:
    try:
        from pytorch_lightning import Callback  # type: ignore[assignment]  # its older name
    except ModuleNotFoundError as error:
        msg = "LossCallback needs Lightning: pip install 'multi-loss-weighting[lightning]'"
        raise ModuleNotFoundError(msg) from error

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class LossCallback(Callback):
    """Record each `LossGroup` of a module, with rows to the loggers of the trainer.

    A group is an attribute of the module, so its state is in every checkpoint, and it is called
    in `training_step`::

        class VAE(LightningModule):
            def __init__(self):
                super().__init__()
                self.losses = LossGroup(["recon", "kl"], weighting=CoVWeighting())

            def training_step(self, batch):
                return self.losses(self.model(batch))  # the total of {"recon": ..., "kl": ...}

        Trainer(callbacks=[LossCallback()])

    A row is made just before the optimizer steps, of the mean over the batches that accumulated.
    With manual optimization it is made at the end of a batch in which an optimizer stepped,
    however many did: a GAN counts each batch once, and learned weights are shown as they are
    after the step. The step of a row is that of Lightning's own rows. The end of a training epoch
    ends that of the groups (`LossGroup.end_epoch`).

    For validation and tests, `self.validation = self.losses.follower("val")` weighs as training
    does. A follower, and any group whose `scope` is called "val", "valid", "validation", "eval",
    "dev" or "test", or ends with "/" and such a word, gets one row a run, of the mean over the
    samples, unless it was called in training. Another group is weighed there and not recorded, also
    before and after `fit`.

    Rows go to the loggers of the trainer beside those of the group, from rank 0 alone.
    """

    def __init__(self) -> None:
        self._calls: dict[LossGroup, RecordedCalls] = {}
        self._trained: set[LossGroup] = set()
        self._cleanup = ExitStack()
        self._batch_size = 1
        self._last_step = -1
        self._has_stepped = False
        self._has_recorded: bool | None = None
        """Whether the epoch has rows; None before its first batch."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the groups."""
        named = pl_module.named_modules()
        groups = {name: one for name, one in named if isinstance(one, LossGroup)}
        if not groups:
            msg = (
                "LossCallback records the groups that are attributes of the module, as in"
                f" self.losses = LossGroup(); {type(pl_module).__name__} has none"
            )
            raise ValueError(msg)
        for name, group in groups.items():
            if group not in self._calls:
                self._listen(trainer, name, group)

    on_validation_start = on_test_start = on_fit_start

    def _listen(self, trainer: Trainer, name: str, group: LossGroup) -> None:
        calls = RecordedCalls(group, partial(self._samples, trainer, group))
        self._calls[group] = calls
        self._cleanup.callback(calls.stop)
        self._cleanup.enter_context(reporting(group, name, trainer.loggers))

    def _samples(self, trainer: Trainer, group: LossGroup) -> int:
        """How much a call counts: batches that accumulate alike, as their gradients do."""
        if trainer.training:
            self._trained.add(group)
            return 1
        is_evaluated = trainer.validating or trainer.testing
        is_own = _is_of_evaluations(group) and group not in self._trained
        return self._batch_size if is_evaluated and is_own else 0

    def teardown(self, *_: Any, **__: Any) -> None:
        """Leave the groups as they were."""
        self._cleanup.close()
        self._calls, self._trained, self._has_recorded = {}, set(), None

    on_exception = teardown

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin at the step of the trainer, with schedules of weights too."""
        self._last_step = -1
        for group in self._calls:
            group.step = _step(trainer)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        """Record, while learned weights are still those of the step."""
        self._has_stepped = True
        if pl_module.automatic_optimization:
            self._record(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Record, where the module steps its optimizers itself; end the epoch after its last batch.

        A checkpoint of that batch is saved before `on_train_epoch_end`.
        """
        if self._has_stepped:
            self._record(trainer)
        self._has_stepped, self._has_recorded = False, bool(self._has_recorded)
        if trainer.is_last_batch:
            self._end_epoch()

    def _record(self, trainer: Trainer) -> None:
        step = _step(trainer)
        for group, calls in self._calls.items():
            if step == self._last_step:
                calls.clear()  # LBFGS calls the step again; what counts is what it began with
            elif group in self._trained:
                self._has_recorded = calls.record(step) or self._has_recorded
        self._last_step = step

    def _end_epoch(self) -> None:
        for group in self._trained:
            self._calls[group].end_epoch()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End an epoch that stops early; say so if there was nothing to record."""
        self._end_epoch()
        if self._has_recorded is False:
            warn_user(
                "LossCallback saw no losses in an epoch: call the group in training_step, as in"
                " total = self.losses(losses), and step the optimizers of self.optimizers()"
            )
        self._has_recorded = None

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, *_: Any, **__: Any
    ) -> None:
        """Take the length of the first tensor for the number of samples, as Lightning does."""
        tensors = (leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim)
        self._batch_size = next((len(tensor) for tensor in tensors), 1)

    on_test_batch_start = on_validation_batch_start

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the mean over the samples."""
        for group, calls in self._calls.items():
            if group not in self._trained:
                calls.record(_step(trainer))

    on_test_epoch_end = on_validation_epoch_end


def _is_of_evaluations(group: LossGroup) -> bool:
    """Whether it is made for them; whether it was trained is not known before, and after, `fit`."""
    return isinstance(group.weighting, FollowedWeights) or is_validation(group.scope)


def _step(trainer: Trainer) -> int:
    """The step of the rows that Lightning logs; `global_step` counts each optimizer by itself."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped  # noqa: SLF001  it is shown nowhere
