"""`losses report`: the page as one file."""

from pathlib import Path
from typing import Annotated

import typer

from ._common import RunsArgument, fail, run_at, why

MOST = 6


def report(
    runs: RunsArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file to write.", dir_okay=False)
    ] = Path("losses.html"),
) -> None:
    """Write runs as one page that opens anywhere, without a server."""
    from loss_dashboard.report import write_report

    if len(runs) > MOST:
        fail(f"a page compares up to {MOST} runs; got {len(runs)}")
    folders = [run_at(name) for name in runs]
    try:
        path = write_report(folders, output)
    except OSError as error:
        fail(f"cannot write {output}: {why(error, output)}")
    typer.echo(f"{path}  {path.stat().st_size / 1000:.0f} KB")
