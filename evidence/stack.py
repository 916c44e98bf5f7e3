"""Weigh the losses of stacked networks: each seed has a `LossGroup` of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multi_loss_weighting import LossGroup

from .methods import Method, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .problems import Problem


class WeighedStack:
    """The groups of several seeds, which are weighed by the package as if each were alone.

    What looks at gradients would need a backward for each loss of each seed. The seeds do not
    depend on each other, so one for each loss has the gradients of all. Their norms and cosines are
    handed to the groups by way of a stand-in: each loss gets a term of value 0 whose gradients, by
    a few numbers of that seed, have the same norms and cosines. There the groups measure.

    A stack of one needs no stand-in: its group measures at the parameters, as a user's would.

    A seed whose method raises an error trains no further: `stopped` has it.

    Args:
        problem: Whose losses these are.
        method: How to weigh.
        seeds: Of the networks.
        shared: The parameters where gradients are measured.
        weights: Those of a constant.
    """

    def __init__(
        self,
        problem: Problem,
        method: Method,
        seeds: Sequence[int],
        shared: Sequence[Tensor],
        weights: Mapping[str, float],
    ) -> None:
        self.names = problem.losses
        self._method = method
        self._shared = shared
        self._is_alone = len(seeds) == 1
        like = shared[0].new_zeros(len(self.names))
        self._places = [torch.zeros_like(like).requires_grad_() for _ in seeds]
        self.groups: list[LossGroup] = []
        self.stopped = torch.zeros(len(seeds), dtype=torch.bool)
        for seed, place in zip(seeds, self._places, strict=True):
            where = shared if self._is_alone else [place]
            weighting = method.make(Setting(problem, where, seed, weights))
            self.groups.append(LossGroup(self.names, weighting=weighting))

    def parameters(self) -> Iterator[Tensor]:
        """The learned weights of all seeds."""
        for group in self.groups:
            yield from group.parameters()

    def total(self, losses: Tensor, step: int) -> Tensor:
        """The sum of the objectives of all seeds, for losses [seeds, K]; they are recorded."""
        rows = [*losses.unbind()]
        every = self._method.every
        if every and step % every == 0 and not self._is_alone:
            stand_ins = stand_in(gradient_products(losses, self._shared)).to(losses)
            rows = [
                row + matrix @ place
                for row, matrix, place in zip(rows, stand_ins, self._places, strict=True)
            ]
        totals = [self._objective(place, row) for place, row in enumerate(rows)]
        if self._method.epoch and (step + 1) % self._method.epoch == 0:
            self._end_epoch()
        return torch.stack(totals).sum()

    def _objective(self, place: int, row: Tensor) -> Tensor:
        losses = dict(zip(self.names, row.unbind(), strict=True))
        if not self.stopped[place]:
            try:
                return self.groups[place].update(losses, do_backwards=False)
            except ValueError:  # the method gave weights that are not finite
                self.stopped[place] = True
        return 0 * row.sum()

    def _end_epoch(self) -> None:
        for group in self.groups:
            weighting: Any = group.weighting
            weighting.method.step()

    def weights(self) -> Tensor:
        """Those of the last step, [seeds, K]."""
        return torch.tensor([[*group.weights.values()] for group in self.groups])

    def nonfinite(self) -> list[int]:
        """How many losses of each seed were not finite."""
        return [sum(group[name].nonfinite for name in self.names) for group in self.groups]


def gradient_products(losses: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The products of the gradients of losses [seeds, K] with each other, [seeds, K, K].

    The parameters have the seeds as their first dimension.
    """
    rows = []
    for loss in losses.unbind(dim=1):
        gradients = torch.autograd.grad(
            loss.sum(), parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([gradient.flatten(1) for gradient in gradients], dim=1))
    matrix = torch.stack(rows, dim=1).double()
    return matrix @ matrix.mT


def split(products: Tensor) -> tuple[Tensor, Tensor]:
    """Norms [seeds, K] and cosines [seeds, K, K]; a gradient of 0 has the cosine 0 with others."""
    norms = products.diagonal(dim1=1, dim2=2).sqrt()
    scale = torch.where(norms > 0, 1 / norms, 0.0)
    cosines = (products * scale[:, :, None] * scale[:, None, :]).nan_to_num(0.0, 0.0, 0.0)
    return norms, cosines.clamp(-1, 1)


def stand_in(products: Tensor) -> Tensor:
    """Matrices [seeds, K, K] whose rows have these products with each other.

    A gradient that is not finite becomes 0, which to the package is as little a measurement.

    >>> gradients = torch.tensor([[[3.0, 0.0, 4.0], [0.0, 2.0, 0.0]]]).double()
    >>> rows = stand_in(gradients @ gradients.mT)
    >>> (rows @ rows.mT).round(decimals=9).tolist()
    [[[25.0, 0.0], [0.0, 4.0]]]
    """
    norms, cosines = split(products)
    values, vectors = torch.linalg.eigh(cosines)
    roots = vectors * values.clamp_min(0).sqrt()[:, None, :] @ vectors.mT
    rows: Tensor = roots * norms.nan_to_num(0.0, 0.0, 0.0)[:, :, None]
    return rows
