"""Ctrl-C ends the command `losses` as shells expect, at any moment and without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no SIGINT for one process"
)

# Forks the command again and again, each time interrupted at a later call, to its end.
AT_EACH_MOMENT = """
import os, signal, sys
from importlib import import_module

run, imported, files, every = sys.argv[1:]
sys.argv = ["losses", "tag", run]
import_module(imported)
from loss_dashboard.cli.start import main

def start(moment):
    calls, within = 0, False
    def interrupt(frame, event, argument):
        nonlocal calls, within
        if event != "call":
            return
        # Before the first thing that `main` does an interrupt is Python's own affair.
        within = within or frame.f_code.co_name == "find_spec"
        if within and files in frame.f_code.co_filename:
            calls += 1
            if calls == moment:
                sys.setprofile(None)
                os.write(1, b"^C")
                os.kill(os.getpid(), signal.SIGINT)
    sys.setprofile(interrupt)
    main()

moment, came = 1, True
while came:
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writes, 1), os.dup2(writes, 2)
        start(moment)
    os.close(writes)
    with open(reads) as said:
        _, came, after = said.read().partition("^C")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, came, repr(after), flush=True)
    moment += int(every)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize(
    ("imported", "files", "every"),
    [
        pytest.param("loss_dashboard.cli.losses", "click", 5, id="in the library that calls it"),
        pytest.param("loss_dashboard.cli.losses", "contextlib", 1, id="as it begins or ends"),
        pytest.param("loss_dashboard.cli.start", "loss", 5, id="also while it is being imported"),
    ],
)
def test_it_ends_with_the_code_of_an_interrupt_and_no_word(
    tmp_path: Path, imported: str, files: str, every: int
) -> None:
    CsvLogger(tmp_path / "gan").close()
    script = [sys.executable, "-c", AT_EACH_MOMENT, str(tmp_path / "gan")]

    lines = subprocess.check_output(
        [*script, imported, files, str(every)], stderr=subprocess.STDOUT, text=True
    ).splitlines()

    assert len(lines) > 10
    assert set(lines[:-1]) <= {f"{code} ^C ''" for code in (130, -signal.SIGINT)}
    assert lines[-1] == "0  ''"  # the one that was not interrupted any more


def test_what_a_command_holds_it_lets_go_of(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
        command = [sys.executable, "-m", "loss_dashboard", "watch", str(logger.path), "--plain"]
        watching = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("step 0")
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=300)

    assert (watching.returncode, told) == (130, "")
