"""Random numbers for a weighting, apart from those of the program."""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    own = [device.index] if on_devices and device.index is not None else []
    with torch.random.fork_rng(own, device_type=device.type if own else "cpu"):
        for generator in (torch.default_generator, *(on_devices[index] for index in own)):
            generator.manual_seed(seed)
        yield
