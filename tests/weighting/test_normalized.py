from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loss_loggers import CsvLogger, MemoryLogger, read_run
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    GradientShareWeighting,
    History,
    LossGroup,
    NormalizedWeighting,
    ReLoBRaLo,
    SoftAdapt,
    StatisticsSettings,
    UncertaintyWeighting,
    Weighted,
    weighted_sum,
)

if TYPE_CHECKING:
    from pathlib import Path

AB = ("a", "b")
STREAM = [(3.0, 2000.0), (2.0, 500.0), (4.0, 900.0), (1.0, 1200.0), (1.5, 100.0)]


def fed(stream: Any = STREAM, log_every: int | None = None, **settings: Any) -> LossGroup:
    group = LossGroup(AB, weighting=NormalizedWeighting(**settings), log_every=log_every)
    for a, b in stream:
        group.update({"a": a, "b": b}, do_backwards=False)
    return group


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("by", ["mean", "first"])
def test_each_loss_is_divided_by_its_size_up_to_the_step_before(
    by: Any, log_every: int | None
) -> None:
    group = LossGroup(AB, weighting=NormalizedWeighting(by=by), log_every=log_every)
    seen: list[tuple[float, float]] = []

    for row in STREAM:
        total = group.update(dict(zip(AB, row, strict=True)), do_backwards=False)

        before = np.array(seen or [row])
        sizes = before.mean(axis=0) if by == "mean" else before[0]
        assert total.item() == pytest.approx((np.array(row) / sizes).sum(), rel=1e-6)
        assert list(group.weights.values()) == pytest.approx(1 / sizes, rel=1e-12)
        seen.append(row)


@pytest.mark.parametrize("names", [AB, None])
@pytest.mark.parametrize("log_every", [None, 2])
def test_all_calls_of_the_first_step_have_one_objective_which_its_row_tells(
    log_every: int | None, names: Any
) -> None:
    memory = MemoryLogger()
    group = LossGroup(names, memory, weighting=NormalizedWeighting(), log_every=log_every)
    calls = [{"a": 4.0}, {"b": 50.0, "a": 8.0}, {"b": 100.0, "a": 2.0}]

    totals = [group.weigh(call).item() for call in calls]
    for call in calls:
        group.accumulate(call)
    group.record()
    group.flush()

    assert totals == [1.0, 1.0 + 2.0, 2.0 + 0.5]
    (row,) = [numbers for _, _, numbers in memory.rows]
    assert (row["weight/a"], row["weight/b"]) == (1 / 4, 1 / 50)
    assert row["loss/total"] == pytest.approx((14 / 3) / 4 + 75 / 50)


@pytest.mark.parametrize("log_every", [None, 2])
def test_a_step_that_counts_for_nothing_gives_no_sizes(log_every: int | None) -> None:
    group = LossGroup(AB, weighting=NormalizedWeighting(), log_every=log_every)

    group.weigh({"a": 4.0, "b": 50.0})
    group.forget_accumulated()
    first = group.weigh({"a": 8.0, "b": 8.0}).item()
    group.reset()

    assert (first, group.weigh({"a": 2.0, "b": 3.0}).item()) == (2.0, 2.0)


class FailsOnce:
    calls = 0

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        self.calls += 1
        if self.calls == 1:
            raise MemoryError
        return weighted_sum(losses, [1.0] * len(history.names))


def loads(group: LossGroup) -> None:
    group.load_state_dict(LossGroup(AB, weighting=NormalizedWeighting(FailsOnce())).state_dict())


def is_weighed_by_another(group: LossGroup) -> None:
    ours, group.weighting = group.weighting, None
    group.weighting = ours


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("then", [loads, is_weighed_by_another, None])
def test_the_first_step_has_sizes_of_its_own_after_one_that_was_not_to_be(
    then: Any, log_every: int | None
) -> None:
    inner = FailsOnce()
    group = LossGroup(AB, weighting=NormalizedWeighting(inner), log_every=log_every)
    inner.calls = int(then is not None)

    with nullcontext() if then else pytest.raises(MemoryError):
        group.weigh({"a": 4.0, "b": 50.0})
    if then is not None:
        then(group)

    assert group.weigh({"a": 8.0, "b": 8.0}).item() == 2.0


