"""`losses note` and `losses tag`: what you think of a run."""

import click

from loss_dashboard.cli._common import fail, run_argument, run_at, say, why
from loss_loggers.recording import RunIsHeldError


@click.command()
@run_argument("run")
@click.argument("text", required=False)
def note(run: str, text: str | None) -> None:
    """Write a note to a run, which the page and `losses ls` show and `--search` finds.

    RUN is a path, a name in runs/ or `latest`. Without TEXT the note is printed; "" takes it away.
    """
    from loss_dashboard.runs.notes import read_notes, write_note

    folder = run_at(run)
    if text is None:
        say(read_notes(folder).note)
        return
    try:
        write_note(folder, text)
    except (OSError, ValueError, RunIsHeldError) as error:
        fail(f"the note is not written: {why(error)}")


# Behind the run nothing is an option, for -bad is not one.
@click.command(context_settings={"allow_interspersed_args": False})
@run_argument("run")
@click.argument("tags", metavar="[+TAG|-TAG]...", nargs=-1)
def tag(run: str, tags: tuple[str, ...]) -> None:
    """Give a run tags, or take them away; without any the tags of the run are printed.

    RUN is a path, a name in runs/ or `latest`.
    """
    from loss_dashboard.runs.notes import change_tags, read_notes

    folder = run_at(run)
    add = [word.removeprefix("+") for word in tags if not word.startswith("-")]
    remove = [word.removeprefix("-") for word in tags if word.startswith("-")]
    try:
        known = change_tags(folder, add, remove) if tags else read_notes(folder).tags
    except (OSError, ValueError, RunIsHeldError) as error:
        fail(f"the tags are not written: {why(error)}")
    say(" ".join(known))
