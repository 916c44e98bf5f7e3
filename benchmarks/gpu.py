"""For who has a GPU: what a step costs there, whether it waits, and whether a graph captures it.

    python benchmarks/gpu.py              some minutes
    python benchmarks/gpu.py --quick      some seconds, to see that it runs
    python benchmarks/gpu.py --out gpu.md the table as a file, too; `make gpu` does this

Each step has some work for the GPU, K losses, one backward, and what a contestant does to weigh and
to record them. One table:

- host: µs until the step is handed over to the GPU; what waits for a value waits for all the work.
- GPU: µs that the GPU spends on a step, by CUDA events; it idles where the host waits.
- waits: whether `torch.cuda.set_sync_debug_mode("error")` finds a wait between two reads.
- graph: whether losses, `weigh` and backward can be captured as one CUDA graph, with `record` after
  each replay, and whether the replayed total then is the one that the group gives without a graph.
  What waits is not tried: a capture that fails may spoil what comes after it.

The last rows are a CoV group under conditions: losses in fp16, a loss that is nan, `weigh` on a
stream of its own, and `weigh` compiled. That numbers are right is for tests/device/test_cuda.py.

Without a GPU it says so and ends. Nothing but the capture needs one: tests run the rest on a CPU.
"""

from __future__ import annotations

import argparse
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    LossGroup,
    StaticWeighting,
    UncertaintyWeighting,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.peers import PublishedAutomaticWeightedLoss, PublishedCoV
    from benchmarks.speed import Row, table
else:  # beside a script, modules go by their bare names
    from peers import PublishedAutomaticWeightedLoss, PublishedCoV
    from speed import Row, table

COUNTS = (3, 32, 256)
LOG_EVERY = 50


class Effort(NamedTuple):
    """Turns, and the side of the square matrix that is multiplied in each step."""

    rounds: int
    size: int


FULL, QUICK = Effort(5, 2048), Effort(1, 64)

WEIGHTINGS: dict[str, Callable[[int], Any]] = {
    "plain sum": lambda _: None,
    "equal": lambda _: EqualWeighting(),
    "static": lambda _: StaticWeighting(loss0=0.5),
    "CoV": lambda _: CoVWeighting(),
    "CoV that forgets": lambda _: CoVWeighting(decay=0.99),
    "automatic": AutomaticWeightedLoss,
    "uncertainty": UncertaintyWeighting,
}


class Work:
    """A step's work on a device, and its K losses."""

    def __init__(self, count: int, size: int, device: torch.device) -> None:
        self.names = [f"loss{index}" for index in range(count)]
        self.matrix = torch.randn(size, size, device=device) / size**0.5
        self.scales = torch.rand(count, device=device) + 0.5
        self.parameter = torch.ones(count, device=device, requires_grad=True)

    def losses(self) -> dict[str, Tensor]:
        mean = (self.matrix @ self.matrix).square().mean()
        values = self.parameter.square() * self.scales * mean + self.scales
        return dict(zip(self.names, values.unbind(), strict=True))


class Contestant(NamedTuple):
    """How losses become a total, and what is done with them after backward."""

    weigh: Callable[[dict[str, Tensor]], Tensor]
    record: Callable[[dict[str, Tensor]], object]


