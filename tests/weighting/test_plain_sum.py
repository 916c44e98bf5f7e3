from __future__ import annotations

from multi_loss_weighting import LossGroup, PlainSum


def test_a_group_without_a_weighting_is_the_plain_sum() -> None:
    group = LossGroup()

    total = group.update({"a": 1.0, "b": 2.5}, do_backwards=False)

    assert isinstance(group.weighting, PlainSum)
    assert total.item() == 3.5
    assert group.weights == {"a": 1.0, "b": 1.0}
