"""The benchmark runs, and it compares what computes the same. It asserts no time."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multi_loss_weighting import AutomaticWeightedLoss, CoVWeighting, LossGroup

ROOT = Path(__file__).parent.parent
PEERS = runpy.run_path(str(ROOT / "benchmarks" / "peers.py"))
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


def test_times_a_step_under_each_weighting() -> None:
    pytest.importorskip("torchjd", reason="torchjd is not installed")
    command = [sys.executable, str(ROOT / "benchmarks" / "weightings.py"), "--quick"]

    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    rows = [line.split("|") for line in output.splitlines() if line.startswith("| ")]
    ratios = {row[1].strip(): row[2].strip() for row in rows}
    assert ratios["plain sum"].startswith("1 (")
    for method in ("CoVWeighting", "DWA", "MGDA", "every parameter"):
        assert float(ratios[method]) > 0


@pytest.fixture(scope="module")
def output() -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / "speed.py"), "--quick"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


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
