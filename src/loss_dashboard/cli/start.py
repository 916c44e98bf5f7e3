"""The command `losses` from its first moment on."""

import sys
from importlib.util import find_spec

from loss_dashboard._installed import how_to_install

from ._interrupts import interrupts_end_the_process


def main() -> None:
    """Run the command, which is imported here, or say what it lacks."""
    interrupts_end_the_process()
    if lacking := [name for name in ("click", "rich") if find_spec(name) is None]:
        sys.exit(f"losses needs {' and '.join(lacking)}: {how_to_install('cli')}")
    from .losses import app

    app(prog_name="losses")
