from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from loss_loggers import CsvLogger, read_run
from multi_loss_weighting import CoVWeighting, LossGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

ABC = ("a", "b", "c")


def fed(losses: Iterable[Iterable[float]], **settings: Any) -> LossGroup:
    group = LossGroup(ABC, weighting=CoVWeighting(**settings))
    for row in losses:
        group.update(dict(zip(ABC, row, strict=True)), do_backwards=False)
    return group


def next_weights(group: LossGroup) -> list[float]:
    """The weights of the step to come, one after the other."""
    ones = torch.eye(3, dtype=torch.float64)
    return [group.weigh(dict(zip(ABC, row, strict=True))).item() for row in ones]


def noise(steps: int, seed: int = 0) -> list[list[float]]:
    losses = np.random.default_rng(seed).lognormal(0, [0.1, 0.3, 0.6], (steps, 3))
    rows: list[list[float]] = losses.tolist()
    return rows


@pytest.mark.parametrize("as_tensors", [True, False])
def test_it_gives_the_numbers_of_the_authors(
    golden: Callable[[str], dict[str, Any]], as_tensors: bool
) -> None:
    theirs = golden("cov_full")
    names = ("a", "b", "c", "d")
    group = LossGroup(names, weighting=CoVWeighting())

    for step, row in enumerate(theirs["losses"]):
        losses = torch.tensor(row, dtype=torch.float64) if as_tensors else row
        total = group.update(dict(zip(names, losses, strict=True)), do_backwards=False)

        ours = [group[name] for name in names]
        assert total.item() == pytest.approx(theirs["loss"][step], rel=1e-12)
        assert list(group.weights.values()) == pytest.approx(theirs["alphas"][step], rel=1e-12)
        assert [one.mean for one in ours] == pytest.approx(theirs["mean_L"][step], rel=1e-12)
        ratios = [one.ratio_mean for one in ours]
        assert ratios == pytest.approx(theirs["mean_l"][step], rel=1e-12)
        stds = [one.ratio_std for one in ours]
        assert stds == pytest.approx(theirs["std_l"][step], rel=1e-12)


def test_the_steadier_loss_weighs_less() -> None:
    weights = next_weights(fed(noise(100)))

    assert weights[0] < weights[1] < weights[2]


def test_weights_are_those_of_the_steps_before() -> None:
    group = fed(noise(20))
    before = next_weights(group)

    group.update(dict(zip(ABC, [1.0, 50.0, 0.01], strict=True)), do_backwards=False)

    assert list(group.weights.values()) == pytest.approx(before, rel=1e-12)
    assert next_weights(group) != pytest.approx(before, rel=1e-2)


@pytest.mark.parametrize("sum_to", [1, "K"])
@pytest.mark.parametrize("steps", [0, 1, 2, 30])
def test_weights_sum_to_one_or_to_their_number(steps: int, sum_to: Any) -> None:
    weights = next_weights(fed(noise(steps), sum_to=sum_to))

    assert sum(weights) == pytest.approx(1 if sum_to == 1 else 3)


def test_summing_to_their_number_only_scales() -> None:
    one, many = fed(noise(30)), fed(noise(30), sum_to="K")

    assert next_weights(many) == pytest.approx([3 * weight for weight in next_weights(one)])


@pytest.mark.parametrize("warmup", [2, 5])
def test_during_warmup_all_weigh_the_same(warmup: int) -> None:
    losses = noise(20)

    for steps in range(warmup):
        assert next_weights(fed(losses[:steps], warmup=warmup)) == pytest.approx([1 / 3] * 3)
    after = next_weights(fed(losses[:warmup], warmup=warmup))

    assert after == pytest.approx(next_weights(fed(losses[:warmup])))
    assert after != pytest.approx([1 / 3] * 3)


def test_a_loss_that_starts_again_weighs_its_share_and_the_others_divide_the_rest() -> None:
    losses = noise(40)
    moved = [[row[0], 1e6 * row[1], row[2]] for row in noise(11, seed=1)]

    before = next_weights(fed([*losses, *moved[:9]]))
    group = fed([*losses, *moved])
    weights = next_weights(group)

    assert group["b"].record.restarts == 1
    assert before[1] < 0.31
    assert weights[1] == pytest.approx(1 / 3)
    assert sum(weights) == pytest.approx(1)
    assert weights[0] / weights[2] == pytest.approx(before[0] / before[2], rel=0.2)


