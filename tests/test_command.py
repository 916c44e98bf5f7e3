from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from rich.console import Console

from loss_dashboard.cli.commands.demo import METHODS
from loss_dashboard.cli.losses import COMMANDS, app
from loss_dashboard.runs.summary import Summary
from loss_dashboard.terminal.tables import run_table
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    import click

HEAVY = ("torch", "numpy", "matplotlib", "sklearn", "multi_loss_weighting")


def losses(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def record(folder: Path, steps: int = 3, start: float | None = None) -> Path:
    with CsvLogger(folder) as logger:
        for step in range(steps):
            logger.log_metrics({"loss/G": 1.0, "loss/D": 2.0, "loss/total": 3.0}, step=step)
    if start is not None:
        edit(logger.path, start=start)
    return logger.path


def edit(folder: Path, **values: object) -> None:
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, **values}))


def test_ls_shows_the_newest_run_first(tmp_path: Path) -> None:
    record(tmp_path / "old", steps=5, start=1e9)
    record(tmp_path / "new", steps=7, start=2e9)

    code, printed = losses("ls", str(tmp_path))

    assert code == 0
    lines = [line.split() for line in printed.splitlines()[1:]]
    assert [line[:2] for line in lines] == [["new", "finished"], ["old", "finished"]]
    assert [line[4] for line in lines] == ["6", "4"]
    assert lines[0][-6:] == ["G", "1.00", "D", "2.00", "total", "3.00"]
    assert "2033" in printed


def test_ls_keeps_names_whole_on_a_narrow_terminal() -> None:
    marks = ("label spike", "alcohol small weight", "recon spike", "recon nan")
    name = "automatic-0.05-seed-0"
    run = Summary(Path(name), name, "finished", 1e9, ("label", "recon"), 199, marks)
    narrow = Console(width=80, file=StringIO())

    with narrow.capture() as captured:
        narrow.print(run_table([run]))

    printed = captured.get()
    assert "automatic-0.05-seed-0  finished" in printed
    assert set(" ".join(marks).split()) <= set(printed.replace(",", "").split())
    assert max(map(len, printed.splitlines())) <= 80


