"""What each rank shares by name: `by_name.py SCENARIO FOLDER`."""

from __future__ import annotations

import copy
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import LossGroup, LossTracker, ReportSettings, UncertaintyWeighting
from multi_loss_weighting.distributed._ranks import Ranks
from multi_loss_weighting.distributed._sums import read_tally, tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    Losses = Mapping[str, float]


def ranks_of_all(**settings: Any) -> Ranks:
    return Ranks("default", report_all=False, **settings)


def shared(ranks: Ranks, losses: Losses, *, samples: float | Tensor = 1, **more: Any) -> Any:
    """The mean of each loss by name, to the last bit."""
    values = torch.tensor(list(losses.values()), dtype=torch.float64)
    names, sums = ranks.share(tuple(losses), tally(values, None, samples), **more)
    assert sums.shape == (5, len(names))
    means, _, nonfinite, given, _ = read_tally(sums.flatten().tolist())
    return {
        "names": names,
        "means": {n: m.hex() for n, m, it in zip(names, means, given, strict=True) if it},
        "nonfinite": nonfinite,
    }


def means_or_error(ranks: Ranks, losses: Losses, **more: Any) -> Any:
    try:
        return shared(ranks, losses, **more)["means"]
    except (TypeError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"


def share_every_set(rank: int) -> Any:
    """One list of steps for each kind of difference; a step has the losses of each rank."""
    nothing: Losses = {}
    kinds: dict[str, list[list[Losses]]] = {
        "another order": [[{"a": 1, "b": 100}, {"b": 300, "a": 3}]] * 3,
        "another set": [[{"a": 1, "b": 100}, {"a": 3, "c": 7000}]] * 3,
        "one less": [[{"a": 1, "b": 100}, {"b": 300}]] * 3,
        "nothing at first": [[nothing, {"b": 3, "a": 1}], [{"a": 1, "b": 3}, nothing]],
        "nothing at all": [[nothing, nothing], [{"b": 1}, {"a": 3}]],
        "news on one": [[{"a": 1}, {"a": 3}], [{"a": 1}, {"kl": 5, "a": 3}], [{"a": 1}, {"a": 3}]],
        "news on both": [[{"a": 1}, {"a": 3}], [{"a": 1, "c": 2}, {"a": 3, "b": 7, "c": 4}]] * 2,
        "a loss gone": [[{"a": 1, "b": 2}, {"b": 4, "a": 3}], [{"b": 2}, {"b": 4}]],
        "huge": [[{"a": 1.7e308, "b": -1.7e308}, {"b": 1.7e308, "a": 1.7e308}]],
    }
    results = {}
    for kind, steps in kinds.items():
        ranks = ranks_of_all()
        results[kind] = [shared(ranks, by_rank[rank % 2]) for by_rank in steps]
    return results


def share_samples(rank: int) -> Any:
    ranks, nan = ranks_of_all(), float("nan")
    mask = torch.ones(4 * rank).sum()
    return [
        shared(ranks, {"a": 1.0 + rank}, samples=1 + 2 * rank),
        shared(ranks, {"a": nan if rank == 0 else 3.0}, samples=rank),
        shared(ranks, {"a": nan if rank == 0 else 3.0}, samples=mask),
        shared(ranks, {"a": 1.0}, samples=0),
    ]


def count_collectives() -> Any:
    counts = {"all_reduce": 0, "all_gather_object": 0}

    def counted(name: str) -> None:
        collective = getattr(distributed, name)

        def call(*args: Any, **settings: Any) -> Any:
            counts[name] += 1
            return collective(*args, **settings)

        setattr(distributed, name, call)

    before = {name: getattr(distributed, name) for name in counts}
    for name in counts:
        counted(name)
    ranks, weighting, after = ranks_of_all(), UncertaintyWeighting(3), []
    for losses in ({"a": 1.0, "b": 2.0}, {"b": 1.0, "a": 2.0}, {"a": 1.0, "c": 2.0}, {"a": 1.0}):
        shared(ranks, losses, weighting=weighting)
        after.append(list(counts.values()))
    for name, collective in before.items():
        setattr(distributed, name, collective)
    return after


def learn(rank: int, steps: list[list[Losses]]) -> Any:
    """Learned weights of the first losses of each rank; a group goes on in the agreed order."""
    ranks, weighting = ranks_of_all(), UncertaintyWeighting(4)
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.01)
    names: tuple[str, ...] = ()
    for by_rank in steps:
        losses = by_rank[rank % 2]
        names = tuple(dict.fromkeys((*names, *losses)))
        optimizer.zero_grad()
        weights, penalty = torch.exp(-weighting.params), weighting.params
        terms = [weights[names.index(n)] * v + penalty[names.index(n)] for n, v in losses.items()]
        torch.stack(terms).sum().backward()  # type: ignore[no-untyped-call]
        values = torch.tensor([losses.get(name, torch.nan) for name in names], dtype=torch.float64)
        sums = tally(values, [name in losses for name in names], 1)
        names, _ = ranks.share(names, sums, weighting)
        optimizer.step()
    return dict(zip(names, (value.hex() for value in weighting.params.tolist()), strict=False))


