"""State through torch.distributed.checkpoint, in one process and over ranks."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    CoVWeighting,
    LossGroup,
    LossTracker,
    StaticWeighting,
    StatisticsSettings,
    Trackers,
)

if not torch.distributed.is_available():
    pytest.skip("this torch was built without torch.distributed", allow_module_level=True)

from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from .ranks.launch import run_once
from .states import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = ["fit", "size", "calm"]
WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "plain": lambda: None,
    "static": lambda: StaticWeighting(size=0.5),
    "cov": CoVWeighting,
    "automatic": lambda: AutomaticWeightedLoss(3),
}
PATHS = {"cpu": None, "device": 8}
SHARDED = StateDictOptions()
WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


@pytest.fixture(autouse=True)
def _one_process_is_meant() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.distributed is")
        warnings.filterwarnings("ignore", category=UserWarning, module="torch")
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
        yield


def make_group(kind: str, log_every: int | None) -> LossGroup:
    return LossGroup(
        NAMES,
        weighting=WEIGHTINGS[kind](),
        log_every=log_every,
        block_size=5,
        statistics=StatisticsSettings(decay=0.9),
    )


class Model(nn.Module):
    """A network with the group of its losses in it."""

    def __init__(self, kind: str = "cov", log_every: int | None = None) -> None:
        super().__init__()
        self.net = nn.Linear(2, 3)
        self.group = make_group(kind, log_every)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return dict(zip(NAMES, (self.net(x) ** 2).mean(dim=0), strict=True))


def train(group: LossGroup, steps: range) -> list[str]:
    """Totals to the last bit, of losses among which one is not finite and one is missing."""
    totals = []
    for step in steps:
        values = np.random.default_rng(step).lognormal(0, 1, 3)
        losses = dict(zip(NAMES, torch.tensor(values).unbind(), strict=True))
        if step == 4:
            losses["calm"] = losses["calm"] * torch.nan
        if step % 5 == 2:
            del losses["size"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            totals.append(float(group.update(losses, do_backwards=False)).hex())
            group.flush()
        for parameter in group.parameters():
            parameter.data.mul_(0.99)
    return totals


def everything(one: Any) -> dict[str, list[Any]]:
    """The state, number by number."""
    return plain(one.state_dict())


def through_torch(state: dict[str, Any], _: dict[str, Any], path: Path) -> dict[str, Any]:
    torch.save(state, path / "state.pt")
    loaded: dict[str, Any] = torch.load(path / "state.pt", weights_only=True)
    return loaded


def through_dcp(state: dict[str, Any], fresh: dict[str, Any], path: Path) -> dict[str, Any]:
    save(state, checkpoint_id=path / "state")
    load(fresh, checkpoint_id=path / "state")
    return fresh


@pytest.mark.parametrize("through", [through_torch, through_dcp])
@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize("where", PATHS)
def test_a_checkpoint_gives_the_same_numbers_to_the_last_bit(
    through: Callable[..., dict[str, Any]], kind: str, where: str, tmp_path: Path
) -> None:
    net, other_net = nn.Linear(2, 3), nn.Linear(2, 3)
    group, other = (make_group(kind, PATHS[where]) for _ in range(2))
    train(group, range(13))

    state = {"model": net.state_dict(), "group": group.state_dict()}
    fresh = {"model": other_net.state_dict(), "group": other.state_dict()}
    loaded = through(state, fresh, tmp_path)
    other_net.load_state_dict(loaded["model"])
    other.load_state_dict(loaded["group"])

    assert everything(other) == everything(group)
    assert train(other, range(13, 30)) == train(group, range(13, 30))
    assert everything(other) == everything(group)
    assert torch.equal(other_net.weight, net.weight)


@pytest.mark.parametrize("kind", WEIGHTINGS)
@pytest.mark.parametrize(("here", "there"), [("device", "cpu"), ("cpu", "device")])
def test_a_checkpoint_goes_from_one_device_to_another(
    kind: str, here: str, there: str, tmp_path: Path
) -> None:
    group, other = make_group(kind, PATHS[here]), make_group(kind, PATHS[there])
    train(group, range(13))

    state = through_dcp({"group": group.state_dict()}, {"group": other.state_dict()}, tmp_path)
    other.load_state_dict(state["group"])

    assert everything(other) == everything(group)
    ours, theirs = (
        [float.fromhex(one) for one in train(it, range(13, 30))] for it in (group, other)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_a_group_goes_into_a_checkpoint_as_it_is(tmp_path: Path) -> None:
    group, other = make_group("cov", 8), make_group("cov", 8)
    train(group, range(13))

    save({"group": group}, checkpoint_id=tmp_path / "state")
    load({"group": other}, checkpoint_id=tmp_path / "state")

    assert everything(other) == everything(group)


@pytest.mark.parametrize("log_every", [None, 8])
def test_trackers_go_into_a_checkpoint(log_every: int | None, tmp_path: Path) -> None:
    first, second = (
        (
            LossTracker("G", warmup=3, log_every=log_every),
            Trackers(["G", "D"], warmup=3, log_every=log_every),
        )
        for _ in range(2)
    )
    for step in range(9):
        loss = torch.tensor(1.0 + step % 4)
        first[0].update(loss, do_backwards=False)
        first[1]["G"].update(loss, do_backwards=False)
        first[1].step()

    save(dict(zip("ab", first, strict=True)), checkpoint_id=tmp_path / "state")
    load(dict(zip("ab", second, strict=True)), checkpoint_id=tmp_path / "state")

    assert [*map(everything, second)] == [*map(everything, first)]
    assert second[1]["G"].count == 9


@pytest.mark.parametrize("options", [SHARDED, WHOLE])
@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_a_group_is_a_part_of_the_state_of_a_model(
    kind: str, options: StateDictOptions, tmp_path: Path
) -> None:
    model, other = Model(kind), Model(kind)
    train(model.group, range(13))

    state = through_dcp(
        get_model_state_dict(model, options=options),
        get_model_state_dict(other, options=options),
        tmp_path,
    )
    set_model_state_dict(other, state, options=options)

    assert list(state) == list(model.state_dict())
    assert everything(other.group) == everything(model.group)


@pytest.mark.parametrize("names", [None, [*NAMES, "new"]])
def test_a_checkpoint_loads_in_place_so_it_refuses_a_group_of_other_losses(
    names: list[str] | None, tmp_path: Path
) -> None:
    group, other = LossGroup(NAMES), LossGroup(names)
    train(group, range(13))

    with pytest.raises(CheckpointException, match=r"Size mismatch .* for group\._extra_state"):
        through_dcp({"group": group.state_dict()}, {"group": other.state_dict()}, tmp_path)

    assert (other.step, other.names) == (0, tuple(names or ()))


# Over ranks.


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return run_once(tmp_path_factory, "checkpoint", 2)[0]


@pytest.mark.parametrize("path", ["cpu", "device"])
@pytest.mark.parametrize("part", ["model", "group", "sharded"])
def test_ranks_get_their_state_back_from_a_checkpoint(two: list[Any], path: str, part: str) -> None:
    for rank in two:
        assert rank[path][part]["before"] == rank[path][part]["after"]
        assert rank[path][part]["steps"] == 8


@pytest.mark.parametrize("path", ["cpu", "device"])
def test_ddp_changes_no_name(two: list[Any], path: str) -> None:
    model = Model("automatic")

    for rank in two:
        assert rank[path]["keys"] == [f"module.{name}" for name in model.state_dict()]
        assert rank[path]["keys of the model"] == list(model.state_dict())


@pytest.mark.parametrize("path", ["cpu", "device"])
def test_one_process_goes_on_from_the_checkpoint_of_two(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    two, folder = run_once(tmp_path_factory, "checkpoint", 2)
    group = LossGroup(NAMES, weighting=CoVWeighting(), log_every=PATHS[path])
    state = {"group": group.state_dict()}
    load(state, checkpoint_id=folder / f"{path}-checkpoint")
    group.load_state_dict(state["group"])

    assert repr(everything(group)) == two[0][path]["group"]["after"]
