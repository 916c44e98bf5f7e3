"""The data of two problems, scikit-learn's handwritten digits, and what was learned of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn.functional import pad

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

HELD_OUT = 297
BATCH_SIZE = 128
COLUMNS = 16


class Autoencoder(Protocol):
    """What gives images back, and new ones."""

    def reconstruct(self, images: Tensor, /) -> Tensor:
        """The images after a way through the code."""

    def sample(self, count: int, /) -> Tensor:
        """New images."""


def load_images() -> tuple[Tensor, Tensor]:
    """1500 images of 8 x 8 pixels in [0, 1] to train on, and 297 that training never sees."""
    from sklearn.datasets import load_digits

    images = torch.as_tensor(load_digits().data, dtype=torch.float32) / 16
    return images[:-HELD_OUT], images[-HELD_OUT:]


def random_batch(images: Tensor) -> Tensor:
    """Some of the images."""
    return images[torch.randint(len(images), (BATCH_SIZE,))]


@torch.no_grad()
def draw_digits(model: Autoencoder, held_out: Tensor, output: Path) -> None:
    """Draw digits, their reconstructions and new digits, a row each."""
    from matplotlib.figure import Figure

    rows = {
        "held out": held_out[:COLUMNS],
        "reconstructed": model.reconstruct(held_out[:COLUMNS]),
        "new": model.sample(COLUMNS),
    }
    figure = Figure(figsize=(9, 2.4), layout="constrained")
    for axis, (label, digits) in zip(figure.subplots(len(rows)), rows.items(), strict=True):
        axis.imshow(_side_by_side(digits), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.set_ylabel(label, rotation=0, ha="right", va="center")
        axis.spines[:].set_visible(False)
    figure.savefig(output, dpi=150)


def _side_by_side(digits: Tensor) -> Any:
    """One wide image, with a pixel of paper after each digit."""
    framed = pad(digits.reshape(-1, 8, 8), (0, 1))
    return torch.cat(list(framed), dim=1).numpy()