def test_ls_in_a_pipe_is_as_wide_as_its_lines_also_where_colors_are_forced(tmp_path: Path) -> None:
    name = "x" * 100
    record(tmp_path / name)
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "80"}

    done = subprocess.run(
        [sys.executable, "-m", "loss_dashboard", "ls", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )

    assert name in done.stdout


def test_ls_shows_a_run_by_its_own_folder(tmp_path: Path) -> None:
    record(tmp_path / "gan")

    assert "gan  finished" in losses("ls", str(tmp_path / "gan"))[1]


def test_ls_sees_a_run_that_is_running(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=41)

        printed = losses("ls", str(tmp_path))[1]

    assert "running" in printed
    assert " 41  G 1.00" in printed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot ask for a process")
def test_ls_shows_a_killed_run_as_crashed(tmp_path: Path) -> None:
    code = (
        "import os; from loss_loggers import CsvLogger;"
        f" logger = CsvLogger({str(tmp_path / 'gan')!r});"
        " logger.log_metrics({'loss/G': 1.0}, step=7); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)

    printed = losses("ls", str(tmp_path))[1]

    assert "crashed" in printed
    assert " 7  G 1.00" in printed


def test_ls_takes_the_word_of_another_host(tmp_path: Path) -> None:
    edit(record(tmp_path / "gan"), state="running", host="elsewhere", pid=0)

    assert "running" in losses("ls", str(tmp_path))[1]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"state": 1, "losses": 3}'])
def test_ls_names_what_it_cannot_read(tmp_path: Path, content: str) -> None:
    record(tmp_path / "good")
    record(tmp_path / "bad")
    (tmp_path / "bad/run.json").write_text(content)
    (tmp_path / "no run").mkdir()

    code, printed = losses("ls", str(tmp_path))

    assert code == 0
    assert "good  finished" in printed
    assert "bad   unreadable" in printed
    assert "no run" not in printed


def test_ls_ignores_a_line_that_is_being_written(tmp_path: Path) -> None:
    folder = record(tmp_path / "gan")
    with (folder / "losses.csv").open("a") as file:
        file.write("99,17")

    assert losses("ls", str(tmp_path))[1].splitlines()[1].split()[4] == "2"


@pytest.mark.parametrize("arguments", [["ls", "empty"], ["ls"], []])
def test_without_runs_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()

    code, printed = losses(*arguments)

    assert code == 0
    assert "CsvLogger" in printed


@pytest.mark.parametrize(
    ("name", "why"), [("absent", "does not exist"), ("train.py", "is no folder")]
)
def test_ls_of_what_is_no_folder_is_an_error(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "train.py").touch()

    code, printed = losses("ls", str(tmp_path / name))

    assert code == 1
    assert printed == f"{tmp_path / name} {why}; the folder that runs are in is needed\n"


def test_ls_tells_many_losses_in_one_line(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "many") as logger:
        logger.log_metrics({f"loss/task_{number:02}": 1.0 for number in range(64)}, step=0)

    assert "  task_00 1.00 … and 63 more" in losses("ls", str(tmp_path))[1]


def test_alone_it_shows_recent_runs_and_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(7):
        record(Path("runs") / f"run{number}", start=1e9 + number)

    code, printed = losses()

    assert code == 0
    assert "run6" in printed
    assert "run1" not in printed
    assert "demo" in printed


def test_a_wrong_method_lists_the_right_ones() -> None:
    code, printed = losses("demo", "--weighting", "magic")

    assert code == 2
    assert all(method in printed for method in METHODS)
    assert "Traceback" not in printed


def test_a_wrong_format_is_told_without_the_words_of_a_library(tmp_path: Path) -> None:
    code, printed = losses("export", str(record(tmp_path / "gan")), "--to", "xml")

    assert code == 2
    assert "'xml' is not one of 'csv', 'json'" in " ".join(printed.split())
    assert "Value error" not in printed


@pytest.mark.parametrize("command", ["plot", "report", "export"])
def test_a_missing_folder_for_the_output_is_one_line(tmp_path: Path, command: str) -> None:
    if command == "plot":
        pytest.importorskip("matplotlib", reason="pictures are drawn with it")
    run = record(tmp_path / "gan")
    output = tmp_path / "nowhere" / ("losses.svg" if command == "plot" else "losses.csv")

    code, printed = losses(command, str(run), "-o", str(output))

    assert code == 1
    assert printed.endswith(f": there is no folder {output.parent}\n")
    assert printed.count("\n") == 1


@pytest.mark.parametrize("command", ["report", "export"])
@pytest.mark.parametrize("file", ["losses.csv", "epochs.csv", "run.json"])
def test_no_file_of_a_record_is_overwritten(tmp_path: Path, command: str, file: str) -> None:
    run = record(tmp_path / "gan")
    with CsvLogger(run, resume=True) as logger:
        logger.log_epoch(0, {"G": (1.0, 3.0)}, step=2)
    before = (run / file).read_bytes()

    code, printed = losses(command, str(run), "-o", str(run / file))

    assert code == 1
    assert f"{file} belongs to a run and stays as it is: name another file" in printed
    assert (run / file).read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [("plot",), ("plot", "--group", ""), ("report",), ("report", "--group", ""), ("export",)],
)
def test_a_full_disk_leaves_what_was_written_the_last_time(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    resource = pytest.importorskip("resource", reason="needs RLIMIT_FSIZE")
    if command[0] == "plot":
        pytest.importorskip("matplotlib", reason="pictures are drawn with it")
    suffix = {"plot": "png", "report": "html", "export": "csv"}[command[0]]
    run, output = record(tmp_path / "gan"), tmp_path / f"out.{suffix}"
    (link := tmp_path / f"link.{suffix}").symlink_to(output)
    assert losses(*command, str(run), "-o", str(link))[0] == 0
    before = output.read_bytes()

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        code, printed = losses(*command, str(run), "-o", str(link))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    assert code == 1
    assert "File too large" in printed
    assert output.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"gan", output.name, link.name}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
@pytest.mark.parametrize("command", ["report", "export"])
def test_a_pipe_is_written_itself(tmp_path: Path, command: str) -> None:
    run, output = record(tmp_path / "gan"), tmp_path / "pipe"
    os.mkfifo(output)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(output.read_bytes)
        code, _ = losses(command, str(run), "-o", str(output))

        assert code == 0
        assert b"G" in read.result(timeout=300)
    assert output.is_fifo()


def test_an_export_that_fails_leaves_the_last_one(tmp_path: Path) -> None:
    run, output = record(tmp_path / "gan"), tmp_path / "gan.json"
    losses("export", str(run), "-o", str(output))
    before = output.read_text()
    with (run / "losses.csv").open("r+") as file:
        last = file.readlines()[-1]
        file.write(last.replace("2,", "x,", 1))

    code, _ = losses("export", str(run), "-o", str(output))

    assert code == 1
    assert output.read_text() == before
    assert {path.name for path in tmp_path.iterdir()} == {"gan", "gan.json"}


