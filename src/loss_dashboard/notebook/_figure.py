"""A figure that is drawn in place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._source import Source

PAUSE = 0.5  # seconds between two drawings
PATIENCE = 10  # and so many times as long as a drawing takes
ENDED = ("finished", "crashed", "stopped")


class Figure:
    """Losses and weights under a cell; `update()` draws what is new in the same place.

    Call `update()` as often as you like, such as at every step: it draws about twice a second,
    and once more at the end of the cell, so that the saved notebook keeps the last state.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._due = 0.0
        self._is_behind = False
        self._source.poll()
        self._display = _display(self._content())
        self._cell = _cell()

    def update(self) -> None:
        """Draw what is new, unless it was drawn just now."""
        if time.monotonic() >= self._due:
            self.draw()
            return
        self._source.notice()
        if not self._is_behind:
            self._is_behind = True
            _at_end_of_cell(self._catch_up)

    def draw(self) -> None:
        """Draw now."""
        start = time.monotonic()
        self._source.poll()
        if self._display is not None:
            self._display.update(self._content(), raw=True)
        end = time.monotonic()
        self._due = end + max(PAUSE, PATIENCE * (end - start))

    def follow(self, seconds: float = 1.0) -> None:
        """Draw a run that another process writes until it ends, or until you interrupt."""
        try:
            while self._source.state not in ENDED:
                time.sleep(seconds)
                self.draw()
        except KeyboardInterrupt:
            self.draw()

    def _ipython_display_(self) -> None:
        """What a cell ends with is shown below it, unless it was shown there just now."""
        if self._display is not None and self._cell != _cell():
            self._cell = _cell()
            self._display.display(self._content(), raw=True)

    def _catch_up(self) -> None:
        self._is_behind = False
        self.draw()

    def _content(self) -> dict[str, str]:
        """The figure as an image, or as text where there are none.

        It is not HTML as well, which pages that show saved notebooks prefer, and take apart.
        """
        from ._svg import draw

        title = self._source.title()
        return {"image/svg+xml": draw(title, self._source.curves()), "text/plain": title}


def _display(content: dict[str, str]) -> Any:
    """Show something that can be replaced later; outside a notebook only its title."""
    try:
        from IPython import display, get_ipython
    except ImportError:
        msg = "a figure is shown by IPython, as in a notebook: pip install ipython"
        raise ImportError(msg) from None
    if get_ipython() is None:
        print(content["text/plain"])
        return None
    return display.display(content, raw=True, display_id=True)  # type: ignore[no-untyped-call]


def _cell() -> int | None:
    """The number of the cell that runs."""
    from IPython import get_ipython

    shell = get_ipython()
    return None if shell is None else shell.execution_count


def _at_end_of_cell(call: Callable[[], None]) -> None:
    """Call it once, when the cell that runs is done."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return

    def once(*_: object) -> None:
        shell.events.unregister("post_run_cell", once)
        call()

    shell.events.register("post_run_cell", once)
