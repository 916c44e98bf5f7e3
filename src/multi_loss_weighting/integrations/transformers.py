"""Several losses in the `Trainer` of Transformers: weighed, logged and in its checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback

from multi_loss_weighting._warn import warn_user

from ._mean_over_samples import mean_over_samples
from ._trainer_checks import check_best_metric, check_loss_func, named_fields

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Trainer as Base

    from loss_loggers import Loggers
    from multi_loss_weighting import LossGroup
else:
    Base = object  # so that it can stand before any kind of Trainer

LossesOf = Callable[[Any, Any, Mapping[str, Any]], Mapping[str, Any]]
STATE_NAME = "loss_group.pt"
"""The file in a checkpoint with the statistics, the learned weights and their like."""


class LossGroupMixin(Base):
    """Before a `Trainer` class, it weighs each loss, logs it and takes it into the checkpoints.

    The losses of a micro-batch are what `losses` returns. Without it they are what the class behind
    this one has for the loss, if that is a dict: from its `compute_loss`, from a
    `compute_loss_func` or as `loss` of the model's output; else those fields of the output that the
    group names, `kl` or `kl_loss`. Who overrides `compute_loss` returns
    `self.weigh_losses(losses)` from it.

    The statistics take one step per step of the optimizer: the mean of each loss over micro-batches
    and ranks. Therefore each loss is a mean itself, and no model gets `num_items_in_batch`.

    The Trainer's own logs get `loss/{name}`, the mean since the last log of all that is finite,
    `weight/{name}`, the last weight, and `nonfinite/{name}`, in how many steps so far it was not
    finite. An evaluation gets `eval_loss/{name}`, where samples count as they do in `eval_loss`,
    and `eval_nonfinite/{name}`, in how many evaluations so far a batch was not finite. Its
    `eval_loss` is the objective by the weights of the next step, and it changes none. Learned
    weights are in the optimizer, without weight decay. An epoch of the Trainer ends that of the
    group (`LossGroup.end_epoch`).

    Args:
        *args: For the class behind it.
        loss_group: Weighs the losses and keeps their statistics.
        losses: From the loss that the class behind it has, the model's output and its inputs to
            the losses by name, e.g. `lambda loss, outputs, inputs: {"lm": loss, "z": ...}`.
        eval_logger: Gets a row per evaluation, at the last step of the group, e.g. with
            `loss/eval/kl`; None for the loggers of the group.
        loss_weight_lr: The learning rate of learned weights; None for that of the network, by
            which they may hardly move.
        **kwargs: For the class behind it.

    Raises:
        ValueError: If the best model would be the one with the greatest loss.
        TypeError: If the installed Transformers does not divide what a `compute_loss_func` returns.

    Attributes:
        loss_group: The group, with the statistics of training.
        eval_groups: Its followers, with the statistics over evaluations, by their prefix, e.g.
            "eval".

    >>> from torch import nn
    >>> from transformers import TrainingArguments
    >>> from multi_loss_weighting import LossGroup
    >>> class Model(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Linear(1, 1)
    ...
    ...     def forward(self, x):
    ...         code = self.layer(x)
    ...         return {"loss": {"recon": (code - x).square().mean(), "kl": code.square().mean()}}
    >>> trainer = LossGroupTrainer(
    ...     Model(),
    ...     TrainingArguments(getfixture("tmp_path"), use_cpu=True, max_steps=2, disable_tqdm=True),
    ...     train_dataset=[{"x": torch.ones(1)}] * 8,
    ...     loss_group=LossGroup(),
    ... )
    >>> result = trainer.train()  # doctest: +ELLIPSIS
    {'train_runtime': ...}
    >>> trainer.loss_group["kl"].count
    2
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *args: Any,
        loss_group: LossGroup,
        losses: LossesOf | None = None,
        eval_logger: Loggers | None = None,
        loss_weight_lr: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        check_best_metric(self.args)
        check_loss_func(self.compute_loss_func, hasattr(super(), "loss_is_scaled_for_ga"))
        # A model that would divide its loss by `num_items_in_batch` does not get it. Older versions
        # ask this before they divide by the number of micro-batches, and not the attribute above.
        self.model_accepts_loss_kwargs = False
        self.loss_group = loss_group.to(self.args.device)
        self.eval_groups: dict[str, LossGroup] = {}
        self._losses, self._eval_logger, self._loss_weight_lr = losses, eval_logger, loss_weight_lr
        self._is_pending = self._hides_model = False
        self._logged: dict[str, int] = {}
        self._evaluated: LossGroup | None = None
        self._evaluated_names: set[str] = set()
        self.add_callback(_StepCallback(self.loss_group, self._record_step, self._since_log))

    # A micro-batch.

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, *_: Any, **__: Any
    ) -> Any:
        """The weighted total of what the class behind this one, or the model, has for losses."""
        given = dict(inputs)  # the Trainer may take the labels out of it
        loss, outputs = self._from_behind(model, inputs, given, return_outputs)
        if self._losses is not None:
            loss = self._losses(loss, outputs, given)
        elif not isinstance(loss, Mapping):
            loss = named_fields(outputs, self.loss_group.names)
        total = self.weigh_losses(loss)
        return (total, outputs) if return_outputs else total

    def _from_behind(self, model: Any, inputs: Any, given: Any, is_asked: bool) -> Any:
        """The loss of the class behind this one, and the model's output.

        TRL runs the model once more for who asks for the output, and is to give that up. So the
        output is seen as it comes, unless it is asked for anyway.
        """
        if is_asked or self._hides_model:
            return super().compute_loss(model, inputs, return_outputs=True)
        seen: list[Any] = []
        hook = model.register_forward_hook(lambda _, __, output: seen.append(output))
        try:
            loss = super().compute_loss(model, inputs)
        finally:
            hook.remove()
        if isinstance(loss, tuple):
            return loss
        if seen:
            return loss, seen[-1]
        self._hides_model = True  # it calls what is inside of the model
        return super().compute_loss(model, given, return_outputs=True)

    def weigh_losses(self, losses: Mapping[str, Any]) -> Tensor:
        """The weighted total of a micro-batch, live; its losses go into the step's statistics.

        Args:
            losses: As for `LossGroup.weigh`. Without gradients they are those of an evaluation.
        """
        if self.args.n_gpu > 1:  # DataParallel has a loss per device
            losses = {name: torch.as_tensor(loss).mean() for name, loss in losses.items()}
        total = self.loss_group.weigh(losses)
        if torch.is_grad_enabled():
            self.loss_group.accumulate(losses)
            self._is_pending = True
        elif self._evaluated is not None:
            names, size = self.loss_group.names, self.args.eval_batch_size
            means, samples = mean_over_samples(self.accelerator, names, losses, size)
            self._evaluated.accumulate(means, samples=samples)
            self._evaluated_names |= means.keys()
        return total

    # A step of the optimizer.

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """The optimizer, with the learned weights in it."""
        is_scheduled = self.lr_scheduler is not None
        optimizer = super().create_optimizer(*args, **kwargs)
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        learned = [p for p in self.loss_group.parameters() if id(p) not in known]
        if learned and is_scheduled:
            msg = (
                "an optimizer that comes with its lr_scheduler has the learned weights in it, by"
                " loss_group.parameter_group(); got one without"
            )
            raise ValueError(msg)
        if learned:
            lr = {} if self._loss_weight_lr is None else {"lr": self._loss_weight_lr}
            optimizer.add_param_group(self.loss_group.parameter_group() | {"params": learned} | lr)
        return optimizer

    def _record_step(self) -> None:
        if self._is_pending:
            self._is_pending = False
            self.loss_group.record()

    def _since_log(self) -> dict[str, float]:
        """Of each loss that came since the last call, the mean of what is finite and kept of it."""
        means = {}
        for name in self.loss_group:
            updates = self.loss_group[name].updates
            values = self.loss_group[name].get_history(updates - self._logged.get(name, 0))
            self._logged[name] = updates
            if values:
                finite = [value for value in values if math.isfinite(value)]
                means[name] = fmean(finite) if finite else math.nan
        return means

    # What is seen of it.

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log as the Trainer does, with each loss."""
        means = self._since_log() if "loss" in logs else {}
        if means:
            group = self.loss_group
            nonfinite = {name: group[name].nonfinite for name in group if group[name].nonfinite}
            logs.update({f"loss/{name}": mean for name, mean in means.items()})
            logs.update({f"weight/{name}": weight for name, weight in group.weights.items()})
            logs.update({f"nonfinite/{name}": count for name, count in nonfinite.items()})
        super().log(logs, *args, **kwargs)

    def evaluation_loop(
        self,
        dataloader: Any,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        """Evaluate as the Trainer does, and add each loss to the metrics."""
        self._evaluated = group = self._eval_group(metric_key_prefix)
        self._evaluated_names = set()
        group.forget_accumulated()  # of an evaluation that was interrupted
        output: Any = super().evaluation_loop(
            dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
        )
        self._evaluated = None
        if self._evaluated_names:
            group.record()
        for loss in (group[name] for name in group if name in self._evaluated_names):
            output.metrics[f"{metric_key_prefix}_loss/{loss.name}"] = loss.value
            if loss.nonfinite:
                output.metrics[f"{metric_key_prefix}_nonfinite/{loss.name}"] = loss.nonfinite
        return output

    def _eval_group(self, prefix: str) -> LossGroup:
        if prefix not in self.eval_groups:
            self.eval_groups[prefix] = self.loss_group.follower(
                prefix,
                logger=self._eval_logger,
                report=("loss", "weight", "weighted", "mean", "min", "max"),
            )
        return self.eval_groups[prefix]

    # Checkpoints: the learned weights go with the optimizer, which has their moments.

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            evaluations = {prefix: group.state_dict() for prefix, group in self.eval_groups.items()}
            state = {"training": self.loss_group.state_dict(), "evaluations": evaluations}
            torch.save(state, Path(output_dir) / STATE_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        path = Path(checkpoint) / STATE_NAME
        if not path.is_file():
            warn_user(f"{path} is missing: the losses begin anew, without history or weights")
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.loss_group.load_state_dict(state["training"])
        for prefix, evaluation in state["evaluations"].items():
            self._eval_group(prefix).load_state_dict(evaluation)


class LossGroupTrainer(LossGroupMixin, Trainer):
    """A `Trainer` for several losses: see `LossGroupMixin`."""


class _StepCallback(TrainerCallback):
    """Hears of steps and epochs. The Trainer zeroes the gradients of the model alone.

    Args:
        group: The group of the losses.
        record_step: Records what was accumulated.
        begin: Called when training begins.
    """

    def __init__(
        self, group: LossGroup, record_step: Callable[[], None], begin: Callable[[], object]
    ) -> None:
        self._group, self._record_step, self._begin = group, record_step, begin
        self._last_epoch_step = 0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._begin()
        self._group.zero_grad()

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._record_step()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self._group.zero_grad()

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        # A checkpoint of the last step of an epoch is saved before on_epoch_end.
        if state.epoch == int(state.epoch):
            self.on_epoch_end(_, state)

    def on_epoch_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        if state.global_step != self._last_epoch_step:
            self._group.end_epoch()
        self._last_epoch_step = state.global_step