def test_a_format_that_is_not_known_is_asked_for(tmp_path: Path) -> None:
    run = record(tmp_path / "gan")

    code, printed = losses("export", str(run), "-o", str(tmp_path / "gan.xyz"))

    assert code == 1
    assert printed.startswith("a file must end in one of .csv, .json, .jsonl, .parquet, got ")
    assert printed.endswith("gan.xyz; or name its format with --to\n")
    assert losses("export", str(run), "-o", str(tmp_path / "gan.xyz"), "--to", "json")[0] == 0
    assert (tmp_path / "gan.xyz").exists()


def test_more_runs_than_a_picture_has_room_for_are_told_the_way_out(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn with it")
    run = record(tmp_path / "0")
    for number in range(1, 61):
        shutil.copytree(run, tmp_path / str(number))

    code, printed = losses("plot", str(tmp_path), "-o", str(tmp_path / "all.png"))

    assert code == 1
    assert printed == (
        "a picture has room for the names of 60 runs, got 61: draw the means of groups, "
        "with --group or plot_groups\n"
    )


def test_a_record_that_cannot_be_exported_is_named(tmp_path: Path) -> None:
    (tmp_path / "gan" / "losses.csv").mkdir(parents=True)

    code, printed = losses("export", str(tmp_path / "gan"))

    assert code == 1
    assert printed.endswith(f"{tmp_path / 'gan' / 'losses.csv'}: Is a directory\n")


def test_an_impossible_folder_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    (tmp_path / "taken").write_text("a file")

    code, printed = losses("demo", "--out", str(tmp_path / "taken"))

    assert code == 1
    assert printed == f"cannot record in {tmp_path / 'taken'}: File exists\n"


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert losses("--version") == (0, version("multi-loss-weighting") + "\n")


def test_help_has_the_commands_in_the_order_of_use_and_all_of_their_first_words() -> None:
    code, printed = losses("--help")

    listed = [line.split()[0] for line in printed.splitlines() if re.match("  [a-z]", line)]
    assert code == 0
    assert listed == [command.name for command in COMMANDS]
    assert "..." not in printed.partition("Commands:")[2]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_help_of_a_command_ends_with_examples_that_it_takes(command: click.Command) -> None:
    code, printed = losses(str(command.name), "-h")

    examples = printed.partition("  For example:\n")[2].splitlines()
    assert code == 0
    assert [example.strip() for example in examples] == [*COMMANDS[command]]
    parent = app.context_class(app, **app.context_settings)  # else click forgets that -h is help
    for example in examples:
        typed = re.split(" [|>]", example)[0].split()[2:]
        command.make_context("", typed, parent=parent)  # which raises if there is no such option


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [([], "numpy"), (["ls"], "numpy"), (["--help"], ""), (["demo", "--help"], "")],
)
def test_looking_loads_nothing_heavy(tmp_path: Path, arguments: list[str], needed: str) -> None:
    record(tmp_path / "runs/gan")
    code = (
        "import sys; from loss_dashboard.cli.losses import app;"
        f" app({arguments}, standalone_mode=False);"
        f" print({set(HEAVY) - {needed}} & set(sys.modules), file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout
    assert done.stderr == "set()\n"


def test_it_is_a_module_too_and_says_so() -> None:
    command = [sys.executable, "-m", "loss_dashboard"]

    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": ""})

    assert "python -m loss_dashboard demo" in done.stdout


@pytest.fixture
def _on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with two runs, where `losses` is a program."""
    program = tmp_path / "bin/losses"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m loss_dashboard "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    record(Path("runs/gan"))
    record(Path("runs/vae"))


@pytest.mark.usefixtures("_on_path")
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("pl", ["plot"]),
        ("plot ga", ["gan"]),
        ("export --to par", ["parquet"]),
        ("watch --pl", ["--plain"]),
    ],
)
def test_bash_completes_what_is_typed(typed: str, completed: list[str]) -> None:
    script = """
        eval "$(losses completion bash)"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _losses_completion losses
        printf '%s\\n' "${COMPREPLY[@]}"
    """

    done = subprocess.run(
        ["bash", "-c", script, "bash", "losses", *typed.split()],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == completed


@pytest.mark.usefixtures("_on_path")
@pytest.mark.skipif(sys.platform == "win32", reason="a script stands for the program")
def test_a_path_to_a_run_is_completed_with_folders() -> None:
    asked = {"_LOSSES_COMPLETE": "bash_complete", "COMP_WORDS": "losses plot ru", "COMP_CWORD": "2"}

    done = subprocess.run(
        ["losses"], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )

    assert done.stdout == "dir,ru\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_completion(shell: str) -> None:
    code, printed = losses("completion", shell)

    assert code == 0
    assert f"_LOSSES_COMPLETE={shell}_complete" in printed
