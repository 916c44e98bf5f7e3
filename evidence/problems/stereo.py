"""Depth from a stereo pair, without its truth: the losses of Monodepth (arXiv:1609.03677).

CoV-Weighting was published on these losses. Here they train on one pair, scikit-image's
motorcycle (Middlebury 2014), shrunk to 24 x 36 pixels: four kinds of losses at four scales for
both eyes. They come as 32 losses, or as the four sums of a kind; their plain sum is the same.
"""

from __future__ import annotations

from functools import cache, partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, grid_sample

from ._problem import Problem
from ._stack import Network, stacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Generator, Tensor

SIZES = ((24, 36), (12, 18), (6, 9), (3, 5))
EYES = ("left", "right")
KINDS = ("image", "structure", "smooth", "agree")
LARGEST = 0.15
"""The largest disparity, over the width of the image."""
WAVES, WIDTH = 16, 32


class Scale(NamedTuple):
    """The pair at one size: gray images of shape `(2, rows, columns)`, and where pixels are."""

    images: Tensor
    places: Tensor  # of shape `(rows, columns, 2)`: from -1 to 1, across and down


@cache
def scales() -> list[Scale]:
    """The pair from fine to coarse."""
    left, right, _ = _motorcycle()
    pair = torch.stack([left, right])
    return [Scale(adaptive_avg_pool2d(pair, size), _places(*size)) for size in SIZES]


@cache
def true_disparity() -> tuple[Tensor, Tensor]:
    """Of the left image, over its width; and where it is known."""
    *_, disparity = _motorcycle()
    known = disparity.isfinite()
    sums = adaptive_avg_pool2d(disparity.where(known, 0.0)[None], SIZES[0])[0]
    share = adaptive_avg_pool2d(known.float()[None], SIZES[0])[0]
    return sums / share / disparity.shape[1], share > 0.5


@cache
def _motorcycle() -> tuple[Tensor, Tensor, Tensor]:
    """Two gray images and the disparity of the left one in pixels."""
    from skimage.data import stereo_motorcycle

    left, right, disparity = stereo_motorcycle()  # type: ignore[no-untyped-call]
    gray = [torch.as_tensor(image).float().mean(dim=2) / 255 for image in (left, right)]
    return gray[0], gray[1], torch.as_tensor(disparity)


def _places(rows: int, columns: int) -> Tensor:
    down = (2 * torch.arange(rows) + 1) / rows - 1
    across = (2 * torch.arange(columns) + 1) / columns - 1
    return torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=2)


class StereoTask:
    """A network of the place in the image, with a head for each scale: both eyes' disparity."""

    def __init__(self, seeds: Sequence[int], *, one_by_one: bool) -> None:
        self._one_by_one = one_by_one
        waves = stacked(seeds, "waves", _draw_waves)
        self._features = [_waves_at(scale.places, waves) for scale in scales()]
        self._trunk = Network(seeds, "trunk", (2 * WAVES, WIDTH, WIDTH))
        self._heads = [Network(seeds, f"head {size}", (WIDTH, 2)) for size in SIZES]
        networks = (self._trunk, *self._heads)
        self.parameters: Sequence[Tensor] = [
            tensor for network in networks for tensor in network.parameters
        ]
        self.shared: Sequence[Tensor] = [self._trunk.weights[-1]]

    def losses(self, step: int) -> Mapping[str, Tensor]:  # noqa: ARG002  # all pixels, each step
        """Each kind of loss at each scale for each eye, or the sum of a kind."""
        each = {
            f"{kind}_{eye}_{number}": loss
            for number, found in enumerate(zip(scales(), self._disparities(), strict=True))
            for kind, losses in _losses_at(*found).items()
            for eye, loss in zip(EYES, losses.unbind(dim=1), strict=True)
        }
        if self._one_by_one:
            return {name: each[name] for name in NAMES}
        return {
            kind: torch.stack([each[name] for name in NAMES if name.startswith(kind)]).sum(dim=0)
            for kind in KINDS
        }

    @torch.no_grad()
    def metric(self) -> Tensor:
        """The mean error of the left disparity over that of the best constant."""
        disparity, known = true_disparity()
        truth = disparity[known]
        return (self._left() - truth).abs().mean(dim=1) / (truth - truth.median()).abs().mean()

    @torch.no_grad()
    def collapsed(self) -> Tensor:
        """Whether the disparity is the same nearly everywhere."""
        disparity, known = true_disparity()
        return self._left().std(dim=1) < 0.05 * disparity[known].std()

    def _disparities(self) -> list[Tensor]:
        """At each scale, of shape `(seeds, eyes, rows, columns)`, over the width."""
        # One scale at a time, so that the gradient of its losses goes through its pixels alone.
        outputs = [
            head(torch.relu(self._trunk(part)))
            for head, part in zip(self._heads, self._features, strict=True)
        ]
        return [
            LARGEST * output.transpose(1, 2).sigmoid().reshape(-1, 2, *size)
            for output, size in zip(outputs, SIZES, strict=True)
        ]

    def _left(self) -> Tensor:
        """The left eye's disparity at the finest scale, where the truth is known."""
        _, known = true_disparity()
        return self._disparities()[0][:, 0, known]


