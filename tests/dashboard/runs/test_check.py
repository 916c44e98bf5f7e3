from __future__ import annotations

import shutil
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from loss_dashboard.cli.losses import app
from loss_dashboard.runs.check import check_run
from loss_loggers import CsvLogger
from multi_loss_weighting import LossGroup

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(3):
            logger.log_metrics({"loss/G": 1.0, "weight/G": 1.0, "lr": 0.1}, step=step)
    return logger.path


def append(run: Path, text: str) -> None:
    with (run / "losses.csv").open("a") as file:
        file.write(text)


def test_a_run_as_it_was_recorded_is_sound(run: Path) -> None:
    assert check_run(run) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("3,1.5,G", "losses.csv ends in a half-written line"),
        ("3,1.5,G\n", "losses.csv has 1 line (number 8) with other than 15 cells"),
        ("\n\n", "losses.csv has 2 lines (the first is number 8) with other than 15 cells"),
        (
            "3,now,G" + 12 * "," + "\n",
            "losses.csv has 1 line (number 8) with a cell that is no number",
        ),
    ],
)
def test_a_broken_line_is_found(run: Path, text: str, problem: str) -> None:
    append(run, text)

    assert check_run(run) == [problem]


def test_missing_columns_and_files_are_found(run: Path) -> None:
    (run / "run.json").write_text("{")
    (run / "losses.csv").write_text("step,name,loss\n0,G,1.0\n")

    assert check_run(run) == [
        "run.json is missing or unreadable",
        "losses.csv lacks the column time and weight",
    ]


def test_a_file_that_cannot_be_opened_is_found(run: Path) -> None:
    (run / "losses.csv").unlink()
    (run / "losses.csv").mkdir()

    result = CliRunner().invoke(app, ["doctor", str(run)])

    assert result.exit_code == 1
    assert result.output.endswith("  losses.csv cannot be read: Is a directory\n")


def test_a_cell_without_end_is_found(run: Path) -> None:
    append(run, '3,1.5,"' + "x" * 200_000 + "\n")

    (problem,) = check_run(run)

    assert problem == "losses.csv has 1 line (number 8) with other than 15 cells"


def test_a_name_may_go_on_over_two_lines(run: Path) -> None:
    append(run, '3,9e9,"G\nH"' + 12 * "," + "\n")

    assert check_run(run) == []


def test_lines_of_two_processes_between_each_other_are_found(run: Path) -> None:
    """As they come where a file system has no locks: steps and time go on in each of them alone."""
    lines = (run / "losses.csv").read_text().splitlines(keepends=True)
    (run / "losses.csv").write_text("".join([*lines, *lines[1:]]))

    (problem,) = check_run(run)

    assert problem.startswith("losses.csv has 2 lines (the first is number 8) that go back in step")


@pytest.mark.parametrize("is_another_process", [True, False])
def test_a_run_that_went_on_from_a_checkpoint_is_sound(
    tmp_path: Path, *, is_another_process: bool
) -> None:
    logger = CsvLogger(tmp_path / "gan")
    logger.log_metrics({"loss/G": 1.0}, step=0)
    checkpoint = logger.state_dict()
    for step in range(1, 5):
        logger.log_metrics({"loss/G": 1.0, "loss/D": 1.0}, step=step)
    if is_another_process:
        logger.close()
        logger = CsvLogger(tmp_path / "gan", resume=True)
    logger.load_state_dict(checkpoint)
    logger.log_metrics({"loss/G": 1.0}, step=1)
    logger.close()

    assert check_run(tmp_path / "gan") == []


def test_a_validation_at_the_step_of_its_training_is_sound(run: Path) -> None:
    with CsvLogger(run, resume=True) as logger:
        for step in (2, 1):
            logger.log_metrics({f"loss/val{step}/G": 1.0}, step=step)

    assert check_run(run) == []


def test_a_run_without_rows_is_said_to_have_none(tmp_path: Path) -> None:
    CsvLogger(tmp_path / "new").close()

    printed = CliRunner().invoke(app, ["doctor", str(tmp_path / "new")]).output

    assert "\n  finished, no losses, no rows yet\n" in printed


def test_a_run_that_recorded_nothing_yet_lacks_its_losses(run: Path) -> None:
    (run / "losses.csv").unlink()

    assert check_run(run) == ["losses.csv is missing"]


def test_the_doctor_says_what_is_installed() -> None:
    result = CliRunner().invoke(app, ["doctor"])

    assert result.exit_code == 0
    lines = {line.split()[0]: line.split()[1:] for line in result.output.splitlines()}
    assert lines["torch"] == [version("torch")]
    assert lines["matplotlib"][1:] == ["pip", "install", "'multi-loss-weighting[plot]'"]


def test_the_exit_code_tells_a_sound_run_from_a_broken_one(run: Path) -> None:
    sound = CliRunner().invoke(app, ["doctor", str(run)])
    append(run, "half")
    broken = CliRunner().invoke(app, ["doctor", str(run)])

    assert (sound.exit_code, broken.exit_code) == (0, 1)
    assert "gan is sound\n  finished, losses G, last step 2\n" in sound.output
    assert "gan is not sound" in broken.output


@pytest.mark.parametrize("is_over", [False, True])
@pytest.mark.parametrize("settings", [{}, {"losses": ["G"], "lr": 0.1}])
def test_a_run_without_rows_is_sound(
    tmp_path: Path, settings: dict[str, object], *, is_over: bool
) -> None:
    logger = CsvLogger(tmp_path / "new")
    logger.log_hyperparams(settings)
    if is_over:
        logger.close()

    result = CliRunner().invoke(app, ["doctor", str(logger.path)])

    assert (result.exit_code, check_run(logger.path)) == (0, [])
    assert "new is sound\n" in result.output
    logger.close()


def test_a_run_of_epochs_alone_is_sound(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "new") as logger:
        logger.log_epoch(0, {"G": (0.5, 100)}, step=9)

    assert check_run(logger.path) == []


def test_a_run_that_went_back_to_before_its_first_row_is_sound(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "new") as logger:
        checkpoint = logger.state_dict()
        logger.log_metrics({"loss/G": 1.0}, step=0)
        logger.load_state_dict(checkpoint)

    assert check_run(logger.path) == []


def test_a_part_that_was_begun_and_has_no_lines_yet_is_sound(run: Path) -> None:
    (run / "losses-2.csv").touch()

    assert check_run(run) == []


@pytest.mark.parametrize("parts", [1, 2])
def test_a_file_that_lost_its_rows_is_found(run: Path, parts: int) -> None:
    if parts == 2:
        shutil.copy(run / "losses.csv", run / "losses-2.csv")
    (run / "losses.csv").write_text("")

    assert check_run(run) == ["losses.csv is empty, and had rows"]


@pytest.mark.filterwarnings("ignore:.*was deleted, replaced or cut")
@pytest.mark.parametrize("is_over", [False, True])
def test_a_file_that_lost_the_rows_of_given_losses_is_found(
    tmp_path: Path, *, is_over: bool
) -> None:
    logger = CsvLogger(tmp_path / "gan")
    LossGroup(["G"], logger).record({"G": 1.0})
    if is_over:
        logger.close()

    (logger.path / "losses.csv").write_text("")

    assert check_run(logger.path) == ["losses.csv is empty, and had rows"]
    logger.close()
