"""What each rank does: `work.py SCENARIO FOLDER`, a result per rank there."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from loss_loggers import CsvLogger, MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    LossTracker,
    ReportSettings,
    UncertaintyWeighting,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ["fit", "size", "calm"]


def losses_at(step: int, rank: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1000 * step + rank)
    values = torch.rand(3, generator=generator, dtype=torch.float64) + 0.1
    return dict(zip(NAMES, (values * torch.tensor([1.0, 100.0, 0.01])).unbind(), strict=True))


def samples_at(rank: int) -> int:
    return 3 + 2 * rank


def rows(logger: MemoryLogger) -> list[Any]:
    return [[step, row] for step, _, row in logger.rows]


def weigh_alike(rank: int, log_every: int | None) -> dict[str, Any]:
    logger = MemoryLogger()
    group = LossGroup(NAMES, logger, weighting=CoVWeighting(), log_every=log_every)
    weights = []
    for step in range(20):
        weights.append(group.weights_for(torch.zeros(3, dtype=torch.float64)).tolist())
        group.record(losses_at(step, rank), samples=samples_at(rank))
    return {
        "weights": [[value.hex() for value in one] for one in weights],
        "means": [group[name].mean for name in NAMES],
        "stds": [group[name].std for name in NAMES],
        "rows": rows(logger),
    }


def have_gaps(rank: int, log_every: int | None) -> dict[str, Any]:
    group = LossGroup(NAMES, MemoryLogger(), weighting=CoVWeighting(), log_every=log_every)
    finite = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(12):
            losses = losses_at(step, rank)
            if step == 3 and rank == 1:
                losses["size"] = torch.tensor(float("nan"), dtype=torch.float64)
            if step == 4:
                losses["calm"] = torch.tensor(float("inf"), dtype=torch.float64)
            if step == 5 and rank == 0:
                del losses["fit"]
            if step == 6 and rank == 1:
                losses = {}
            if step == 7:
                del losses["calm"]
            group.record(losses)
            finite.append(bool(group.finite))
        group.flush()
    return {
        "finite": finite,
        "means": [group[name].mean.hex() for name in NAMES],
        "counts": [group[name].count for name in NAMES],
        "nonfinite": [group[name].nonfinite for name in NAMES],
        "weights": [value.hex() for value in group.weights.values()],
        "warned": [str(one.message) for one in caught],
    }


def raise_together(rank: int) -> dict[str, Any]:
    group = LossGroup(["fit"], nonfinite="raise")
    message = ""
    try:
        group.record({"fit": float("nan") if rank == 1 else 1.0})
    except FloatingPointError as error:
        message = str(error)
    return {"message": message, "step": group.step}


def keep_an_infinity(log_every: int | None) -> list[str]:
    logger = MemoryLogger()
    group = LossGroup(["fit", "calm"], logger, nonfinite="keep", log_every=log_every)
    parameter = torch.ones((), requires_grad=True)
    total = group.update({"fit": parameter * float("inf"), "calm": parameter})
    group.flush()
    return [str(total.item()), *(str(row["loss/total"]) for _, _, row in logger.rows)]


def clamp(rank: int, log_every: int | None) -> list[dict[str, float]]:
    """One rank alone has a loss above the limit."""
    logger = MemoryLogger()
    group = LossGroup(["fit", "calm"], logger, max_loss={"fit": 5.0}, log_every=log_every)
    group.update({"fit": 7.0 if rank else 1.0, "calm": 1.0}, do_backwards=False)
    group.flush()
    return [row | {"clamped": group["fit"].clamped} for _, _, row in logger.rows]


def learn_weights(
    rank: int, make: Callable[[int], nn.Module], in_model: bool, log_every: int | None
) -> dict[str, Any]:
    torch.manual_seed(0)
    weighting = make(3)
    group = LossGroup(NAMES, weighting=weighting, log_every=log_every)  # type: ignore[arg-type]
    model = _Objective(group if in_model else None)
    replica = DistributedDataParallel(model)
    parameters = [*model.parameters(), *([] if in_model else group.parameters())]
    optimizer = torch.optim.Adam(parameters, lr=0.1)
    for step in range(6):
        optimizer.zero_grad()
        losses, total = replica(torch.full((4, 2), 1.0 + rank + step))
        (group.weigh(losses) if total is None else total).backward()
        group.record(losses)
        optimizer.step()
    return {"params": [value.hex() for value in weighting.params.tolist()]}  # type: ignore[operator]


class _Objective(nn.Module):
    """Three losses of a network and, with a group in it, their weighted sum."""

    def __init__(self, group: LossGroup | None) -> None:
        super().__init__()
        self.net = nn.Linear(2, 3)
        self.group = group

    def forward(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        y = self.net(x)
        losses = {name: (y[:, index] ** 2).mean() for index, name in enumerate(NAMES)}
        return losses, None if self.group is None else self.group.weigh(losses)


def track(rank: int, log_every: int | None) -> dict[str, Any]:
    logger = MemoryLogger()
    tracker = LossTracker("fit", logger, warmup=4, log_every=log_every)
    parameter = torch.ones((), dtype=torch.float64, requires_grad=True)
    for step in range(10):
        tracker.update(parameter * losses_at(step, rank)["fit"])
    return {
        "weight": tracker.weight.hex(),
        "mean": tracker.mean.hex(),
        "rows": len(logger.rows),
    }


def be_alone(rank: int) -> dict[str, Any]:
    """What only one rank does: without a process group it waits for nobody."""
    group = LossGroup(["fit"], MemoryLogger(), report=ReportSettings(process_group=None))
    tracker = LossTracker("fit", report=ReportSettings(process_group=None))
    if rank == 0:
        group.record({"fit": 1.0})
        tracker.update(1.0, do_backwards=False)
    return {"count": group["fit"].count}


def report_everywhere(rank: int, folder: Path) -> dict[str, Any]:
    quiet = CsvLogger(folder / "shared")
    with quiet:
        LossGroup(["fit"], quiet).record({"fit": 1.0 + rank})
    with CsvLogger(folder / f"rank-{rank}") as logger:
        LossGroup(
            ["fit"], logger, report=ReportSettings(process_group=None, all_ranks=True)
        ).record({"fit": 1.0 + rank})
    return {}


def shard(rank: int) -> dict[str, Any]:
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    fully_shard(model)
    group = LossGroup(["a", "b"], weighting=UncertaintyWeighting(2))
    optimizer = torch.optim.SGD([*model.parameters(), *group.parameters()], lr=0.01)
    for step in range(4):
        optimizer.zero_grad()
        y = model(torch.full((2, 4), 1.0 + rank + step))
        group.update({"a": (y[:, 0] ** 2).mean(), "b": y[:, 1].abs().mean()})
        optimizer.step()
    whole = [parameter.full_tensor().sum().item().hex() for parameter in model.parameters()]  # type: ignore[attr-defined]
    return {"weights": [value.hex() for value in group.weights.values()], "model": whole}


def everything(rank: int, folder: Path) -> dict[str, Any]:
    return {
        "weigh": weigh_alike(rank, None),
        "weigh later": weigh_alike(rank, 8),
        "gaps": have_gaps(rank, None),
        "gaps later": have_gaps(rank, 5),
        "raise": raise_together(rank),
        "keep": keep_an_infinity(None),
        "keep later": keep_an_infinity(4),
        "clamp": clamp(rank, None),
        "clamp later": clamp(rank, 4),
        "automatic": learn_weights(rank, AutomaticWeightedLoss, False, None),
        "automatic later": learn_weights(rank, AutomaticWeightedLoss, False, 4),
        "uncertainty in DDP": learn_weights(rank, UncertaintyWeighting, True, None),
        "track": track(rank, None),
        "track later": track(rank, 4),
        "alone": be_alone(rank),
        "everywhere": report_everywhere(rank, folder),
        "shard": shard(rank),
    }


def save(rank: int, folder: Path) -> dict[str, Any]:
    group = LossGroup(NAMES, weighting=CoVWeighting())
    for step in range(10):
        group.record(losses_at(step, rank))
    if rank == 0:
        torch.save(group.state_dict(), folder / "state.pt")
    return {"weights": [value.hex() for value in group.next_weights().values()]}


def resume(rank: int, folder: Path) -> dict[str, Any]:
    group = LossGroup(NAMES, weighting=CoVWeighting())
    group.load_state_dict(torch.load(folder / "state.pt", weights_only=True))
    before = group.next_weights()
    group.record(losses_at(10, rank))
    return {
        "before": [value.hex() for value in before.values()],
        "after": [value.hex() for value in group.next_weights().values()],
        "step": group.step,
    }


def checkpoint(rank: int, folder: Path) -> dict[str, Any]:
    return {
        path: go_through_a_checkpoint(rank, folder / f"{path}-checkpoint", log_every)
        for path, log_every in (("cpu", None), ("device", 8))
    }


def go_through_a_checkpoint(rank: int, path: Path, log_every: int | None) -> dict[str, Any]:
    """A replicated model with learned weights in it, a sharded one, and a group beside them."""
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_model_state_dict,
        set_model_state_dict,
    )
    from torch.distributed.checkpoint.state_dict_loader import load
    from torch.distributed.checkpoint.state_dict_saver import save
    from torch.distributed.fsdp import fully_shard

    def make() -> tuple[Any, ...]:
        inner = LossGroup(NAMES, weighting=AutomaticWeightedLoss(3), log_every=log_every)
        model = DistributedDataParallel(_Objective(inner))
        sharded = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
        fully_shard(sharded)
        return (
            *(model, inner, LossGroup(NAMES, weighting=CoVWeighting(), log_every=log_every)),
            *(sharded, LossGroup(NAMES, weighting=UncertaintyWeighting(3), log_every=log_every)),
        )

    def state_of(made: tuple[Any, ...]) -> dict[str, Any]:
        model, _, group, sharded, its_group = made
        return {
            "model": get_model_state_dict(model),
            "group": group.state_dict(),
            "sharded": get_model_state_dict(sharded),
            "its group": its_group.state_dict(),
        }

    first, second = make(), make()
    optimizer = torch.optim.Adam([*first[0].parameters(), *first[4].parameters()], lr=0.1)
    for step in range(8):
        optimizer.zero_grad()
        losses, total = first[0](torch.full((4, 2), 1.0 + rank + step))
        total.backward()
        first[1].record(losses)
        first[4].update(losses_at(step, rank) | {"fit": first[4].weighting.params.sum()})
        first[2].record(losses_at(step, rank))
        optimizer.step()
    save(state_of(first), checkpoint_id=path)
    state = state_of(second)
    load(state, checkpoint_id=path)
    set_model_state_dict(second[0], state["model"])
    set_model_state_dict(second[3], state["sharded"], options=StateDictOptions())
    second[2].load_state_dict(state["group"])
    second[4].load_state_dict(state["its group"])

    def whole(made: tuple[Any, ...]) -> list[str]:
        sharded = [parameter.full_tensor().tolist() for parameter in made[3].parameters()]
        return [*map(repr, sharded), _exactly(made[4])]

    return {
        "keys": list(first[0].state_dict()),
        "keys of the model": list(get_model_state_dict(first[0])),
        "model": _compared(_exactly(first[0]), _exactly(second[0]), second[1]),
        "group": _compared(_exactly(first[2]), _exactly(second[2]), second[2]),
        "sharded": _compared(whole(first), whole(second), second[4]),
    }


def _exactly(module: nn.Module) -> str:
    state = module.state_dict().items()
    return repr({key: one.tolist() if isinstance(one, Tensor) else one for key, one in state})


def _compared(before: Any, after: Any, group: LossGroup) -> dict[str, Any]:
    return {"before": before, "after": after, "steps": group.step}


def die(rank: int, folder: Path) -> dict[str, Any]:
    """Rank 1 is killed in the middle of a run that rank 0 records."""
    group = LossGroup(NAMES, CsvLogger(folder / "run"), weighting=CoVWeighting())
    for step in range(1000):
        if step == 20 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        group.record(losses_at(step, rank))
    return {}


SCENARIOS = {
    "everything": everything,
    "save": save,
    "resume": resume,
    "checkpoint": checkpoint,
    "die": die,
}


def main() -> None:
    scenario, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    result = SCENARIOS[scenario](rank, folder)
    (folder / f"{scenario}-{rank}.json").write_text(json.dumps(result))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
