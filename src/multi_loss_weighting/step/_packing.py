"""The state of a step as one tensor, and what of a saved one fits."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from multi_loss_weighting.accelerator._history import DEVICE_NUMBERS
from multi_loss_weighting.statistics._record import BLANK, RARE, UPDATES, LossRecord, Rare
from multi_loss_weighting.tensors._state import WAY_OUT, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from multi_loss_weighting.statistics._record import Numbers

    from ._losses import LossSet
    from ._step import Step

_PLAIN = Rare._fields.index("block")
# What is counted, and was an int before it stood in a tensor of floats.
_COUNTS = frozenset(
    ("count", "updates", "ratio_count", "nonfinite", "first_nonfinite_step"),
).union(
    ("last_nonfinite_step", "clamped", "streak", "spikes", "restarts", "exponential_count"),
    ("block_position", "blocks_completed", "forgotten"),
)
_IS_COUNT = [name in _COUNTS for name in (*LossRecord._fields[:RARE], *Rare._fields[:_PLAIN])]


ADVICE = "; strict=False loads what both have"
"""For a group; a tracker has no such word."""


class Differences(NamedTuple):
    """In what a saved state differs: what was left as it is, and what of it was not taken."""

    missing: list[str]
    unexpected: list[str]


def packed(step: Step, weighting: Any) -> Tensor:
    """All that must survive a restart, as a vector of float64 of fixed length for given losses."""
    with step.recorder.lock:
        step.settle()
        return pack(_state_of(step) | {"weighting": weighting})


def _state_of(step: Step) -> dict[str, Any]:
    state = step.recorder.state
    losses, count = state.losses, len(state.losses)
    sums = np.zeros((5, count)) if state.sums is None else state.sums.cpu().double().numpy()
    device = step.reading.device_numbers()
    return {
        "names": list(losses.names),
        "settings": _settings(losses),
        "step": state.step,
        "number": state.number,
        "empty": state.empty,
        "epoch": state.epoch,
        "records": _table([_flat(numbers) for numbers in state.records]),
        "kept": _table([numbers[-1] for numbers in state.records]),
        "has_sums": state.sums is not None,
        "sums": sums,
        "has_device": device is not None,
        "device": _device_table(losses.names, device),
        # Without it, as between any two steps, a state keeps its length.
        **({"extra": dict(state.extra)} if state.extra else {}),
    }


def parsed(state: Any, way_out: str = WAY_OUT) -> dict[str, Any]:
    """What a packed state says.

    Raises:
        ValueError: If it is none, or was cast, averaged or cut.
    """
    value = unpack(state, way_out)
    if not isinstance(value, dict) or "records" not in value:
        msg = f"a state of losses is needed, got {value!r:.80}"
        raise ValueError(msg)
    return value


def differences(losses: LossSet, saved: dict[str, Any], advice: str = "") -> Differences:
    """In what a saved state differs from these losses, and the way out."""
    own = names_after(losses, saved)
    missing = [
        f"loss {name!r} (it is not in the saved state{advice})"
        for name in own
        if name not in saved["names"]
    ]
    unexpected = [
        f"loss {name!r} (it is in the saved state alone{advice})"
        for name in saved["names"]
        if name not in own
    ]
    for key, value in _settings(losses).items():
        if value != saved["settings"][key] and key != "history":
            unexpected.append(f"{key} {saved['settings'][key]} (here it is {value}{advice})")
    return Differences(missing, unexpected)


def take_over(step: Step, saved: dict[str, Any]) -> None:
    """Continue from a saved state, with the losses that both have."""
    step.recorder.wait()
    state = step.recorder.state
    names = tuple(saved["names"])
    losses = state.losses.of(names_after(state.losses, saved))
    same_blocks = saved["settings"]["block_size"] == _settings(losses)["block_size"]
    same_decay = saved["settings"]["decay"] == _settings(losses)["decay"]
    read = [
        _record(row.tolist(), kept.tolist(), losses, same_blocks, same_decay)
        for row, kept in zip(saved["records"], saved["kept"], strict=True)
    ]
    sums, extra = None, {}
    if saved["has_sums"] and set(names) == set(losses.names):
        places = [names.index(name) for name in losses.names]
        sums = torch.from_numpy(saved["sums"][:, places])
        extra = saved.get("extra", {})
    new = type(state)(
        saved["step"],
        losses,
        losses.numbers_from(names, read),
        saved["number"],
        saved["number"],
        sums=sums,
        epoch=saved["epoch"],
        extra=extra,
        empty=saved["empty"],
    )
    device = (names, torch.from_numpy(saved["device"])) if saved["has_device"] else None
    step.reading.begin_with(new, device)
    step.weighing.give_up()


def names_after(losses: LossSet, saved: dict[str, Any]) -> tuple[str, ...]:
    """The losses after a load: those that were given, or as many as the weighting is made for."""
    if losses.options.are_given:
        return losses.names
    return tuple(saved["names"][: losses.options.capacity])


def _settings(losses: LossSet) -> dict[str, Any]:
    options = losses.options
    return {
        "history": options.settings.history,
        "block_size": options.block_size or 0,
        "decay": options.settings.decay or 0.0,
    }


def _table(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Of numpy, which passes over the default dtype and device of torch, and its fake tensors."""
    return np.array([list(row) for row in rows], np.float64).reshape(len(rows), -1 if rows else 0)


