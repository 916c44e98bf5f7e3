"""The benchmark runs, and it compares what computes the same. It asserts no time."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from multi_loss_weighting import AutomaticWeightedLoss, CoVWeighting, LossGroup

from .forked import end, start
from .once import once

if TYPE_CHECKING:
    from collections.abc import Callable

    Says = Callable[..., str]

ROOT = Path(__file__).parent.parent


def benchmark(name: str) -> dict[str, Any]:
    """What a script defines; it finds the modules beside it as it does when it is started."""
    folder = str(ROOT / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return runpy.run_path(f"{folder}/{name}.py")
    finally:
        sys.path.remove(folder)


PEERS = benchmark("peers")
assert_same = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


def golden(name: str) -> dict[str, Any]:
    path = ROOT / "tests" / "golden" / f"{name}.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def float64(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture(scope="module")
def trace() -> dict[str, Tensor]:
    """What the authors' own code gave, step by step."""
    return {
        name: float64(values)
        for name, values in golden("cov_full").items()
        if name not in ("what", "source")
    }


def test_the_restated_cov_is_what_its_authors_published(trace: dict[str, Tensor]) -> None:
    cov = PEERS["PublishedCoV"](4, dtype=torch.float64)
    seen: dict[str, list[Tensor]] = {name: [] for name in trace if name != "losses"}

    for losses in trace["losses"]:
        seen["loss"].append(cov(*losses))
        seen["alphas"].append(cov.weights)
        seen["mean_L"].append(cov.mean_loss)
        seen["mean_l"].append(cov.mean_ratio)
        seen["S_l"].append(cov.squares.clone())
        seen["std_l"].append(cov.std)

    for name, values in seen.items():
        assert_same(torch.stack(values), trace[name])


def test_the_restated_cov_weighs_as_ours_does(trace: dict[str, Tensor]) -> None:
    cov = PEERS["PublishedCoV"](4, dtype=torch.float64)
    group = LossGroup(["a", "b", "c", "d"], weighting=CoVWeighting())

    for losses in trace["losses"]:
        theirs = cov(*losses)
        ours = group.update(dict(zip("abcd", losses, strict=True)), do_backwards=False)

        assert_same(ours, theirs)
        assert_same(float64(list(group.weights.values())), cov.weights)


@pytest.mark.parametrize("case", range(len(golden("automatic_weighted_loss")["cases"])))
def test_the_restated_automatic_weights_are_ours_and_as_published(case: int) -> None:
    published = golden("automatic_weighted_loss")
    expected = published["cases"][case]
    params = float64(published["params"][case])

    for method in (PEERS["PublishedAutomaticWeightedLoss"], AutomaticWeightedLoss):
        losses = float64(published["losses"][case]).requires_grad_()
        module = method(len(losses)).double()
        module.params = nn.Parameter(params)
        total = module(*losses)
        total.backward()

        assert_same(total, float64(expected["loss"]))
        assert_same(losses.grad, float64(expected["dlosses"]))
        assert_same(module.params.grad, float64(expected["dparams"]))


def test_times_a_step_under_each_weighting(said_by: Says) -> None:
    pytest.importorskip("torchjd", reason="torchjd is not installed")
    output = said_by("weightings.py", "--quick")

    rows = [line.split("|") for line in output.splitlines() if line.startswith("| ")]
    ratios = {row[1].strip(): row[2].strip() for row in rows}
    assert ratios["plain sum"].startswith("1 (")
    for method in ("CoVWeighting", "DWA", "MGDA", "every parameter"):
        assert float(ratios[method]) > 0


@pytest.fixture(scope="module")
def said_by(tmp_path_factory: pytest.TempPathFactory) -> Says:
    """What a script prints, which is run once for all who ask."""

    def said_by(script: str, *arguments: str, seconds: float = 300) -> str:
        def make(folder: Path) -> None:
            path = ROOT / "benchmarks" / script
            process = start(path, *arguments, said=folder / "said")
            assert end(process, seconds) == 0, (folder / "said").read_text(encoding="utf-8")

        return (once(tmp_path_factory, script, make) / "said").read_text(encoding="utf-8")

    return said_by


@pytest.fixture(scope="module")
def output(said_by: Says) -> str:
    return said_by("speed.py", "--quick")


def line_of(output: str, label: str) -> list[str]:
    """What stands in the columns beside a label."""
    (line,) = (line for line in output.splitlines() if line.startswith(f"{label}  "))
    return [cell.strip() for cell in line.removeprefix(label).split("  ") if cell.strip()]


def test_says_where_it_ran(output: str) -> None:
    first = output.splitlines()[0]

    assert f"torch {torch.__version__}, 1 thread on" in first


@pytest.mark.parametrize("header", ["microseconds per step", "ratio"])
def test_has_a_column_for_each_number_of_losses(output: str, header: str) -> None:
    assert line_of(output, header) == ["K=1", "K=3", "K=32", "K=256"]


@pytest.mark.parametrize(
    "contestant",
    [
        "K x item",
        "stack, tolist",
        "item, Welford",
        "LossTracker, weight 0.5",
        "LossGroup, CoV",
        "published, CoV",
        "LossGroup, automatic + backward",
        "published, automatic + backward",
    ],
)
def test_times_each_contestant_at_each_number_of_losses(output: str, contestant: str) -> None:
    times = [float(cell) for cell in line_of(output, contestant)]

    assert len(times) == 4
    assert min(times) > 0


def test_times_torchmetrics_where_it_is_installed(output: str) -> None:
    pytest.importorskip("torchmetrics")

    assert len(line_of(output, "torchmetrics MeanMetric")) == 4
    assert len(line_of(output, "torchmetrics RunningMean(100)")) == 4


