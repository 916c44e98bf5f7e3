"""A group that was given no names takes losses as they come, also at a later step."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch

from loss_loggers import MemoryLogger
from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    LossGroup,
    StaticWeighting,
    StatisticsSettings,
    TorchJDWeighting,
    UncertaintyWeighting,
    Weighted,
    weighted_sum,
)

from .methods import methods

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LATE = 4
STEPS = 9


def scalarizer() -> Any:
    scalarization = pytest.importorskip("torchjd.scalarization", reason="needs the torchjd extra")
    return TorchJDWeighting(scalarization.Random())


WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "sum": lambda: None,
    "equal": EqualWeighting,
    "static": lambda: StaticWeighting(adv=0.5),
    "schedule": lambda: StaticWeighting(adv=lambda step: step / 10),
    "CoV": CoVWeighting,
    "CoV, forgetful": lambda: CoVWeighting(decay=0.9, sum_to="K"),
    "learned": lambda: AutomaticWeightedLoss(2),
    "uncertainty": lambda: UncertaintyWeighting(2),
    "torchjd": scalarizer,
    **methods("recon adv"),
}


def losses_of(step: int) -> dict[str, torch.Tensor]:
    parameter = torch.ones((), dtype=torch.float64, requires_grad=True)
    losses = {"recon": parameter * (2 + step % 3)}
    if step >= LATE:
        losses["adv"] = parameter * (3 + step % 2)
    return losses


def by_update(group: LossGroup, losses: Mapping[str, Any]) -> None:
    group.update(losses)


def by_record(group: LossGroup, losses: Mapping[str, Any]) -> None:
    group.weigh(losses).backward()  # type: ignore[no-untyped-call]
    group.record(losses)


def by_accumulate(group: LossGroup, losses: Mapping[str, Any]) -> None:
    first = dict(list(losses.items())[:1])
    group.accumulate(first, samples=2)  # the other one comes in the middle of a step
    group.weigh(losses).backward()  # type: ignore[no-untyped-call]
    group.accumulate(losses, samples=3)
    group.record()


WAYS = {"update": by_update, "record": by_record, "accumulate": by_accumulate}


def group_of(weighting: str, log_every: int | None, logger: Any = None) -> LossGroup:
    torch.manual_seed(0)
    return LossGroup(
        logger=logger,
        weighting=WEIGHTINGS[weighting](),
        max_loss={"adv": 3.5},
        log_every=log_every,
        block_size=2,
        statistics=StatisticsSettings(decay=0.5),
    )


def numbers(group: LossGroup) -> dict[str, Any]:
    return {
        name: (*group[name].record[:16], *group[name].record.rare[:12], group[name].get_history())
        for name in group
    }


def same(left: object, right: object) -> bool:
    return repr(left) == repr(right)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.filterwarnings("ignore:the weights of")
def test_a_loss_joins_at_the_step_at_which_it_comes(
    way: str, weighting: str, log_every: int | None
) -> None:
    logger = MemoryLogger()
    group = group_of(weighting, log_every, logger)
    for step in range(STEPS):
        WAYS[way](group, losses_of(step))
        assert group.names == (("recon",) if step < LATE else ("recon", "adv"))
    group.flush()

    late = range(LATE, STEPS)
    assert (group["recon"].count, group["adv"].count) == (STEPS, len(late))
    assert [step for step, _ in logger["loss/recon"]] == list(range(STEPS))
    assert logger["loss/adv"] == [(step, 3.0 + step % 2) for step in late]
    assert group["adv"].clamped == sum(step % 2 for step in late)
    if weighting == "static":
        assert set(logger.values("weight/adv")) == {0.5}
    if weighting == "schedule":
        assert logger["weight/adv"] == [(step, pytest.approx(step / 10)) for step in late]
    if weighting.startswith("CoV"):
        size = 1 if weighting == "CoV" else 2
        # 1/K until its ratio has seen enough, and the other the rest.
        assert logger.values("weight/adv")[:2] == pytest.approx([size / 2] * 2)
        assert logger.values("weight/recon")[LATE] == pytest.approx(size / 2)


# Each weighting in each way, read at once and late; saved before a loss joined, or after it.
RESUMED = [
    (way, weighting, log_every, LATE + (1 if (one + two + three) % 2 else -1))
    for one, way in enumerate(WAYS)
    for two, weighting in enumerate(WEIGHTINGS)
    for three, log_every in enumerate([None, 3])
]


@pytest.mark.parametrize(("way", "weighting", "log_every", "at"), RESUMED)
@pytest.mark.filterwarnings("ignore:the weights of")
def test_a_resumed_group_goes_on_as_if_it_were_not(
    way: str, weighting: str, log_every: int | None, at: int
) -> None:
    whole, half = group_of(weighting, log_every), group_of(weighting, log_every)
    torch.manual_seed(1)
    for step in range(STEPS):
        WAYS[way](whole, losses_of(step))
    torch.manual_seed(1)
    for step in range(at):
        WAYS[way](half, losses_of(step))
    new = group_of(weighting, log_every)
    state, random = half.state_dict(), torch.get_rng_state()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    new.load_state_dict(state)
    torch.set_rng_state(random)
    copied = copy.deepcopy(half)

    assert new.names == half.names
    for step in range(at, STEPS):
        WAYS[way](new, losses_of(step))
    assert same(numbers(new), numbers(whole))
    assert new.step == whole.step
    torch.set_rng_state(random)
    for step in range(at, STEPS):
        WAYS[way](copied, losses_of(step))
    assert same(numbers(copied), numbers(whole))


@pytest.mark.parametrize("log_every", [None, 3])
def test_the_order_is_that_in_which_they_came_and_is_saved(log_every: int | None) -> None:
    group = group_of("learned", log_every)
    group.record({"b": 1.0})
    group.record({"a": 2.0, "b": 1.0})
    assert group.names == ("b", "a")
    with torch.no_grad():
        weighs: Any = group.weighting
        weighs.params.copy_(torch.tensor([2.0, 4.0]))

    new = group_of("learned", log_every)
    new.load_state_dict(group.state_dict())
    new.record({"a": 2.0, "b": 1.0})

    assert new.names == ("b", "a")
    assert new.next_weights() == {"b": 0.125, "a": pytest.approx(0.5 / 16)}


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize(
    "losses",
    [
        {"recon": 1.0, "adv": torch.ones(2)},
        {"recon": 1.0, "adv": "x"},
        {"recon": 1.0, "adv": None},
        {"recon": 1.0, "adv": torch.ones((), dtype=torch.complex64)},
        {"adv": torch.ones(0)},
        {"recon": torch.ones(2), "adv": 1.0},
        {"recon": 1.0, "": 1.0},
        {"recon": 1.0, "two\nlines": 1.0},
        {"recon": 1.0, 3: 1.0},
        {"recon": 1.0, "total": 1.0},
    ],
)
def test_a_step_that_is_refused_lets_nothing_join(
    losses: Mapping[Any, Any], log_every: int | None
) -> None:
    for kind in ("sum", "CoV"):
        group = group_of(kind, log_every)
        group.record({"recon": torch.tensor(1.0)})
        before = group.state_dict()["_extra_state"]
        for call in (group.weigh, group.record, group.accumulate, group.update):
            with pytest.raises((TypeError, ValueError)):
                call(losses)

        assert group.names == ("recon",)
        assert torch.equal(before, group.state_dict()["_extra_state"])
        assert (group.step, group["recon"].count) == (1, 1)


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("kind", ["learned", "uncertainty"])
def test_weights_for_two_losses_take_two(kind: str, log_every: int | None) -> None:
    group = group_of(kind, log_every)
    group.record({"a": 1.0, "b": 1.0})
    for call in (group.weigh, group.record, group.accumulate, group.update):
        with pytest.raises(ValueError, match=r"2 losses.*'c'"):
            call({"a": 1.0, "b": 1.0, "c": 1.0})
    assert group.names == ("a", "b")
    assert (group.step, group["a"].count) == (1, 1)


@pytest.mark.parametrize("log_every", [None, 3])
def test_given_names_are_a_contract(log_every: int | None) -> None:
    group = LossGroup(["a", "b"], log_every=log_every)
    for call in (group.weigh, group.record, group.accumulate, group.update):
        with pytest.raises(ValueError, match="losses must be among a, b, got c"):
            call({"a": 1.0, "c": 1.0})
    with pytest.raises(ValueError, match="max_loss must name losses among a"):
        LossGroup(["a"], max_loss={"b": 1.0})
    with pytest.raises(ValueError, match="weights for b"):
        LossGroup(["a"], weighting=StaticWeighting(b=2.0)).record({"a": 1.0})
    assert group.step == 0


@pytest.mark.parametrize("log_every", [None, 400])
def test_more_than_1000_names_are_a_mistake(log_every: int | None) -> None:
    group = LossGroup(log_every=log_every)
    group.record({f"loss {step}": 1.0 for step in range(1000)})
    for call in (group.weigh, group.record, group.accumulate):
        with pytest.raises(ValueError, match=r"1000 at most.*step"):
            call({"loss 1000": 1.0})
    assert (len(group), group.step) == (1000, 1)


def test_a_late_loss_may_be_passed_over() -> None:
    group = LossGroup(ignore=["total", "loss"])
    group.record({"a": 1.0, "total": 1.0})
    group.record({"a": 1.0, "b": 2.0, "loss": 3.0})
    assert group.names == ("a", "b")


def test_a_bad_limit_of_a_late_loss_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match=r"max_loss must be positive, got -1.*adv"):
        LossGroup(max_loss={"adv": -1})


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("weighting", ["sum", "static", "schedule", "CoV", "equal"])
def test_a_late_loss_is_recorded_beside_compiled_code(
    weighting: str, log_every: int | None
) -> None:
    group = group_of(weighting, log_every)
    group.record(losses_of(0))
    compiled = torch.compile(lambda losses: group.weigh(losses), backend="eager")
    for step in range(1, STEPS):
        losses = losses_of(step)
        if step == LATE:
            group.record(losses)  # compiled code needs to know its name
            continue
        eager = group.weigh(losses).item()
        assert compiled(losses).item() == pytest.approx(eager, rel=1e-6)
        group.record({name: loss.detach() for name, loss in losses.items()})
    assert (group.step, group["adv"].count) == (STEPS, STEPS - LATE)


class ForTwo:
    """Has weights for two losses, and says so nowhere."""

    def weigh(self, losses: torch.Tensor, _: Any, /) -> Weighted:
        return weighted_sum(losses, torch.ones(2).to(losses))


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("do_weigh", [True, False])
def test_a_loss_that_the_weighting_cannot_weigh_does_not_join(
    log_every: int | None, do_weigh: bool
) -> None:
    group = LossGroup(weighting=ForTwo(), log_every=log_every)
    group.record({"a": 1.0, "b": 2.0})
    bad = {"a": 1.0, "b": 1.0, "c": 1.0}
    before = group.state_dict()["_extra_state"]
    with pytest.raises((ValueError, RuntimeError)):
        (group.weigh if do_weigh else group.record)(bad)
    with pytest.raises((ValueError, RuntimeError)):
        group.update(bad, do_backwards=False)

    assert torch.equal(before, group.state_dict()["_extra_state"])
    group.record({"a": 3.0, "b": 2.0})
    assert (group.names, group["a"].mean) == (("a", "b"), 2.0)


@pytest.mark.parametrize("log_every", [None, 3])
def test_a_backward_that_raises_lets_nothing_join(log_every: int | None) -> None:
    def fail(_: torch.Tensor) -> None:
        raise LookupError

    group = LossGroup(backward=fail, log_every=log_every)
    group.record({"recon": 1.0})
    with pytest.raises(LookupError):
        group.update(losses_of(LATE))
    assert group.names == ("recon",)


@pytest.mark.parametrize("log_every", [None, 3])
@pytest.mark.parametrize("way", ["update", "record", "accumulate", "accumulate after"])
def test_extra_cannot_replace_a_number_of_a_loss_that_joins(
    way: str, log_every: int | None
) -> None:
    logger = MemoryLogger()
    group = LossGroup(logger=logger, log_every=log_every)
    group.record({"a": 1.0})
    losses, extra = {"a": 1.0, "b": 2.0}, {"loss/b": 99.0}
    calls: dict[str, Callable[[], Any]] = {
        "update": lambda: group.update(losses, do_backwards=False, extra=extra),
        "record": lambda: group.record(losses, extra=extra),
        "accumulate": lambda: group.accumulate(losses, extra=extra),
        "accumulate after": lambda: group.accumulate(losses),
    }
    if way == "accumulate after":
        group.accumulate({"a": 1.0}, extra=extra)
    with pytest.raises(ValueError, match="loss/b"):
        calls[way]()
    assert group.names == ("a",)
    group.forget_accumulated()
    group.record(losses)
    group.flush()
    assert logger["loss/b"] == [(1, 2.0)]
