"""Load the state of a group: what both have is taken over, and what differs is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from multi_loss_weighting._warn import warned
from multi_loss_weighting.weighting.normalized import NormalizedWeighting, innermost
from multi_loss_weighting.weighting.static import StaticWeighting

from ._packing import ADVICE, differences, names_after, parsed, take_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from ._step import Step


class Loaded(NamedTuple):
    """What came of it: what began anew here, what was left of the saved state, what failed."""

    missing: list[str]
    unexpected: list[str]
    errors: list[str]
    names: tuple[str, ...] | None
    is_of_other_method: bool = False


def load(step: Step, state: Any) -> Loaded:
    """Continue from a packed state. It never raises, so that the rest of a model is loaded."""
    try:
        saved = parsed(state)
    except ValueError as error:
        # E.g. an average of models, whose network is what is wanted.
        return Loaded([], [], warned(str(error)), None)
    missing, unexpected = differences(step.recorder.state.losses, saved, ADVICE)
    method, theirs = _method(step.weighing.weighting), saved["weighting"]["method"]
    if method != theirs:
        missing.append(f"weighting {method} (it is not in the saved state{ADVICE})")
        unexpected.append(f"weighting {theirs} (it is in the saved state alone{ADVICE})")
    names = saved_names = tuple(saved["names"])
    if method == theirs and saved["weighting"]["state"] is not None:
        losses, plain = step.recorder.state.losses, _plain(step.weighing.weighting)
        own, state = names_after(losses, saved), saved["weighting"]["state"]
        if type(plain) is StaticWeighting and losses.options.are_given:
            waiting = [name for name in state if name not in {*own, *names}]  # for losses to come
            unexpected += [f"weight of {name} (there is no such loss{ADVICE})" for name in waiting]
            names += tuple(waiting)
        kept = _of(state, lambda key: key in own or key not in names)
        try:
            plain.load_state_dict(kept)
        except Exception as error:  # somebody else's code: the rest of the model goes on
            return Loaded([], [], [f"{method}.load_state_dict: {error}"], None)
    take_over(step, saved)
    return Loaded(missing, unexpected, [], saved_names, method != theirs)


def _of(state: Any, takes: Any) -> Any:
    if not isinstance(state, dict):
        return state
    return {key: value for key, value in state.items() if takes(key)}


def weighting_state(weighting: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The method, and what it remembers where it is no module, whose state is torch's to keep."""
    if hasattr(weighting, "expect"):
        weighting.expect(names)
    plain = _plain(weighting)
    return {"method": _method(weighting), "state": None if plain is None else plain.state_dict()}


def _plain(weighting: Any) -> Any:
    """The weighting, or the one in a wrapper, if its state is for the group to keep."""
    weighting = innermost(weighting)
    return (
        None
        if isinstance(weighting, nn.Module) or not hasattr(weighting, "state_dict")
        else weighting
    )


def _method(weighting: Any) -> str:
    name = type(weighting).__name__
    is_wrapper = isinstance(weighting, NormalizedWeighting)
    return f"{name}({_method(weighting.inner)})" if is_wrapper else name


def follow_names(
    weighting: Any,
    names: Sequence[str],
    saved_names: Sequence[str],
    state_dict: dict[str, Tensor],
    prefix: str,
) -> list[str]:
    """Bring what was learned for each loss into the order of `names`, before torch loads it.

    torch takes the state of a child out of this very dict, after the turn of its parent.

    Returns:
        In what the saved weighting differs, where the losses do not.
    """
    differ: list[str] = []
    is_same = tuple(names) == tuple(saved_names)
    if not isinstance(weighting, nn.Module):
        return differ
    for name, module in weighting.named_modules(prefix=prefix.removesuffix(".")):
        extra = f"{name}._extra_state"
        for vector, own in getattr(module, "vectors_of_losses", dict)().items():
            key = f"{name}.{vector}"
            saved = state_dict.get(key)
            if saved is None or saved.ndim != 1 or len(saved) < len(saved_names):
                continue
            if len(saved) != len(own):
                state_dict.pop(extra, None)  # a memory of so many losses
                if set(names) == set(saved_names):  # else it is said which losses differ
                    differ.append(f"{key} for {len(saved)} losses (here for {len(own)}{ADVICE})")
            elif is_same or not saved_names:
                continue
            state_dict[key] = _merged(own, names, saved, saved_names)
        if extra in state_dict and hasattr(module, "state_for") and not is_same:
            state = module.state_for(names, state_dict.pop(extra))
            state_dict |= {} if state is None else {extra: state}
    return differ


def _merged(own: Tensor, names: Sequence[str], saved: Tensor, saved_names: Sequence[str]) -> Tensor:
    """A number for each loss: as it was saved, or as it is for a loss that is new."""
    merged = own.detach().clone()
    rest = saved[len(saved_names) :]
    for index in range(min(len(rest), max(0, len(merged) - len(names)))):
        merged[len(names) + index] = rest[index]
    for index, loss in enumerate(names[: len(merged)]):
        if loss in saved_names:
            merged[index] = saved[saved_names.index(loss)]
    return merged
