"""What begins buildah anew, of tests/docker/buildah.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

AGAIN = Path(__file__).parent / "docker" / "buildah.py"
# Linux refuses too seldom to wait for it: this buildah fails until it was called twice.
FAILS_ONCE = """#!/bin/sh
echo "$@" >>calls
if [ "$(wc -l <calls)" -lt 2 ]; then echo '{fault}' >&2; exit 3; fi
"""


@pytest.mark.parametrize(
    ("fault", "calls", "status"),
    [("Close_Fd sealing memfd copy: Device or resource busy", 2, 0), ("no such image", 1, 3)],
)
def test_buildah_begins_anew_only_where_it_could_not_seal_itself(
    tmp_path: Path, fault: str, calls: int, status: int
) -> None:
    (tmp_path / "buildah").write_text(FAILS_ONCE.format(fault=fault))
    (tmp_path / "buildah").chmod(0o755)

    done = subprocess.run(
        [sys.executable, AGAIN, "run", "it"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (status, f"{fault}\n")
    assert (tmp_path / "calls").read_text().splitlines() == ["run it"] * calls
