"""The command `losses`: a file in `commands` for each of its commands, and a line here."""

# Nothing heavy is imported up here: `losses --help` answers at once.
import os
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .commands.demo import demo
from .commands.doctor import doctor
from .commands.export import export
from .commands.ls import RECENT, ls, print_runs
from .commands.plot import plot
from .commands.report import report
from .commands.serve import serve
from .commands.sync import sync
from .commands.watch import watch


class _Commands(TyperGroup):
    """Says what is wrong with a value without the words of the library that checked it."""

    def invoke(self, context: Any) -> object:
        try:
            return super().invoke(context)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    cls=_Commands,
    help="Look at recorded losses and their weights.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {
    ls: ("losses ls", "losses ls ~/experiments"),
    serve: ("losses serve --open", "losses serve ~/experiments --port 9000"),
    watch: ("losses watch", "losses watch runs/gan", "losses watch gan --once"),
    plot: ("losses plot latest -o losses.png", "losses plot gan gan-2 -o compared.pdf"),
    report: ("losses report latest -o gan.html", "losses report gan gan-2 -o compared.html"),
    export: ("losses export latest -o gan.csv", "losses export runs/gan --to json | jq .run"),
    sync: (
        "losses sync latest --to mlflow --uri http://localhost:5000",
        "losses sync gan --to wandb --project gan --dry-run",
    ),
    demo: (
        "losses demo",
        "losses demo --serve --open",
        "losses demo --weighting sum --out runs/sum",
    ),
    doctor: ("losses doctor", "losses doctor latest"),
}
"""Each command with the examples that end its `--help`."""

NEXT = {
    "losses watch": "the newest run in this terminal, while it goes on",
    "losses plot latest -o losses.png": "a picture of it",
    "losses ls": "all runs",
    "losses demo": "train a small network on three losses and record them",
    "losses --help": "what else there is",
}


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("multi-loss-weighting"))
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Look at recorded losses and their weights."""
    if context.invoked_subcommand != "demo":  # all others compute nothing that is worth threads
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # which numpy would start at once
    if context.invoked_subcommand is None:
        from ._hints import hints

        print_runs(count=RECENT)
        typer.echo(f"\nNext\n{hints(NEXT)}")


for _command, _examples in COMMANDS.items():
    app.command(epilog="\n\n".join(("For example:", *_examples)))(_command)
