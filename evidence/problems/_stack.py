"""Networks of several seeds side by side: their draws, their weights, their products."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCK = 100
"""Steps that are drawn at once: a generator is dear to set up."""


def generator(seed: int, purpose: str, block: int = 0) -> Generator:
    """Random numbers for one purpose of one seed, independent of all others."""
    state = np.random.SeedSequence([seed, block, *purpose.encode()]).generate_state(1, np.uint64)
    return Generator().manual_seed(int(state[0]))


def stacked(
    seeds: Sequence[int], purpose: str, draw: Callable[[Generator], Tensor], block: int = 0
) -> Tensor:
    """What each seed draws, one after another in the first dimension."""
    return torch.stack([draw(generator(seed, purpose, block)) for seed in seeds])


class Stream:
    """What is drawn anew at each step: it depends on the seed and on the step alone.

    >>> noise = Stream([0, 1], "noise", lambda n, random: torch.rand(n, 5, generator=random))
    >>> noise.at(7).shape
    torch.Size([2, 5])
    """

    def __init__(
        self, seeds: Sequence[int], purpose: str, draw: Callable[[int, Generator], Tensor]
    ) -> None:
        self._seeds = seeds
        self._purpose = purpose
        self._draw = draw
        self._block = -1
        self._drawn = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """The draws of this step, of shape `(seeds, ...)`."""
        block, row = divmod(step, BLOCK)
        if block != self._block:
            self._block = block
            self._drawn = stacked(
                self._seeds, self._purpose, lambda random: self._draw(BLOCK, random), block
            )
        return self._drawn[:, row]


def batches(seeds: Sequence[int], samples: int, size: int) -> Stream:
    """Which samples are in each step's batch."""
    return Stream(
        seeds,
        "batches",
        lambda steps, random: torch.randint(samples, (steps, size), generator=random),
    )


class Network:
    """A perceptron for each seed; the last layer is linear.

    >>> network = Network([0, 1, 2], "trunk", (4, 16, 1))
    >>> network(torch.ones(3, 10, 4)).shape
    torch.Size([3, 10, 1])
    """

    def __init__(
        self,
        seeds: Sequence[int],
        name: str,
        widths: Sequence[int],
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ) -> None:
        self.activation = activation
        gain = 2.0 if activation is torch.relu else 1.0
        self.weights = [
            stacked(seeds, f"{name} {layer}", _initial(*sizes, gain)).requires_grad_()
            for layer, sizes in enumerate(pairwise(widths))
        ]
        self.biases = [
            torch.zeros(len(seeds), 1, outputs, requires_grad=True) for outputs in widths[1:]
        ]

    @property
    def parameters(self) -> list[Tensor]:
        """All weights and biases."""
        return [*self.weights, *self.biases]

    def __call__(self, inputs: Tensor) -> Tensor:
        """The outputs for inputs of shape `(seeds, samples, inputs)`."""
        *hidden, last = zip(self.weights, self.biases, strict=True)
        values = inputs
        for weight, bias in hidden:
            values = self.activation(torch.baddbmm(bias, values, weight))
        weight, bias = last
        return torch.baddbmm(bias, values, weight)


def _initial(inputs: int, outputs: int, gain: float) -> Callable[[Generator], Tensor]:
    """He's weights for ReLU; Glorot's for tanh."""
    fan = inputs if gain == 2.0 else (inputs + outputs) / 2
    scale = (gain / fan) ** 0.5
    return lambda random: torch.randn(inputs, outputs, generator=random) * scale
