from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from loss_dashboard.cli.losses import app
from loss_dashboard.runs.export import export_run
from loss_loggers import CsvLogger, JsonlLogger

if TYPE_CHECKING:
    from pathlib import Path

    from loss_dashboard.runs.export import Format

VALUES = [0.1, 1 / 3, 1e-308, math.nan, math.inf, -math.inf]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Awkward numbers and names, a second part, and a line that is being written."""
    with CsvLogger(tmp_path / "gan") as logger:
        for step, value in enumerate(VALUES):
            logger.log_metrics({'loss/a,"b"': value}, step=step)
        logger.log_metrics({'median/a,"b"': 0.7, "seed": 2**60 + 1}, step=6)
    with (logger.path / "losses-2.csv").open("a") as file:
        file.write("7,1.5")
    return logger.path


def exported(run: Path, form: Format) -> bytes:
    file = io.BytesIO()
    export_run(run, file, form)
    return file.getvalue()


def same(first: float, second: float) -> bool:
    return first == second or (math.isnan(first) and math.isnan(second))


def test_csv_is_one_table_with_the_cells_as_they_were(run: Path) -> None:
    table = list(csv.DictReader(io.StringIO(exported(run, "csv").decode())))

    assert [row["loss"] for row in table[:6]] == list(map(repr, VALUES))
    assert [row["median"] for row in table] == [""] * 6 + ["0.7", ""]
    assert (table[0]["name"], table[-1]["value"]) == ('a,"b"', str(2**60 + 1))


def test_a_finished_run_of_one_part_is_exported_byte_for_byte(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 0.1, "weight/é": 2.0}, step=0)

    assert exported(logger.path, "csv") == (logger.path / "losses.csv").read_bytes()


def test_json_is_strict_and_keeps_each_number(run: Path) -> None:
    content = json.loads(exported(run, "json"), parse_constant=pytest.fail)

    assert content["run"]["state"] == "finished"
    losses = [row["loss"] for row in content["rows"][:6]]
    assert all(map(same, map(float, losses), VALUES))
    assert losses[3:] == ["nan", "inf", "-inf"]
    assert content["rows"][-1]["value"] == 2**60 + 1
    assert "weight" not in content["rows"][0]


def test_json_lines_are_those_of_a_logger(tmp_path: Path) -> None:
    rows = [
        (step, 1e9 + step, {'loss/a,"b"': value, "weight/c": 0.5, "value/lr": 2**60 + 1})
        for step, value in enumerate(VALUES)
    ]
    record, logger = CsvLogger(tmp_path / "gan"), JsonlLogger(tmp_path / "gan.jsonl")
    for one in (record, logger):
        one.log_rows(rows)
    with (record.path / "losses.csv").open("a") as file:
        file.write("7,1.5,c,0")

    assert exported(record.path, "jsonl") == logger.path.read_bytes()


def test_parquet_tells_an_empty_cell_from_a_nan(run: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")

    table = parquet.read_table(io.BytesIO(exported(run, "parquet"))).to_pydict()

    assert all(map(same, table["loss"][:6], VALUES))
    assert table["loss"][6:] == [None, None]
    assert (table["step"][-1], table["name"][0]) == (6, 'a,"b"')


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_a_run_without_lines_is_exported_too(tmp_path: Path, form: Format) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    CsvLogger(tmp_path / "empty").close()

    assert exported(tmp_path / "empty", form) or form == "jsonl"


def test_the_command_takes_the_format_from_the_file(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "gan.JSON"

    result = CliRunner().invoke(app, ["export", str(run), "-o", str(output)])

    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(output.read_text())["rows"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 1, "no run nowhere"),
        (["{run}", "-o", "{run}/no/file.csv"], 1, "cannot export"),
        (["{run}", "--to", "xlsx"], 2, "'parquet'"),
    ],
)
def test_a_mistake_is_said_without_a_traceback(
    run: Path, arguments: list[str], code: int, said: str
) -> None:
    typed = [argument.format(run=run) for argument in arguments]

    result = CliRunner().invoke(app, ["export", *typed])

    assert result.exit_code == code
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_pipe_may_close_early(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "long") as logger:
        logger.log_rows([(step, 0.0, {"loss/G": 1.0}) for step in range(20_000)])
    command = [sys.executable, "-m", "loss_dashboard", "export", str(logger.path)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()

        assert process.stderr.read() == b""


def test_parquet_without_a_package_says_what_to_install(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    result = CliRunner().invoke(app, ["export", str(run), "--to", "parquet"])

    assert result.exit_code == 1
    assert result.output == "parquet needs pyarrow or polars: pip install pyarrow\n"
