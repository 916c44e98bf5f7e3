"""The problem `gan`: an adversarial autoencoder of handwritten digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.optim import Adam

from ._autoencoder import AdversarialAutoencoder, squared_error
from ._digits import draw_digits, load_images, random_batch

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from torch.optim import Optimizer

    from ._problem import Weight


class Gan:
    """A generator `G`, a discriminator `D` and the error `E` of reconstructed digits."""

    static: ClassVar[dict[str, Weight]] = {"G": 0.1, "D": 1.0, "E": 1.0}
    measured = "held-out digits"
    picture = ("digits.png", "digits that training never saw, reconstructed; and new ones")

    def __init__(self) -> None:
        self._images, self._held_out = load_images()
        self.network = AdversarialAutoencoder()

    def losses(self) -> dict[str, Tensor]:
        """The loss of each player."""
        losses: dict[str, Tensor] = self.network(random_batch(self._images))
        return losses

    def optimizers(self, learned: dict[str, Any]) -> list[Optimizer]:
        """One for the autoencoder, one for the discriminator."""
        network, betas = self.network, (0.5, 0.999)
        autoencoder = [*network.encoder.parameters(), *network.decoder.parameters()]
        return [
            Adam([{"params": autoencoder}, learned], lr=3e-4, betas=betas),
            Adam(network.discriminator.parameters(), lr=3e-4, betas=betas),
        ]

    @torch.no_grad()
    def quality(self) -> dict[str, float]:
        """The error of reconstructions, and the standard deviation of the codes."""
        error = squared_error(self.network.reconstruct(self._held_out), self._held_out)
        spread = self.network.encoder(self._held_out).std()
        return {"squared error": error.item(), "std of codes (aim: 1)": spread.item()}

    def draw(self, output: Path) -> None:
        """Draw digits, reconstructed and new ones."""
        draw_digits(self.network, self._held_out, output)
