"""`losses report`: the page as one file."""

from pathlib import Path

import click

from loss_dashboard.cli._common import fail, group_option, run_argument, runs_at, say, why

MOST = 6
MOST_GROUPED = 100


@click.command()
@run_argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("losses.html"),
    help="The file to write.",
)
@group_option
def report(runs: tuple[str, ...], output: Path, group: str | None) -> None:
    """Write runs as one page that opens anywhere, without a server.

    RUN is a path, a name in runs/, a folder of runs or `latest`. With --group the page has the mean
    of each group of runs, with its 95 % Student-t interval.
    """
    from loss_dashboard.web.groups.group_report import write_group_report
    from loss_dashboard.web.report import write_report

    folders = runs_at(runs)
    most = MOST if group is None else MOST_GROUPED
    if len(folders) > most:
        fail(f"a page compares up to {most} runs; got {len(folders)}")
    try:
        if group is None:
            path = write_report(folders, output)
        else:
            path = write_group_report(folders, group, output)
    except (OSError, ValueError) as error:
        fail(f"cannot write {output}: {why(error, output)}")
    say(f"{path}  {path.stat().st_size / 1000:.0f} KB")
