"""The command `losses` where its extra is not installed."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def test_without_its_extra_it_is_one_line() -> None:
    code = (
        "import sys; sys.modules.update(click=None, rich=None);"
        " import loss_dashboard, loss_loggers; from loss_dashboard.cli.start import main; main()"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == ("losses needs click and rich: pip install 'multi-loss-weighting[cli]'\n")
    assert not done.stdout


def test_what_to_type_next_says_what_is_to_be_installed_before_it(tmp_path: Path) -> None:
    for needed in ("click", "rich"):
        pytest.importorskip(needed)
    code = (
        "import sys; sys.modules.update(textual=None, matplotlib=None);"
        " from loss_dashboard.cli.start import main; sys.argv[1:] = []; main()"
    )

    printed = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True)

    named = re.findall(r" (\w+)(?: latest .*)?  .*, after pip install .*\[(\w+)\]'\n", printed)
    assert named == [("watch", "tui"), ("plot", "plot"), ("demo", "demo")]
