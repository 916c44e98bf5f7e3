"""Ignite: a handler that records a group at an event, and rows among the metrics of an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ignite.engine import Engine, Events

from ._recorded_calls import RecordedCalls

if TYPE_CHECKING:
    from multi_loss_weighting import LossGroup


class LossHandler:
    """Record a group at an event of an engine: each iteration, or the mean of several.

    The step of the engine calls the group::

        def step(engine, batch):
            optimizer.zero_grad()
            losses = model(batch)  # {"recon": ..., "kl": ...}
            group(losses).backward()
            optimizer.step()

        trainer = Engine(step)
        LossHandler(group).attach(trainer)

    Gradients that accumulate over 4 iterations are one row, of their mean, with
    `attach(trainer, Events.ITERATION_COMPLETED(every=4))`. So is a validation, whose step calls
    `validation = group.follower("val")`, with
    `LossHandler(validation).attach(evaluator, Events.COMPLETED, trainer)`.

    The step of a row is the iteration, from 1, as in Ignite's own rows. The optimizer has stepped
    by then, so learned weights are shown as they are after it. An epoch of the engine ends that of
    the group (`LossGroup.end_epoch`). What another engine calls the group for is weighed, and not
    recorded.
    """

    def __init__(self, group: LossGroup) -> None:
        self.group = group
        self._in_step: set[Engine] = set()

    def attach(
        self,
        engine: Engine,
        event: Any = Events.ITERATION_COMPLETED,
        trainer: Engine | None = None,
    ) -> None:
        """Record at each `event` of the engine.

        Args:
            engine: The engine whose step calls the group.
            event: When to record.
            trainer: Whose iteration is the step of a row; by default the engine's own.
        """
        calls = RecordedCalls(self.group, lambda: int(engine in self._in_step))
        clock = trainer or engine
        engine.add_event_handler(Events.STARTED, calls.clear)
        engine.add_event_handler(Events.ITERATION_STARTED, self._set_step, clock)
        # Between its steps an evaluator may call the group, whose losses are none of the training.
        engine.add_event_handler(Events.ITERATION_STARTED, self._begin_step)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end_step)
        engine.add_event_handler(Events.STARTED, self._end_step)  # of one that failed
        engine.add_event_handler(event, self._record, calls, clock)
        if clock is engine:
            engine.add_event_handler(Events.EPOCH_COMPLETED, calls.end_epoch)

    def _set_step(self, clock: Engine) -> None:
        """Schedules of weights go by it."""
        self.group.step = clock.state.iteration

    def _begin_step(self, engine: Engine) -> None:
        self._in_step.add(engine)

    def _end_step(self, engine: Engine) -> None:
        self._in_step.discard(engine)

    def _record(self, calls: RecordedCalls, clock: Engine) -> None:
        calls.record(clock.state.iteration)


class MetricsLogger:
    """Puts rows among the metrics of an engine, where any logger of Ignite finds them.

    Ignite's MLflowLogger is a logger as it is, and for its TensorBoard and W&B loggers there is
    better: `TensorBoardLogger(theirs.writer)` and `WandbLogger(theirs.run)`. For the others::

        group = LossGroup(["recon", "kl"], MetricsLogger(trainer))
        LossHandler(group).attach(trainer)
        theirs.attach_output_handler(
            trainer, Events.ITERATION_COMPLETED, tag="training", metric_names="all"
        )

    Attach the handler before them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
        """Show one row, until the next."""
        self._engine.state.metrics.update(metrics)
