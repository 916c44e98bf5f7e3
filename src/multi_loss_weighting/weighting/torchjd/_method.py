"""A method of TorchJD that may be asked more than once a step."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from multi_loss_weighting.gradients._per_loss import without_autocast

from ._memory import has_size, keep_out_of_state, look, move, put, take
from ._random_numbers import random_numbers_from, seed_of_step
from ._state import load, restore, save

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from ._memory import Memory


class Method:
    """A method that remembers nothing of a call until the step is over.

    Its random numbers are those of the step, however often it is asked.

    Args:
        module: The scalarizer or aggregator.
        seed: For its random numbers.

    Attributes:
        capacity: How many losses it was made for, if it has a parameter for each.
        names: The losses of the last step; none before the first.
        device: Where the losses were last.
    """

    def __init__(self, module: nn.Module, seed: int) -> None:
        keep_out_of_state(module)
        self.module = module
        self.name = type(module).__name__
        self.capacity = _capacity(module)
        self.names: tuple[str, ...] = ()
        self._seed, self._steps = seed, 0
        self.device = torch.device("cpu")

    @property
    def has_memory(self) -> bool:
        """Whether it remembers something from call to call."""
        return any(look(self.module))

    def ask(
        self, call: Callable[[], Any], names: tuple[str, ...], losses: Tensor
    ) -> tuple[Any, Memory]:
        """The result of a call of the module, and what it is to remember of it.

        Raises:
            ValueError: If it cannot weigh the losses `names`.
        """
        self._follow(losses.device)
        self._check_memory(names)
        before = take(self.module)
        try:
            seed = seed_of_step(self._seed, self._steps)
            with random_numbers_from(seed, losses.device), without_autocast(losses.device):
                return call(), look(self.module)
        except (ValueError, RuntimeError, IndexError) as error:
            # Where the losses are those of before, only a ValueError can be about them.
            if isinstance(error, ValueError) or self.names not in ((), names):
                raise ValueError(self._cannot_weigh(names, str(error))) from error
            raise
        finally:
            put(self.module, before)

    def end_step(self, names: tuple[str, ...], memory: Memory | None) -> None:
        """A step with the losses `names` is over; `memory` is what to remember of it, if known."""
        if memory is not None:
            put(self.module, memory)
        self.names = names
        self._steps += 1

    def _follow(self, device: torch.device) -> None:
        if device != self.device:
            move(self.module, self.device, device)
            self.device = device

    def _check_memory(self, names: tuple[str, ...]) -> None:
        known = self.names
        if known and names != known and has_size(look(self.module), {len(known)}):
            why = (
                f"it remembers a number for each of {', '.join(known)}; give the group all names"
                " from the start, or call reset() of the method to forget them"
            )
            raise ValueError(self._cannot_weigh(names, why))

    def _cannot_weigh(self, names: tuple[str, ...], why: str) -> str:
        new = [name for name in names if name not in self.names] if self.names else []
        what = f"with {', '.join(map(repr, new))} as new" if new else "together"
        return f"{self.name} cannot weigh {', '.join(names)} {what}: {why}"

    # What survives a restart.

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, beside its parameters."""
        return {
            "torchjd": self.name,
            "memory": save(self.module, self.device),
            "names": list(self.names),
            "seed": self._seed,
            "steps": self._steps,
        }

    def read(self, state: dict[str, Any], device: torch.device) -> Memory:
        """The memory in a state, with losses on `device`. Nothing changes.

        Raises:
            ValueError: If it is the state of another method.
        """
        if state["torchjd"] != self.name:
            msg = f"the state must be that of a {self.name}, got that of a {state['torchjd']}"
            raise ValueError(msg)
        return load(self.module, state["memory"], device)

    def load_state_dict(self, state: dict[str, Any], memory: Memory, device: torch.device) -> None:
        """Continue from `state_dict()`, with the memory that `read` gave."""
        restore(self.module, memory)
        self.names, self.device = tuple(state["names"]), device
        self._seed, self._steps = state["seed"], state["steps"]


def _capacity(module: nn.Module) -> int | None:
    """What UW, IMTLL and FAMO were given as their shape."""
    kind: Any = type(module)
    has_shape = "shape" in inspect.signature(kind).parameters
    return next(module.parameters()).numel() if has_shape else None
