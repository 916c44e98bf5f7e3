"""The command `losses` where its extra is not installed."""

from __future__ import annotations

import subprocess
import sys


def test_without_its_extra_it_is_one_line() -> None:
    code = (
        "import sys; sys.modules.update(click=None, rich=None);"
        " import loss_dashboard, loss_loggers; from loss_dashboard.cli.start import main; main()"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == ("losses needs click and rich: pip install 'multi-loss-weighting[cli]'\n")
    assert not done.stdout
