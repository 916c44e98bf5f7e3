"""Names and texts of a run folder are data: no command lets their control characters through."""

from __future__ import annotations

import json
import os
import re
import sys
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from zlib import decompress

import pytest
from click.testing import CliRunner

from loss_dashboard.cli.losses import app
from loss_dashboard.notebook._svg import draw
from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger, read_run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name == "nt", reason="names of folders there have no controls")

HARMFUL = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
LOSSES = (
    "kl\x1b[2J",
    "rec\x1b]52;c;ZWNobw==\x07",
    "adv\x9b31m",
    "d\u202eisc\u200b",
    "e\x7f\u2066x",
)
NAMES = [*(f"loss/{name}" for name in LOSSES), *(f"weight/{name}" for name in LOSSES), "lr\x1b[5m"]
RUN = "gan\x1b]0;title\x07\u202e"
SHOWN = r"kl\x1b[2J"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run as somebody might leave it on a shared disk, in the folder `runs` below this one."""
    monkeypatch.chdir(tmp_path)
    with CsvLogger(tmp_path / "runs" / RUN) as record:
        record.log_hyperparams({"weighting": {"method": "Mine\x1b[1m", "own\x1b[7m": ["\u202e"]}})
        for step in range(60):
            row = dict.fromkeys(NAMES, 1.0 + step % 7)
            row["loss/kl\x1b[2J"] = float("nan") if step > 40 else 1.0
            record.log_metrics(row, step=step)
    info = json.loads((record.path / "run.json").read_text())
    info |= {"state": "crashed", "error": "OSError: \x1b]0;gone\x07", "host": "node\x1b[31m7"}
    (record.path / "run.json").write_text(json.dumps(info))
    return record.path


def losses(*arguments: str | Path) -> str:
    """What a command says, on whichever stream."""
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "runs"],
        ["ls", "runs", "--best", "--search", "\x1b[2J"],
        ["ls", "runs", "--sort", "no\x1b[2J"],
        ["note", "{run}", "a\x1b[2J"],
        ["note", "{run}x"],
        ["tag", "{run}", "+a\x1b[2J"],
        ["rm", "{run}"],
        ["rm", "{run}", "--yes"],
        ["watch", "{run}", "--once"],
        ["watch", "{run}", "--plain"],
        ["doctor", "{run}"],
        ["doctor", "{run}", "--json"],
        ["explain", "{run}"],
        ["explain", "{run}", "--json"],
        ["show", "{run}"],
        ["show", "{run}", "--json"],
        ["watch", "{run}", "--once", "--json"],
        ["ls", "runs", "--json"],
        ["doctor", "{run}x"],
        ["doctor", "{run}/nothing"],
        ["export", "{run}", "-o", "no/such\x1b[2J/file.csv"],
        ["export", "{run}", "-o", "export\x1b[2J.csv"],
        ["sync", "{run}", "--to", "tensorboard", "--dry-run"],
        ["plot", "{run}", "-o", "no/\x1b[2J/losses.png"],
        ["plot", "{run}", "-o", "losses\x1b[2J.svg"],
        ["report", "{run}", "-o", "losses\x1b[2J.html"],
        ["report", "{run}", "-o", "no/\x1b[2J/losses.html"],
        ["ls", "nowhere\x1b[2J"],
        ["ls", "runs", "{run}"],
        ["doctor", "--no\x1b[2J"],
        ["no\x1b[2J"],
    ],
    ids=lambda arguments: " ".join(arguments).replace("\x1b", "ESC"),
)
def test_no_command_lets_them_through(run: Path, arguments: list[str]) -> None:
    if arguments[0] == "plot":
        pytest.importorskip("matplotlib", reason="needs the plot extra")
    said = losses(*(one.format(run=run) for one in arguments))

    assert HARMFUL.findall(said) == []


def test_a_problem_of_the_files_names_them_safely(run: Path) -> None:
    with (run / "losses.csv").open("a") as file:
        file.write("60,half")
    (run / "losses-2.csv").mkdir()

    assert HARMFUL.findall(losses("watch", run, "--once") + losses("doctor", run)) == []


def test_the_names_can_still_be_told_apart(run: Path) -> None:
    said = losses("watch", run, "--plain")

    assert all(name in said for name in (SHOWN, r"adv\x9b31m", r"\x1b]0;gone\x07"))


def test_a_report_has_none(run: Path) -> None:
    losses("report", run, "-o", "losses.html")

    page = (run.parent.parent / "losses.html").read_text()
    (packed,) = re.findall(r'id="embedded">(.*?)</script>', page)
    shown = json.loads(decompress(b64decode(packed)))
    assert list(texts_in(shown, harmful=True)) == []
    assert SHOWN in texts_in(shown)


def test_the_page_gets_none(run: Path) -> None:
    pytest.importorskip("orjson", reason="needs the dashboard extra")
    from loss_dashboard.web.run_registry import RunRegistry

    registry = RunRegistry([run.parent])

    (key,) = registry.runs()
    session = registry.session(key)
    assert session is not None
    session.read_through()

    from loss_dashboard.curves.view_options import ViewOptions

    shown = json.loads(session.answer(ViewOptions())[0])
    assert list(texts_in([key, shown], harmful=True)) == []
    assert SHOWN in texts_in(shown)


def texts_in(value: Any, *, harmful: bool = False) -> set[str]:
    """All texts in what JSON holds, names too."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        return set().union(*(texts_in(inner, harmful=harmful) for inner in value))
    is_wanted = isinstance(value, str) and (not harmful or HARMFUL.search(value))
    return {value} if is_wanted else set()


def test_a_figure_in_a_notebook_has_none(run: Path) -> None:
    from loss_dashboard.notebook._source import RunSource

    source = RunSource(RunReader(run, columns=()))

    assert HARMFUL.findall(draw(source.title(), source.curves())) == []


def test_what_reads_the_numbers_gets_the_names_as_they_are(run: Path) -> None:
    losses("export", run, "-o", "losses.csv")

    assert set(read_run(run).names) >= set(LOSSES)
    assert LOSSES[0] in (run.parent.parent / "losses.csv").read_text()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
@pytest.mark.parametrize("command", [["watch", "--once"], ["export"], ["ls"]])
def test_a_terminal_gets_none(run: Path, command: list[str]) -> None:
    """Where colours are on, and an export is there to be read."""
    import pty
    import subprocess

    ours, theirs = pty.openpty()
    arguments = [command[0], *(["runs"] if command == ["ls"] else [str(run)]), *command[1:]]
    with subprocess.Popen(
        [sys.executable, "-m", "loss_dashboard", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        said = b"".join(iter(lambda: chunk(ours), b"")).decode(errors="replace")
    os.close(ours)

    assert r"\x1b" in said
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", said.replace("\r\n", "\n"))
    assert HARMFUL.findall(without_colours) == []
    assert not any(name in said for name in (*LOSSES, RUN))


def chunk(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""