class TwoWeights(nn.Module):
    """Learned weights of a user, which have no names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(2, 2))


def learn_without_names(rank: int) -> Any:
    own = TwoWeights()
    own.second.grad = torch.full((2, 2), 1.0 + rank)
    same = {"a": 1.0, "b": 2.0}
    other = same if rank == 0 else {"b": 2.0, "a": 1.0}
    shared(ranks_of_all(), same, weighting=own)
    grown = own.second.grad.tolist()
    ranks = ranks_of_all()
    return {
        "mean": grown,
        "other order": means_or_error(ranks, other, weighting=own),
        "again": means_or_error(ranks, other, weighting=own),
        "gradient": own.second.grad.tolist(),
    }


def stop_on_one(rank: int) -> Any:
    ranks, results = ranks_of_all(), []
    bad = TypeError("the loss 'b' is no number") if rank == 1 else None
    for losses, error in (
        ({}, bad),
        ({"a": 1.0}, None),
        ({"a": 1.0}, bad),
        ({"a": 1.0, f"news of {rank}": 2.0}, bad),
        ({"a": 1.0 + rank}, None),
    ):
        results.append(means_or_error(ranks, losses, error=error))
    return results


def give_names(rank: int) -> Any:
    a_and_b = {"a": 1.0, "b": 2.0}
    others = [{"b": 4.0, "a": 3.0}, {"c": 4.0, "a": 3.0}]
    ranks = [ranks_of_all(is_fixed=True) for _ in others]
    capacity = UncertaintyWeighting(2)
    return {
        "order": shared(ranks[0], others[0] if rank else a_and_b),
        "set": means_or_error(ranks[1], others[1] if rank else a_and_b),
        "again": means_or_error(ranks[1], others[1] if rank else a_and_b),
        "too many": means_or_error(
            ranks_of_all(), others[1] if rank else a_and_b, weighting=capacity
        ),
    }


def share_late(rank: int) -> Any:
    """What an accelerator does, with tensors on the CPU: nothing is read but at shared steps."""
    ranks, names = ranks_of_all(read_every=3), []
    for step in range(12):
        losses = {"a": 1.0 + rank} | ({"kl": 5.0} if rank == 1 and step >= 1 else {})
        names.append(len(shared(ranks, losses, is_late=True)["means"]))
    own = TypeError("no number") if rank == 1 else None
    failing = ranks_of_all(read_every=2)
    errors = []
    for step in range(6):
        error = own if step == 1 else None
        errors.append(means_or_error(failing, {"a": 1.0}, is_late=True, error=error))
    return {"losses": names, "errors": errors}


class Broken(torch.autograd.Function):
    """A loss whose backward raises."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor) -> Tensor:  # noqa: ARG004
        return loss * 1

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:  # noqa: ARG004
        msg = "in backward"
        raise RuntimeError(msg)


def take_step(group: LossGroup, way: str, fault: str) -> None:
    """A step of `group`, in which there is a fault."""
    weight = torch.ones(2, requires_grad=True)
    losses: Any = {"a": weight[0] * 1.0, "zzz" if fault == "name" else "b": weight[1] * 2.0}
    if fault == "backward":
        losses["a"] = Broken.apply(losses["a"])  # type: ignore[no-untyped-call]
    if fault == "gradient":
        losses = {name: loss.detach() for name, loss in losses.items()}
    options: dict[str, Any] = {"extra": {"loss/a": 1.0}} if fault == "extra" else {}
    options |= {"samples": -1} if fault == "samples" else {}
    if fault == "extra of a new loss":
        losses["zzz"], options["extra"] = weight[1] * 3.0, {"loss/zzz": 1.0}
    if fault == "list":
        losses = list(losses.values())
    if way == "accumulate":
        group.accumulate(losses, **options)
        group.record()
    else:
        (group.update if way == "update" else group.record)(losses, **options)


FAULTS = {
    "update": ("name", "extra", "samples", "gradient", "backward", "extra of a new loss", "list"),
    "record": ("name", "extra", "samples", "extra of a new loss", "list"),
    "accumulate": ("name", "extra", "samples", "extra of a new loss", "list"),
}


def stop_a_group(rank: int) -> Any:
    """What each rank raises at a step in which rank 1 makes a fault, and the mean of the next."""
    results = {}
    for late in (None, 2):
        for way, faults in FAULTS.items():
            for fault in faults:
                names = None if fault == "extra of a new loss" else ["a", "b"]
                ignored = ["c"] if fault == "list" else []
                group = LossGroup(names, log_every=late, ignore=ignored)
                for _ in range(3):
                    take_step(group, way, "")
                try:
                    take_step(group, way, fault if rank == 1 else "")
                    error = ""
                except (TypeError, ValueError, RuntimeError) as raised:
                    error = f"{type(raised).__name__}: {raised}"
                group.forget_accumulated()
                take_step(group, way, "")
                results[f"{way}, {fault}, {late}"] = error, group.step, group["b"].mean
    return results


