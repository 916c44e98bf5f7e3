"""What holds on a GPU. Without one the same losses go an accelerator's way on the CPU."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import CoVWeighting, LossGroup

from .cases import NAMES, WEIGHTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore:loss '.*' is (inf|nan) at step:RuntimeWarning")

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
needs_cuda = pytest.mark.skipif(not CUDA, reason="needs a GPU")
STEPS = 30


def losses_at(step: int, device: torch.device = DEVICE) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    values = torch.rand(3, generator=generator) + torch.tensor([0.5, 10.0, 0.01])
    return dict(zip(NAMES, values.to(device).requires_grad_().unbind(), strict=True))


def group_on(device: torch.device, kind: str = "cov", **settings: Any) -> LossGroup:
    """A group that reads nothing back for ten steps."""
    group = LossGroup(NAMES, MemoryLogger(), weighting=WEIGHTINGS[kind](), log_every=10, **settings)
    return group.to(device)


@contextmanager
def no_waits() -> Iterator[None]:
    """An error for what waits, on a GPU."""
    if CUDA:
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if CUDA:
            torch.cuda.set_sync_debug_mode("default")


@needs_cuda
@pytest.mark.parametrize("kind", ["plain", "equal", "cov", "automatic", "uncertainty"])
def test_it_gives_the_numbers_of_the_cpu(kind: str) -> None:
    groups = {device: group_on(torch.device(device), kind) for device in ("cuda", "cpu")}
    totals: dict[str, list[float]] = {device: [] for device in groups}
    for step in range(STEPS):
        for device, group in groups.items():
            total = group.update(losses_at(step, torch.device(device)), do_backwards=False)
            totals[device].append(total.item())

    assert totals["cuda"] == pytest.approx(totals["cpu"], rel=1e-5)
    for name in NAMES:
        on_gpu, on_cpu = groups["cuda"][name], groups["cpu"][name]
        assert (on_gpu.mean, on_gpu.std) == pytest.approx((on_cpu.mean, on_cpu.std), rel=1e-5)


@pytest.mark.parametrize("kind", ["plain", "equal", "cov", "automatic", "uncertainty"])
def test_no_step_between_two_reads_waits(kind: str) -> None:
    group = group_on(DEVICE, kind)
    for step in range(11):  # what is made at the first steps is there
        group.update(losses_at(step))
    batches = [losses_at(step) for step in range(8)]

    with no_waits():
        for losses in batches:
            group.update(losses)

    assert group.step == 19


def test_a_nan_stays_out_of_the_total_and_is_counted() -> None:
    group = group_on(DEVICE)
    for step in range(STEPS):
        losses = losses_at(step)
        if step == 7:
            losses["a"] = losses["a"] * math.nan
        total = group.update(losses)
        assert total.isfinite()

    assert (group["a"].nonfinite, group["b"].nonfinite) == (1, 0)
    assert group["a"].count == STEPS - 1


def test_amp_in_fp16_steps_over_what_is_not_finite() -> None:
    torch.manual_seed(0)
    network = nn.Linear(4, 3).to(DEVICE)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler(DEVICE.type, init_scale=2.0**10)
    group = group_on(DEVICE, nonfinite="keep")
    moved = []
    for step in range(12):
        x = torch.randn(8, 4, device=DEVICE)
        with torch.autocast(DEVICE.type, torch.float16 if CUDA else torch.bfloat16):
            errors = (network(x) - 1).square().mean(dim=0)
        losses = dict(zip(NAMES, errors * (math.inf if step == 5 else 1.0), strict=True))
        before = network.weight.detach().clone()
        scaler.scale(group.weigh(losses)).backward()  # type: ignore[no-untyped-call]
        group.record(losses)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        moved.append(not torch.equal(before, network.weight))

    assert moved == [step != 5 for step in range(12)]
    assert group["a"].nonfinite == 1


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_code_gives_the_same_totals() -> None:
    plain, compiled = group_on(DEVICE), group_on(DEVICE)
    weigh = torch.compile(compiled.weigh, fullgraph=True, backend="inductor" if CUDA else "eager")
    for step in range(STEPS):
        losses = losses_at(step)
        assert torch.allclose(weigh(losses), plain.weigh(losses), rtol=1e-5)
        plain.record(losses)
        compiled.record(losses)


@needs_cuda
def test_weighing_on_a_stream_of_its_own_gives_the_same_totals() -> None:
    plain, elsewhere = group_on(DEVICE), group_on(DEVICE)
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    for step in range(STEPS):
        losses = losses_at(step)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            total = elsewhere.weigh(losses)
            elsewhere.record(losses)
        torch.cuda.current_stream().wait_stream(side)
        expected = plain.weigh(losses)
        plain.record(losses)
        assert torch.allclose(total, expected)

    assert elsewhere["b"].mean == pytest.approx(plain["b"].mean)


@needs_cuda
def test_a_cuda_graph_follows_the_weights() -> None:
    group, plain = group_on(DEVICE), LossGroup(NAMES, weighting=CoVWeighting())
    given = torch.ones(3, device=DEVICE, requires_grad=True)
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            for one in (group, plain):
                one.weigh(losses := dict(zip(NAMES, given.unbind(), strict=True)))
                one.record({name: loss.detach() for name, loss in losses.items()})
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        losses = dict(zip(NAMES, given.unbind(), strict=True))
        total = group.weigh(losses)

    for step in range(STEPS):
        values = torch.stack([loss.detach() for loss in losses_at(step).values()])
        with torch.no_grad():
            given.copy_(values)
        graph.replay()
        seen = dict(zip(NAMES, values.unbind(), strict=True))
        assert torch.allclose(total, plain.weigh(seen), rtol=1e-5)
        group.record(seen)
        plain.record(seen)
