"""An adversarial autoencoder of small digits (arXiv:1511.05644), the network of `losses demo`.

The discriminator tells codes from Gaussian draws, and the encoder learns the opposite through a
reversed gradient, so that one loss and one backward serve both.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import softplus

from ._problem import Problem
from ._stack import Network, Stream, batches, stacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Generator, Tensor

TRAINING = 1500
PIXELS, WIDTH, CODE = 64, 64, 8
BATCH = 64
SAMPLES = 500
"""New digits in the metric."""


@cache
def digits(*, held_out: bool) -> Tensor:
    """Images of 8 x 8 pixels in [0, 1]."""
    from sklearn.datasets import load_digits

    images = torch.as_tensor(load_digits().data, dtype=torch.float32) / 16
    return images[TRAINING:] if held_out else images[:TRAINING]


class AdversarialTask:
    """An encoder, a decoder, and a discriminator of codes."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._images = digits(held_out=False)
        self._batches = batches(seeds, TRAINING, BATCH)
        self._draws = Stream(seeds, "draws", _draws)
        self._test_draws = stacked(seeds, "test draws", _test_draws)
        self._encoder = Network(seeds, "encoder", (PIXELS, WIDTH, CODE))
        self._decoder = Network(seeds, "decoder", (CODE, WIDTH, PIXELS))
        self._discriminator = Network(seeds, "discriminator", (CODE, WIDTH, 1))
        networks = (self._encoder, self._decoder, self._discriminator)
        self.parameters: Sequence[Tensor] = [
            tensor for network in networks for tensor in network.parameters
        ]
        self.shared: Sequence[Tensor] = [self._encoder.weights[-1]]

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """The squared error of an image, and how badly codes are told from Gaussian draws."""
        images = self._images[self._batches.at(step)]
        codes = self._encoder(images)
        errors = self._decoder(codes).sigmoid() - images
        of_draws = softplus(-self._discriminator(self._draws.at(step)))
        of_codes = softplus(self._discriminator(_reversed(codes)))
        return {
            "rebuild": errors.square().sum(dim=2).mean(dim=1),
            "adversarial": (of_draws + of_codes).mean(dim=(1, 2)) / 2,
        }

    @torch.no_grad()
    def metric(self) -> Tensor:
        """How far new digits are from held-out ones: their energy distance, over the mean's.

        A decoder that knows no digits is far, and so is one whose codes are no Gaussian.
        """
        held_out = digits(held_out=True)
        mean = digits(held_out=False).mean(dim=0, keepdim=True)
        return energy_distance(self._new_digits(), held_out) / energy_distance(mean, held_out)

    @torch.no_grad()
    def collapsed(self) -> Tensor:
        """Whether all new digits look the same."""
        variance = digits(held_out=True).var(dim=0).mean()
        return self._new_digits().var(dim=1).mean(dim=1) < 0.05 * variance

    def _new_digits(self) -> Tensor:
        return self._decoder(self._test_draws).sigmoid()


def energy_distance(some: Tensor, others: Tensor) -> Tensor:
    """How far two sets of points are apart as distributions (Szekely and Rizzo): 0 if equal."""
    return 2 * _distance(some, others) - _distance(some, some) - _distance(others, others)


def _distance(some: Tensor, others: Tensor) -> Tensor:
    return torch.cdist(some, others).mean(dim=(-2, -1))


def _reversed(codes: Tensor) -> Tensor:
    """The same values; the gradient changes its sign."""
    return 2 * codes.detach() - codes


def _draws(steps: int, random: Generator) -> Tensor:
    return torch.randn(steps, BATCH, CODE, generator=random)


def _test_draws(random: Generator) -> Tensor:
    return torch.randn(SAMPLES, CODE, generator=random)


PROBLEMS = (
    Problem(
        name="adversarial",
        title="Adversarial autoencoder",
        family="might matter",
        losses=("rebuild", "adversarial"),
        metric="energy distance of new digits",
        measures="how far new digits are from held-out ones, which no loss measures",
        make=AdversarialTask,
        steps=1000,
        full_steps=10_000,
        rates=(3e-4, 1e-3, 3e-3),
        constants={"adversarial": (1.0, 0.3, 3.0)},
    ),
)
