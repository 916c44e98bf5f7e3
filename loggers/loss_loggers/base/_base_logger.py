"""What our own loggers have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, cast

from ._epoch_row import epoch_row
from ._faults import is_the_users
from ._warn import in_short, warn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from ._protocol import Logger, Means, Record, Row


class BaseLogger:
    """A logger that closes with `with`, and that says how many rows it lost.

    Yours may inherit from it, which asks for nothing: a `Tee` then closes it too. It never calls
    anything but the methods of `Logger` on an object that does not, for who opens, closes.

    >>> class PrintLogger(BaseLogger):
    ...     def log_metrics(self, metrics, /, *, step):
    ...         print(step, metrics)
    >>> with PrintLogger() as logger:
    ...     logger.log_metrics({"loss/G": 0.5}, step=0)
    0 {'loss/G': 0.5}
    """

    must_stay_on_thread: ClassVar[str] = ""
    """Why it has to be called on the thread that trains, if so; `Background` then refuses it."""

    is_bound_to_process: ClassVar[bool] = False
    """Whether it has a file, a port or a thread of its own, which cannot be sent elsewhere."""

    _before_close: tuple[Callable[[], object], ...] = ()

    @property
    def failed(self) -> int:
        """Rows that it took and could not deliver."""
        return 0

    @property
    def withheld(self) -> int:
        """Rows that were kept from it for a while, because it had just failed slowly."""
        return 0

    @property
    def target(self) -> str:
        """Which run it delivers to, in words: what was sent there is remembered under them."""
        return type(self).__name__.removesuffix("Logger").lower()

    def log_epoch(self, epoch: int, means: Means, /, *, step: int) -> None:
        """Record the mean of each loss over an epoch; a row of metrics, unless it has another way.

        >>> from loss_loggers import MemoryLogger
        >>> memory = MemoryLogger()
        >>> memory.log_epoch(3, {"G": (0.5, 128)}, step=11)
        >>> memory["epoch_loss/G"]
        [(11, 0.5)]

        Args:
            epoch: The number of the epoch.
            means: For each loss its mean over the epoch, and over how many samples that is.
            step: The last step of the epoch.
        """
        cast("Logger", self).log_metrics(epoch_row(epoch, means), step=step)

    def set_record(self, record: Record) -> bool:  # noqa: ARG002, for those that deliver later
        """Deliver beside this record; whether it has to be told where rows are in it."""
        return False

    def settle(self) -> None:
        """Wait until the backend has what was logged, as far as a logger can know that."""

    def known_rows(self, steps: frozenset[int]) -> Callable[[Row], bool] | None:  # noqa: ARG002
        """What tells whether the backend has a row of these steps, if the logger can read that."""
        return None

    def forget_from(self, step: int | None) -> None:
        """Forget the rows from this step on, where the backend can: a checkpoint sends them again.

        Args:
            step: That step; None if none comes again. `sync` knows it from the record, so a logger
                that looks for it by itself need not do so any more.
        """

    def before_close(self, deliver: Callable[[], object]) -> None:
        """Have `deliver` called when it is closed: there may be rows that did not come yet."""
        self._before_close = (*self._before_close, deliver)

    def flush_producers(self) -> None:
        """Let those deliver that asked for it in `before_close`; each is asked once."""
        asked, self._before_close = self._before_close, ()
        for deliver in asked:
            try:
                deliver()
            except BaseException as error:  # noqa: PERF203  the others are asked all the same
                if is_the_users(error):
                    raise
                warn(f"last rows did not reach {self.target} ({in_short(error)})")

    def begin_close(self) -> None:
        """Begin to deliver what is left, where that takes time: `close` follows, after others."""

    def close(self, error: BaseException | None = None) -> None:  # noqa: ARG002, for those that tell of it
        """Deliver what is left; `error` is what ended the work, if it did not end well."""
        self.flush_producers()

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # A copy of a model, such as its moving average, has no other file or run to write to.
        return self

    def __copy__(self) -> Self:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if self.is_bound_to_process:
            msg = (
                f"{type(self).__name__} works in the process that made it, so it cannot be pickled:"
                " make one where it is used, and save state_dict() instead of a whole object"
            )
            raise TypeError(msg)
        return super().__reduce_ex__(protocol)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(error)
