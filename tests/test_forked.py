from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest

from . import forked

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
def test_the_exit_code_of_a_script_is_known_to_who_asks_long_after_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (script := tmp_path / "script.py").write_text("raise SystemExit(7)")
    heard = forked.Forked.__init__

    def hear_late(process: forked.Forked, connection: socket.socket) -> None:
        seen = 0
        while seen < 2:  # its pid and its exit code
            seen = connection.recv(99, socket.MSG_PEEK).count(b"\n")
            time.sleep(0.001)
        heard(process, connection)

    monkeypatch.setattr(forked.Forked, "__init__", hear_late)

    assert forked.end(forked.start(script), 60) == 7
