from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from loss_loggers.base._warn import in_short, warn

if TYPE_CHECKING:
    from tests.loggers.conftest import Caught, Script

WHERE_WARNINGS_ARE_ERRORS = """
import sys, time, warnings
from loss_loggers import Background, CsvLogger, MemoryLogger, Tee
warnings.simplefilter("error")
class Away:
    def log_metrics(self, metrics, /, *, step): raise OSError("no route to host")
class Text(str):
    pass
memory, record = MemoryLogger(), CsvLogger(sys.argv[1] + "/run")
tee = Tee(Away(), record, Background(Away(), interval=0.01, max_rows=5), memory)
tee.before_close(lambda: 1 / 0)
for step in range(20):
    tee.log_metrics({"loss/a": 1.0, "loss/odd": Text("much")}, step=step)
    time.sleep(0.005)
tee.close()
record.log_metrics({"loss/a": 1.0}, step=20)
lines = (record.path / "losses.csv").read_text().splitlines()
print(len(memory.rows), record.failed, sum(",a," in line for line in lines))
"""


def test_it_is_told_at_the_line_of_the_user(caught: Caught) -> None:
    warn("the disk is full")

    assert [one.filename for one in caught] == [__file__]


def test_where_warnings_are_errors_it_is_told_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn("the disk is full")

    assert capsys.readouterr().err == "RuntimeWarning: the disk is full\n"


def test_a_hook_that_shows_warnings_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", lambda *_, **__: 1 / 0)
    monkeypatch.setattr("sys.stderr", None)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warn("the disk is full")


def test_no_warning_of_ours_ends_a_training_or_a_thread(script: Script, tmp_path: object) -> None:
    done = script(WHERE_WARNINGS_ARE_ERRORS, str(tmp_path))

    assert (done.returncode, done.stdout.split()) == (0, ["20", "1", "20"])
    said = done.stderr
    for words in (
        "logger Away failed (OSError: no route",
        "loss/odd is a number; got Text",
        "records nothing more: it is closed",
        "last rows did not reach",
    ):
        assert said.count(words) >= 1, words
    assert said.count("logger Away failed") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("no\r\nroute"), "OSError: no route"),
        (ValueError(), "ValueError"),
        (ValueError("x" * 300), f"ValueError: {'x' * 200}…"),
    ],
)
def test_an_error_is_told_on_one_line(error: Exception, words: str) -> None:
    assert in_short(error) == words
