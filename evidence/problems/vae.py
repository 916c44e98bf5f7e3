"""A variational autoencoder of small digits, its two losses added up in either of two ways.

Sums over pixels and codes make the plain sum the bound on the likelihood that Kingma and Welling
derive (arXiv:1312.6114). Means over both, as many write it, weigh the codes eight times as much.

The metric is a tighter bound of held-out digits, by importance weights (arXiv:1509.00519). Codes
that say nothing about the digit lose on it, and so do codes that are sharp but unlike their prior.
"""

from __future__ import annotations

from functools import cache, partial
from math import log
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ._problem import Problem
from ._stack import Network, Stream, batches, stacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Generator, Tensor

TRAINING = 1500
PIXELS, WIDTH, CODE = 64, 64, 8
BATCH = 64
SAMPLES = 32
"""Codes for each digit in the metric."""


@cache
def digits(*, held_out: bool) -> Tensor:
    """Images of 8 x 8 pixels, each 0 or 1."""
    from sklearn.datasets import load_digits

    images = torch.as_tensor(load_digits().data >= 8).float()
    return images[TRAINING:] if held_out else images[:TRAINING]


class VaeTask:
    """An encoder to Gaussian codes, a decoder to the probability of each pixel."""

    def __init__(self, seeds: Sequence[int], *, means: bool) -> None:
        self._images = digits(held_out=False)
        self._batches = batches(seeds, TRAINING, BATCH)
        self._noise = Stream(seeds, "noise", _noise)
        self._test_noise = stacked(seeds, "test noise", _test_noise)
        self._encoder = Network(seeds, "encoder", (PIXELS, WIDTH, 2 * CODE))
        self._decoder = Network(seeds, "decoder", (CODE, WIDTH, PIXELS))
        self.parameters: Sequence[Tensor] = [
            *self._encoder.parameters,
            *self._decoder.parameters,
        ]
        self.shared: Sequence[Tensor] = [self._encoder.weights[-1]]
        self._rebuild_over, self._kl_over = (PIXELS, CODE) if means else (1, 1)

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """The cross entropy of the pixels, and the divergence of the codes from their prior."""
        images = self._images[self._batches.at(step)]
        mean, log_spread = self._encode(images)
        codes = mean + log_spread.exp() * self._noise.at(step)
        return {
            "rebuild": self._surprise(codes, images).mean(dim=1) / self._rebuild_over,
            "kl": _divergence(mean, log_spread).mean(dim=1) / self._kl_over,
        }

    @torch.no_grad()
    def metric(self) -> Tensor:
        """Minus the log likelihood of a held-out digit, bounded by importance weights, in nats."""
        images = self._held_out()
        mean, log_spread = self._encode(images)
        noise = self._test_noise
        codes = mean[:, :, None] + log_spread.exp()[:, :, None] * noise
        # Of each code: its density under the prior, over that under the encoder.
        ratio = (noise.square() - codes.square()).sum(dim=3) / 2 + log_spread.sum(dim=2)[..., None]
        repeated = images.repeat_interleave(SAMPLES, dim=1)
        surprise = self._surprise(codes.flatten(1, 2), repeated).view(ratio.shape)
        bound: Tensor = log(SAMPLES) - (ratio - surprise).logsumexp(dim=2)
        return bound.mean(dim=1)

    @torch.no_grad()
    def collapsed(self) -> Tensor:
        """Whether the codes say nothing about the digit: under a tenth of a nat."""
        return _divergence(*self._encode(self._held_out())).mean(dim=1) < 0.1

    def _held_out(self) -> Tensor:
        return digits(held_out=True).expand(len(self.parameters[0]), -1, -1)

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_spread = self._encoder(images).chunk(2, dim=2)
        return mean, log_spread

    def _surprise(self, codes: Tensor, images: Tensor) -> Tensor:
        """Of each image, in nats."""
        logits = self._decoder(codes)
        return binary_cross_entropy_with_logits(logits, images, reduction="none").sum(dim=2)


def _divergence(mean: Tensor, log_spread: Tensor) -> Tensor:
    """Of each code from a standard Gaussian, in nats."""
    return (mean.square() + (2 * log_spread).exp() - 1).sum(dim=2) / 2 - log_spread.sum(dim=2)


def _noise(steps: int, random: Generator) -> Tensor:
    return torch.randn(steps, BATCH, CODE, generator=random)


def _test_noise(random: Generator) -> Tensor:
    return torch.randn(len(digits(held_out=True)), SAMPLES, CODE, generator=random)


PROBLEMS = (
    Problem(
        name="vae_mean",
        title="VAE, mean reduction",
        family="should matter",
        losses=("rebuild", "kl"),
        metric="nats per held-out digit",
        measures="a tighter form, on held-out digits, of the objective of the sum reduction",
        make=partial(VaeTask, means=True),
        steps=800,
        full_steps=10_000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"kl": (1.0, 0.3, 0.1, 0.03)},
        targets={"kl": 0.75},
    ),
    Problem(
        name="vae_sum",
        title="VAE, sum reduction",
        family="should not matter",
        losses=("rebuild", "kl"),
        metric="nats per held-out digit",
        measures="a tighter form, on held-out digits, of the objective of the sum reduction",
        make=partial(VaeTask, means=False),
        steps=800,
        full_steps=10_000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"kl": (1.0, 0.3, 3.0)},
        targets={"kl": 6.0},
    ),
)