def test_a_line_search_in_the_first_step_goes_downhill() -> None:
    point = torch.tensor([3.0, 40.0], requires_grad=True)
    group = LossGroup(AB, weighting=NormalizedWeighting())
    optimizer = torch.optim.LBFGS([point], max_iter=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = group.weigh({"a": point[0].square(), "b": (point[1] - 1).square()})
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]

    assert point.tolist() == pytest.approx([0, 1], abs=1e-3)


def test_units_make_no_difference() -> None:
    in_other_units = [(1e6 * a, 1e-3 * b) for a, b in STREAM]

    one, other = fed(inner=UncertaintyWeighting(2)), fed(in_other_units)

    assert other.weights["a"] * 1e6 == pytest.approx(one.weights["a"])
    assert other.weights["b"] * 1e-3 == pytest.approx(one.weights["b"])


def test_the_gradient_is_that_of_the_losses_over_their_sizes() -> None:
    group = fed()
    losses = torch.tensor([6.0, 7.0], requires_grad=True)

    group.update({"a": losses[0], "b": losses[1]})

    assert losses.grad is not None
    means = np.mean(STREAM, axis=0)
    assert losses.grad.tolist() == pytest.approx(1 / means)


def test_learned_weights_inside_are_learned_and_saved() -> None:
    group = fed(inner=AutomaticWeightedLoss(2))
    (params,) = group.parameter_group()["params"]
    losses = torch.tensor([6.0, 7.0], requires_grad=True)

    group.update({"a": losses[0], "b": losses[1]})
    with torch.no_grad():
        params.mul_(2)
    other = fed((), inner=AutomaticWeightedLoss(2))
    other.load_state_dict(group.state_dict())

    assert params.grad is not None
    assert params.grad.abs().min() > 0
    assert other.next_weights() == group.next_weights()


def test_cov_inside_has_its_own_numbers_since_ratios_know_no_unit() -> None:
    group = fed(inner=CoVWeighting())
    plain = LossGroup(AB, weighting=CoVWeighting())
    for a, b in STREAM:
        plain.update({"a": a, "b": b}, do_backwards=False)

    means = np.mean(STREAM, axis=0)

    inside = np.array([*group.next_weights().values()]) * means
    assert inside == pytest.approx([*plain.next_weights().values()])


class Curious:
    """Shows what an inner weighting sees."""

    def __init__(self) -> None:
        self.seen: dict[str, list[float]] = {}
        self.told: list[list[float]] = []

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        names = ("mean", "first", "value", "std", "variance", "cov", "count", "ratio_cov")
        for name in names:
            self.seen[name] = torch.as_tensor(getattr(history, name)).tolist()
        self.seen["losses"] = losses.tolist()
        return weighted_sum(losses, np.array([2.0, 3.0]))

    def recorded(self, losses: Tensor, weights: Tensor, history: History, /) -> None:
        self.told.append([*losses.tolist(), *weights.tolist()])


@pytest.mark.parametrize("log_every", [None, 1])
def test_a_weighting_inside_sees_losses_and_statistics_over_their_sizes(
    log_every: int | None,
) -> None:
    inner = Curious()
    group = fed(STREAM[:3], log_every, inner=inner)
    raw = np.array(STREAM[:2])
    means, row = raw.mean(axis=0), np.array(STREAM[2])

    assert inner.seen["losses"] == pytest.approx(row / means)
    assert inner.seen["mean"] == pytest.approx([1, 1])
    assert inner.seen["first"] == pytest.approx(raw[0] / means)
    assert inner.seen["value"] == pytest.approx(raw[1] / means)
    assert inner.seen["std"] == pytest.approx(raw.std(axis=0) / means)
    assert inner.seen["variance"] == pytest.approx(raw.var(axis=0) / means**2)
    assert inner.seen["cov"] == pytest.approx(raw.std(axis=0) / means)
    assert inner.seen["count"] == [2, 2]
    assert inner.told[-1] == pytest.approx([*(row / means), 2, 3])
    assert [*group.weights.values()] == pytest.approx(np.array([2, 3]) / means)


