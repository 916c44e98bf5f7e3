"""The command `losses` where its extra is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("missing", "needed"), [(["click", "rich"], "click and rich"), (["rich"], "rich")]
)
def test_without_its_extra_it_is_one_line(missing: list[str], needed: str) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing}));"
        " import loss_dashboard, loss_loggers; from loss_dashboard.cli.start import main; main()"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == f"losses needs {needed}: pip install 'multi-loss-weighting[cli]'\n"
    assert not done.stdout
