"""The command `losses`: a file in `commands` for each of its commands, and a line here."""

# Nothing heavy is imported up here: `losses --help` answers at once.
import os
from functools import partial
from typing import Any

import click

from loss_loggers.text import printable

from ._interrupts import let_go_on_interrupt
from ._streams import forgiving_streams
from .commands.completion import completion
from .commands.demo import demo
from .commands.doctor import doctor
from .commands.explain import explain
from .commands.export import export
from .commands.ls import RECENT, ls, print_runs
from .commands.notes import note, tag
from .commands.plot import plot
from .commands.report import report
from .commands.rm import rm
from .commands.serve import serve
from .commands.show import show
from .commands.sync import sync
from .commands.watch import watch

COMMANDS: dict[click.Command, tuple[str, ...]] = {
    ls: ("losses ls", "losses ls ~/experiments"),
    serve: ("losses serve --open", "losses serve ~/experiments --port 9000"),
    watch: ("losses watch", "losses watch runs/gan", "losses watch gan --once"),
    explain: ("losses explain latest", "losses explain gan --json | jq .text"),
    show: ("losses show latest --step 41207 --around 20", "losses show gan --step 700 --json"),
    plot: (
        "losses plot latest -o losses.png",
        "losses plot gan gan-2 -o compared.pdf",
        "losses plot runs --group weighting.method -o seeds.pdf",
    ),
    report: (
        "losses report latest -o gan.html",
        "losses report gan gan-2 -o compared.html",
        "losses report runs --group weighting.method -o seeds.html",
    ),
    export: ("losses export latest -o gan.csv", "losses export runs/gan --to json | jq .run"),
    sync: (
        "losses sync latest --to mlflow --uri http://localhost:5000",
        "losses sync gan --to wandb --project gan --dry-run",
    ),
    note: ("losses note gan 'decay'", "losses note gan"),
    tag: ("losses tag gan +good", "losses tag gan +paper -todo", "losses tag gan"),
    rm: ("losses rm gan gan-2", "losses rm runs/sweep/seed* --yes"),
    demo: (
        "losses demo",
        "losses demo --serve --open",
        "losses demo --problem pinn",
        "losses demo --problem pinn --weighting sum --out runs/sum",
    ),
    doctor: ("losses doctor", "losses doctor latest"),
    completion: (
        "losses completion bash >> ~/.bashrc",
        "losses completion zsh >> ~/.zshrc",
        "losses completion fish > ~/.config/fish/completions/losses.fish",
    ),
}
"""Each command with the examples that end its `--help`."""


class _Losses(click.Group):
    """Commands in the order of their table; Ctrl-C ends each of them as shells expect."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        with forgiving_streams():
            return super().main(*arguments, **options)

    def list_commands(self, _context: click.Context) -> list[str]:
        return [*self.commands]

    def invoke(self, context: click.Context) -> object:
        try:
            return let_go_on_interrupt(partial(super().invoke, context))
        except click.ClickException as error:
            # Of what was typed, or what a * stood for.
            error.message = printable(error.message)  # type: ignore[misc]
            raise


@click.group(
    "losses",
    cls=_Losses,
    invoke_without_command=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
)
@click.version_option(
    package_name="multi-loss-weighting", message="%(version)s", help="Show the version."
)
@click.pass_context
def app(context: click.Context) -> None:
    """Look at recorded losses and their weights."""
    if context.invoked_subcommand != "demo":  # all others compute nothing that is worth threads
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # which numpy would start at once
    if context.invoked_subcommand is None:
        print_runs(count=RECENT)
        click.echo(f"\nNext\n{_next()}")


def _next() -> str:
    from loss_dashboard._hints import hints
    from loss_dashboard._installed import what_first

    watched, drawn = what_first("tui", "textual"), what_first("plot", "matplotlib")
    trained = what_first("demo", "sklearn", "matplotlib")
    return hints(
        {
            "losses watch": f"the newest run in this terminal, while it goes on{watched}",
            "losses plot latest -o losses.png": f"a picture of it{drawn}",
            "losses ls": "all runs",
            "losses demo": f"train a small network on several losses and record them{trained}",
            "losses --help": "what else there is",
        }
    )


def _add(command: click.Command, examples: tuple[str, ...]) -> None:
    """List a command with its first paragraph, whole, and end its help with examples."""
    command.short_help = (command.help or "").partition("\n\n")[0]
    # After "\b" lines stay as they are.
    command.epilog = "\n  ".join(("\b\nFor example:", *examples))
    app.add_command(command)


for _command, _examples in COMMANDS.items():
    _add(_command, _examples)
