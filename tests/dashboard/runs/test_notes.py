"""Notes, tags and the trash: what a user may do with a run, beside its record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from rich.console import Console

from loss_dashboard.cli.losses import app
from loss_dashboard.runs.notes import Notes, change_tags, read_notes, write_note
from loss_dashboard.runs.summary import find_runs
from loss_dashboard.terminal.tables import run_table
from loss_loggers import CsvLogger, read_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def record(folder: Path) -> Path:
    with CsvLogger(folder) as logger:
        logger.log_metrics({"loss/G": 0.5}, step=7)
    return logger.path


def losses(*arguments: str, typed: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments, input=typed)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_a_note_and_tags_are_kept_beside_the_record(here: Path) -> None:
    run = record(here / "runs/gan")
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    losses("note", "gan", "the decay\nwas too short")
    losses("tag", "gan", "+good", "paper", "+todo")
    losses("tag", "gan", "-todo", "-never-there")

    assert losses("note", "gan") == (0, "the decay was too short\n")
    assert losses("tag", "gan") == (0, "good paper\n")
    after = {path.name: path.read_bytes() for path in run.iterdir()}
    assert after.pop("notes.json")
    assert after == before


def test_a_list_of_runs_shows_notes_if_there_are_any_and_on_a_terminal_their_beginning(
    here: Path,
) -> None:
    run, _ = record(here / "runs/gan"), record(here / "runs/vae")
    assert run_table(find_runs(here)).columns[-1].header == "last"
    write_note(run, "too\x1bshort " * 9)
    terminal = Console(width=80, file=StringIO())

    with terminal.capture() as shown:
        terminal.print(run_table(find_runs(here), width=80))

    whole = "too\\x1bshort " * 8 + "too\\x1bshort"
    assert f"  {whole[:15]}…" in shown.get()
    assert max(map(len, shown.get().splitlines())) <= 80
    assert f"  {whole}\n" in losses("ls")[1]
    assert whole in [row["note"] for row in json.loads(losses("ls", "--json")[1])["runs"]]


def test_a_tag_that_looks_like_an_option_is_none(here: Path) -> None:
    record(here / "runs/gan")

    losses("tag", "gan", "+help", "+h", "+best")

    assert losses("tag", "gan", "-h", "-best") == (0, "help\n")


def test_notes_are_written_while_the_run_is_and_the_run_never_touches_them(here: Path) -> None:
    with CsvLogger(here / "runs/gan") as logger:
        logger.log_metrics({"loss/G": 0.5}, step=0)
        losses("note", "gan", "watch this")
        logger.log_metrics({"loss/G": 0.25, "new/G": 1.0}, step=1)
        logger.log_hyperparams({"lr": 0.1})

    assert losses("note", "gan")[1] == "watch this\n"
    assert len(read_run(logger.path).columns["step"]) == 2
    assert "watch" not in (logger.path / "run.json").read_text()


def test_many_who_tag_at_once_lose_no_tag(here: Path) -> None:
    run = record(here / "runs/gan")
    tags = [f"tag{number}" for number in range(20)]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda tag: change_tags(run, [tag], []), tags))

    assert {*read_notes(run).tags} == {*tags}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", "[" * 100_000, '{"note": 7, "tags": "good"}', '{"tags": [1, null, [], " "]}'],
)
def test_notes_that_make_no_sense_are_none(here: Path, content: str) -> None:
    run = record(here / "runs/gan")
    (run / "notes.json").write_text(content)

    assert read_notes(run) == Notes()
    assert "gan  finished" in losses("ls")[1]
    change_tags(run, ["good"], [])
    assert read_notes(run).tags == ("good",)


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_notes_are_no_link_and_no_pipe(here: Path) -> None:
    run, linked = record(here / "runs/gan"), record(here / "runs/vae")
    os.mkfifo(run / "notes.json")
    (here / "secret.json").write_text('{"note": "secret"}')
    (linked / "notes.json").symlink_to(here / "secret.json")

    assert read_notes(run) == read_notes(linked) == Notes()
    write_note(linked, "mine")
    assert read_notes(linked).note == "mine"
    assert (here / "secret.json").read_text() == '{"note": "secret"}'


def test_text_of_notes_commands_no_terminal(here: Path) -> None:
    run = record(here / "runs/gan")
    (run / "notes.json").write_text(json.dumps({"note": "a\x1b[2J", "tags": ["\x1b]0;x\x07"]}))

    printed = losses("note", "gan")[1] + losses("tag", "gan")[1] + losses("ls")[1]

    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert r"a\x1b[2J" in printed


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda run: change_tags(run, ["two words"], []), "a tag must be a word"),
        (lambda run: change_tags(run, [""], []), "a tag must be a word"),
        (lambda run: change_tags(run, ["a\x1b"], []), "a tag must be a word"),
        (lambda run: change_tags(run, [*map(str, range(60))], []), "at most 50 tags, got 60"),
        (lambda run: write_note(run, "x" * 2001), "at most 2000 characters, got 2001"),
    ],
)
def test_what_cannot_be_a_note_changes_nothing(
    here: Path, write: Callable[[Path], object], said: str
) -> None:
    run = record(here / "runs/gan")

    with pytest.raises(ValueError, match=said):
        write(run)

    assert read_notes(run) == Notes()


def test_rm_asks_and_moves_to_a_trash_that_no_list_shows(here: Path) -> None:
    for name in ("gan", "sweep/seed0", "kept"):
        record(here / "runs" / name)

    no = losses("rm", "gan", "sweep/seed0", typed="n\n")
    assert no[0] == 1
    assert (here / "runs/gan/run.json").exists()
    code, printed = losses("rm", "gan", "runs/gan", "sweep/seed0", typed="y\n")

    assert code == 0
    assert "runs/gan is in runs/.trash/gan" in printed
    assert "runs/sweep/seed0 is in runs/.trash/sweep/seed0" in printed
    assert [line.split()[0] for line in losses("ls")[1].splitlines()[1:]] == ["kept"]
    assert read_run("runs/.trash/gan")["G"]["loss"].tolist() == [0.5]
    assert losses("rm", "gan", "--yes")[0] == 1  # it is no run any more


def test_rm_takes_no_folder_with_other_runs_unless_they_go_too(here: Path) -> None:
    for name in ("gan", "gan/val", "vae"):
        record(here / "runs" / name)
    record(here / "runs")

    code, printed = losses("rm", "latest", "vae", "--yes")
    assert code == 1
    assert "runs stays, for it cannot be moved: it holds 2 other runs, such as runs/gan" in printed
    assert "runs/vae is in runs/.trash/vae" in printed
    assert "it holds another run, runs/gan/val: remove" in losses("rm", "gan", "--yes")[1]

    assert losses("rm", "gan", "gan/val", "--yes")[0] == 0
    assert not (here / "runs/gan").exists()
    assert [line.split()[0] for line in losses("ls")[1].splitlines()[1:]] == ["runs"]


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX closes the input")
@pytest.mark.parametrize("stdin", ["<&-", "</dev/null"], ids=["without one", "at its end"])
def test_rm_removes_nothing_where_no_answer_can_come(here: Path, stdin: str) -> None:
    record(here / "runs/gan")

    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m loss_dashboard rm gan {stdin}'],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, "Aborted!\n")
    assert (here / "runs/gan/losses.csv").exists()


def test_rm_of_a_namesake_leaves_the_one_in_the_trash(here: Path) -> None:
    for _ in range(3):
        record(here / "runs/gan")
        losses("rm", "gan", "--yes")

    assert {path.name for path in (here / "runs/.trash").iterdir()} == {"gan", "gan-2", "gan-3"}


def test_rm_of_a_run_elsewhere_goes_into_a_trash_beside_it(here: Path) -> None:
    record(here / "elsewhere/gan")

    assert "is in elsewhere/.trash/gan" in losses("rm", "elsewhere/gan", "--yes")[1]


def test_rm_of_where_one_is_says_where_that_went(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(record(here / "elsewhere/gan"))

    assert losses("rm", ".", "--yes")[1] == f". is in {here / 'elsewhere/.trash/gan'}\n"


def test_rm_refuses_a_run_that_is_written_and_moves_the_others(here: Path) -> None:
    record(here / "runs/gan")
    code = (
        "import sys; from loss_loggers import CsvLogger; log = CsvLogger('runs/held');"
        " log.log_metrics({'loss/G': 1.0}, step=0); print('there', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as writer:
        assert writer.stdout
        writer.stdout.readline()
        result, printed = losses("rm", "held", "gan", "--yes")
        assert result == 1
        assert f"runs/held stays, for it is being written: process {writer.pid}" in printed
        assert "runs/gan is in runs/.trash/gan" in printed
        writer.communicate()

    assert losses("rm", "held", "--yes")[0] == 0
    assert not (here / "runs/.trash/held/.lock").exists()


def test_rm_leaves_a_link_to_its_owner(here: Path) -> None:
    run = record(here / "elsewhere/gan")
    (here / "runs").mkdir()
    (here / "runs/gan").symlink_to(run)

    code, printed = losses("rm", "gan", "--yes")

    assert code == 1
    assert "remove the link itself" in printed
    assert run.is_dir()
