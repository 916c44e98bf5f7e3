"""Learned weights inside of a `DistributedDataParallel`."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from torch import Tensor


class Replica:
    """The `DistributedDataParallel` that holds a parameter, if one does.

    With `find_unused_parameters=True` it takes a parameter that its forward does not use for done,
    and fails when a gradient comes all the same. A group that is weighed after that forward
    therefore has the gradient go around it; `group.record` takes the mean over the ranks.
    """

    _wrapper: Callable[[], Any] | None = None

    def __reduce__(self) -> tuple[type[Replica], tuple[()]]:
        """A copy is in no wrapper yet."""
        return Replica, ()

    def notice(self, caller: FrameType) -> None:
        """Remember the wrapper if it is the one that asks for parameters.

        It tells nobody that it wraps a module: that it asks each for its parameters is all there
        is to see.
        """
        if caller.f_globals.get("__name__") == "torch.nn.parallel.distributed":
            wrapper = caller.f_locals.get("self")
            if hasattr(wrapper, "find_unused_parameters"):
                self._wrapper = weakref.ref(wrapper)

    def leaf_of(self, parameter: Tensor) -> Tensor:
        """The parameter, or a leaf in its place that adds its gradient to the parameter's."""
        if self._wrapper is None or not (parameter.requires_grad and _is_done(self._wrapper())):
            return parameter
        leaf = parameter.detach().requires_grad_()
        leaf.register_post_accumulate_grad_hook(partial(_hand_over, parameter))  # type: ignore[no-untyped-call]
        return leaf


def _is_done(wrapper: Any) -> bool:
    """Whether its forward is over, and it waits for no gradient of what was not used in that."""
    if wrapper is None or not wrapper.find_unused_parameters or wrapper.static_graph:
        return False
    # torch.compile asks in the same way whether a module is inside the forward of a wrapper.
    active = DistributedDataParallel._get_active_ddp_module  # noqa: SLF001
    return active() is None  # type: ignore[no-untyped-call]


def _hand_over(parameter: Tensor, leaf: Tensor) -> None:
    assert leaf.grad is not None
    parameter.grad = leaf.grad if parameter.grad is None else parameter.grad + leaf.grad
    leaf.grad = None
