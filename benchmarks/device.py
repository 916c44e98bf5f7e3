"""What a step launches on an accelerator, and how often it makes the host wait, for K losses.

    python benchmarks/device.py

Nothing is timed, so any machine gives the same numbers, and none has to have an accelerator: losses
on the CPU take the accelerator's way (`log_every`). Counted are, forward only, the operations that
torch dispatches (each is a kernel launch there) and the reads of a value by the host (each makes it
wait there), per step over 50 steps, our one read of them included.
"""

from __future__ import annotations

import argparse
import warnings
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    LossGroup,
    Trackers,
    UncertaintyWeighting,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.contestants import Losses, Make, Step, items, published, torchmetrics_peers
    from benchmarks.peers import PublishedAutomaticWeightedLoss, PublishedCoV
    from benchmarks.speed import COUNTS, make_losses, table
else:  # beside a script, modules go by their bare names
    from contestants import Losses, Make, Step, items, published, torchmetrics_peers
    from peers import PublishedAutomaticWeightedLoss, PublishedCoV
    from speed import COUNTS, make_losses, table

STEPS = 50
WARM_UP = 150
"""By then learned weights were looked at, whether they ever move."""
READS = ("_local_scalar_dense", "is_nonzero", "nonzero", "aten.equal.", "masked_select")
"""Operations that make the host wait for a value; `.tolist()` and `.cpu()` are none of torch's."""


class Counts(TorchDispatchMode):
    """Counts dispatched operations, and reads by the host."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0
        self.reads = 0
        self._on_host: list[Tensor] = []
        self._methods: dict[str, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        self.reads += any(read in str(func) for read in READS)
        return func(*args, **(kwargs or {}))

    def __enter__(self) -> Any:
        for name in ("cpu", "tolist", "numpy"):
            self._methods[name] = getattr(Tensor, name)
            setattr(Tensor, name, self._counted(name, self._methods[name]))
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for name, method in self._methods.items():
            setattr(Tensor, name, method)

    def _counted(self, name: str, method: Any) -> Any:
        def call(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            if not self._is_on_host(tensor):
                self.reads += 1
                if name == "cpu":
                    tensor = tensor.clone()
                    self._on_host.append(tensor)
            return method(tensor, *args, **kwargs)

        return call

    def _is_on_host(self, tensor: Tensor) -> bool:
        """Whether it is of what came from `cpu()`, and so read already."""
        storage = tensor.untyped_storage().data_ptr()
        return any(storage == one.untyped_storage().data_ptr() for one in self._on_host)


def group(count: int, make_weighting: Callable[[int], Any]) -> Step:
    names = [f"loss{index}" for index in range(count)]
    update = LossGroup(names, weighting=make_weighting(count), log_every=50).update
    return lambda losses: update(losses.named, do_backwards=False)


def trackers(count: int) -> Step:
    every = Trackers([f"loss{index}" for index in range(count)], log_every=50)

    def step(losses: Losses) -> None:
        for name, loss in losses.named.items():
            every[name].update(loss, do_backwards=False)
        every.step()

    return step


def sum_and_items(count: int) -> Step:
    """What most scripts do: the sum, and each loss for the log."""
    read = items(count)

    def step(losses: Losses) -> None:
        sum(losses.tensors, torch.zeros(()))
        read(losses)

    return step


def scalarized(count: int, make: Callable[[int], Any]) -> Step:
    scalarizer = make(count)
    return lambda losses: scalarizer(torch.stack(losses.tensors))


def torchjd_peers() -> dict[str, Make]:
    try:
        from torchjd import scalarization
    except ImportError:
        print("without TorchJD, which is not installed: pip install torchjd")
        return {}

    def dwa(count: int) -> Any:
        made = scalarization.DWA()
        for epoch in (1, 2):  # it weighs from the third on
            made(torch.full((count,), 1 / epoch))
            made.step()
        return made

    makers: dict[str, Callable[[int], Any]] = {
        "Mean": lambda _: scalarization.Mean(),
        "UW": lambda count: scalarization.UW(count),
        "DWA": dwa,
    }
    return {
        f"TorchJD {name}, no statistics": partial(scalarized, make=make)
        for name, make in makers.items()
    }


def contestants() -> dict[str, Make]:
    ours: dict[str, Callable[[int], Any]] = {
        "plain sum": lambda _: None,
        "equal": lambda _: EqualWeighting(),
        "CoV": lambda _: CoVWeighting(),
        "automatic": AutomaticWeightedLoss,
        "uncertainty": UncertaintyWeighting,
    }
    theirs: dict[str, Callable[[int], Any]] = {
        "CoV": PublishedCoV,
        "automatic, no statistics": PublishedAutomaticWeightedLoss,
    }
    metrics = {
        name: make for name, make in torchmetrics_peers().items() if "RunningMean" not in name
    }
    return {
        **{
            f"LossGroup, {name}": partial(group, make_weighting=make) for name, make in ours.items()
        },
        "Trackers": trackers,
        "sum, item() per loss": sum_and_items,
        **{
            f"published, {name}": partial(published, make_total=make, backward=False)
            for name, make in theirs.items()
        },
        **metrics,
        **torchjd_peers(),
    }


def count_per_step(make: Make, count: int, steps: int = STEPS) -> tuple[float, float]:
    """Operations and reads per step, after the first steps, in which state is made."""
    step = make(count)
    data = make_losses(count)
    for losses in islice(data * steps, WARM_UP):
        step(losses)
    with Counts() as counts:
        for losses in islice(data * steps, steps):
            step(losses)
    return counts.operations / steps, counts.reads / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--markdown", action="store_true", help="tables for a README")
    parser.add_argument("--quick", action="store_true", help="few losses, in some seconds")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*have not moved")

    sizes = COUNTS[:2] if options.quick else COUNTS
    rows = []
    for name, make in contestants().items():
        counts = [count_per_step(make, count) for count in sizes]
        rows.append(
            [
                name,
                *(f"{operations:.4g}" for operations, _ in counts),
                *(f"{reads:.4g}" for _, reads in counts),
            ]
        )
    header = [
        f"torch {torch.__version__}, per step",
        *(f"ops, K={count}" for count in sizes),
        *(f"reads, K={count}" for count in sizes),
    ]
    print(table(header, rows, options.markdown))


if __name__ == "__main__":
    main()