def test_says_what_it_runs_without(tmp_path: Path) -> None:
    (tmp_path / "torchmetrics.py").write_text("raise ImportError", encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    output = subprocess.run(
        [sys.executable, "-c", "import contestants; print(list(contestants.torchmetrics_peers()))"],
        cwd=ROOT / "benchmarks",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert output.splitlines() == [
        "without torchmetrics, which is not installed: pip install torchmetrics",
        "[]",
    ]


@pytest.mark.parametrize("subject", ["LossTracker", "LossGroup, CoV, K=3"])
def test_looks_at_old_losses_too(output: str, subject: str) -> None:
    *times, ratio, grown = line_of(output, subject)

    assert len([float(time) for time in times]) == 4
    assert ratio.endswith("(<= 1.25)")
    assert grown.endswith("(< 1024)") or grown == "unknown here"


# Accelerators, ranks and a real training loop.


@pytest.fixture(scope="module")
def counted(said_by: Says) -> str:
    return said_by("device.py", "--quick")


@pytest.mark.parametrize(
    ("contestant", "most"), [("plain sum", 6), ("equal", 6), ("CoV", 36), ("automatic", 20)]
)
def test_a_step_of_ours_is_a_few_operations_and_never_read(
    counted: str, contestant: str, most: float
) -> None:
    cells = [float(cell) for cell in line_of(counted, f"LossGroup, {contestant}")]

    assert len(cells) == 4
    assert max(cells[:2]) <= most
    assert cells[2:] == [0.02] * 2


@pytest.mark.filterwarnings("ignore:.*have not moved:RuntimeWarning")
@pytest.mark.parametrize("contestant", ["plain sum", "equal", "CoV", "automatic"])
def test_more_losses_are_no_more_operations(contestant: str) -> None:
    device = benchmark("device")

    few, many = (
        device["count_per_step"](device["contestants"]()[f"LossGroup, {contestant}"], count)
        for count in (3, 256)
    )

    assert many == few


def test_reads_of_others_are_seen(counted: str) -> None:
    cells = [float(cell) for cell in line_of(counted, "sum, item() per loss")]

    assert cells[2:] == [1, 3]


def test_counts_every_way_to_read() -> None:
    with benchmark("device")["Counts"]() as counts:
        tensor = torch.ones(2)
        tensor.tolist()
        bool(tensor.sum() > 1)
        tensor[0].item()
        copy = tensor.cpu()
        copy[0:1].tolist()

    assert counts.reads == 4
    assert torch.ones(1).cpu().tolist() == [1.0]


def test_the_whole_history_gives_the_cov_of_its_ratios() -> None:
    history = PEERS["WholeHistory"]()
    for loss in (1.0, 2.0, 6.0):
        history.add(torch.tensor(loss))

    ratios = float64([1.0, 2.0, 4.0])
    assert history.cov == pytest.approx((ratios.std(correction=0) / ratios.mean()).item())


def test_times_a_step_with_and_without_the_mean_over_ranks(said_by: Says) -> None:
    if not torch.distributed.is_available():
        pytest.skip("this torch was built without torch.distributed")
    output = said_by("ranks.py", "--quick")

    assert "2 ranks, gloo" in output
    for contestant in ("alone", "mean over ranks"):
        assert len(line_of(output, f"LossGroup, CoV, {contestant}")) == 3


def test_times_what_tracking_adds_to_a_training_step(said_by: Says) -> None:
    output = said_by("training_loop.py", "--quick")

    for contestant in ("bare", "LossGroup, CoV", "whole history, 1,000 steps old"):
        step, _, _ = line_of(output, contestant)
        assert float(step) > 0


def test_times_lightning_in_its_own_loop_where_it_is_installed() -> None:
    pytest.importorskip("lightning")
    benchmark_of_loop = benchmark("training_loop")

    times = benchmark_of_loop["lightning_times"](benchmark_of_loop["Effort"](3, 1))

    assert set(times) == {"Trainer", "Trainer, LossGroup, CoV", "Trainer, 3 x self.log"}
    assert min(min(its) for its in times.values()) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_says_in_one_line_that_there_is_no_gpu(said_by: Says) -> None:
    (line,) = said_by("gpu.py").splitlines()

    assert "finds no GPU here" in line


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.filterwarnings("ignore:.*have not moved:RuntimeWarning")
def test_all_of_the_gpu_benchmark_but_cuda_runs_on_a_cpu() -> None:
    gpu = benchmark("gpu")

    output = gpu["measured"](gpu["Effort"](1, 8), torch.device("cpu"), counts=(1, 4))

    names = ("sum, item() per loss", "published, automatic", "LossGroup, CoV")
    for count in (1, 4):
        for name in (*names, "CoV, losses in fp16", "CoV, on a stream of its own"):
            *_, waits, graph = line_of(output, f"K={count}: {name}")
            assert (waits, graph) == ("not known here", "not known here")


def test_the_gpu_benchmark_sees_a_replay_that_does_not_follow_the_weights() -> None:
    gpu = benchmark("gpu")
    work = gpu["Work"](3, 8, torch.device("cpu"))
    weights = iter(range(1, 100))
    frozen = gpu["Contestant"](lambda losses: losses["loss0"] * next(weights), lambda _: None)

    assert "another total" in gpu["graph_verdict"](work, frozen, torch.device("cpu"))


def test_a_long_run_is_read_beside_pandas() -> None:
    pytest.importorskip("pandas", reason="needs pandas")
    # Not forked: what it starts would have the peak of torch, above which reading raises nothing.
    command = [sys.executable, str(ROOT / "benchmarks" / "read_run.py")]

    printed = subprocess.run(
        [*command, "--lines", "4000", "--rounds", "1"], capture_output=True, text=True, check=True
    ).stdout

    assert "read_run takes" in printed.splitlines()[-1]
