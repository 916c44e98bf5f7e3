"""Training loops as people write them."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    CoVWeighting,
    LossGroup,
    LossTracker,
    UncertaintyWeighting,
)


def losses_of(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    out = model(x)
    return {"fit": ((out - 1) ** 2).mean(), "size": out.abs().mean() + 0.1}


def make_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(3, 1)


def batches(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(8, 3, generator=generator) for _ in range(count)]


def test_a_gradient_scaler_scales_gradients_and_no_statistic() -> None:
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    group = LossGroup(
        ["fit", "size"],
        weighting=CoVWeighting(),
        backward=lambda total: scaler.scale(total).backward(),  # type: ignore[no-untyped-call]
    )
    raw = []
    for x in batches(5):
        optimizer.zero_grad()
        losses = losses_of(model, x)
        raw.append(losses["fit"].item())
        group.update(losses)
        scaler.step(optimizer)
        scaler.update()

    assert group["fit"].get_history() == raw


def test_a_step_that_a_gradient_scaler_skips_counts_once() -> None:
    model = make_model()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    group = LossGroup(["fit", "size"], nonfinite="keep")
    losses = losses_of(model, batches(1)[0])
    losses["fit"] = losses["fit"] * math.inf
    total = group.weigh(losses)
    scaler.scale(total).backward()  # type: ignore[no-untyped-call]
    with pytest.warns(RuntimeWarning, match="fit"):
        group.record(losses)
    scaler.step(optimizer)
    scaler.update()

    assert torch.equal(model.weight, before["weight"])  # type: ignore[arg-type]
    assert scaler.get_scale() == 512.0
    assert (group.step, group["fit"].nonfinite, group["size"].count) == (1, 1, 1)


def test_a_closure_weighs_as_often_as_it_likes_and_one_step_is_recorded() -> None:
    model = make_model()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5)
    group = LossGroup(["fit", "size"], weighting=CoVWeighting())
    x = batches(1)[0]

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = group.weigh(losses_of(model, x))
        total.backward()  # type: ignore[no-untyped-call]
        return total

    for _ in range(4):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            group.record(losses_of(model, x))

    assert group.step == group["fit"].count == 4
    assert group["fit"].get_history()[-1] < group["fit"].get_history()[0]


def test_accumulated_steps_weigh_alike_and_are_recorded_as_their_mean() -> None:
    model = make_model()
    group = LossGroup(["fit", "size"], weighting=CoVWeighting())
    for step in range(6):
        weights, values = [], []
        for x in batches(3):
            losses = losses_of(model, x * (1 + step))
            (group.weigh(losses) / 3).backward()  # type: ignore[no-untyped-call]
            weights.append(group.next_weights())
            values.append({name: loss.detach() for name, loss in losses.items()})
        group.record({name: sum(one[name] for one in values) / 3 for name in group})
        assert weights[0] == weights[1] == weights[2] == group.weights

    assert group.step == group["fit"].count == 6


def test_two_optimizers_share_one_step_of_a_gan() -> None:
    logger = MemoryLogger()
    generator, critic = make_model(0), nn.Linear(1, 1)
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.01) for net in (generator, critic)]
    trackers = {name: LossTracker(name, logger) for name in ("D", "G")}
    for x in batches(3):
        fake = generator(x)
        optimizers[1].zero_grad()
        trackers["D"].update(critic(fake.detach()).mean())
        optimizers[1].step()
        optimizers[0].zero_grad()
        trackers["G"].update(-critic(fake).mean())
        optimizers[0].step()

    assert [step for step, _ in logger["loss/G"]] == [step for step, _ in logger["loss/D"]]
    assert trackers["G"].count == trackers["D"].count == 3


def test_several_backward_calls_on_one_graph_need_the_graph_only_before_the_last() -> None:
    model = make_model()
    first, second = LossTracker("fit"), LossTracker("size", weight=0.5)
    losses = losses_of(model, batches(1)[0])
    first.update(losses["fit"], retain_graph=True)
    second.update(losses["size"])

    twin = make_model()
    others = losses_of(twin, batches(1)[0])
    (others["fit"] + 0.5 * others["size"]).backward()  # type: ignore[no-untyped-call]
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad)


def test_a_validation_group_under_inference_mode_changes_no_weight() -> None:
    logger = MemoryLogger()
    model = make_model()
    group = LossGroup(["fit", "size"], logger, weighting=CoVWeighting())
    validation = LossGroup(["fit", "size"], logger, scope="val")
    for x in batches(4):
        group.record(losses_of(model, x))
    before = group.next_weights()
    with torch.inference_mode():
        for x in batches(4):
            validation.record(losses_of(model, x), step=group.step)

    assert group.next_weights() == before
    assert validation["fit"].count == 4
    assert len(logger["loss/val/fit"]) == 4
    losses_of(model, batches(1)[0])["fit"].backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on_as_the_original(copied: Any) -> None:
    group = LossGroup(["fit", "size"], weighting=UncertaintyWeighting(2))
    model = make_model()
    for x in batches(3):
        group.update(losses_of(model, x))
    other = copied(group)
    for one in (group, other):
        one.record({"fit": 1.5, "size": 2.5})

    assert other["fit"].std == group["fit"].std
    assert other.step == group.step
    assert torch.equal(other.get_extra_state(), group.get_extra_state())


def test_trackers_in_two_threads_do_not_meet() -> None:
    trackers = [LossTracker(name) for name in ("G", "D")]

    def train(tracker: LossTracker, start: float) -> None:
        for step in range(2000):
            tracker.update(start + step, do_backwards=False)

    threads = [
        threading.Thread(target=train, args=(tracker, 1000.0 * place))
        for place, tracker in enumerate(trackers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [tracker.mean for tracker in trackers] == [999.5, 1999.5]


class _Numbers(torch.utils.data.Dataset[Tensor]):
    """A dataset whose workers inherit a group, as those of a training script do."""

    def __init__(self, group: LossGroup) -> None:
        self.group = group

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((3,), float(index + self.group.step))


def test_workers_that_fork_leave_the_group_of_the_training_alone() -> None:
    group = LossGroup(["fit", "size"], MemoryLogger())
    model = make_model()
    loader = torch.utils.data.DataLoader(
        _Numbers(group), batch_size=2, num_workers=1, multiprocessing_context="fork"
    )
    for _ in range(2):
        for x in loader:
            group.update(losses_of(model, x))

    assert group.step == group["fit"].count == 4


def test_a_loss_inside_vmap_is_refused_and_counts_nothing() -> None:
    group = LossGroup(["fit"])
    with pytest.raises(TypeError, match="vmap"):
        torch.vmap(lambda x: group.update({"fit": x.sum()}, do_backwards=False))(torch.ones(2, 3))

    assert group.step == group["fit"].count == 0


def test_micro_batches_are_one_step_of_their_mean() -> None:
    micro, whole = (LossGroup(["a", "b"], weighting=CoVWeighting()) for _ in range(2))
    for step in range(5):
        weights = micro.next_weights()
        for part in (1.0, 2.0, 6.0):
            micro.accumulate({"a": part + step, "b": part * step})
            assert micro.next_weights() == weights
        micro.record()
        whole.record({"a": 3.0 + step, "b": 3.0 * step})

    assert (micro.step, micro["a"].count) == (5, 5)
    assert micro.next_weights() == pytest.approx(whole.next_weights())
    assert micro["b"].std == pytest.approx(whole["b"].std)


def test_a_micro_batch_counts_by_its_samples_and_its_nan_is_seen() -> None:
    group = LossGroup(["a", "b"])
    group.accumulate({"a": 1.0, "b": math.nan}, samples=3)
    group.accumulate({"a": 5.0}, samples=1)

    with pytest.warns(RuntimeWarning, match="'b' is nan at step 0"):
        group.record()

    assert (group["a"].mean, group["a"].count) == (2.0, 1)
    assert (group["b"].nonfinite, group["b"].count, bool(group.finite)) == (1, 0, False)


def test_micro_batches_survive_a_restart_and_can_be_given_up() -> None:
    group, other = LossGroup(["a"]), LossGroup(["a"])
    group.accumulate({"a": 1.0})
    other.load_state_dict(group.state_dict())
    group.forget_accumulated()

    other.record({"a": 3.0})

    assert other["a"].value == 2.0
    with pytest.raises(ValueError, match="accumulated, got none"):
        group.record()
    assert group.step == 0