def _losses_at(scale: Scale, disparity: Tensor) -> dict[str, Tensor]:
    """Each kind, of shape `(seeds, eyes)`."""
    images, places = scale
    rebuilt = _from_other_eye(images.expand_as(disparity), disparity, places)
    errors = {
        "image": (rebuilt - images).abs(),
        "structure": _unlike(rebuilt, images),
        "smooth": _roughness(disparity, images),
        "agree": (_from_other_eye(disparity, disparity, places) - disparity).abs(),
    }
    return {kind: error.mean(dim=(2, 3)) for kind, error in errors.items()}


def _from_other_eye(values: Tensor, disparity: Tensor, places: Tensor) -> Tensor:
    """What each eye sees, looked up in the other: to the left for the left, to the right else."""
    across = torch.tensor([-2.0, 2.0])[:, None, None] * disparity
    moved = places + torch.stack([across, torch.zeros_like(across)], dim=4)
    other = values.flip(1).flatten(0, 1)[:, None]
    looked_up = grid_sample(other, moved.flatten(0, 1), padding_mode="border", align_corners=False)
    return looked_up.view(values.shape)


def _unlike(some: Tensor, others: Tensor) -> Tensor:
    """Half of 1 - SSIM, in windows of 3 x 3 pixels."""
    mean, other_mean = _window(some), _window(others)
    variance = _window(some.square()) - mean.square()
    other_variance = _window(others.square()) - other_mean.square()
    covariance = _window(some * others) - mean * other_mean
    means = (2 * mean * other_mean + 0.01**2) / (mean.square() + other_mean.square() + 0.01**2)
    spreads = (2 * covariance + 0.03**2) / (variance + other_variance + 0.03**2)
    return ((1 - means * spreads) / 2).clamp(0, 1)


def _window(values: Tensor) -> Tensor:
    return avg_pool2d(values, 3, stride=1)


def _roughness(disparity: Tensor, images: Tensor) -> Tensor:
    """The slope of the disparity, less where the image has an edge."""
    down, across = (
        disparity.diff(dim=dim).abs() * (-images.diff(dim=dim).abs()).exp() for dim in (-2, -1)
    )
    return down[..., :-1] + across[..., :-1, :]


def _waves_at(places: Tensor, waves: Tensor) -> Tensor:
    """What the network sees of each place, for each seed."""
    angles = places.flatten(0, 1) @ waves
    return torch.cat([angles.sin(), angles.cos()], dim=2)


def _draw_waves(random: Generator) -> Tensor:
    return 3 * torch.randn(2, WAVES, generator=random)


NAMES = tuple(
    f"{kind}_{eye}_{number}" for kind, eye, number in product(KINDS, EYES, range(len(SIZES)))
)

PROBLEMS = (
    Problem(
        name="stereo_4",
        title="Stereo pair, 4 losses",
        family="might matter",
        losses=KINDS,
        metric="disparity error over a constant's",
        measures="the distance of the left disparity to the measured one, which no loss knows",
        make=partial(StereoTask, one_by_one=False),
        steps=300,
        full_steps=5000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"smooth": (1.0, 0.1, 10.0), "agree": (1.0, 0.1, 10.0)},
    ),
    Problem(
        name="stereo_32",
        title="Stereo pair, 32 losses",
        family="might matter",
        losses=NAMES,
        metric="disparity error over a constant's",
        measures="the distance of the left disparity to the measured one, which no loss knows",
        make=partial(StereoTask, one_by_one=True),
        steps=300,
        full_steps=5000,
        rates=(3e-3, 1e-2, 3e-2),
    ),
)