@pytest.mark.parametrize("first", [0.0, 1e-30])
def test_a_first_loss_of_next_to_nothing_does_not_take_the_weight(first: float) -> None:
    group = fed([(first, 5.0), *((1.0, 5.0) for _ in range(50))], by="first")

    assert 0.9 < group.next_weights()["a"] <= 102
    assert group.next_weights()["b"] == pytest.approx(0.2)


def test_losses_whose_mean_is_near_zero_do_not_blow_up() -> None:
    group = fed([((-1.0) ** step, 5.0) for step in range(50)])

    assert group.next_weights()["a"] <= 100.1


def test_a_loss_that_stays_zero_weighs_one() -> None:
    assert fed([(0.0, 5.0)] * 3).next_weights() == {"a": 1.0, "b": 0.2}


def test_a_missing_loss_and_one_that_is_not_finite_leave_the_other_alone() -> None:
    group, whole = fed(), fed()

    group.update({"b": 700.0}, do_backwards=False)
    with pytest.warns(RuntimeWarning, match="loss 'a' is nan"):
        group.update({"a": math.nan, "b": 300.0}, do_backwards=False)
    for b in (700.0, 300.0):
        whole.update({"a": whole["a"].mean, "b": b}, do_backwards=False)

    assert group.next_weights() == pytest.approx(whole.next_weights())


def test_a_loss_that_comes_late_is_its_own_size_at_first() -> None:
    group = LossGroup(weighting=NormalizedWeighting())
    group.update({"a": 2.0}, do_backwards=False)

    total = group.update({"a": 2.0, "late": 500.0}, do_backwards=False)

    assert total.item() == pytest.approx(2)
    assert group.weights == {"a": 0.5, "late": 0.002}


@pytest.mark.parametrize(
    "inner", [ReLoBRaLo(), SoftAdapt(), UncertaintyWeighting(3), CoVWeighting(decay=0.5)]
)
def test_it_hands_on_what_the_inner_weighting_needs(inner: Any) -> None:
    weighting: Any = NormalizedWeighting(inner)

    for name in ("num_losses", "ratio_settings"):
        assert getattr(weighting, name, None) is getattr(inner, name, None)


def test_the_settings_reach_the_record_of_the_run(tmp_path: Path) -> None:
    inner = SoftAdapt(beta=0.5)
    with CsvLogger(tmp_path / "run") as logger:
        group = LossGroup(AB, logger, weighting=NormalizedWeighting(inner, by="first"))
        group.update({"a": 1.0, "b": 2.0}, do_backwards=False)

    assert read_run(tmp_path / "run").info["hyperparameters"]["weighting"] == {
        "method": "NormalizedWeighting",
        "by": "first",
        "inner": {"method": "SoftAdapt", **inner.hyperparams()},
    }


def test_another_weighting_inside_is_another_weighting_to_a_state() -> None:
    state = fed(inner=ReLoBRaLo()).state_dict()

    with pytest.raises(RuntimeError, match=r"NormalizedWeighting\(ReLoBRaLo\)"):
        fed((), inner=SoftAdapt()).load_state_dict(state)


def test_wrong_arguments_are_errors() -> None:
    with pytest.raises(ValueError, match='by must be "mean" or "first", got \'median\''):
        NormalizedWeighting(by="median")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the class ReLoBRaLo"):
        NormalizedWeighting(ReLoBRaLo)  # type: ignore[arg-type]


def test_missing_losses_stand_at_their_size_for_a_scalarizer() -> None:
    scalarization = pytest.importorskip("torchjd.scalarization", reason="needs the torchjd extra")
    from multi_loss_weighting import TorchJDWeighting

    group = fed(inner=TorchJDWeighting(scalarization.GeometricMean()))
    before = group.next_weights()["b"]

    group.update({"b": float(np.mean(STREAM, axis=0)[1])}, do_backwards=False)

    assert group.weights["b"] == pytest.approx(1 / 2 / np.mean(STREAM, axis=0)[1])
    assert before != group.weights["b"]