def _device_table(
    names: Sequence[str], known: tuple[tuple[str, ...], Tensor] | None
) -> NDArray[np.float64]:
    """What is kept on the device alone, a row for each loss; zeros for what is not."""
    table = np.zeros((len(names), DEVICE_NUMBERS))
    if known is not None:
        for name, numbers in zip(*known, strict=True):
            if name in names:
                table[names.index(name)] = numbers.numpy()
    return table


def _flat(numbers: Numbers) -> list[float]:
    rare = numbers[RARE]
    flat = [*numbers[:RARE], *rare[:_PLAIN]]
    if rare.block is not None:
        flat += [*_flat(rare.block), *_flat(rare.last_block)]
    return flat


def _unflat(row: Sequence[float], kept: array[float]) -> Numbers:
    """The numbers of a flat row, without blocks."""
    typed: list[Any] = [int(v) if it else v for v, it in zip(row, _IS_COUNT, strict=False)]
    return (*typed[:RARE], Rare(*typed[RARE:]), kept)


def _record(
    row: list[float], kept: list[float], losses: LossSet, same_blocks: bool, same_decay: bool
) -> Numbers:
    size, history = len(_IS_COUNT), losses.options.settings.history
    numbers = _unflat(row[:size], array("d", kept))
    if len(kept) != history + 1:
        # Another number of values is kept: each goes to the place where `add` would have put it.
        places, updates = array("d", bytes(8 * (history + 1))), numbers[UPDATES]
        recent = LossRecord._make(numbers).recent.values()
        for back, value in enumerate(reversed(recent[-history or len(recent) :])):
            places[(updates - 1 - back) % len(places)] = value
        rare = numbers[RARE]._replace(forgotten=updates - len(recent))
        numbers = (*numbers[:RARE], rare, places)
    rare = numbers[RARE]
    blocks: dict[str, Any] = {"block": BLANK, "last_block": BLANK, "block_position": 0}
    if losses.options.block_size is None:
        rare = rare._replace(block_position=0)
    elif same_blocks:
        block, last = (_unflat(row[size * i :][:size], LossRecord().kept) for i in (1, 2))
        rare = rare._replace(block=block, last_block=last)
    else:
        rare = rare._replace(**blocks)
    if not same_decay:
        rare = rare._replace(exponential_count=0, exponential_mean=Rare().exponential_mean)
    return (*numbers[:RARE], rare, numbers[-1])
