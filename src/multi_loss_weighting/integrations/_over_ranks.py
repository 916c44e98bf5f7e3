"""One mean of each loss over micro-batches and the ranks of an `Accelerator`.

Every rank sends the same vector, whichever losses it had, so that none waits for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

    Losses = Mapping[str, Any]
    Names = tuple[str, ...]


def detached(losses: Losses) -> Losses:
    """The losses to remember, without what they were made from."""
    return {
        name: loss.detach() if isinstance(loss, torch.Tensor) else loss
        for name, loss in losses.items()
    }


def mean_over_ranks(accelerator: Any, names: Names, batches: Sequence[Losses]) -> dict[str, Tensor]:
    """The mean of each loss over the micro-batches of all ranks that had it."""
    sums = _sums(names, batches, accelerator.device)
    return _means(names, accelerator.reduce(sums, "sum"))


def mean_over_samples(
    accelerator: Any, names: Names, losses: Losses, batch_size: int
) -> tuple[dict[str, Tensor], int]:
    """The mean of each loss over the samples of a batch on all ranks, and how many these are.

    Samples that are there twice, to fill up the last batch, do not count.
    """
    sums = _sums(names, [losses], accelerator.device)
    rows = accelerator.gather_for_metrics(sums.repeat(batch_size, 1, 1))
    # In float64 the sum of equal rows is exact, and so is their mean.
    return _means(names, rows.cpu().double().sum(0)), len(rows)


def average_gradients(accelerator: Any, module: nn.Module) -> None:
    """The same gradient on all ranks, for parameters outside of the model that DDP wraps."""
    if accelerator.num_processes > 1:
        for parameter in module.parameters():
            own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = accelerator.reduce(own, "mean")


def _sums(names: Names, batches: Sequence[Losses], device: torch.device) -> Tensor:
    """The sum of each loss, and below it in how many batches it was: [2, K]."""
    zero = torch.zeros((), device=device)
    own = [
        [
            torch.as_tensor(batch[name], device=device).reshape(())
            for batch in batches
            if name in batch
        ]
        for name in names
    ]
    sums = torch.stack([sum(losses, start=zero) for losses in own])
    return torch.stack([sums, sums.new_tensor([len(losses) for losses in own])])


def _means(names: Names, sums: Tensor) -> dict[str, Tensor]:
    means = zip(names, sums[0] / sums[1], sums[1].tolist(), strict=True)
    return {name: mean for name, mean, count in means if count}