def stop_a_tracker(rank: int) -> Any:
    """What each rank raises where rank 1 has nothing to call backward of, and the next mean."""
    results = []
    for fault in (2.0, torch.tensor(2.0), torch.ones(2, requires_grad=True)):
        tracker = LossTracker("G", weight=1.0)
        good = torch.tensor(1.0 + rank, requires_grad=True)
        try:
            tracker.update(fault if rank == 1 else good)
            error = ""
        except (TypeError, ValueError, RuntimeError) as raised:
            error = f"{type(raised).__name__}: {raised}"
        tracker.update(good)
        results.append((error, tracker.count, tracker.mean))
    return results


def name_of_another(rank: int) -> Any:
    """A number of rank 0's own, before rank 1 brings a loss with the name that it has."""
    logger = MemoryLogger()
    group = LossGroup(logger=logger)
    group.record({"a": 1.0}, extra={"loss/b": 99.0})
    group.record(
        {"a": 1.0, "b": 7.0} if rank else {"a": 1.0}, extra={"loss/b": 99.0} if not rank else {}
    )
    return logger.values("loss/b") if rank == 0 else []


def begin_with_nothing(rank: int) -> Any:
    """No rank has a loss, which is an error, then rank 0 alone, then both."""
    results: list[Any] = []
    for late in (None, 2):
        group = LossGroup(log_every=late)
        try:
            group.record({})
        except ValueError as error:
            results.append(str(error))
        group.record({"a": 1.0} if rank == 0 else {})
        group.record({"a": 2.0 + rank})
        results.append([group["a"].value, group["a"].count, group.step])
    return results


def copy_ranks() -> Any:
    ranks = ranks_of_all()
    shared(ranks, {"a": 1.0})
    first = ranks.agreed
    ranks.forget()
    copied = copy.deepcopy(ranks)
    return [first, shared(ranks, {"b": 1.0})["names"], shared(copied, {"c": 1.0})["names"]]


def share_random(rank: int) -> Any:
    """Losses in an order of its own, in which one or the other is missing."""
    ranks, steps = ranks_of_all(), []
    for step in range(30):
        draw = torch.Generator().manual_seed(100 * step + rank)
        names = [f"loss {i}" for i in torch.randperm(8, generator=draw).tolist()[: 3 + step % 5]]
        values = (torch.rand(len(names), generator=draw, dtype=torch.float64) * 100).tolist()
        losses = dict(zip(names, values, strict=True))
        steps.append({"mine": losses, "shared": shared(ranks, losses)})
    return steps


def wait_for_nobody(rank: int) -> Any:
    """Rank 1 does not come."""
    group = distributed.new_group(timeout=timedelta(seconds=5))
    if rank == 1:
        return ""
    return means_or_error(Ranks(group, report_all=False), {"a": 1.0})


def follow(rank: int) -> dict[str, Any]:
    """A validation that both ranks share, and one that rank 0 makes alone."""
    group = LossGroup(["a"])
    group.record({"a": 1.0})
    both = group.follower()
    both.accumulate({"a": 2.0 + 3 * rank}, samples=32 if rank == 0 else 16)
    both.record()
    alone = LossGroup(["a"], report=ReportSettings(process_group=None)).follower()
    if rank == 0:
        alone.record({"a": 7.0})
    return {"shared": both["a"].value, "alone": alone["a"].value}


def two(rank: int) -> dict[str, Any]:
    orders: list[list[Losses]] = [[{"a": 1, "b": 100}, {"b": 300, "a": 3}]] * 4
    late: list[list[Losses]] = [[{"b": 4, "kl": 7}, {"c": 9, "b": 4}]] * 3
    return {
        "sets": share_every_set(rank),
        "samples": share_samples(rank),
        "collectives": count_collectives(),
        "learned": learn(rank, orders),
        "learned late": learn(rank, [*orders, *late]),
        "without names": learn_without_names(rank),
        "stop": stop_on_one(rank),
        "stop a group": stop_a_group(rank),
        "stop a tracker": stop_a_tracker(rank),
        "given": give_names(rank),
        "late": share_late(rank),
        "name of another": name_of_another(rank),
        "nothing": begin_with_nothing(rank),
        "copy": copy_ranks(),
        "alone": wait_for_nobody(rank),
        "follow": follow(rank),
    }


def three(rank: int) -> dict[str, Any]:
    return {"random": share_random(rank), "stop": stop_on_one(rank)}


def main() -> None:
    scenario, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", timeout=timedelta(minutes=5))
    rank = distributed.get_rank()
    result = {"two": two, "three": three}[scenario](rank)
    (folder / f"{scenario}-{rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
