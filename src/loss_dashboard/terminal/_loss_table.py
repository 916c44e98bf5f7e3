"""The table of losses, as many of them as there is room for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text
from textual.message import Message
from textual.widget import Widget

from ._panels import extras_line, loss_table, share_note

if TYPE_CHECKING:
    from textual import events

    from loss_dashboard.reading import RunReader


class LossTable(Widget):
    """A line for each loss, drawn to the size that it has; one is marked, and always in sight."""

    class Clicked(Message):
        """Somebody clicked on the loss that is now marked."""

    def __init__(self, reader: RunReader, hidden: set[str]) -> None:
        super().__init__(id="table", classes="panel")
        self._shown = reader, hidden
        self._marked = 0
        self._lines = range(0)

    @property
    def marked(self) -> str | None:
        """The name of the marked loss; none if there are no losses."""
        return next(iter(self._shown[0].losses[self._marked :]), None)

    @property
    def page(self) -> int:
        """How many losses are in sight."""
        return max(len(self._lines), 1)

    def show(self, reader: RunReader, hidden: set[str]) -> None:
        """Draw a run as it is now."""
        self._shown = reader, hidden
        self.move(0)

    def move(self, by: int) -> None:
        """Mark a loss further down, or further up."""
        self._marked = max(min(self._marked + by, len(self._shown[0].losses) - 1), 0)
        self.refresh()

    def render(self) -> Group:
        """Draw it, with a line on what is out of sight, and one of the user's own numbers."""
        reader, hidden = self._shown
        lines = share_note(reader, self.size.width), extras_line(reader, self.size.width)
        extras = [line for line in lines if line]
        count, room = len(reader.losses), max(self.size.height - 1 - len(extras), 1)
        is_cut = count > room
        self._lines = _around(self._marked, count, max(room - is_cut, 1), self._lines.start)
        table = loss_table(reader, self.size.width, hidden, self._lines, self._marked)
        first, last = self._lines.start + 1, self._lines.stop
        where = Text(f"{first} to {last} of {count}, \u2191 \u2193 for more", "dim", no_wrap=True)
        return Group(table, where, *extras) if is_cut else Group(table, *extras)

    def on_click(self, event: events.Click) -> None:
        """Mark a loss."""
        place = event.get_content_offset(self)
        line = self._lines.start + place.y - 1 if place else -1
        if line in self._lines:
            self._marked = line
            self.post_message(self.Clicked())

    def on_mouse_scroll_down(self, _event: events.MouseScrollDown) -> None:
        """Go down."""
        self.move(1)

    def on_mouse_scroll_up(self, _event: events.MouseScrollUp) -> None:
        """Go up."""
        self.move(-1)


def _around(marked: int, count: int, room: int, first: int) -> range:
    """The lines in sight, from as near to the first one before as the marked one allows.

    >>> _around(marked=9, count=64, room=8, first=0), _around(marked=4, count=64, room=8, first=2)
    (range(2, 10), range(2, 10))
    """
    first = min(max(first, marked - room + 1), marked, max(count - room, 0))
    return range(first, min(first + room, count))
