from __future__ import annotations

import asyncio
import json
import math
import os
import re
import select
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from rich.console import Console

from loss_dashboard.cli.losses import app
from loss_dashboard.reading import RunReader, _tail
from loss_dashboard.terminal._canvas import Canvas
from loss_dashboard.terminal._chart import chart
from loss_dashboard.terminal._panels import bar, loss_table
from loss_dashboard.terminal._view import View
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from textual.pilot import Pilot

    from loss_dashboard.terminal.app import WatchApp

    Steps = Callable[[WatchApp, Pilot[None]], Awaitable[None]]

LONG_NAME = "[bold]" + "x" * 200


def write(logger: CsvLogger, steps: range) -> None:
    for step in steps:
        lost = math.nan if step == 3 else 1.0
        row = {"loss/G": lost * math.exp(-step / 50), "weight/G": 0.25, "cov/G": 0.1}
        row |= {"loss/D": 2.0 + step % 2, "weight/D": 0.75, f"loss/{LONG_NAME}": -1.0, "lr": 0.1}
        logger.log_metrics(row, step=step)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"weighting": {"method": "PlainSum"}})
        write(logger, range(100))
    return logger.path


def watch(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["watch", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_once_prints_charts_table_and_alerts(run: Path) -> None:
    printed = watch(str(run), "--once")

    lines = printed.splitlines()
    assert lines[0].startswith("gan  PlainSum  finished  step 99  ")
    assert [title for title in ("losses", "weights", "CoV") if title in lines] == [
        "losses",
        "weights",
        "CoV",
    ]
    assert re.search("1 G +██ +0.250 ", printed)
    assert lines[-1] == "! G was NaN or infinite at step 3"


def test_once_and_plain_has_no_charts(run: Path) -> None:
    printed = watch(str(run), "--once", "--plain")

    assert not any("\u2800" <= character <= "\u28ff" for character in printed)
    assert "0.750" in printed


def test_plain_follows_a_run_to_its_end(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path / "live")
    write(logger, range(1))

    command = [sys.executable, "-m", "loss_dashboard", "watch", str(logger.path), "--plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        lines = [watching.stdout.readline()]
        write(logger, range(1, 10))
        logger.close()
        lines += watching.stdout.read().splitlines()

    assert lines[0].startswith("step 0  G 1 x0.25  D 2 x0.75")
    assert lines[1].startswith("step 9  ")
    assert lines[2] == "! G was NaN or infinite at step 3"
    assert lines[3].startswith("live  finished  step 9")


def test_a_pipe_gets_plain_lines_without_textual(run: Path) -> None:
    code = (
        "import sys; sys.modules['textual'] = None; from loss_dashboard.cli.losses import app;"
        f" app(['watch', {str(run)!r}])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("step 99  ")
    assert done.stderr == ""


def test_a_run_without_rows_can_be_looked_at(tmp_path: Path) -> None:
    CsvLogger(tmp_path / "empty").close()

    printed = watch(str(tmp_path / "empty"), "--once")

    assert "no values yet" in printed
    assert "  no rows yet" in printed.splitlines()[0]
    assert "nan" not in printed
    assert watch(str(tmp_path / "empty"), "--plain").splitlines()[0] == "no rows yet"


def crashed(folder: Path, error: str | None) -> Path:
    """A run whose process is gone."""
    with CsvLogger(folder) as logger:
        write(logger, range(30))
    info = json.loads((folder / "run.json").read_text())
    info |= (
        {"state": "crashed", "error": error} if error else {"state": "running", "pid": 2**22 + 1}
    )
    (folder / "run.json").write_text(json.dumps(info))
    return folder


ERROR = "RuntimeError: CUDA out of memory: tried to allocate 2.00 GiB, of which 1.00 GiB is free"
KILLED = "it was killed, or the machine restarted; no exception was recorded"


@pytest.mark.parametrize("error", [ERROR, None])
@pytest.mark.parametrize("option", ["--once", "--plain"])
def test_why_a_run_crashed_is_a_line(tmp_path: Path, error: str | None, option: str) -> None:
    assert (error or KILLED) in watch(str(crashed(tmp_path / "gan", error)), option).splitlines()


def test_the_table_has_as_many_numbers_as_there_is_room_for(run: Path) -> None:
    reader = RunReader(run)

    narrow, wide = (loss_table(reader, width, set()) for width in (30, 100))

    assert [column.header for column in narrow.columns[4:]] == ["last"]
    assert wide.columns[-1].header == "share"
    console = Console(width=38, color_system=None)
    with console.capture() as capture:
        console.print(loss_table(reader, 38, {"G"}))
    assert "[bold]xxxxx" in capture.get()


def test_a_zoom_shows_the_end(run: Path) -> None:
    whole, half = (View(zoom=zoom).lines(RunReader(run), "loss", 1000)[0] for zoom in (0, 1))

    assert whole.points.x.tolist() == list(range(100))
    assert half.points.x.tolist() == list(range(50, 100))


def test_a_line_without_gaps_rises_from_corner_to_corner() -> None:
    canvas = Canvas(width=2, height=2)

    canvas.line([(0, 0), (3, 7)], "red")

    upper, lower = (row.plain for row in canvas.rows())
    assert upper[0] == "\u2800"
    assert "\u2800" not in upper[1] + lower[0]


@pytest.mark.parametrize("name", ["loss/G", "loss/val/G"])
@pytest.mark.parametrize("spike", [94.8, -94.8])
def test_a_spike_has_its_height(tmp_path: Path, name: str, spike: float) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_rows([(step, 1e9 + step, {name: spike if step == 9000 else 0.5})
                         for step in range(20_000)])  # fmt: skip

    printed = watch(str(tmp_path / "gan"), "--once")

    lines = printed[printed.index("losses") :].splitlines()[1:10]
    assert sum(bool(re.search("[\u2801-\u28ff]", line)) for line in lines) > 6


def test_weights_as_far_apart_as_numbers_go_can_be_looked_at(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(20):
            logger.log_metrics({"loss/G": 1.0, "weight/G": 1.7e308 * (-1) ** step}, step=step)

    assert "weights" in watch(str(tmp_path / "gan"), "--once")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999, 1.0, math.nan, 2.0])
def test_a_bar_is_always_as_wide(share: float) -> None:
    assert len(bar(share)) == 8


# The whole terminal, without one.


def drive(folder: Path, size: tuple[int, int], steps: Steps) -> None:
    pytest.importorskip("textual", reason="the watching app is made with it")
    from loss_dashboard.terminal.app import WatchApp

    async def main() -> None:
        watching = WatchApp(folder)
        async with watching.run_test(size=size) as pilot:
            await pilot.pause()
            await steps(watching, pilot)

    asyncio.run(main())


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    """Let it go on until this holds."""
    end = time.monotonic() + 300
    while not holds():
        assert time.monotonic() < end
        await pilot.pause(0.05)


def text_of(watching: WatchApp, panel: str) -> str:
    """What a panel shows."""
    widget = watching.query_one(panel)
    lines = widget.render_lines(widget.outer_size.region)
    return "\n".join("".join(segment.text for segment in line) for line in lines)


@pytest.mark.parametrize("size", [(80, 24), (200, 60), (40, 20), (12, 6)])
def test_it_fits_every_terminal(run: Path, size: tuple[int, int]) -> None:
    async def steps(watching: WatchApp, _pilot: Pilot[None]) -> None:
        assert "gan"[: size[0]] in text_of(watching, "#headline")
        assert watching.query_one("#loss").region.right <= size[0]
        assert watching.query_one("#cov").display is (size[0] >= 60)

    drive(run, size, steps)


def test_keys_choose_what_is_shown(run: Path) -> None:
    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        before = text_of(watching, "#loss")
        await pilot.press("1", "2", "l", "plus", "plus", "minus")

        assert watching.view == View(log=False, zoom=1, hidden={"G", "D"})
        assert text_of(watching, "#loss") != before
        await pilot.press("a")
        assert watching.view == View(log=False)

    drive(run, (80, 24), steps)


def test_new_rows_and_alerts_appear_by_themselves(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path / "live")
    write(logger, range(2))

    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        assert "step 1 " in text_of(watching, "#headline")
        write(logger, range(2, 30))
        await until(pilot, lambda: "step 29 " in text_of(watching, "#headline"))
        alert = "! G was NaN or infinite at step 3"
        await until(pilot, lambda: alert in text_of(watching, "#alerts"))

    drive(logger.path, (80, 24), steps)
    logger.close()


def test_n_goes_through_the_runs_of_the_folder(run: Path) -> None:
    with CsvLogger(run.parent / "newer") as logger:
        write(logger, range(5))

    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        for name in ("newer", "gan"):
            await pilot.press("n")
            await watching.workers.wait_for_complete()
            assert watching.reader.path.name == name

    drive(run, (80, 24), steps)


def test_r_lists_the_runs_to_choose_from(run: Path) -> None:
    with CsvLogger(run.parent / "newer") as logger:
        write(logger, range(5))
    (run / "notes.json").write_text('{"note": "seems good", "tags": ["paper"]}')

    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        from textual.widgets import DataTable

        await pilot.press("r")
        table = watching.screen.query_one(DataTable)
        assert [str(table.get_row_at(at)[0]) for at in range(2)] == ["newer", "gan"]
        assert table.cursor_row == 1
        await pilot.press("k", "enter")
        await pilot.pause()
        assert watching.reader.path.name == "newer"
        assert "newer" in text_of(watching, "#headline")

        await pilot.press("r", "slash", *"good", "enter", "enter")
        await pilot.pause()
        assert watching.reader.path.name == "gan"
        await pilot.press("r", "l", "n", "space", "escape")  # keys of what lies behind are silent
        await pilot.pause(0.6)
        assert watching.view == View()
        assert "gan" in text_of(watching, "#headline")

    drive(run, (80, 24), steps)


def test_a_small_terminal_tells_the_weight_and_the_last_value_of_each_loss(run: Path) -> None:
    async def steps(watching: WatchApp, _pilot: Pilot[None]) -> None:
        lines = text_of(watching, "#table").replace("│", " ").splitlines()[1:4]
        head, *losses = (line.split() for line in lines)
        assert head == ["loss", "weight", "last"]
        assert [[*line[:2], *line[-2:]] for line in losses] == [
            ["1", "G", "0.250", "0.138"],
            ["2", "D", "0.750", "3.00"],
        ]

    drive(run, (80, 24), steps)


@pytest.mark.parametrize("width", [20, 29, 30, 38, 60, 100])
def test_no_number_in_the_table_is_cut(tmp_path: Path, width: int) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(3):
            row = {"loss/reconstruction": 1.0, "loss/kl": -0.000195 * (step + 1)}
            logger.log_metrics(row | {"weight/kl": 0.00905}, step=step)
    table = loss_table(RunReader(logger.path), width, set())
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)

    assert ("0.00905" in capture.get()) == (width >= 30)  # or else the last value alone
    assert "-0.000585" in capture.get()
    assert all(len(line.rstrip()) <= width for line in capture.get().splitlines())


def test_losses_below_zero_do_not_hide_the_others(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(50):
            row = {"loss/G": 10.0, "loss/D": 0.1, "loss/E": 0.001 - 0.0001 * step}
            logger.log_metrics(row, step=step)
    lines = View().lines(RunReader(logger.path), "loss", 100)
    rows = chart(lines, 60, 20, log=True, marks=True).plain.splitlines()

    drawn = [row for row in rows[:-1] if any("\u2800" < letter <= "\u28ff" for letter in row)]
    assert len(drawn) >= 3  # a row for each, at the least
    assert drawn[1] != rows[-2]


@pytest.mark.parametrize("error", [ERROR, None])
def test_all_of_an_exception_is_on_the_screen(tmp_path: Path, error: str | None) -> None:
    async def steps(watching: WatchApp, _pilot: Pilot[None]) -> None:
        assert (error or KILLED) in " ".join(text_of(watching, "#failure").split())

    drive(crashed(tmp_path / "gan", error), (40, 24), steps)


def test_what_there_is_none_of_takes_no_line(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)

    async def steps(watching: WatchApp, _pilot: Pilot[None]) -> None:
        assert not watching.query_one("#failure").display
        assert not watching.query_one("#alerts").display

    drive(logger.path, (80, 24), steps)


def test_the_users_own_numbers_stand_below_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        for step in range(3):
            row = {"loss/G": 1.0, "lr": 1e-3, "val/accuracy": 0.91, "[bold]norm": math.nan}
            logger.log_metrics(row, step=step)

    assert watch(str(logger.path), "--once").splitlines()[-1] == (
        "lr 0.001 · val/accuracy 0.91 · [bold]norm nan"
    )
    monkeypatch.setenv("COLUMNS", "30")
    assert watch(str(logger.path), "--once").splitlines()[-1] == "lr 0.001 · val/accuracy 0.91 …"

    async def steps(watching: WatchApp, _: Pilot[None]) -> None:
        assert "val/accuracy 0.91" in text_of(watching, "#table")

    drive(logger.path, (80, 24), steps)


def test_a_screen_with_all_losses_hidden_says_so(run: Path) -> None:
    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        await pilot.press("1", "2", "3")
        assert "all losses are hidden" in text_of(watching, "#loss")

    drive(run, (80, 24), steps)


def test_a_small_terminal_has_a_chart_and_the_losses(run: Path) -> None:
    async def steps(watching: WatchApp, _pilot: Pilot[None]) -> None:
        assert any("\u2800" < letter <= "\u28ff" for letter in text_of(watching, "#loss"))
        assert [f" {name} " in text_of(watching, "#table") for name in "GD"] == [True, True]

    drive(run, (40, 16), steps)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A run with 64 losses."""
    with CsvLogger(tmp_path / "many") as logger:
        for step in range(3):
            row = {f"loss/task_{number:02}": 1.0 + step for number in range(64)}
            logger.log_metrics(row, step=step)
    return logger.path


def test_of_many_losses_the_heaviest_has_a_whole_bar(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "many") as logger:
        weights = {f"weight/{number}": float(number) for number in range(64)}
        logger.log_metrics(weights | {f"loss/{number}": 1.0 for number in range(64)}, step=0)
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(loss_table(RunReader(logger.path), 100, set()))

    assert capture.get().splitlines()[-1].split()[2] == "████████"


def test_the_keys_reach_each_of_many_losses(many: Path) -> None:
    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        assert "1 to 7 of 64" in text_of(watching, "#table")
        assert "task_07" not in text_of(watching, "#table")
        await pilot.press(*["down"] * 7, "space")
        assert watching.view.hidden == {"task_07"}
        assert "task_07" in text_of(watching, "#table")
        await pilot.press(*["pagedown"] * 10, "enter")
        assert set(watching.reader.losses) - watching.view.hidden == {"task_63"}
        assert "58 to 64 of 64" in text_of(watching, "#table")
        await pilot.press("enter", *["pageup"] * 10)
        assert not watching.view.hidden
        assert "task_00" in text_of(watching, "#table")

    drive(many, (80, 24), steps)


def test_the_wheel_goes_through_the_losses_and_a_click_shows_one_alone(many: Path) -> None:
    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        from textual import events

        table = watching.query_one("#table")
        for _ in range(10):
            table.post_message(events.MouseScrollDown(table, 5, 5, 0, 1, 0, False, False, False))
        await pilot.pause()
        assert "5 to 11 of 64" in text_of(watching, "#table")
        await pilot.click("#table", offset=(8, 3))
        assert set(watching.reader.losses) - watching.view.hidden == {"task_05"}
        await pilot.click("#table", offset=(8, 1))  # the names of the columns
        assert set(watching.reader.losses) - watching.view.hidden == {"task_05"}

    drive(many, (80, 24), steps)


def test_keys_do_no_harm_where_there_are_no_losses(tmp_path: Path) -> None:
    CsvLogger(tmp_path / "empty").close()

    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        await pilot.press("down", "up", "pagedown", "space", "enter", "1")
        assert watching.view == View()

    drive(tmp_path / "empty", (80, 24), steps)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_it_can_be_ended(run: Path, key: str) -> None:
    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        await pilot.press(key)
        await pilot.pause()
        assert not watching.is_running

    drive(run, (80, 24), steps)


def test_resizing_changes_the_layout(run: Path) -> None:
    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        wide = watching.query_one("#loss").size.width
        await pilot.resize_terminal(50, 40)
        await until(pilot, lambda: watching.query_one("#loss").size.width == 48 > wide)

    drive(run, (80, 24), steps)


@pytest.mark.parametrize(("before", "after"), [((140, 45), (80, 24)), ((80, 24), (140, 45))])
def test_the_table_of_a_finished_run_is_laid_out_anew(
    run: Path, before: tuple[int, int], after: tuple[int, int]
) -> None:
    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        for size in (after, before, after):
            await pilot.resize_terminal(*size)
            is_wide = size == (140, 45)
            await until(pilot, lambda: ("share" in text_of(watching, "#table")) is is_wide)  # noqa: B023
            await until(pilot, lambda: "0.250" in text_of(watching, "#table"))

    drive(run, before, steps)


def test_a_long_run_is_shown_while_it_is_read(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("textual", reason="the watching app is made with it")
    from loss_dashboard.terminal import app as terminal

    monkeypatch.setattr(_tail, "BLOCK", 4096)
    monkeypatch.setattr(terminal, "READING", 0.0)
    monkeypatch.setattr(terminal, "POLL", 3600)

    async def steps(watching: WatchApp, pilot: Pilot[None]) -> None:
        early = text_of(watching, "#headline")
        while watching.reader.progress < 1:
            watching._poll()
        await pilot.pause()

        assert re.search(r"gan  read \d+%  PlainSum", early)
        assert "read" not in text_of(watching, "#headline")
        assert len(watching.reader.series("G")["loss"]) == 100

    drive(run, (80, 24), steps)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_terminal_of_80_columns_and_24_lines_is_filled_and_left_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("textual", reason="the watching app is made with it")
    import fcntl
    import pty
    import termios

    with CsvLogger(tmp_path / "live") as logger:
        write(logger, range(30))
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        before = termios.tcgetattr(theirs)
        command = [sys.executable, "-m", "loss_dashboard", "watch", str(logger.path)]
        terminal = {**os.environ, "TERM": "xterm-256color"}
        watching = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=terminal
        )
        try:
            shown = seen_until(ours, b"step 29 ")
            write(logger, range(30, 40))
            shown += seen_until(ours, b"step 39 ")
            os.write(ours, b"q")
            shown += seen_until(ours, b"\x1b[?1049l")  # back from the screen of its own
            assert watching.wait(timeout=300) == 0
            assert termios.tcgetattr(theirs) == before
        finally:
            watching.kill()
            watching.wait()
            os.close(theirs)
            os.close(ours)

    places = [tuple(map(int, at)) for at in re.findall(rb"\x1b\[(\d+);(\d+)H", shown)]
    assert max(line for line, _ in places) == 24
    assert max(column for _, column in places) <= 80
    assert b"G was NaN or infinite at step 3" in shown


def seen_until(terminal: int, text: bytes) -> bytes:
    """What appears on a terminal, up to this text."""
    shown, end = b"", time.monotonic() + 300
    while text not in shown:
        assert time.monotonic() < end, shown[-2000:]
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536)
    return shown
