"""What cannot be a loss on an accelerator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from multi_loss_weighting import (
    AutomaticWeightedLoss,
    LossGroup,
)

from .cases import NEVER


def test_losses_on_several_devices_are_an_error() -> None:
    group = LossGroup(["a", "b"], log_every=NEVER)
    here, there = torch.ones(()), torch.ones((), device="meta")

    with pytest.raises(ValueError, match=r"on one device, meta, got 'a' on cpu"):
        group.update({"a": here, "b": there}, do_backwards=False)

    assert group.step == 0


def test_learned_weights_elsewhere_are_an_error() -> None:
    group = LossGroup(["a"], weighting=AutomaticWeightedLoss(1), log_every=NEVER)

    with pytest.raises(ValueError, match=r"losses are on meta and .* on cpu: call .*\.to"):
        group.update({"a": torch.ones((), device="meta")}, do_backwards=False)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (torch.ones(2, device="meta"), r"call \.mean\(\)"),
        (torch.ones(0, device="meta"), r"call \.mean\(\)"),
        (torch.ones((), dtype=torch.complex64, device="meta"), "must be a number"),
        ("loss", "must be a number"),
    ],
)
def test_what_is_no_loss_is_an_error_on_a_device_too(loss: Any, message: str) -> None:
    group = LossGroup(["a", "b"], log_every=NEVER)

    with pytest.raises((TypeError, ValueError), match=message):
        group.update({"a": loss, "b": torch.ones((), device="meta")}, do_backwards=False)

    assert group.step == 0


def test_a_loss_inside_vmap_is_refused() -> None:
    group = LossGroup(["a"], log_every=NEVER)

    def record(loss: Tensor) -> Tensor:
        return group.weigh({"a": loss})

    with pytest.raises(TypeError, match=r"outside of torch\.func"):
        torch.func.vmap(record)(torch.ones(3))


def test_log_every_counts() -> None:
    with pytest.raises(ValueError, match=r"1 or more.*got 0"):
        LossGroup(["a"], log_every=0)
