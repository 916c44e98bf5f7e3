"""`losses export`: a run as one table for other programs."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

from loss_dashboard.cli._common import fail, run_argument, run_at, why
from loss_loggers.recording import writing
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loss_dashboard.runs.export import Format

FORMATS: "tuple[Format, ...]" = ("csv", "json", "jsonl", "parquet")


@click.command()
@run_argument("run")
@click.option(
    "--to", type=click.Choice(FORMATS), help="The format; by default that of the file, or csv."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file; by default standard output.",
)
def export(run: str, to: "Format | None", output: Path | None) -> None:
    """Write a run as one table; every number stays exactly as it was recorded.

    RUN is a path, a name in runs/ or `latest`.
    """
    from loss_dashboard.runs.export import export_run

    folder = run_at(run)
    form = to or _format_of(output)
    if form == "parquet":
        _check_parquet(output)
    try:
        with _opened(output) as file:
            export_run(folder, file, form)
    except BrokenPipeError:
        raise  # `| head` has read enough, which is no error to speak of
    except (OSError, ValueError) as error:
        fail(f"cannot export {run}: {why(error, output)}")


def _format_of(output: Path | None) -> "Format":
    suffix = output.suffix[1:].lower() if output else ""
    if suffix and suffix not in FORMATS:
        endings = ", ".join(f".{form}" for form in FORMATS)
        fail(f"a file must end in one of {endings}, got {output}; or name its format with --to")
    return next((form for form in FORMATS if form == suffix), "csv")


def _check_parquet(output: Path | None) -> None:
    from importlib.util import find_spec

    if not (find_spec("pyarrow") or find_spec("polars")):
        fail("parquet needs pyarrow or polars: pip install pyarrow")
    if output is None and sys.stdout.isatty():
        fail("parquet is not for the eye: name a file with -o")


@contextmanager
def _opened(output: Path | None) -> "Iterator[BinaryIO]":
    if output is not None:
        with writing(output) as draft, draft.open("wb") as file:
            yield file
    elif sys.stdout.isatty():
        yield cast("BinaryIO", _Terminal())
    else:
        yield sys.stdout.buffer


class _Terminal:
    """What is written to a terminal is to be read there; files and pipes get it as it is."""

    def write(self, data: bytes | str) -> None:
        text = data if isinstance(data, str) else data.decode(errors="replace")
        click.echo("\n".join(map(printable, text.split("\n"))), nl=False)