def test_a_scaled_history_knows_every_statistic() -> None:
    class Asks(nn.Module):
        def weigh(self, losses: Tensor, history: History, /) -> Weighted:
            for name in ("minimum", "maximum", "exponential_mean", "ratio_mean", "ratio_std"):
                seen[name] = np.asarray(getattr(history, name))
            seen["epoch_mean"] = history.gather("epoch_mean")
            return weighted_sum(losses, [1.0, 1.0])

    seen: dict[str, Any] = {}
    group = LossGroup(
        AB,
        weighting=NormalizedWeighting(Asks()),
        statistics=StatisticsSettings(decay=0.5),
    )
    for a, b in STREAM:
        group.update({"a": a, "b": b}, do_backwards=False)

    means = np.mean(STREAM[:-1], axis=0)
    assert seen["minimum"] == pytest.approx(np.min(STREAM[:-1], axis=0) / means)
    assert seen["maximum"] == pytest.approx(np.max(STREAM[:-1], axis=0) / means)
    assert seen["epoch_mean"] == pytest.approx([1, 1])
    assert np.isfinite([*seen.values()]).all()


@pytest.mark.parametrize("log_every", [None, 1])
@pytest.mark.parametrize("by", ["mean", "first", None])
def test_measuring_goes_through_the_graph_of_each_loss_once(by: Any, log_every: int | None) -> None:
    """With the norms of the losses over their sizes, which the weights of the first step show."""
    parameters = torch.tensor([3.0, 4.0], requires_grad=True)
    backwards = dict.fromkeys("abc", 0)

    def loss(name: str, times: float) -> Tensor:
        def count(_: Tensor) -> None:
            backwards[name] += 1

        hidden = parameters * times
        hidden.register_hook(count)  # type: ignore[no-untyped-call]
        norm: Tensor = torch.linalg.vector_norm(hidden)
        return norm

    inner = GradientShareWeighting([parameters], every=1, max_weight=1e9)
    weighting = inner if by is None else NormalizedWeighting(inner, by=by)
    group = LossGroup(weighting=weighting, log_every=log_every)

    for _ in range(3):
        total = group.update({"a": loss("a", 1.0), "b": loss("b", 1e3), "c": loss("c", 1e-3)})

    assert backwards == dict.fromkeys("abc", 3 + 3)
    sizes = {"a": 5.0, "b": 5e3, "c": 5e-3}
    weighted = [group.weights[name] * size for name, size in sizes.items()]
    assert weighted == pytest.approx([total.item() / 3] * 3, rel=1e-5)


@pytest.mark.parametrize("log_every", [None, 2])
@pytest.mark.parametrize("by", ["mean", "first"])
@pytest.mark.parametrize("value", [1e-40, 5e-324])
def test_a_loss_too_small_to_divide_by_counts_as_zero(
    value: float, by: Any, log_every: int | None
) -> None:
    dtype = torch.float32 if value > 1e-45 else torch.float64
    parameter = nn.Parameter(torch.ones(2, dtype=dtype))
    group = LossGroup(AB, weighting=NormalizedWeighting(by=by), log_every=log_every)
    for _ in range(3):
        group.update({"a": parameter[0] * value, "b": parameter[1] * 4.0})

    assert group.weights == {"a": 1.0, "b": 0.25}
    assert parameter.grad is not None
    assert parameter.grad.isfinite().all()


def test_an_inner_weighting_that_was_set_later_is_forgotten_and_saved() -> None:
    weighting = NormalizedWeighting()
    weighting.inner = SoftAdapt(every=1)
    group = LossGroup(["a", "b"], weighting=weighting)
    for loss in (1.0, 2.0, 4.0):
        group.record({"a": loss, "b": 2.0})
    remembered = weighting.inner.state_dict()

    group.reset()

    assert set(remembered) == {"a", "b"}
    assert weighting.inner.state_dict() == {}
