"""A model that owns a group goes through the checkpoints that people use unchanged."""

from __future__ import annotations

import copy
import pickle
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim.swa_utils import AveragedModel

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    StaticWeighting,
    StatisticsSettings,
    UncertaintyWeighting,
    Weighted,
)
from multi_loss_weighting.weighting.torchjd import TorchJDWeighting

# Safetensors and the Hub's library come with it.
pytest.importorskip("accelerate", reason="needs the accelerate extra")

from accelerate import Accelerator
from huggingface_hub import PyTorchModelHubMixin
from safetensors.torch import load_model, save_model

from .methods import methods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from multi_loss_weighting import History

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")

KEY = "losses._extra_state"
SAVED_AT, END = 11, 18


class UsersOwn:
    """A weighting of a user, with a memory of plain numbers and a list."""

    def __init__(self) -> None:
        self.memory: dict[str, Any] = {"calls": 0, "best": None, "recent": [0, 0.5], "name": "own"}

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        weight = 1 + self.memory["recent"][-1] / (1 + self.memory["calls"])
        total = weight * losses.sum()
        if losses.requires_grad:
            last, best = float(losses.detach().sum()), self.memory["best"]
            self.memory["calls"] += 1
            self.memory["best"] = last if best is None else min(last, best)
            self.memory["recent"] = [self.memory["recent"][-1], last]
        return Weighted(total, torch.full_like(losses, weight))

    def state_dict(self) -> dict[str, Any]:
        return dict(self.memory)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.memory = dict(state)


def changed_weight() -> StaticWeighting:
    weighting = StaticWeighting(a=0.1)
    weighting["a"] = 0.7
    return weighting


def random_weights() -> TorchJDWeighting:
    scalarization = pytest.importorskip("torchjd.scalarization", reason="needs the torchjd extra")
    return TorchJDWeighting(scalarization.Random())


# What the run has that is saved, and what a new model has before it loads.
WEIGHTINGS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "none": (lambda: None, lambda: None),
    "cov": (CoVWeighting, CoVWeighting),
    "automatic": (lambda: AutomaticWeightedLoss(2), lambda: AutomaticWeightedLoss(2)),
    "uncertainty": (lambda: UncertaintyWeighting(2), lambda: UncertaintyWeighting(2)),
    "static": (changed_weight, lambda: StaticWeighting(a=0.1)),
    "user's own": (UsersOwn, UsersOwn),
    "torchjd": (random_weights, random_weights),
    **{name: (make, make) for name, make in methods("a b").items()},
}
KINDS = list(WEIGHTINGS)


class Net(nn.Module):
    def __init__(
        self, kind: str, names: Iterable[str] | None = ("a", "b"), is_new: bool = True
    ) -> None:
        super().__init__()
        self.kind = kind
        self.layer = nn.Linear(2, 2)
        weighting = WEIGHTINGS[kind][is_new]()
        self.losses = LossGroup(
            names,
            weighting=weighting,
            block_size=5,
            statistics=StatisticsSettings(history=8, decay=0.9),
        )
        self.head = nn.Linear(2, 2)

    def train_steps(self, steps: Iterable[int]) -> Net:
        for step in steps:
            out = self.head(self.layer(torch.randn(8, 2, generator=seeded(step))))
            self.zero_grad()
            self.losses.update({"a": out[:, 0].square().mean(), "b": (out[:, 1] - 1).abs().mean()})
            torch.optim.SGD(self.parameters(), 0.1).step()
        return self

    def numbers(self) -> dict[str, Any]:
        """All that a user reads, and all that a checkpoint has."""
        return {
            "step": self.losses.step,
            "losses": {name: of_loss(self.losses[name]) for name in self.losses},
            "weights": (self.losses.weights, self.losses.next_weights()),
            "state": {key: value.tolist() for key, value in self.state_dict().items()},
        }


class HubNet(Net, PyTorchModelHubMixin):
    pass


