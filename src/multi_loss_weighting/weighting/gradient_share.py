"""Weights by which each loss has its share of the gradient at one place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from loss_loggers.arguments import checked, checked_kind

from ._base import Weighted, weighted_sum
from ._measuring import NOT_MEASURED, Measuring

if TYPE_CHECKING:
    from multi_loss_weighting.statistics._history import History

    from ._per_loss import Numbers

_GUARDS = ("capped", "slowed", "vanished")


class GradientShareWeighting(Measuring):
    """w_i = r_i / g_i, times what all have in common: g_i is the norm of the gradient of loss i.

    The place at which the gradients are taken makes it one of the methods of the literature:

    - all parameters: learning-rate annealing for physics-informed nets (Wang et al.,
      arXiv:2001.04536, with the norms of its authors' later arXiv:2308.08468, algorithm 1);
    - the last layer that all losses share: the adaptive weight of VQGAN (arXiv:2012.09841,
      equation 7), with `reference="nll"`;
    - one tensor, such as the output of a decoder: the Balancer of EnCodec (arXiv:2210.13438,
      equation 5). That costs one small backward a loss, which does not go through the decoder. Set
      `weighting.place = output` before each step.

    With a `reference`, w_i = (r_i / r_ref) g_ref / g_i, and the reference weighs 1. Without, the
    weighted norms sum up to what the norms do, so that the learning rate means the same.

    A measurement counts from the next step on, so that the objective is the same for all calls in a
    step, and on all ranks, which take the mean of their norms. Only the first one of a loss counts
    at once (on each rank its own). A loss that is missing from a step keeps its weight.

    Such weights run away where a loss is met by a trivial solution: its gradient vanishes, its
    weight grows without end, and the network stays there. Against that stand four guards:

    - no weight is above `max_weight` times the smallest (with a reference: or below 1 /
      `max_weight`);
    - from one measurement to the next no weight changes by more than `max_change` times;
    - a gradient of 0, or one that is not finite, is no measurement: the loss keeps its weight;
    - `weighted=True` measures the gradients of the weighted losses, as the code of learning-rate
      annealing does: then w_i goes to the square root of g_ref / g_i.

    `capped`, `slowed` and `vanished` count how often the first three acted; `guards()` gives that
    to a row.

    Args:
        place: Parameters, or one tensor; None for a tensor that is set before each step.
        shares: From the name of a loss to r_i, of which only the proportions count; None for equal
            ones.
        every: Steps from one measurement to the next. One costs a backward a loss.
        smoothing: How much of the running mean of a norm stays at each measurement, 0 to 1.
        max_weight: How many times the smallest weight one may be.
        max_change: How many times larger or smaller a weight may become at one measurement.
        reference: The loss that weighs 1; None for none.
        weighted: Whether the gradients of the weighted losses are measured.

    Raises:
        TypeError: If a parameter is no tensor.
        ValueError: If no parameter requires a gradient, or an option is outside its range.

    >>> from multi_loss_weighting import LossGroup
    >>> parameter = torch.ones(2, requires_grad=True)
    >>> weighting = GradientShareWeighting([parameter], reference="recon", every=1)
    >>> group = LossGroup(["recon", "adv"], weighting=weighting)
    >>> total = group.update({"recon": parameter[0] * 8, "adv": parameter[1]})
    >>> group.weights, parameter.grad.tolist()
    ({'recon': 1.0, 'adv': 8.0}, [8.0, 8.0])
    """

    _settings = (
        "shares",
        "every",
        "smoothing",
        "max_weight",
        "max_change",
        "reference",
        "weighted",
    )

    def __init__(
        self,
        place: Iterable[Tensor] | Tensor | None,
        shares: Mapping[str, float] | None = None,
        *,
        every: int = 10,
        smoothing: float = 0.9,
        max_weight: float = 100.0,
        max_change: float = 2.0,
        reference: str | None = None,
        weighted: bool = False,
    ) -> None:
        counts = dict.fromkeys(_GUARDS, 0.0)
        super().__init__(place, every, weight=1.0, norm=0.0, count=0.0, **counts)
        self.shares = None if shares is None else _checked_shares(shares, reference)
        is_share = lambda it: 0 <= it < 1  # noqa: E731
        self.smoothing: float = checked(smoothing, is_share, "smoothing", "0 to below 1")
        is_factor = lambda it: it >= 1  # noqa: E731
        self.max_weight: float = checked(max_weight, is_factor, "max_weight", "1 or more")
        self.max_change: float = checked(max_change, lambda it: it > 1, "max_change", "above 1")
        self.reference, self.weighted = reference, weighted

    @property
    def capped(self) -> dict[str, int]:
        """At how many measurements `max_weight` acted, for each loss."""
        return self._counts("capped")

    @property
    def slowed(self) -> dict[str, int]:
        """At how many measurements `max_change` acted, for each loss."""
        return self._counts("slowed")

    @property
    def vanished(self) -> dict[str, int]:
        """At how many measurements a loss had no gradient, for each loss."""
        return self._counts("vanished")

    def guards(self) -> dict[str, int]:
        """How often each guard acted so far, for `update(losses, extra=weighting.guards())`.

        On an accelerator that waits for it, so not at each step.
        """
        return {
            f"{guard}/{name}": count
            for guard in _GUARDS
            for name, count in self._counts(guard).items()
        }

    def weigh(self, losses: Tensor, history: History, /) -> Weighted:
        """The sum of the losses times their weights; measures their gradients where that is due.

        Raises:
            RuntimeError: If the place is not set, none of the losses depends on it, or a reentrant
                activation checkpoint hides gradients.
            ValueError: If a loss has no share, or the reference is not among the losses.
        """
        names = history.names
        self._check_names(history)
        self._measure(losses, history)
        numbers, norms = self._known(names, losses.device), self._norms(names, losses.device)
        weights = numbers["weight"].clone()
        if norms is not None:
            new = self._moved(numbers, norms, losses, history)["weight"]
            weights = torch.where(numbers["count"] > 0, weights, new)
        return weighted_sum(losses, weights)

    def _check_names(self, history: History) -> None:
        names = history.names
        if self.reference is not None and history.are_given and self.reference not in names:
            msg = f"reference must be one of the losses {', '.join(names)}, got {self.reference!r}"
            raise ValueError(msg)
        lost = [name for name in names if self.shares is not None and name not in self.shares]
        if lost:
            msg = f"shares must have each of the losses {', '.join(names)}, got none for {lost[0]}"
            raise ValueError(msg)

    def _moved(self, old: Numbers, norms: Tensor, losses: Tensor, history: History) -> Numbers:  # noqa: ARG002
        """The running norms with those of a step, and the weights that follow from them."""
        names = history.names
        was_measured, is_usable = norms != NOT_MEASURED, norms > 0
        seen = norms * old["weight"] if self.weighted else norms
        norm = torch.where(is_usable, self.smoothing * old["norm"] + seen, old["norm"])
        count = torch.where(is_usable, self.smoothing * old["count"] + 1, old["count"])
        wanted = self._wanted(norm / count, old["weight"], names)
        capped, is_capped = self._capped(wanted, norm / count, old["weight"], names)
        least, most = old["weight"] / self.max_change, old["weight"] * self.max_change
        is_first = old["count"] == 0
        slowed = torch.where(is_first, capped, capped.clamp(least, most))
        moves = is_usable & capped.isfinite()
        return {
            "weight": torch.where(moves, slowed, old["weight"]),
            "norm": norm,
            "count": count,
            "capped": old["capped"] + (moves & is_capped),
            "slowed": old["slowed"] + (moves & (slowed != capped)),
            "vanished": old["vanished"] + (was_measured & ~is_usable),
        }

    def _wanted(self, size: Tensor, weight: Tensor, names: tuple[str, ...]) -> Tensor:
        """The weights without a guard; nan for a loss that was never measured."""
        share = self._shares_of(names, size)
        if self.reference in names:
            own = names.index(self.reference)
            return (share / share[own]) * (size[own] / size)
        return self._of_one_sum(share / size, size, weight)

    def _of_one_sum(self, weights: Tensor, size: Tensor, old: Tensor) -> Tensor:
        """The weights times what makes the weighted norms sum up to what the norms do."""
        norms = size / old if self.weighted else size
        return weights * (norms.nansum() / (weights * norms).nansum())

    def _capped(
        self, wanted: Tensor, size: Tensor, old: Tensor, names: tuple[str, ...]
    ) -> tuple[Tensor, Tensor]:
        """The weights within `max_weight`, and which of them were not."""
        if self.reference in names:
            capped = wanted.clamp(1 / self.max_weight, self.max_weight)
            return capped, capped != wanted
        some = torch.where(wanted > 0, wanted, math.inf)  # neither nan nor a share of 0
        capped = torch.minimum(wanted, self.max_weight * some.min())
        return self._of_one_sum(capped, size, old), capped != wanted

    def _shares_of(self, names: tuple[str, ...], like: Tensor) -> Tensor:
        if self.shares is None:
            return torch.ones_like(like)
        shares = torch.tensor([self.shares[name] for name in names], dtype=like.dtype, device="cpu")
        return shares.to(like.device, non_blocking=True)


def _checked_shares(shares: Mapping[str, float], reference: str | None) -> dict[str, float]:
    checked_kind(shares, Mapping, "shares")
    is_right = lambda it: 0 <= it < math.inf  # noqa: E731
    own = {
        name: float(checked(share, is_right, f"the share of {name}", "0 or more"))
        for name, share in shares.items()
    }
    if not sum(own.values()):
        msg = f"shares must have one above 0, got {own}"
        raise ValueError(msg)
    if reference is not None and not own.get(reference):
        msg = f"shares must have one above 0 for the reference {reference!r}, got {own}"
        raise ValueError(msg)
    return own
