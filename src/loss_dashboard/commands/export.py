"""`losses export`: a run as one table for other programs."""

import sys
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ._common import RunArgument, fail, run_at, why


class Format(str, Enum):
    """What a table is written as."""

    csv = "csv"
    json = "json"
    parquet = "parquet"


def export(
    run: RunArgument,
    to: Annotated[
        Format | None, typer.Option(help="The format; by default that of the file, or csv.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A file; by default standard output.", dir_okay=False),
    ] = None,
) -> None:
    """Write a run as one table; every number stays exactly as it was recorded."""
    from loss_dashboard.export import export_run

    folder = run_at(run)
    form = to or _format_of(output)
    if form is Format.parquet:
        _check_parquet(output)
    try:
        with _opened(output) as file:
            export_run(folder, file, form.value)
    except BrokenPipeError:
        raise  # `| head` has read enough, which is no error to speak of
    except (OSError, ValueError) as error:
        fail(f"cannot export {run}: {why(error, output)}")


def _format_of(output: Path | None) -> Format:
    suffix = output.suffix[1:].lower() if output else ""
    return Format(suffix) if suffix in list(Format) else Format.csv


def _check_parquet(output: Path | None) -> None:
    from importlib.util import find_spec

    if not (find_spec("pyarrow") or find_spec("polars")):
        fail("parquet needs pyarrow or polars: pip install pyarrow")
    if output is None and sys.stdout.isatty():
        fail("parquet is not for the eye: name a file with -o")


def _opened(output: Path | None) -> AbstractContextManager[BinaryIO]:
    return output.open("wb") if output else nullcontext(sys.stdout.buffer)
