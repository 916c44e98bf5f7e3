"""One mean of each loss over the samples of an evaluation's batch on all ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def mean_over_samples(
    accelerator: Any, names: tuple[str, ...], losses: Mapping[str, Any], batch_size: int
) -> tuple[dict[str, Tensor], int]:
    """The mean of each loss over the samples of a batch on all ranks, and how many these are.

    Samples that are there twice, to fill up the last batch, do not count. Every rank sends the
    same vector, whichever losses it had, so that none waits for another.
    """
    rows = accelerator.gather_for_metrics(
        _row(names, losses, accelerator.device).repeat(batch_size, 1, 1)
    )
    # In float64 the sum of equal rows is exact, and so is their mean.
    sums, counts = rows.cpu().double().sum(0)
    means = zip(names, sums / counts, counts.tolist(), strict=True)
    return {name: mean for name, mean, count in means if count}, len(rows)


def _row(names: tuple[str, ...], losses: Mapping[str, Any], device: torch.device) -> Tensor:
    """Each loss, 0 where it is not there, and below it whether it is: [2, K]."""
    zero = torch.zeros((), device=device)
    own = [torch.as_tensor(losses.get(name, zero), device=device).reshape(()) for name in names]
    row = torch.stack([loss.detach() + zero for loss in own])
    return torch.stack([row, row.new_tensor([name in losses for name in names])])
