"""The command `losses`."""

# Nothing heavy is imported up here: `losses --help` answers at once.
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    help="Look at recorded losses and their weights.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

RUNS = Path("runs")
RECENT = 5
INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended

NEXT = {
    "losses demo": "train a small network on three losses and record them",
    "losses ls": "list all runs",
    "losses --help": "what else there is",
}


class Method(str, Enum):
    """The ways to weigh the losses of the demo."""

    sum = "sum"
    equal = "equal"
    static = "static"
    cov = "cov"
    automatic = "automatic"
    uncertainty = "uncertainty"


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
    if context.invoked_subcommand is None:
        from ._hints import hints

        _print_runs(RUNS, RECENT)
        typer.echo(f"\nNext\n{hints(NEXT)}")


@app.command()
def ls(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where the runs are.", show_default=True)
    ] = RUNS,
) -> None:
    """List the runs, the newest first."""
    _print_runs(directory)


@app.command()
def demo(
    weighting: Annotated[
        Method, typer.Option(metavar="METHOD", help=f"How to weigh: {', '.join(Method)}.")
    ] = Method.cov,
    steps: Annotated[int, typer.Option(min=1, help="Updates of the network.")] = 4000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.")] = 0,
    out: Annotated[
        Path, typer.Option(help="The folder to record in; a numbered sibling if it is taken.")
    ] = RUNS / "demo",
) -> None:
    """Train an adversarial autoencoder on handwritten digits: three losses, half a minute."""
    missing = [name for name in ("torch", "sklearn", "matplotlib") if find_spec(name) is None]
    if missing:
        _fail(f"demo needs {' and '.join(missing)}: pip install 'multi-loss-weighting[demo]'")
    from ._tables import stdout
    from .demo import run_demo

    try:
        out.mkdir(parents=True, exist_ok=True)
        completed = run_demo(weighting.value, steps, seed, out, stdout())
    except OSError as error:
        _fail(f"cannot record in {out}: {error.strerror or error}")
    if not completed:
        raise typer.Exit(INTERRUPTED)


def _print_runs(directory: Path, count: int | None = None) -> None:
    from ._tables import run_table, stdout
    from .runs import find_runs

    runs = find_runs(directory)
    if runs:
        stdout().print(run_table(runs[:count]))
    else:
        typer.echo(
            f"No runs in {directory}: CsvLogger records yours, and `losses demo` one of its own."
        )


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)
