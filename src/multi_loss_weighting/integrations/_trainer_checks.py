"""What the settings of a Trainer and the output of its model must be to have several losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def named_fields(outputs: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Those fields of a model's output that are called as the losses, or so with `_loss`.

    >>> named_fields({"loss": 3.0, "recon_loss": 1.0, "kl": 2.0, "code": 0.5}, ("recon", "kl"))
    {'recon': 1.0, 'kl': 2.0}
    """
    fields = outputs if isinstance(outputs, Mapping) else {}
    found = {name: fields.get(name, fields.get(f"{name}_loss")) for name in names}
    losses = {name: loss for name, loss in found.items() if loss is not None}
    if not losses:
        wanted = f"the fields {', '.join(names)}" if names else "names in the LossGroup"
        got = ", ".join(map(str, fields)) or type(outputs).__name__
        msg = (
            f"the output of the model needs {wanted} (or a dict as its loss, or pass losses=, a"
            f" function from loss, outputs and inputs to losses by name); got {got}"
        )
        raise ValueError(msg)
    return losses


def check_best_metric(args: Any) -> None:
    """The best model is not the one with the greatest loss, which is the Trainer's default."""
    metric = args.metric_for_best_model
    if metric and "loss/" in metric and args.greater_is_better:
        msg = f"of {metric!r} less is better: pass greater_is_better=False; got True"
        raise ValueError(msg)


def check_loss_func(compute_loss_func: object, can_be_divided: bool) -> None:
    """Older versions take what a `compute_loss_func` returns for divided by the micro-batches."""
    if compute_loss_func is not None and not can_be_divided:
        msg = (
            "a compute_loss_func with several losses needs a newer Transformers, that divides their"
            " total by the number of micro-batches; got one that does not: pass losses= instead"
        )
        raise TypeError(msg)
