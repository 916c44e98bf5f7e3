"""A checkpoint of other losses or settings: what both have is loaded, and what differs is said."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import nn

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    EqualWeighting,
    LearnedWeighting,
    LossGroup,
    NormalizedWeighting,
    StaticWeighting,
    StatisticsSettings,
    UncertaintyWeighting,
    Weighted,
)


class Picky:
    """A weighting that takes no state."""

    def weigh(self, losses: Any, history: Any, /) -> Any:
        return EqualWeighting().weigh(losses, history)

    def state_dict(self) -> dict[str, Any]:
        return {"a": 1}

    def load_state_dict(self, state: Any) -> None:
        msg = f"this weighting takes no {state}"
        raise KeyError(msg)


class Meta(nn.Module):
    """A weighting that learns a network, which knows of no loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))

    def weigh(self, losses: Any, history: Any, /) -> Any:
        weights = self.net(losses.detach().float()[:, None])[:, 0].exp()
        return Weighted((weights * losses).sum(), weights.detach())


class Table(LearnedWeighting):
    """One that learns a number for each loss, and more."""

    def __init__(self) -> None:
        super().__init__(2, start=1.0)
        self.register_buffer("table", torch.rand(2))
        self.scale_and_shift = nn.Parameter(torch.rand(2))

    def terms_and_weights(self, params: Any, losses: Any) -> Any:
        return params * losses, params.detach()


LEARNED = (AutomaticWeightedLoss, UncertaintyWeighting)
WEIGHTINGS: dict[str, Any] = {
    "none": lambda _: None,
    "cov": lambda _: CoVWeighting(),
    "automatic": AutomaticWeightedLoss,
    "uncertainty": UncertaintyWeighting,
    "picky": lambda _: Picky(),
}
KINDS = [kind for kind in WEIGHTINGS if kind != "picky"]


