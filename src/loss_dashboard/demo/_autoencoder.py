"""The network of the demo: an adversarial autoencoder (Makhzani et al., arXiv:1511.05644)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits


class AdversarialAutoencoder(nn.Module):
    """An autoencoder and a discriminator that pulls its codes towards a standard Gaussian.

    >>> losses = AdversarialAutoencoder()(torch.rand(16, 64))
    >>> sorted(losses)
    ['D', 'E', 'G']
    """

    def __init__(self, pixels: int = 64, width: int = 256, code: int = 8) -> None:
        super().__init__()
        self.code = code
        self.encoder = perceptron(pixels, width, code)
        self.decoder = perceptron(code, width, pixels)
        self.discriminator = perceptron(code, width, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The loss of each player."""
        codes: Tensor = self.encoder(images)
        return {
            "G": self._fooling(codes),
            "D": self._telling_apart(codes.detach()),
            "E": squared_error(self.decoder(codes), images),
        }

    def reconstruct(self, images: Tensor) -> Tensor:
        """The images after a way through the code."""
        reconstructed: Tensor = self.decoder(self.encoder(images))
        return reconstructed

    def sample(self, count: int) -> Tensor:
        """New images, decoded from draws of the Gaussian."""
        sampled: Tensor = self.decoder(torch.randn(count, self.code))
        return sampled

    def _fooling(self, codes: Tensor) -> Tensor:
        """How far the discriminator is from taking codes for Gaussian draws."""
        # One backward serves all three losses, so this one must not reach the discriminator,
        # which would learn to be fooled: it judges here with a copy that takes no gradient.
        frozen = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        return _verdict_error(functional_call(self.discriminator, frozen, codes), 1.0)

    def _telling_apart(self, codes: Tensor) -> Tensor:
        """How badly the discriminator tells Gaussian draws from codes."""
        draws = torch.randn_like(codes)
        of_draws = _verdict_error(self.discriminator(draws), 1.0)
        of_codes = _verdict_error(self.discriminator(codes), 0.0)
        return (of_draws + of_codes) / 2


def squared_error(images: Tensor, targets: Tensor) -> Tensor:
    """Squared error of an image, summed over its pixels; the mean over the batch."""
    return (images - targets).square().sum(dim=1).mean()


def _verdict_error(verdicts: Tensor, truth: float) -> Tensor:
    return binary_cross_entropy_with_logits(verdicts, torch.full_like(verdicts, truth))


def perceptron(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, outputs),
    )
