"""The command `losses` from its first moment on."""

import signal
import sys
from importlib.util import find_spec

from loss_dashboard._installed import how_to_install

from . import INTERRUPTED


def main() -> None:
    """Run the command; Ctrl-C ends it without a traceback, also while it is being imported."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if lacking := [name for name in ("click", "rich") if find_spec(name) is None]:
        sys.exit(f"losses needs {' and '.join(lacking)}: {how_to_install('cli')}")
    from .losses import app

    try:
        signal.signal(signal.SIGINT, handler)
        app(prog_name="losses")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        if handler is signal.default_int_handler:  # Python's own end would print one, too
            signal.signal(signal.SIGINT, signal.SIG_DFL)
