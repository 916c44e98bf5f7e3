from __future__ import annotations

import sys

import pytest

from loss_loggers.text import printable


@pytest.mark.parametrize(
    "text", ["", "kl", "größe 你好", "a b/c", "⡠⠔⠊", "😀", "e\u0301", "a\xa0b"]
)
def test_what_can_be_read_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x7f\x9b", r"\x7f\x9b"),
        ("\u202e\u2066\u200b\ufeff", r"\u202e\u2066\u200b\ufeff"),
        ("\u2028\ud800\U000e0041", r"\u2028\ud800\U000e0041"),
    ],
)
def test_what_could_command_or_hide_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_control_is_left() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))

    left = printable(every)

    controls = [*range(0x20), *range(0x7F, 0xA0), *range(0x200B, 0x2010), *range(0x202A, 0x202F)]
    assert not {*map(chr, controls)} & {*left}
