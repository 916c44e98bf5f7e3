"""The example: three losses of a real network, weighed by a group, in one backward a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim import Adam

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from multi_loss_weighting import LossGroup

    from ._autoencoder import AdversarialAutoencoder

BATCH_SIZE = 128


def train(
    model: AdversarialAutoencoder, images: Tensor, group: LossGroup, steps: int
) -> Iterator[int]:
    """Train the network; yields the number of steps done after each."""
    autoencoder = [*model.encoder.parameters(), *model.decoder.parameters()]
    optimizers = [
        Adam([{"params": autoencoder}, group.parameter_group()], lr=3e-4, betas=(0.5, 0.999)),
        Adam(model.discriminator.parameters(), lr=3e-4, betas=(0.5, 0.999)),
    ]
    for step in range(steps):
        batch = images[torch.randint(len(images), (BATCH_SIZE,))]
        group.update(model(batch))  # {"G": …, "D": …, "E": …}: weighs, one backward, one row
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        yield step + 1
