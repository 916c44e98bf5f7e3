"""`losses rm`: away with a run, to where it can be taken back from."""

from pathlib import Path

import click

from loss_dashboard._hints import short
from loss_dashboard.cli._common import run_argument, run_at, say, why
from loss_loggers.recording import RunIsHeldError

NAMED = 10


@click.command()
@run_argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(runs: tuple[str, ...], yes: bool) -> None:
    """Move runs to a trash folder, from which you can take them back, or delete them yourself.

    RUN is a path, a name in runs/ or `latest`. A run that is being written stays.
    """
    folders = list({folder.resolve(): folder for folder in map(run_at, runs)}.values())
    if not yes:
        click.confirm(_question(folders), abort=True)
    # What lies in another one goes before it, and holds it back no more.
    stayed = [folder for folder in sorted(folders, reverse=True) if not _is_moved(folder)]
    if stayed:
        click.get_current_context().exit(1)


def _question(folders: list[Path]) -> str:
    from loss_loggers.text import printable

    names = [printable(short(folder)) for folder in folders]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"Move {', '.join(names[:NAMED])}{more} to the trash?"


def _is_moved(folder: Path) -> bool:
    """Move a run and say where it is now, or why it stays."""
    from loss_dashboard.runs.trash import move_to_trash

    try:
        place = move_to_trash(folder)
    except (OSError, RunIsHeldError) as error:
        said = "it is being written" if isinstance(error, RunIsHeldError) else "it cannot be moved"
        say(f"{short(folder)} stays, for {said}: {why(error)}", err=True)
        return False
    say(f"{short(folder)} is in {short(place)}")
    return True