class Net(nn.Module):
    def __init__(
        self,
        names: Any,
        kind: str = "cov",
        count: int = 0,
        block_size: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.encoder = nn.Linear(2, 2)
        weighting = WEIGHTINGS[kind](count or len(names))
        self.losses = LossGroup(
            names,
            weighting=weighting,
            block_size=block_size,
            statistics=StatisticsSettings(**settings),
        )
        self.decoder = nn.Linear(2, 2)

    def record(self, steps: int = 6) -> Net:
        for step in range(steps):
            values = {"recon": 1.0 + step, "kl": 2.0 + step % 2, "lpips": 1.0 / (1 + step)}
            self.losses.record({name: values[name] for name in self.losses})
        if isinstance(self.losses.weighting, LEARNED):
            with torch.no_grad():
                self.losses.weighting.params.copy_(torch.arange(len(self.losses)) + 1.5)
        return self


def has_network_of(new: Net, old: Net) -> bool:
    pairs = [(new.encoder, old.encoder), (new.decoder, old.decoder)]
    return all(a.weight.equal(b.weight) and a.bias.equal(b.bias) for a, b in pairs)


def of_loss(net: Net, name: str) -> tuple[Any, ...]:
    loss = net.losses[name]
    return (loss.count, loss.mean, loss.std, loss.cov_weight, loss.value, loss.get_history())


def learned(net: Net) -> dict[str, float]:
    """The learned parameters by the names of their losses."""
    params = getattr(net.losses.weighting, "params", torch.zeros(0))
    return dict(zip(net.losses, params.tolist(), strict=False))


OTHERS = [
    (("recon", "kl", "lpips"), ("lpips",)),
    (("recon",), ("kl",)),
    (("kl",), ("recon",)),
    (("lpips", "recon"), ("kl", "lpips")),
    (("lpips",), ("recon", "kl", "lpips")),
    (("lpips", "kl", "recon"), ("lpips",)),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("names", "differ"), OTHERS)
def test_not_strict_takes_what_both_have_and_returns_the_rest(
    names: tuple[str, ...], differ: tuple[str, ...], kind: str
) -> None:
    old, new = Net(("recon", "kl"), kind).record(), Net(names, kind)
    fresh = learned(new)

    keys = new.load_state_dict(old.state_dict(), strict=False)

    assert has_network_of(new, old)
    saved = learned(old)
    for name in names:
        if name in old.losses:
            assert of_loss(new, name) == of_loss(old, name)
        else:
            assert (new.losses[name].count, new.losses[name].get_history()) == (0, [])
    assert learned(new) == {name: saved.get(name, fresh[name]) for name in fresh}
    assert new.losses.step == 6
    for name in differ:
        said = keys.missing_keys if name in names else keys.unexpected_keys
        assert any(repr(name) in key for key in said)
    both = set(names) & set(old.losses)
    assert not any(repr(name) in key for name in both for key in (*keys[0], *keys[1]))
    new.record(2)
    assert math.isfinite(sum(new.losses.next_weights().values()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("names", "differ"), OTHERS)
def test_strict_says_in_one_error_what_differs_and_how_to_go_on(
    names: tuple[str, ...], differ: tuple[str, ...], kind: str
) -> None:
    old, new = Net(("recon", "kl"), kind).record(), Net(names, kind)

    with pytest.raises(RuntimeError, match="strict=False") as caught:
        new.load_state_dict(old.state_dict())

    assert all(repr(name) in str(caught.value) for name in differ)
    assert has_network_of(new, old)
    new.record(2)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_another_order_is_no_difference(kind: str, strict: bool) -> None:
    old, new = Net(("recon", "kl"), kind).record(), Net(("kl", "recon"), kind)
    state = old.state_dict()
    before = {key: value.clone() for key, value in state.items()}

    keys = new.load_state_dict(state, strict=strict)

    assert keys == ([], [])
    assert new.losses.names == ("kl", "recon")
    assert [of_loss(new, name) for name in old.losses] == [of_loss(old, n) for n in old.losses]
    assert learned(new) == learned(old)
    assert all(state[key].equal(value) for key, value in before.items())


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_group_without_names_takes_those_of_the_state(kind: str, strict: bool) -> None:
    old, new = Net(("recon", "kl"), kind).record(), Net(None, kind, count=2)

    keys = new.load_state_dict(old.state_dict(), strict=strict)

    assert keys == ([], [])
    assert new.losses.names == ("recon", "kl")
    assert new.losses.state_dict()["_extra_state"].equal(old.losses.state_dict()["_extra_state"])


SETTINGS = [
    ("block_size", 3, 4),
    ("block_size", 3, None),
    ("block_size", None, 3),
    ("decay", 0.9, 0.5),
    ("decay", 0.9, None),
    ("decay", None, 0.9),
]


@pytest.mark.parametrize(("setting", "saved", "own"), SETTINGS)
def test_another_setting_keeps_the_statistics_that_it_has_no_part_in(
    setting: str, saved: Any, own: Any
) -> None:
    old = Net(("recon", "kl"), **{setting: saved}).record()
    new = Net(("recon", "kl"), **{setting: own})

    keys = new.load_state_dict(old.state_dict(), strict=False)

    assert has_network_of(new, old)
    assert [of_loss(new, name) for name in new.losses] == [of_loss(old, n) for n in new.losses]
    assert new.losses.next_weights() == old.losses.next_weights()
    assert any(setting in key for key in (*keys.missing_keys, *keys.unexpected_keys))
    fresh = Net(("recon", "kl"), **{setting: own}).record(12)
    new.record(12)
    if setting == "block_size":
        assert repr(new.losses["kl"].block_mean) == repr(fresh.losses["kl"].block_mean)


@pytest.mark.parametrize(("setting", "saved", "own"), SETTINGS)
def test_strict_names_the_setting_that_differs(setting: str, saved: Any, own: Any) -> None:
    old = Net(("recon", "kl"), **{setting: saved}).record()
    new = Net(("recon", "kl"), **{setting: own})

    with pytest.raises(RuntimeError, match=rf"{setting}.*strict=False"):
        new.load_state_dict(old.state_dict())

    assert has_network_of(new, old)


@pytest.mark.parametrize("history", [3, 10])
def test_a_history_of_another_length_is_no_difference(history: int) -> None:
    old, new = Net(("recon", "kl"), history=5).record(), Net(("recon", "kl"), history=history)

    assert new.load_state_dict(old.state_dict()) == ([], [])

    assert new.losses["recon"].get_history() == [2.0, 3.0, 4.0, 5.0, 6.0][-history:]


@pytest.mark.parametrize(
    ("saved", "own"),
    [("cov", "none"), ("none", "cov"), ("cov", "automatic"), ("automatic", "cov")],
)
def test_another_weighting_keeps_the_statistics(saved: str, own: str) -> None:
    old, new = Net(("recon", "kl"), saved).record(), Net(("recon", "kl"), own)

    keys = new.load_state_dict(old.state_dict(), strict=False)

    assert has_network_of(new, old)
    of_both = ("count", "mean", "std", "value")
    for name, what in [(name, what) for name in new.losses for what in of_both]:
        assert getattr(new.losses[name], what) == getattr(old.losses[name], what)
    kinds = [type(net.losses.weighting).__name__ for net in (new, old)]
    assert all(kind in "".join((*keys[0], *keys[1])) for kind in kinds)


@pytest.mark.parametrize("strict", [True, False])
def test_a_checkpoint_from_before_there_was_a_group_loads(strict: bool) -> None:
    old, new = Net(("recon", "kl")), Net(("recon", "kl"))
    state = {key: value for key, value in old.state_dict().items() if "losses" not in key}

    if strict:
        with pytest.raises(RuntimeError, match=r'Missing key.*"losses._extra_state'):
            new.load_state_dict(state)
    else:
        assert new.load_state_dict(state, strict=False).missing_keys == ["losses._extra_state"]

    assert has_network_of(new, old)


@pytest.mark.parametrize("strict", [True, False])
def test_an_error_in_a_users_weighting_comes_after_all_the_rest_is_loaded(strict: bool) -> None:
    old, new = Net(("recon", "kl"), "picky").record(), Net(("recon", "kl"), "picky")

    with pytest.raises(RuntimeError, match=r"Picky.*takes no \{'a': 1\}"):
        new.load_state_dict(old.state_dict(), strict=strict)

    assert has_network_of(new, old)
    assert new.losses["recon"].count in (0, 6)
    new.record(2)


def test_weights_by_name_stay_with_their_losses() -> None:
    old = LossGroup(("recon", "kl"), weighting=StaticWeighting(recon=2.0, kl=0.5))
    new = LossGroup(("kl", "lpips"), weighting=StaticWeighting(kl=1.0, lpips=3.0))

    keys = new.load_state_dict(old.state_dict(), strict=False)

    assert new.next_weights() == {"kl": 0.5, "lpips": 3.0}
    assert "'recon'" in "".join(keys.unexpected_keys)


def test_the_group_alone_says_the_same() -> None:
    old, new = LossGroup(("recon", "kl")), LossGroup(("recon",))

    with pytest.raises(RuntimeError, match=r"'kl'.*strict=False"):
        new.load_state_dict(old.state_dict())

    assert "'kl'" in "".join(new.load_state_dict(old.state_dict(), strict=False).unexpected_keys)


@pytest.mark.parametrize(
    ("saved", "own"), [("automatic", "uncertainty"), ("uncertainty", "automatic")]
)
def test_what_another_method_has_learned_is_not_taken(saved: str, own: str) -> None:
    old, new = Net(("recon", "kl"), saved).record(), Net(("recon", "kl"), own)
    before = learned(new)

    keys = new.load_state_dict(old.state_dict(), strict=False)

    assert learned(new) == before != learned(old)
    assert "losses.weighting.params" in keys.missing_keys
    assert new.losses["kl"].count == 6


@pytest.mark.parametrize("wrap", [lambda one: one, NormalizedWeighting])
@pytest.mark.parametrize("make", [Meta, Table])
@pytest.mark.parametrize("names", [("kl", "recon"), ("kl", "lpips")])
def test_only_a_number_for_each_loss_follows_its_name(
    names: tuple[str, ...], make: Any, wrap: Any
) -> None:
    old = LossGroup(("recon", "kl"), weighting=wrap(make()))
    new = LossGroup(names, weighting=wrap(make()))
    state = old.state_dict()

    new.load_state_dict(state, strict=names == ("kl", "recon"))

    for key, value in new.state_dict().items():
        assert key.endswith(("_extra_state", "params")) or value.equal(state[key])


@pytest.mark.parametrize("wrap", [lambda one: one, NormalizedWeighting])
@pytest.mark.parametrize("make", LEARNED)
@pytest.mark.parametrize(
    ("saved", "own", "names"),
    [(2, 3, None), (3, 2, None), (3, 2, ("recon", "kl")), (3, 2, ("kl", "recon"))],
)
def test_learned_weights_load_where_the_weighting_is_made_for_more_or_fewer_losses(
    saved: int, own: int, names: Any, make: Any, wrap: Any
) -> None:
    old = LossGroup(weighting=wrap(make(saved)))
    old.record({"recon": 1.0, "kl": 2.0})
    with torch.no_grad():
        next(old.parameters()).copy_(torch.arange(saved) + 1.5)
    new = LossGroup(names, weighting=wrap(make(own)))
    strict = LossGroup(names, weighting=wrap(make(own)))
    start = next(new.parameters()).tolist()

    keys = new.load_state_dict(old.state_dict(), strict=False)
    said = f"params for {saved} losses (here for {own}; strict=False loads what both have)"
    with pytest.raises(RuntimeError, match=re.escape(said)):
        strict.load_state_dict(old.state_dict())

    assert said in "".join(keys.unexpected_keys)
    learned = dict(zip(new, next(new.parameters()).tolist(), strict=False))
    assert learned == {"recon": 1.5, "kl": 2.5}
    assert next(new.parameters()).tolist()[2:] == start[2:]
    assert new["kl"].count == 1
    new.record({"recon": 1.0, "kl": 2.0})


def test_a_weighting_for_more_losses_takes_over_one_before_its_first_step() -> None:
    new = LossGroup(weighting=AutomaticWeightedLoss(3))

    keys = new.load_state_dict(
        LossGroup(weighting=AutomaticWeightedLoss(2)).state_dict(), strict=False
    )

    assert "params for 2 losses" in "".join(keys.unexpected_keys)


@pytest.mark.parametrize("what", ["mean", "value", "weight", "max_loss", "record"])
def test_a_view_of_a_loss_that_a_load_has_dropped_says_which_there_are(what: str) -> None:
    old, group = LossGroup(), LossGroup()
    old.record({"kl": 1.0})
    group.record({"recon": 1.0, "kl": 2.0})
    gone, kept = group["recon"], group["kl"]

    group.load_state_dict(old.state_dict())

    with pytest.raises(KeyError, match=r"a loss of this group \(kl\), got 'recon'"):
        getattr(gone, what)
    assert kept.mean == 1.0
