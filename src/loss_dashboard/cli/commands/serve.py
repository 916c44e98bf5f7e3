"""`losses serve`: the page, live in a browser."""

from pathlib import Path

import click

from loss_dashboard.cli._common import fail, run_argument
from loss_dashboard.runs.find_run import RUNS, RunNotFoundError
from loss_dashboard.web import PORT, missing

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command()
@run_argument("runs", metavar="[DIR|RUN]...", nargs=-1)
@click.option(
    "--port", type=click.IntRange(0, 65535), help=f"By default {PORT}, or the next that is free."
)
@click.option("--open", "open_", is_flag=True, help="Open it in the browser.")
@click.option("--host", default="127.0.0.1", help="Another address to listen on; needs --token.")
@click.option(
    "--token", default="", show_default=False, help="What the address then has to contain."
)
def serve(runs: tuple[str, ...], port: int | None, open_: bool, host: str, token: str) -> None:
    """Show runs in the browser, live. Only this machine can see them.

    DIR is a folder of runs, runs/ by default; RUN is a path, a name in runs/ or `latest`.
    """
    if lacking := missing():
        fail(f"serve needs {' and '.join(lacking)}: pip install 'multi-loss-weighting[dashboard]'")
    if host not in LOOPBACK and not token:
        fail(f"whoever reaches {host} could read your runs: choose a --token, too")
    from loss_dashboard.web.run_registry import RunRegistry

    registry = RunRegistry([_place(name) for name in runs or [str(RUNS)]])
    registry.read_ahead()  # while what serves it is loaded
    from loss_dashboard.web.serving import listen, run_server

    try:
        listener = listen(host, port)
    except OSError as error:
        fail(f"cannot listen on {host}:{port or PORT}: {error.strerror or error}")
    run_server(listener, registry, host, token, open_page=open_)


def _place(name: str) -> Path:
    """A folder that holds runs, or a run; the folder of all runs may come later."""
    from loss_dashboard.runs.find_run import find_run

    path = Path(name).expanduser()
    if path.is_dir() or path == RUNS:
        return path
    try:
        return find_run(name)
    except RunNotFoundError as error:
        fail(str(error))
