from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from loss_dashboard.cli.losses import app
from loss_dashboard.runs.export import export_run
from loss_loggers import CsvLogger, JsonlLogger
from multi_loss_weighting import CoVWeighting, LossGroup

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


def as_logged(lines: bytes) -> list[dict[str, Any]]:
    """What the lines of a `JsonlLogger` say, but for the time of an epoch, which no record has."""
    rows = [json.loads(line) for line in lines.splitlines()]
    return [row if "epoch" not in row["values"] else row | {"time": None} for row in rows]


class Recorded:
    """A record, and beside it what a `JsonlLogger` made of the same rows and epochs."""

    def __init__(self, folder: Path) -> None:
        self.record, self.lines = CsvLogger(folder / "gan"), JsonlLogger(folder / "gan.jsonl")
        self.time = 1e9

    def row(self, step: int, name: str = "kl") -> None:
        self.time += 1
        for logger in (self.record, self.lines):
            logger.log_rows([(step, self.time, {f"loss/{name}": step / 3})])

    def epoch(self, epoch: int, step: int, name: str = "kl") -> None:
        means = {name: (1 / 3, 7)}
        self.record.log_epoch(epoch, means, step=step)
        self.lines.log_metrics({"epoch": epoch, f"epoch_loss/{name}": 1 / 3}, step=step)

    def resume(self) -> None:
        self.record.close()
        self.record = CsvLogger(self.record.path, resume=True)

    def is_exported(self) -> bool:
        found = as_logged(exported(self.record.path, "jsonl"))
        return found == as_logged(self.lines.path.read_bytes())


def test_json_lines_have_the_epochs_of_groups_where_a_logger_has_them(tmp_path: Path) -> None:
    record, lines = CsvLogger(tmp_path / "gan"), JsonlLogger(tmp_path / "gan.jsonl")
    group = LossGroup(["recon", "kl"], [record, lines], weighting=CoVWeighting())
    validation, critic = group.follower(), LossGroup(["D"], [record, lines], scope="critic")
    for epoch in range(3):
        for step in range(2):
            group.record({"recon": 0.5 + epoch, "kl": step / 3})
            critic.record({"D": step / 7})
        validation.record({"recon": 0.25, "kl": epoch / 3}, samples=7)
        for one in (group, critic, validation):
            one.end_epoch()

    found, logged = exported(record.path, "jsonl"), lines.path.read_bytes()
    assert sum(b"epoch_loss" in line for line in found.splitlines()) == 9
    without_times = [
        [json.loads(line) | {"time": None} for line in lines.splitlines()]
        for lines in (found, logged)
    ]
    assert without_times[0] == without_times[1]


def test_json_lines_have_the_epochs_of_a_run_that_was_resumed(tmp_path: Path) -> None:
    run = Recorded(tmp_path)
    for step in range(5):
        run.row(step)
        if step == 2:
            run.epoch(0, 2)
    run.resume()  # without a checkpoint: its steps begin anew
    for step in range(4):
        run.row(step)
        if step % 2:
            run.epoch(step // 2, step)
    run.resume()
    run.row(4)
    run.epoch(2, 4)

    assert run.is_exported()


def test_json_lines_have_no_epoch_that_a_checkpoint_took_back(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as record:
        for step in range(4):
            record.log_rows([(step, 1e9 + step, {"loss/kl": 0.5})])
            if step == 1:
                state = record.state_dict()
        record.log_epoch(0, {"kl": (0.5, 4)}, step=3)
        record.load_state_dict(state)
        record.log_rows([(2, 2e9, {"loss/kl": 0.25})])
        record.log_epoch(0, {"kl": (0.25, 3)}, step=2)
        record.log_rows([(3, 3e9, {"loss/kl": 0.25})])

    found = as_logged(exported(record.path, "jsonl"))
    assert [row["step"] for row in found] == [0, 1, 2, 2, 3]
    assert found[3]["losses"] == {"kl": {"epoch_loss": 0.25}}


def test_json_lines_have_the_epochs_of_two_fits_and_of_thinned_rows(tmp_path: Path) -> None:
    run = Recorded(tmp_path)
    for epoch in range(2):  # a second fit, whose steps begin anew
        for step in range(3):
            run.row(step)
        run.epoch(epoch, 2)
    for step in (10, 20):
        run.epoch(step // 5, step - 7)
        run.epoch(step // 5 + 1, step - 2)
        run.row(step)

    assert run.is_exported()


def test_json_has_the_lines_of_the_epochs(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/kl": 0.1}, step=0)
        assert json.loads(exported(logger.path, "json"))["epochs"] == []
        logger.log_epoch(0, {"kl": (0.1 + 0.2, 7), "val/a, b": (math.inf, 2.5)}, step=0)

    assert json.loads(exported(logger.path, "json"), parse_constant=pytest.fail)["epochs"] == [
        {"epoch": 0, "step": 0, "name": "kl", "mean": 0.1 + 0.2, "samples": 7},
        {"epoch": 0, "step": 0, "name": "val/a, b", "mean": "inf", "samples": 2.5},
    ]


def test_parquet_tells_an_empty_cell_from_a_nan(run: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")

    table = parquet.read_table(io.BytesIO(exported(run, "parquet"))).to_pydict()

    assert all(map(same, table["loss"][:6], VALUES))
    assert table["loss"][6:] == [None, None]
    assert (table["step"][-1], table["name"][0]) == (6, 'a,"b"')


@pytest.mark.parametrize("package", ["pyarrow", "polars"])
def test_parquet_of_several_runs_is_read_as_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    polars = pytest.importorskip("polars")
    pytest.importorskip(package)
    if package == "polars":
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    CsvLogger(tmp_path / "empty").close()
    with CsvLogger(tmp_path / "hand") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
    with CsvLogger(tmp_path / "cov") as logger:
        group = LossGroup(["G", "D"], logger, weighting=CoVWeighting())
        for step in range(3):
            group.record({"G": 0.5 + step, "D": 2.0}, extra={"lr": 0.1})
    files = [tmp_path / f"{run}.parquet" for run in ("cov", "hand", "empty")]
    for file in files:
        file.write_bytes(exported(file.with_suffix(""), "parquet"))

    schemas = [polars.read_parquet_schema(file) for file in files]
    assert {name: str(kind) for schema in schemas for name, kind in schema.items()} == {
        name: {"step": "Int64", "name": "String"}.get(name, "Float64") for name in schemas[0]
    }
    table = polars.scan_parquet(files, missing_columns="insert").collect()
    assert table["loss"].drop_nulls().len() == 1 + 3 * 3


def test_a_step_too_large_for_parquet_is_said_and_kept_by_the_others(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=2**63)

    said = CliRunner().invoke(app, ["export", str(logger.path), "--to", "parquet"])
    assert (said.exit_code, said.exception.__class__) == (1, SystemExit)
    assert f"a step must have 64 bits in Parquet, got {2**63}: choose csv" in said.output
    assert json.loads(exported(logger.path, "json"))["rows"][0]["step"] == 2**63


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_a_run_without_lines_is_exported_too(tmp_path: Path, form: Format) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    CsvLogger(tmp_path / "empty").close()

    assert exported(tmp_path / "empty", form) or form == "jsonl"


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_a_table_with_semicolons_is_an_error_that_names_it(run: Path, form: Format) -> None:
    file = run / "losses.csv"
    file.write_bytes(file.read_bytes().replace(b",", b";"))

    with pytest.raises(ValueError, match=r"losses\.csv, line 1: it"):
        exported(run, form)


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
