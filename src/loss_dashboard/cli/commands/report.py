"""`losses report`: the page as one file."""

from pathlib import Path

import click

from loss_dashboard.cli._common import fail, run_argument, run_at, say, why

MOST = 6


@click.command()
@run_argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("losses.html"),
    help="The file to write.",
)
def report(runs: tuple[str, ...], output: Path) -> None:
    """Write runs as one page that opens anywhere, without a server.

    RUN is a path, a name in runs/ or `latest`.
    """
    from loss_dashboard.web.report import write_report

    if len(runs) > MOST:
        fail(f"a page compares up to {MOST} runs; got {len(runs)}")
    folders = [run_at(name) for name in runs]
    try:
        path = write_report(folders, output)
    except OSError as error:
        fail(f"cannot write {output}: {why(error, output)}")
    say(f"{path}  {path.stat().st_size / 1000:.0f} KB")