def plain(losses: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def ours(work: Work, make: Callable[[int], Any]) -> Contestant:
    group = LossGroup(work.names, weighting=make(len(work.names)), log_every=LOG_EVERY)
    group.to(work.parameter.device)
    return Contestant(group.weigh, group.record)


def metrics(work: Work) -> dict[str, Contestant]:
    """torchmetrics, where it is installed."""
    try:
        from torchmetrics import MeanMetric
    except ImportError:
        return {}
    means = {name: MeanMetric().to(work.parameter.device) for name in work.names}

    def record(losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            means[name].update(loss)

    return {"sum, torchmetrics MeanMetric": Contestant(plain, record)}


def published(work: Work) -> dict[str, Contestant]:
    """The arithmetic that others published; it records nothing."""
    count, device = len(work.names), work.parameter.device
    learned = PublishedAutomaticWeightedLoss(count).to(device)
    totals: dict[str, Callable[..., Tensor]] = {"CoV": PublishedCoV(count), "automatic": learned}

    def weigh(total: Callable[..., Tensor], losses: dict[str, Tensor]) -> Tensor:
        return total(*losses.values())

    return {
        f"published, {name}": Contestant(partial(weigh, total), lambda _: None)
        for name, total in totals.items()
    }


def conditions(work: Work) -> dict[str, Contestant]:
    """A CoV group: in half precision, with a loss that is nan, on another stream, and compiled."""
    backend = "inductor" if work.parameter.device.type == "cuda" else "eager"
    one, bad, elsewhere, compiled = (ours(work, lambda _: CoVWeighting()) for _ in range(4))

    def halved(losses: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: loss.half() for name, loss in losses.items()}

    def broken(losses: dict[str, Tensor]) -> dict[str, Tensor]:
        return losses | {"loss0": losses["loss0"] * torch.nan}

    return {
        "CoV, losses in fp16": Contestant(
            lambda losses: one.weigh(halved(losses)), lambda losses: one.record(halved(losses))
        ),
        "CoV, a loss is nan": Contestant(
            lambda losses: bad.weigh(broken(losses)), lambda losses: bad.record(broken(losses))
        ),
        "CoV, on a stream of its own": Contestant(on_a_stream(work, elsewhere), elsewhere.record),
        "CoV, compiled": Contestant(
            torch.compile(compiled.weigh, backend=backend, fullgraph=True), compiled.record
        ),
    }


def on_a_stream(work: Work, one: Contestant) -> Callable[[dict[str, Tensor]], Tensor]:
    """`weigh` on a stream beside that of the network."""
    if work.parameter.device.type != "cuda":
        return one.weigh
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def weigh(losses: dict[str, Tensor]) -> Tensor:
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            total = one.weigh(losses)
        torch.cuda.current_stream().wait_stream(side)
        return total

    return weigh


def contestants(work: Work) -> dict[str, Contestant]:
    return {
        "sum alone": Contestant(plain, lambda _: None),
        "sum, item() per loss": Contestant(
            plain, lambda losses: [loss.item() for loss in losses.values()]
        ),
        "sum, one tolist()": Contestant(
            plain, lambda losses: torch.stack(list(losses.values())).tolist()
        ),
        **metrics(work),
        **published(work),
        **{f"LossGroup, {name}": ours(work, make) for name, make in WEIGHTINGS.items()},
        **conditions(work),
    }


def step(work: Work, one: Contestant) -> None:
    losses = work.losses()
    one.weigh(losses).backward()  # type: ignore[no-untyped-call]
    one.record({name: loss.detach() for name, loss in losses.items()})


# Measuring.


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def host_microseconds(work: Work, one: Contestant, device: torch.device) -> float:
    """Until the steps between two reads are handed over."""
    wait(device)
    start = perf_counter()
    for _ in range(LOG_EVERY):
        step(work, one)
    return (perf_counter() - start) / LOG_EVERY * 1e6


def device_microseconds(work: Work, one: Contestant, device: torch.device) -> float:
    """Until the device is done with them; nan without CUDA events."""
    if device.type != "cuda":
        return float("nan")
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    wait(device)
    start.record()
    for _ in range(LOG_EVERY):
        step(work, one)
    end.record()
    wait(device)
    return float(start.elapsed_time(end)) / LOG_EVERY * 1e3


@contextmanager
def no_wait(device: torch.device) -> Iterator[None]:
    """An error for what waits, where torch can find it."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def waits(work: Work, one: Contestant, device: torch.device) -> str:
    """Whether a step does, between two reads: the first makes what is kept, the last may read."""
    for _ in range(LOG_EVERY + 1):
        step(work, one)
    try:
        with no_wait(device):
            for _ in range(LOG_EVERY - 2):
                step(work, one)
    except RuntimeError as error:
        return f"yes: {str(error).splitlines()[0][:40]}"
    return "no" if device.type == "cuda" else "not known here"


# A CUDA graph.


def captured(work: Work, one: Contestant) -> tuple[Callable[[], None], dict[str, Tensor], Tensor]:
    """What replays losses, `weigh` and backward; and the losses and the total that it writes."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # what is made at the first step is not to be made in the graph
            step(work, one)
    torch.cuda.current_stream().wait_stream(side)
    work.parameter.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        losses = work.losses()
        total = one.weigh(losses)
        total.backward()  # type: ignore[no-untyped-call]
    return graph.replay, {name: loss.detach() for name, loss in losses.items()}, total.detach()


def replayed(work: Work, one: Contestant) -> tuple[Callable[[], None], dict[str, Tensor], Tensor]:
    """The same without a graph, for a CPU: it is written anew into the same tensors."""
    losses = {name: loss.detach().clone() for name, loss in work.losses().items()}
    total = torch.zeros_like(next(iter(losses.values())))

    def replay() -> None:
        its = work.losses()
        weighed = one.weigh(its)
        weighed.backward()  # type: ignore[no-untyped-call]
        total.copy_(weighed.detach())
        for name, loss in its.items():
            losses[name].copy_(loss.detach())

    return replay, losses, total


def graph_verdict(work: Work, one: Contestant, device: torch.device, steps: int = 20) -> str:
    """Whether replays follow the weights, which `record` changes in between."""
    try:
        is_cuda = device.type == "cuda"
        replay, losses, total = (captured if is_cuda else replayed)(work, one)
        for _ in range(steps):
            work.scales.mul_(torch.rand_like(work.scales) + 0.5)  # written in place: it is replayed
            replay()
            expected = one.weigh(losses)
            if not torch.allclose(total, expected, rtol=1e-4):
                return f"another total: {total.item():.6g}, {expected.item():.6g} expected"
            one.record(losses)
    except RuntimeError as error:
        return f"no: {str(error).splitlines()[0][:40]}"
    return "yes" if is_cuda else "not known here"


def rows_for(count: int, effort: Effort, device: torch.device) -> list[Row]:
    work = Work(count, effort.size, device)
    made = contestants(work)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in made}
    found = {name: waits(work, one, device) for name, one in made.items()}
    for _ in range(effort.rounds):
        for name, one in made.items():
            times[name].append(
                (host_microseconds(work, one, device), device_microseconds(work, one, device))
            )
    return [
        [
            f"K={count}: {name}",
            *(f"{median(column):.0f}" for column in zip(*times[name], strict=True)),
            found[name],
            "not tried" if found[name].startswith("yes") else graph_verdict(work, one, device),
        ]
        for name, one in made.items()
    ]


def measured(
    effort: Effort,
    device: torch.device,
    *,
    counts: tuple[int, ...] = COUNTS,
    markdown: bool = False,
) -> str:
    """The table."""
    rows = [row for count in counts for row in rows_for(count, effort, device)]
    return table(["per step", "host, µs", "GPU, µs", "waits", "graph"], rows, markdown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="see that it runs; numbers are noise")
    parser.add_argument("--markdown", action="store_true", help="a table for a README")
    parser.add_argument("--out", type=Path, help="a file for it, too")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} finds no GPU here, and this measures one: nothing to do")
        return
    warnings.filterwarnings("ignore", message=".*have not moved")
    device = torch.device("cuda", torch.cuda.current_device())
    effort = QUICK if options.quick else FULL
    card = f"torch {torch.__version__}, {torch.cuda.get_device_name(device)}"
    printed = f"{card}\n\n{measured(effort, device, markdown=options.markdown)}\n"
    print(printed, end="")
    if options.out:
        options.out.write_text(printed, encoding="utf-8")


if __name__ == "__main__":
    main()
