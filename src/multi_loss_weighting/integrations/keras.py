"""Keras 3 on any backend: a layer that weighs losses, and a callback that records them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from multi_loss_weighting import LossGroup, StaticWeighting
from multi_loss_weighting.batch._names import checked_names
from multi_loss_weighting.functional import LossStatistics, RatioStatistics, State, equal_weighting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from loss_loggers import Loggers
    from multi_loss_weighting.functional import PureWeighting

_FIELDS = len(LossStatistics._fields)


class LossWeighting(keras.layers.Layer):
    """Weighs the losses of a model inside its compiled step, and keeps their statistics.

    The statistics are weights of the model that no optimizer touches, so that they are saved and
    loaded with it. The logs of each batch have `loss/kl` and `weight/kl` for a loss `kl`: those of
    the last batch in training, the means over all batches in an evaluation.

    Call it in the `compute_loss` of a model::

        class Vae(keras.Model):
            def __init__(self):
                super().__init__()
                self.weighting = LossWeighting(["recon", "kl"], cov_weighting())

            def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
                return self.weighting({"recon": ..., "kl": ...}, training=training)

    Args:
        names: The losses, in order.
        weighting: How to weigh, out of `multi_loss_weighting.functional`; None for their mean.
    """

    def __init__(self, names: Iterable[str], weighting: PureWeighting | None = None) -> None:
        super().__init__(dtype="float32")
        self.names = checked_names(names)
        self._weighting = weighting or equal_weighting()
        state = self._weighting.init(np.zeros(len(self.names), np.float32))
        self._fields = [self._keep(field) for part in state for field in part]
        self._logs = _Logs(self.names)

    def _keep(self, field: Any) -> Any:
        variable = self.add_weight(field.shape, "zeros", str(field.dtype), trainable=False)
        variable.assign(field)
        return variable

    @property
    def state(self) -> State:
        """The statistics of the losses, e.g. `state.losses.mean`."""
        fields = [field.value for field in self._fields]
        return State(LossStatistics(*fields[:_FIELDS]), RatioStatistics(*fields[_FIELDS:]))

    def call(self, losses: Mapping[str, Any], training: bool | None = None) -> Any:
        """The weighted total of the losses of a batch.

        Args:
            losses: From name to loss, each a tensor of no dimension.
            training: Whether the statistics take these losses in: what `compute_loss` was given.

        Raises:
            ValueError: If these are not the losses, or nothing says whether this is training.
        """
        if set(losses) != set(self.names):
            msg = f"the losses are {', '.join(self.names)}; got {', '.join(losses)}"
            raise ValueError(msg)
        if training is None:
            msg = "an evaluation is not to be learned from: pass training=training on; got None"
            raise ValueError(msg)
        values = ops.stack([ops.cast(losses[name], "float32") for name in self.names])
        new, weights = self._weighting.update(self.state, values)
        if training:
            for field, value in zip(self._fields, [*new.losses, *new.ratios], strict=True):
                field.assign(value)
        self._logs.update_state(values, weights, training)
        return ops.sum(weights * values)


class _Logs(keras.metrics.Metric):
    """The losses and weights of the last batch in training, of all batches in an evaluation."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(name="loss_weighting", dtype="float32")
        self._names = names
        self._sums = self.add_variable((2, len(names)), "zeros", name="sums")
        self._count = self.add_variable((), "zeros", name="count")

    def update_state(self, losses: Any, weights: Any, training: bool) -> None:
        """Take in a batch."""
        batch = ops.stack([losses, weights])
        self._sums.assign(batch if training else self._sums + batch)
        self._count.assign(1.0 if training else self._count + 1)

    def result(self) -> dict[str, Any]:
        """By the names that rows have."""
        means = self._sums / ops.maximum(self._count, 1)
        return {
            f"{statistic}/{name}": means[row, column]
            for row, statistic in enumerate(("loss", "weight"))
            for column, name in enumerate(self._names)
        }


class RecordLosses(keras.callbacks.Callback):
    """Record what a `LossWeighting` weighed: a row a batch, and one an evaluation.

    `group` has the statistics of the losses in training, and its epochs end with those of `fit`.
    `validation` has those of the evaluations, whose rows have `val` in the names: `loss/val/kl`.
    With `steps_per_execution` a row is that of the last of so many batches.

    Args:
        names: The losses, as given to `LossWeighting`.
        logger: Where rows go, e.g. `CsvLogger("runs/vae")`; None for nowhere.
        **settings: More for the `LossGroup`s, e.g. `block_size`.
    """

    def __init__(
        self, names: Iterable[str], logger: Loggers | None = None, **settings: Any
    ) -> None:
        super().__init__()
        names = checked_names(names)
        self.group = LossGroup(names, logger, weighting=StaticWeighting(), **settings)
        self.validation = LossGroup(
            names, logger, weighting=StaticWeighting(), scope="val", **settings
        )

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Record the batch."""
        _record(self.group, logs or {})

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Report the means of the epoch."""
        self.group.end_epoch()

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Record the evaluation, at the step of the last batch of training."""
        _record(self.validation, logs or {}, max(self.group.step - 1, 0))


def _record(group: LossGroup, logs: Mapping[str, float], step: int | None = None) -> None:
    missing = [name for name in group.names if f"loss/{name}" not in logs]
    if missing:
        msg = (
            f"the logs have loss/{missing[0]} where the model's compute_loss calls a LossWeighting"
            f" of the same names; got {', '.join(logs) or 'none'}"
        )
        raise ValueError(msg)
    weighting: Any = group.weighting
    for name in group.names:
        weighting[name] = logs[f"weight/{name}"]
    group.record({name: logs[f"loss/{name}"] for name in group.names}, step=step)
