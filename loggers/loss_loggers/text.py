"""Text that came from somewhere, as it may be shown: it is data, and no command to a terminal."""

from __future__ import annotations

_HARMFUL = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories of Unicode: controls, what is not seen or turns the line round, half characters,
and other ends of a line."""


def printable(text: object) -> str:
    r"""The text with its control characters escaped, and with those that are not seen.

    Names of losses, settings and paths come from files that anybody may have written. As they are,
    they could clear the screen, set its title or write the clipboard.

    >>> print(printable("kl\x1b[2J"), printable("kl\u202e\u200b\n"), printable("größe 😀"))
    kl\x1b[2J kl\u202e\u200b\n größe 😀
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    from unicodedata import category  # here, for it is rarely needed

    return "".join(
        character.encode("unicode_escape").decode()
        if category(character) in _HARMFUL
        else character
        for character in shown
    )
