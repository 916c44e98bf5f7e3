"""A method of TorchJD that may be asked more than once a step."""

from __future__ import annotations

import inspect
import zlib
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from loss_loggers.arguments import checked_kind
from multi_loss_weighting.gradients._per_loss import without_autocast

from ._memory import Memory, has_size, keep_out_of_state, look, move, put, take
from ._state import load, save

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn


class Method:
    """A method that remembers nothing of a call until the step is over.

    Its random numbers are those of the step, however often it is asked.

    Args:
        module: The scalarizer or aggregator.
        seed: For its random numbers.

    Attributes:
        capacity: How many losses it was made for, if it has a parameter for each.
        names: The losses of the last step; none before the first.
    """

    def __init__(self, module: nn.Module, seed: int) -> None:
        keep_out_of_state(module)
        self.module = module
        self.name = type(module).__name__
        self.capacity = _capacity(module)
        self.names: tuple[str, ...] = ()
        self._seed, self._steps = seed, 0
        self._at = torch.device("cpu")  # where the losses were last

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the losses will be."""

    def _ask(
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

    def _end(self, names: tuple[str, ...], memory: Memory | None) -> None:
        """A step with the losses `names` is over; `memory` is what to remember of it, if known."""
        if memory is not None:
            put(self.module, memory)
        self.names = names
        self._steps += 1

    def _follow(self, device: torch.device) -> None:
        if device != self._at:
            move(self.module, self._at, device)
            self._at = device

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
            "memory": save(self.module, self._at),
            "names": list(self.names),
            "seed": self._seed,
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`.

        Raises:
            ValueError: If it is the state of another method; nothing has changed.
            TypeError: If it is no mapping.
        """
        if (name := checked_kind(state, Mapping, "state").get("torchjd")) != self.name:
            msg = f"the state must be that of a {self.name}, got that of a {name}"
            raise ValueError(msg)
        device = self.device
        load(self.module, state["memory"], device)
        self.names, self._at = tuple(state["names"]), device
        self._seed, self._steps = state["seed"], state["steps"]


def _capacity(module: nn.Module) -> int | None:
    """What UW, IMTLL and FAMO were given as their shape."""
    kind: Any = type(module)
    has_shape = "shape" in inspect.signature(kind).parameters
    return next(module.parameters()).numel() if has_shape else None


def seed_of_step(seed: int, step: int) -> int:
    """The seed of one step of a run, so that a resumed run draws the same numbers.

    >>> seed_of_step(0, 1) != seed_of_step(1, 0)
    True
    """
    return zlib.crc32(f"{seed} {step}".encode())


@contextmanager
def random_numbers_from(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from this seed, on the CPU and on `device`; afterwards go on as without it."""
    on_devices = getattr(getattr(torch, device.type, None), "default_generators", ())
    own = [on_devices[device.index]] if on_devices and device.index is not None else []
    generators = [torch.default_generator, *own]
    before = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)
