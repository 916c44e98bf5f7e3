"""One objective over several ranks: real processes, that talk over gloo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from loss_loggers import read_run
from multi_loss_weighting import CoVWeighting, LossGroup

from .ranks.launch import run, run_once, torchrun

if TYPE_CHECKING:
    from pathlib import Path

if not torch.distributed.is_available():
    pytest.skip("this torch was built without torch.distributed", allow_module_level=True)

NAMES = ["fit", "size", "calm"]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return run_once(tmp_path_factory, "everything", 2)[0]


def losses_at(step: int, rank: int) -> list[float]:
    generator = torch.Generator().manual_seed(1000 * step + rank)
    values = torch.rand(3, generator=generator, dtype=torch.float64) + 0.1
    scaled: list[float] = (values * torch.tensor([1.0, 100.0, 0.01])).tolist()
    return scaled


def mean_at(step: int, samples: dict[int, int]) -> list[float]:
    losses = [losses_at(step, rank) for rank in samples]
    mean: list[float] = np.average(losses, axis=0, weights=list(samples.values())).tolist()
    return mean


@pytest.mark.parametrize("kind", ["weigh", "weigh later"])
def test_ranks_weigh_alike_to_the_last_bit_by_the_mean_over_samples(
    two: list[Any], kind: str
) -> None:
    one = LossGroup(NAMES, weighting=CoVWeighting())
    expected = []
    for step in range(20):
        expected.append(list(one.next_weights().values()))
        losses = dict(zip(NAMES, mean_at(step, {0: 3, 1: 5}), strict=True))
        one.record(losses)

    weights = [[[float.fromhex(v) for v in row] for row in rank[kind]["weights"]] for rank in two]

    assert two[0][kind]["weights"] == two[1][kind]["weights"]
    np.testing.assert_allclose(weights[0], expected, rtol=1e-10)
    np.testing.assert_allclose(two[0][kind]["means"], [one[n].mean for n in NAMES], rtol=1e-10)
    np.testing.assert_allclose(two[0][kind]["stds"], [one[n].std for n in NAMES], rtol=1e-10)


@pytest.mark.parametrize("kind", ["weigh", "weigh later"])
def test_the_first_rank_reports_and_the_others_do_not(two: list[Any], kind: str) -> None:
    rows = two[0][kind]["rows"]

    assert [step for step, _ in rows] == list(range(20))
    assert rows[4][1]["loss/fit"] == pytest.approx(mean_at(4, {0: 3, 1: 5})[0])
    parts = sum(rows[4][1][f"weighted/{name}"] for name in NAMES)
    assert rows[4][1]["loss/total"] == pytest.approx(parts)
    assert two[1][kind]["rows"] == []


@pytest.mark.parametrize("kind", ["gaps", "gaps later"])
def test_a_gap_on_one_rank_is_filled_by_the_other_and_a_nan_is_counted(
    two: list[Any], kind: str
) -> None:
    result = two[0][kind]

    assert result == two[1][kind]
    assert result["finite"] == [step not in (3, 4) for step in range(12)]
    # Neither rank had "calm" at step 7, and both had an infinity at step 4.
    assert result["counts"] == [12, 12, 10]
    assert result["nonfinite"] == [0, 1, 1]
    assert [message.split(":")[0] for message in result["warned"]] == [
        "loss 'size' is nan at step 3",
        "loss 'calm' is nan at step 4",
    ]
    present = {step: {0: 1, 1: 1} for step in range(12)} | {5: {1: 1}, 6: {0: 1}}
    expected = np.average(
        [mean_at(step, ranks)[0] for step, ranks in present.items()],
        weights=[sum(ranks.values()) for ranks in present.values()],
    )
    assert float.fromhex(result["means"][0]) == pytest.approx(expected)


def test_a_nan_on_one_rank_raises_on_all(two: list[Any]) -> None:
    assert (
        two[0]["raise"] == two[1]["raise"] == {"message": "loss 'fit' is nan at step 0", "step": 1}
    )


@pytest.mark.parametrize("kind", ["clamp", "clamp later"])
def test_the_row_has_what_max_loss_left_of_the_loss_of_each_rank(two: list[Any], kind: str) -> None:
    (row,) = two[0][kind]

    assert (row["loss/fit"], row["weighted/fit"], row["clamped"]) == (4.0, 3.0, 1)
    assert row["loss/total"] == 4.0


@pytest.mark.parametrize("kind", ["keep", "keep later"])
def test_an_infinite_total_that_was_used_is_in_the_row(two: list[Any], kind: str) -> None:
    assert two[0][kind] == ["inf", "inf"]


@pytest.mark.parametrize("kind", ["automatic", "automatic later", "uncertainty in DDP"])
def test_learned_weights_stay_in_step(two: list[Any], kind: str) -> None:
    assert two[0][kind] == two[1][kind]
    assert len(set(two[0][kind]["params"])) == 3


@pytest.mark.parametrize("kind", ["track", "track later"])
def test_trackers_weigh_alike_too(two: list[Any], kind: str) -> None:
    means = [mean_at(step, {0: 1, 1: 1})[0] for step in range(10)]

    first, second = two[0][kind], two[1][kind]

    assert (first["weight"], first["mean"]) == (second["weight"], second["mean"])
    assert float.fromhex(first["mean"]) == pytest.approx(np.mean(means))
    assert (first["rows"], second["rows"]) == (10, 0)


def test_what_one_rank_does_alone_waits_for_nobody(two: list[Any]) -> None:
    assert [rank["alone"]["count"] for rank in two] == [1, 0]


def test_each_rank_has_a_record_where_that_is_wanted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    results, folder = run_once(tmp_path_factory, "everything", 2)
    assert len(results) == 2
    recorded = {path.parent.name for path in folder.glob("*/losses.csv")}

    assert recorded == {"shared", "rank-0", "rank-1"}
    assert read_run(folder / "shared")["fit"]["loss"].tolist() == [1.5]
    assert read_run(folder / "rank-1")["fit"]["loss"].tolist() == [2.0]


def test_a_sharded_model_is_weighed_alike(two: list[Any]) -> None:
    assert two[0]["shard"] == two[1]["shard"]


def test_a_run_goes_on_with_another_number_of_ranks(tmp_path: Path) -> None:
    four, said = run("save", 4, tmp_path)
    assert len(four) == 4, said
    two, said = run("resume", 2, tmp_path)
    assert len(two) == 2, said

    assert all(rank == four[0] for rank in four)
    assert two[0]["before"] == two[1]["before"] == four[0]["weights"]
    assert two[0] == two[1]
    assert two[0]["step"] == 11


def test_a_killed_rank_leaves_a_readable_run(tmp_path: Path) -> None:
    results, said = torchrun("die", 2, tmp_path)

    record = read_run(tmp_path / "run")
    assert results == []
    assert "SIGKILL" in said
    assert record["fit"]["step"].tolist() == list(range(20))
    assert np.isfinite(record["calm"]["weight"]).all()
