"""Names as a picture has room and letters for them."""

from __future__ import annotations

MOST_LETTERS = 24
MISSING = "□"
FINER = 10  # times as fine as a point is measured, where letters are not rounded to whole points


class TextMeasure:
    """The font of a picture, in one size and weight.

    Args:
        size: In points.
        weight: "normal" or "bold".
    """

    def __init__(self, size: float, weight: str = "normal") -> None:
        from matplotlib.font_manager import FontProperties, findfont, get_font

        self._size = size
        self._font = get_font(findfont(FontProperties(size=size, weight=weight)))

    def width(self, text: str) -> float:
        """How many points the text takes."""
        self._font.set_size(self._size, 72 * FINER)
        self._font.set_text(text, 0.0)
        width: float = self._font.get_width_height()[0] / 64 / FINER
        return width

    def fitted(self, text: str, room: float, letters: int = MOST_LETTERS) -> str:
        """As much of the text as so many points and letters hold.

        A letter that the font lacks, of which matplotlib would warn, is an empty box.
        """
        shown = "".join(letter if self._has(letter) else MISSING for letter in text)
        short = shortened(shown, letters)
        while len(short) > 1 and self.width(short) > room:
            short = shortened(shown, len(short) - 1)
        return short

    def _has(self, letter: str) -> bool:
        return self._font.get_char_index(ord(letter)) > 0


def shortened(text: str, letters: int) -> str:
    """The beginning and the end of a text that is longer.

    >>> shortened("decoder/attention/reconstruction", letters=16)
    'decoder/…ruction'
    """
    if len(text) <= letters:
        return text
    end = (letters - 1) // 2
    return f"{text[: letters - 1 - end]}…{text[len(text) - end :]}"
