"""The problem `vae`: a variational autoencoder of handwritten digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Adam

from ._autoencoder import perceptron
from ._digits import draw_digits, load_images, random_batch

if TYPE_CHECKING:
    from pathlib import Path

    from torch.optim import Optimizer

    from ._problem import Weight

CODE = 8
ANNEALED = 1000


class VariationalAutoencoder(nn.Module):
    """An autoencoder whose codes are draws of a Gaussian (Kingma and Welling, arXiv:1312.6114).

    >>> losses = VariationalAutoencoder()(torch.rand(16, 64))
    >>> sorted(losses)
    ['kl', 'recon']
    """

    def __init__(self, pixels: int = 64, width: int = 256) -> None:
        super().__init__()
        self.encoder = perceptron(pixels, width, 2 * CODE)
        self.decoder = perceptron(CODE, width, pixels)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The two parts of the bound, in nats an image."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        codes = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        logits = self.decoder(codes)
        recon = binary_cross_entropy_with_logits(logits, images, reduction="none").sum(dim=1)
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
        return {"recon": recon.mean(), "kl": kl.mean()}

    def reconstruct(self, images: Tensor) -> Tensor:
        """The images after a way through the mean of their codes."""
        reconstructed: Tensor = self.decoder(self.encoder(images)[:, :CODE]).sigmoid()
        return reconstructed

    def sample(self, count: int) -> Tensor:
        """New images, decoded from draws of the Gaussian."""
        sampled: Tensor = self.decoder(torch.randn(count, CODE)).sigmoid()
        return sampled


class Vae:
    """The error `recon` of reconstructed digits, and the distance `kl` of their codes."""

    static: ClassVar[dict[str, Weight]] = {
        "recon": 1.0,
        "kl": lambda step: min(1.0, step / ANNEALED),
    }
    measured = "held-out digits"
    picture = ("digits.png", "digits that training never saw, reconstructed; and new ones")

    def __init__(self) -> None:
        self._images, self._held_out = load_images()
        self.network = VariationalAutoencoder()

    def losses(self) -> dict[str, Tensor]:
        """The two parts of the bound."""
        losses: dict[str, Tensor] = self.network(random_batch(self._images))
        return losses

    def optimizers(self, learned: dict[str, Any]) -> list[Optimizer]:
        """One for all."""
        return [Adam([{"params": [*self.network.parameters()]}, learned], lr=1e-3)]

    @torch.no_grad()
    def quality(self) -> dict[str, float]:
        """The bound on the likelihood, and how much of it the codes take."""
        losses = self.network(self._held_out)
        bound = losses["recon"] + losses["kl"]
        return {"negative ELBO, nats": bound.item(), "of which KL": losses["kl"].item()}

    def draw(self, output: Path) -> None:
        """Draw digits, reconstructed and new ones."""
        draw_digits(self.network, self._held_out, output)