@pytest.mark.parametrize("steps", [2, 30])
def test_a_loss_that_comes_late_weighs_its_share(steps: int) -> None:
    group = LossGroup(ABC, weighting=CoVWeighting())
    for a, b, _ in noise(steps):
        group.update({"a": a, "b": b}, do_backwards=False)

    weights = next_weights(group)

    assert weights[2] == pytest.approx(1 / 3)
    assert sum(weights) == pytest.approx(1)
    assert weights[0] < weights[1] / 1.5


@pytest.mark.parametrize("decay", [None, 0.99])
def test_a_spike_of_a_million_leaves_the_weights_as_without_it(decay: float | None) -> None:
    losses = noise(400)
    spiked = [list(row) for row in losses]
    spiked[50][0] = 1e6

    clean, dirty = fed(losses, decay=decay), fed(spiked, decay=decay)

    assert next_weights(dirty) == pytest.approx(next_weights(clean), abs=0.003)
    assert (dirty["a"].spikes, clean["a"].spikes) == (1, 0)


@pytest.mark.parametrize("first", [0.0, 1e-30])
def test_a_first_loss_of_next_to_nothing_does_not_take_the_weight(first: float) -> None:
    losses = noise(400)

    odd = fed([[first, *losses[0][1:]], *losses[1:]])

    assert next_weights(odd) == pytest.approx(next_weights(fed(losses)), abs=0.02)


def test_a_loss_that_is_not_finite_does_not_poison_the_weights() -> None:
    losses = noise(100)

    with pytest.warns(RuntimeWarning, match="loss 'a' is nan at step 10"):
        dirty = fed([*losses[:10], [math.nan, 1.0, 1.0], *losses[10:]])

    assert next_weights(dirty) == pytest.approx(next_weights(fed(losses)), abs=0.02)


def test_the_mirror_image_of_a_loss_weighs_the_same() -> None:
    losses = noise(50)

    mirrored = fed([[-a, b, c] for a, b, c in losses])

    assert next_weights(mirrored) == next_weights(fed(losses))


def test_losses_that_change_their_sign_get_weights_between_zero_and_one() -> None:
    losses: list[list[float]] = np.random.default_rng(0).normal(size=(300, 3)).tolist()

    for steps in range(300):
        assert all(0 < weight < 1 for weight in next_weights(fed(losses[: steps + 1 : 10])))


def test_forgetting_follows_what_changes() -> None:
    calm_at_first = [[1.0, 1 + 0.1 * (step % 2), 1.0] for step in range(300)]
    wild_then = [[1 + 0.5 * (step % 2), 1.0, 1.0] for step in range(60)]

    full = fed([*calm_at_first, *wild_then])
    forgetful = fed([*calm_at_first, *wild_then], decay=0.9)

    assert next_weights(forgetful)[0] > 0.95
    assert next_weights(forgetful)[0] > next_weights(full)[0]


def test_a_loss_that_becomes_zero_does_not_take_the_weight_when_forgetting() -> None:
    losses = noise(400)
    satisfied = [[0.0 if step > 100 else a, b, c] for step, (a, b, c) in enumerate(losses)]

    weights = [next_weights(fed(satisfied[:steps], decay=0.9))[0] for steps in range(150, 400, 50)]

    assert max(weights) < 0.9


def test_the_settings_reach_the_record_of_the_run(tmp_path: Path) -> None:
    weighting = CoVWeighting(decay=0.9, sum_to="K", warmup=7, spike=50.0, patience=3)

    with CsvLogger(tmp_path / "run") as logger:
        group = LossGroup(ABC, logger, weighting=weighting)
        group.update(dict.fromkeys(ABC, 1.0), do_backwards=False)

    assert read_run(tmp_path / "run").info["hyperparameters"]["weighting"] == {
        "method": "CoVWeighting",
        "decay": 0.9,
        "sum_to": "K",
        "warmup": 7,
        "spike": 50.0,
        "patience": 3,
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sum_to": 3}, 'sum_to must be 1 or "K", got 3'),
        ({"warmup": 1}, "2 or more .*got 1"),
        ({"decay": 1.0}, "between 0 and 1 .* got 1.0"),
        ({"spike": 0.5}, "above 1 .* got 0.5"),
        ({"patience": 0}, "1 or more.*got 0"),
    ],
)
def test_a_setting_without_sense_is_an_error(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CoVWeighting(**settings)