def of_loss(loss: Any) -> tuple[Any, ...]:
    means = (loss.mean, loss.exponential_mean, loss.block_mean)
    return (*means, loss.std, loss.count, loss.value, loss.get_history())


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(kind: str, steps: int, names: Iterable[str] | None = ("a", "b")) -> Net:
    """The same run each time, up to a step."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return HubNet(kind, names, is_new=False).train_steps(range(steps))


@cache
def numbers_at_the_end(kind: str, names: tuple[str, ...] | None = ("a", "b")) -> str:
    return repr(trained(kind, END, names).numbers())


# Each way brings what the first model has into the second, and returns that or another.


def torch_save(net: Net, new: Net, folder: Path) -> Net:
    torch.save(net.state_dict(), folder / "net.pt")
    new.load_state_dict(torch.load(folder / "net.pt", weights_only=True))
    return new


def values_on_cpu(net: Net, new: Net, _folder: Path) -> Net:
    new.load_state_dict({key: value.detach().cpu() for key, value in net.state_dict().items()})
    return new


def values_assigned(net: Net, new: Net, _folder: Path) -> Net:
    new.load_state_dict({k: v.clone() for k, v in net.state_dict().items()}, assign=True)
    return new


def built_on_meta(net: Net, new: Net, _folder: Path) -> Net:
    with torch.device("meta"):
        new = HubNet(new.kind, new.losses.names or None)
    new.load_state_dict(copy.deepcopy(net.state_dict()), assign=True)
    return new


def safetensors(net: Net, new: Net, folder: Path) -> Net:
    save_model(net, str(folder / "net.safetensors"))
    missing, unexpected = load_model(new, folder / "net.safetensors")
    assert (list(missing), list(unexpected)) == ([], [])
    return new


def accelerate(net: Net, new: Net, folder: Path) -> Net:
    accelerator = Accelerator(cpu=True)
    accelerator.prepare(net)
    accelerator.save_state(str(folder / "state"))
    accelerator.free_memory()
    accelerator.prepare(new)
    accelerator.load_state(str(folder / "state"))
    return new


def hub(net: Net, _new: Net, folder: Path) -> Net:
    assert isinstance(net, HubNet)
    net.save_pretrained(folder)
    loaded = HubNet.from_pretrained(folder)  # with the arguments of __init__, from its config
    assert isinstance(loaded, HubNet)
    return loaded.train()


def distributed_checkpoint(net: Net, new: Net, folder: Path) -> Net:
    save(net.state_dict(), checkpoint_id=str(folder))
    state = new.state_dict()
    load(state, checkpoint_id=str(folder))
    new.load_state_dict(state)
    return new


def distributed_state_dict(net: Net, new: Net, folder: Path) -> Net:
    save(get_model_state_dict(net), checkpoint_id=str(folder))
    state = get_model_state_dict(new)
    load(state, checkpoint_id=str(folder))
    set_model_state_dict(new, state)
    return new


def deepcopied(net: Net, _new: Net, _folder: Path) -> Net:
    return copy.deepcopy(net)


def pickled(net: Net, _new: Net, _folder: Path) -> Net:
    loaded = pickle.loads(pickle.dumps(net))
    assert isinstance(loaded, Net)
    return loaded


def averaged_model(net: Net, new: Net, folder: Path) -> Net:
    old, other = AveragedModel(net), AveragedModel(new)
    torch.save(old.state_dict(), folder / "net.pt")
    other.load_state_dict(torch.load(folder / "net.pt", weights_only=True))
    assert isinstance(other.module, Net)
    return other.module


IN_PLACE = [distributed_checkpoint, distributed_state_dict]
WAYS = [
    *(torch_save, values_on_cpu, values_assigned, built_on_meta, safetensors, accelerate, hub),
    *(deepcopied, pickled, averaged_model, *IN_PLACE),
]
Way = Any


# TorchJD's methods know the losses from the first step on: no room for them in place before.
CASES = [
    (way, kind, saved_at)
    for way in WAYS
    for kind in KINDS
    for saved_at in ([0, 1, SAVED_AT] if kind == "cov" else [SAVED_AT])
    if way not in IN_PLACE or kind != "torchjd"
]


@pytest.mark.parametrize(("way", "kind", "saved_at"), CASES)
def test_training_goes_on_bit_for_bit(way: Way, kind: str, saved_at: int, tmp_path: Path) -> None:
    half = trained(kind, saved_at)
    saved = repr(half.numbers())

    resumed = way(half, HubNet(kind), tmp_path)

    assert repr(resumed.numbers()) == saved
    resumed.train_steps(range(saved_at, END))
    assert repr(resumed.numbers()) == numbers_at_the_end(kind)
    assert repr(half.numbers()) == saved


# In place there has to be room for the names: torch.distributed.checkpoint needs them given.
@pytest.mark.parametrize("way", [way for way in WAYS if way not in IN_PLACE])
@pytest.mark.parametrize("kind", ["none", "cov", "automatic", "torchjd"])
def test_a_group_without_names_takes_those_that_were_saved(
    way: Way, kind: str, tmp_path: Path
) -> None:
    half = trained(kind, SAVED_AT, None)

    resumed = way(half, HubNet(kind, None), tmp_path)

    assert resumed.losses.names == ("a", "b")
    resumed.train_steps(range(SAVED_AT, END))
    assert repr(resumed.numbers()) == numbers_at_the_end(kind, None)


def test_the_state_of_torchjd_is_a_tensor() -> None:
    state = trained("torchjd", SAVED_AT).losses.state_dict()

    assert list(state) == ["_extra_state", "weighting._extra_state"]
    assert {(value.dtype, value.dim()) for value in state.values()} == {(torch.float64, 1)}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "torchjd"])
def test_a_state_has_tensors_alone_whose_shapes_stay(kind: str) -> None:
    new, old = HubNet(kind).state_dict(), trained(kind, SAVED_AT).state_dict()

    shapes = [{key: value.shape for key, value in state.items()} for state in (new, old)]

    assert shapes[0] == shapes[1]
    own = [key for key in old if key.startswith("losses.")]
    learned = [key for key in own if key.endswith(".params")]
    assert bool(learned) == (kind in ("automatic", "uncertainty", "normalized, learned"))
    assert sorted(own) == sorted([KEY, *learned])
    assert (old[KEY].dtype, old[KEY].dim(), old[KEY].device.type) == (torch.float64, 1, "cpu")


def test_a_state_is_a_snapshot() -> None:
    net = trained("cov", SAVED_AT)
    before, state = repr(net.numbers()), net.state_dict()

    state[KEY].zero_()

    assert repr(net.numbers()) == before


# Averages of models.


def average(mean: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: 0.9 * mean[key] + 0.1 * new[key] for key in mean}


def network(net: nn.Module) -> list[Any]:
    return [p.tolist() for name, p in net.named_parameters() if "losses" not in name]


@pytest.mark.parametrize("use_buffers", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_averaged_model_averages_parameters_alone(kind: str, use_buffers: bool) -> None:
    whole, net = trained(kind, SAVED_AT + 1), trained(kind, SAVED_AT)
    mean = AveragedModel(net, use_buffers=use_buffers)
    assert isinstance(mean.module, Net)
    before = repr(mean.module.numbers()["losses"])

    mean.update_parameters(net.train_steps([SAVED_AT]))
    mean.update_parameters(net)

    assert repr(net.numbers()) == repr(whole.numbers())
    assert repr(mean.module.numbers()["losses"]) == before
    assert network(mean.module) == network(net)


@pytest.mark.parametrize("kind", KINDS)
def test_an_average_in_place_averages_the_network_alone(kind: str) -> None:
    net = trained(kind, SAVED_AT)
    mean = copy.deepcopy(net)
    before = repr(mean.numbers()["losses"])
    net.train_steps([SAVED_AT])
    expected = average(mean.state_dict(), net.state_dict())

    for own, new in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        own.copy_(0.9 * own + 0.1 * new)

    assert repr(mean.numbers()["losses"]) == before
    assert all(expected[key].equal(p) for key, p in mean.named_parameters())
    mean.train_steps([SAVED_AT])


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_an_average_that_is_loaded_keeps_the_losses_as_they_are_and_says_so(
    kind: str, strict: bool
) -> None:
    net = trained(kind, SAVED_AT)
    mean = copy.deepcopy(net)
    before = repr(mean.numbers()["losses"])
    net.train_steps([SAVED_AT])
    expected = average(mean.state_dict(), net.state_dict())

    with pytest.warns(RuntimeWarning, match="was averaged or otherwise changed"):
        mean.load_state_dict(expected, strict=strict)

    assert repr(mean.numbers()["losses"]) == before
    assert all(expected[key].equal(p) for key, p in mean.named_parameters())
    mean.train_steps([SAVED_AT])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_cast_checkpoint_loads_the_network_and_says_what_it_leaves(dtype: torch.dtype) -> None:
    net, new = trained("cov", SAVED_AT), HubNet("cov")
    cast = {key: value.to(dtype) for key, value in net.state_dict().items()}

    with pytest.warns(RuntimeWarning, match=rf"was cast to {dtype}.*remove that key"):
        new.load_state_dict(cast)

    assert new.losses.step == new.losses["a"].count == 0
    assert new.layer.weight.equal(cast["layer.weight"].float())
    assert new.head.weight.equal(cast["head.weight"].float())


# What moves and casts a module.


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.half(),
        lambda net: net.bfloat16(),
        lambda net: net.double(),
        lambda net: net.to(torch.float16),
        lambda net: net.to("meta"),
        lambda net: net.to_empty(device="cpu"),
        lambda net: net.share_memory(),
        lambda net: net.requires_grad_(False).eval(),
    ],
    ids=["half", "bfloat16", "double", "to half", "meta", "to_empty", "share_memory", "frozen"],
)
@pytest.mark.parametrize("kind", KINDS)
def test_statistics_stay_as_they_are(change: Any, kind: str) -> None:
    net = trained(kind, SAVED_AT)
    before, state = repr(net.numbers()["losses"]), net.state_dict()[KEY]

    change(net)

    assert repr({name: of_loss(net.losses[name]) for name in net.losses}) == before
    assert net.state_dict()[KEY].equal(state)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "torchjd"])
def test_a_group_can_be_made_where_no_tensor_has_numbers(kind: str) -> None:
    with torch.device("meta"):
        on_meta = HubNet(kind)
    with FakeTensorMode():
        fake = HubNet(kind)
        shape = fake.state_dict()[KEY].shape

    expected = HubNet(kind).state_dict()[KEY]
    assert on_meta.state_dict()[KEY].equal(expected)
    assert shape == expected.shape
    assert on_meta.losses["a"].count == fake.losses["a"].count == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_default_dtype_makes_no_difference(dtype: torch.dtype) -> None:
    net, default = trained("cov", SAVED_AT), torch.get_default_dtype()
    before = net.state_dict()[KEY]

    torch.set_default_dtype(dtype)
    try:
        state = net.state_dict()[KEY]
    finally:
        torch.set_default_dtype(default)

    assert state.equal(before)


@pytest.mark.parametrize("kind", KINDS)
def test_where_warnings_are_errors_an_average_loads_all_that_can_be(kind: str) -> None:
    net, new = trained(kind, SAVED_AT), trained(kind, 0)
    state = net.state_dict()
    state |= {key: value * 1.5 for key, value in state.items() if "_extra_state" in key}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="in loading state_dict") as raised:
            new.load_state_dict(state)

    assert str(raised.value).count("averaged or otherwise changed") >= 1
    assert network(new) == network(net)
