"""Who runs: each function makes, for K losses, what is then called at every step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    LossGroup,
    LossTracker,
    PlainSum,
    Weighting,
)

if TYPE_CHECKING:
    from benchmarks.peers import PublishedAutomaticWeightedLoss, PublishedCoV, Welford
else:  # beside a script, modules go by their bare names
    from peers import PublishedAutomaticWeightedLoss, PublishedCoV, Welford


class Losses(NamedTuple):
    """The losses of one step, in both shapes that contestants take."""

    tensors: list[Tensor]
    named: dict[str, Tensor]


Step = Callable[[Losses], object]
Make = Callable[[int], Step]


def items(_: int) -> Step:
    return lambda losses: [loss.item() for loss in losses.tensors]


def stack(_: int) -> Step:
    return lambda losses: torch.stack(losses.tensors)


def stack_and_read(_: int) -> Step:
    return lambda losses: torch.stack(losses.tensors).tolist()


def stack_and_sum(_: int) -> Step:
    return lambda losses: torch.stack(losses.tensors).sum().backward()  # type: ignore[no-untyped-call]


def welford(count: int) -> Step:
    every = [Welford() for _ in range(count)]

    def step(losses: Losses) -> None:
        for one, loss in zip(every, losses.tensors, strict=True):
            one.add(loss.item())

    return step


def weighted_welford(count: int) -> Step:
    every = [Welford() for _ in range(count)]

    def step(losses: Losses) -> None:
        for one, loss in zip(every, losses.tensors, strict=True):
            one.add(loss.item())
            _ = loss * 0.5

    return step


def trackers(count: int, weight: float) -> Step:
    every = [LossTracker(f"loss{index}", weight=weight) for index in range(count)]

    def step(losses: Losses) -> None:
        for one, loss in zip(every, losses.tensors, strict=True):
            one.update(loss, do_backwards=False)

    return step


def metrics(count: int, make_metric: Callable[[], Any]) -> Step:
    every = [make_metric() for _ in range(count)]

    def step(losses: Losses) -> None:
        for one, loss in zip(every, losses.tensors, strict=True):
            one.update(loss)

    return step


def group(count: int, make_weighting: Callable[[int], Weighting], backward: bool) -> Step:
    update = LossGroup(weighting=make_weighting(count)).update
    return lambda losses: update(losses.named, do_backwards=backward)


def published(count: int, make_total: Callable[[int], Any], backward: bool) -> Step:
    total = make_total(count)
    if backward:
        return lambda losses: total(*losses.tensors).backward()
    return lambda losses: total(*losses.tensors)


def torchmetrics_peers() -> dict[str, Make]:
    try:
        from torchmetrics import MeanMetric, RunningMean
    except ImportError:
        print("without torchmetrics, which is not installed: pip install torchmetrics")
        return {}
    return {
        "torchmetrics MeanMetric": partial(metrics, make_metric=MeanMetric),
        "torchmetrics RunningMean(100)": partial(metrics, make_metric=partial(RunningMean, 100)),
    }


def weighers(backward: bool) -> dict[str, Make]:
    ours: dict[str, Callable[[int], Weighting]] = {
        "plain sum": lambda _: PlainSum(),
        "equal": lambda _: EqualWeighting(),
        "CoV": lambda _: CoVWeighting(),
        "automatic": AutomaticWeightedLoss,
    }
    theirs = {"CoV": PublishedCoV, "automatic": PublishedAutomaticWeightedLoss}
    groups: dict[str, Make] = {
        f"LossGroup, {name}": partial(group, make_weighting=make, backward=backward)
        for name, make in ours.items()
    }
    return groups | {
        f"published, {name}": partial(published, make_total=make, backward=backward)
        for name, make in theirs.items()
    }


def contestants() -> dict[str, dict[str, Make]]:
    """From section to name to what makes it."""
    return {
        "floors": {
            "K x item": items,
            "stack": stack,
            "stack, tolist": stack_and_read,
            "item, Welford": welford,
            "item, Welford, x 0.5": weighted_welford,
        },
        "forward: track or weigh, and record": {
            "LossTracker, weight 1": partial(trackers, weight=1),
            "LossTracker, weight 0.5": partial(trackers, weight=0.5),
            **torchmetrics_peers(),
            **weighers(backward=False),
        },
        "forward + backward": {
            "stack, sum + backward": stack_and_sum,
            **{f"{name} + backward": make for name, make in weighers(backward=True).items()},
        },
    }
