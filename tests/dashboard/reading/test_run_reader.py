from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.loggers.delivery.http_backend import until

from loss_dashboard.curves.decimate import decimate
from loss_dashboard.reading import RunReader, _tail
from loss_dashboard.reading.headline import headline
from loss_dashboard.runs._last_rows import LastRows
from loss_dashboard.runs.summary import summarize
from loss_loggers import CsvLogger, read_run
from loss_loggers.recording import _columns, parse_lines
from loss_loggers.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER = "step,time,name,loss,weight\n"


def record(folder: Path, steps: int = 5, **more: float) -> Path:
    with CsvLogger(folder) as logger:
        for step in range(steps):
            write(logger, step, **more)
    return logger.path


def write(logger: CsvLogger, step: int, **more: float) -> None:
    row = {f"loss/{name}": 1 / (step + 3) for name in ("G", "D", "total")}
    logger.log_metrics({**row, "weight/G": 0.25, "weight/D": 0.75, "lr": 0.1, **more}, step=step)


def lines(folder: Path, *rows: str, header: str = HEADER) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "losses.csv").write_text(header + "".join(rows))
    return folder


def only_problem(reader: RunReader) -> str:
    """What is wrong, beside that a folder written by hand has no run.json."""
    mine = [problem for problem in reader.problems if not problem.startswith("run.json")]
    assert len(mine) == 1, mine
    return mine[0]


@pytest.mark.parametrize("rows", [5, 5000])
def test_a_mark_of_another_program_hides_no_loss(tmp_path: Path, rows: int) -> None:
    path = record(tmp_path / "gan", rows) / "losses.csv"
    whole = path.read_bytes()

    path.write_bytes(b"\xef\xbb\xbf" + whole)
    assert RunReader(path.parent).names == ["G", "D", "total", "lr"]

    first = whole.index(b",G,") + 1
    path.write_bytes(whole[:first] + b"\r" + whole[first:])
    reader = RunReader(path.parent)
    assert {*reader.names} == {*map(printable, read_run(path.parent).names)}
    assert {*reader.names} == {"G", "\\rG", "D", "total", "lr"}
    assert len(reader.series("G")["step"]) == rows - 1
    assert len(reader.series("D")["step"]) == rows


def test_a_return_in_quotes_stays_beside_one_outside(tmp_path: Path) -> None:
    folder = lines(tmp_path / "gan", '0,1.5,"a\rb",1,1\n', "1,2.5,\rG,1,1\n")

    assert read_run(folder).names == ["a\rb", "\rG"]
    assert RunReader(folder).names == ["a\\rb", "\\rG"]


def test_it_agrees_with_read_run(tmp_path: Path) -> None:
    folder = record(tmp_path / "gan", 50)

    reader, run = RunReader(folder), read_run(folder)

    assert reader.names == run.names == ["G", "D", "total", "lr"]
    assert reader.losses == ["G", "D"]
    assert reader.problems == []
    for name in run.names:
        for column, values in reader.series(name).items():
            recorded = run[name].get(column, np.full(50, np.nan))
            np.testing.assert_array_equal(values, recorded)


def test_new_rows_arrive_and_old_views_stay(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        reader = RunReader(logger.path)
        assert reader.state == "waiting"
        write(logger, 0)
        assert reader.poll()
        before = reader.series("G")["loss"]
        write(logger, 1)

        assert reader.poll()
        assert not reader.poll()
        assert (len(before), len(reader.series("G")["loss"])) == (1, 2)
        assert reader.state == summarize(logger.path).state == "running"
    assert reader.poll()
    assert reader.state == "finished"


def test_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    folder = lines(tmp_path / "gan", "0,1.0,G,0.5,1.0\n", "1,2.0,G,0.2")
    reader = RunReader(folder)
    assert reader.series("G")["loss"].tolist() == [0.5]
    torn = "losses.csv ends in a half-written line of 11 bytes, which is left out."
    assert only_problem(reader) == torn

    with (folder / "losses.csv").open("a") as file:
        file.write("5,1.0\n")
    reader.poll()

    assert reader.series("G")["loss"].tolist() == [0.5, 0.25]
    assert torn not in reader.problems


def test_a_run_goes_back_to_its_checkpoint(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        write(logger, 0)
        checkpoint = logger.state_dict()
        for step in range(1, 9):
            write(logger, step)
        reader = RunReader(logger.path)
        logger.load_state_dict(checkpoint)
        write(logger, 1, **{"loss/G": 42.0})

        assert reader.poll()
        assert reader.series("G")["loss"].tolist() == [1 / 3, 42.0]
        assert "truncated" in only_problem(reader)


def test_a_record_that_is_longer_than_before_yet_another(tmp_path: Path) -> None:
    reader = RunReader(lines(tmp_path / "gan", "0,1.0,G,0.5,1.0\n"))

    lines(tmp_path / "gan", "0,9.0,G,0.7,1.0\n", "1,9.5,G,0.6,1.0\n")

    assert reader.poll()
    assert reader.series("G")["loss"].tolist() == [0.7, 0.6]
    assert only_problem(reader) == "losses.csv was replaced, so all of it was read again."


def test_a_file_in_the_place_of_another_shows_its_losses_in_grey(tmp_path: Path) -> None:
    folder = record(tmp_path / "gan", 50)
    reader = RunReader(folder)

    rows = ["0,1.0,actor,0.5,1.0,\n", "0,1.0,G,0.5,1.0,\n", "0,1.0,lr,,,0.1\n"]
    (folder / "new.csv").write_text("".join(["step,time,name,loss,weight,value\n", *rows]))
    (folder / "new.csv").replace(folder / "losses.csv")

    assert reader.poll()
    assert reader.losses == ["actor", "G"]
    assert "actor" not in reader.colours
    assert reader.problems == [
        "losses.csv was replaced, so all of it was read again.",
        "actor is not named in run.json, so it is grey.",
    ]


def test_without_run_json_the_numbers_of_the_user_are_still_no_losses(tmp_path: Path) -> None:
    (record(tmp_path / "gan") / "run.json").unlink()

    assert RunReader(tmp_path / "gan").losses == ["G", "D"]


def test_a_new_part_brings_its_column(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        write(logger, 0)
        reader = RunReader(logger.path)
        write(logger, 1, **{"gradient/G": 3.0})
        reader.poll()

        assert (logger.path / "losses-2.csv").exists()
        np.testing.assert_array_equal(reader.series("G")["gradient"], [math.nan, 3.0])


def test_a_part_that_is_taken_away_takes_its_lines_along(tmp_path: Path) -> None:
    folder = record(tmp_path / "gan", 2)
    with CsvLogger(folder, resume=True) as logger:
        write(logger, 2, **{"gradient/G": 3.0})
    reader = RunReader(folder)

    (folder / "losses-2.csv").unlink()
    reader.poll()

    assert len(reader.series("G")["loss"]) == 2
    assert "losses-2.csv was taken away" in only_problem(reader)


def test_a_part_that_is_taken_away_is_told_of_until_it_is_put_back(tmp_path: Path) -> None:
    folder = record(tmp_path / "gan", 2)
    with CsvLogger(folder, resume=True) as logger:
        write(logger, 2, **{"gradient/G": 3.0})
    reader = RunReader(folder)

    (folder / "losses.csv").rename(folder / "away")
    reader.poll()

    assert reader.series("G")["step"].tolist() == [2]
    assert reader.problems == [
        "losses.csv was taken away, so all of it was read again.",
        "losses.csv is missing.",
    ]

    (folder / "away").rename(folder / "losses.csv")
    reader.poll()

    assert reader.series("G")["step"].tolist() == [0, 1, 2]
    assert only_problem(reader) == "losses.csv was put back, so all of it was read again."


def test_what_was_read_outlives_the_folder(tmp_path: Path) -> None:
    folder = record(tmp_path / "gan")
    reader = RunReader(folder)

    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()

    assert reader.poll()
    assert "is gone" in only_problem(reader)
    assert len(reader.series("G")["loss"]) == 5


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("step,time,name,loss\n", "losses.csv has no column weight."),
        ("step,name,loss,weight\n", "losses.csv has no column time, so it cannot be read."),
    ],
)
def test_a_missing_column_is_said(tmp_path: Path, header: str, problem: str) -> None:
    reader = RunReader(lines(tmp_path / "gan", "0,1.0,G,0.5\n", header=header))

    assert only_problem(reader) == problem


def test_lines_that_make_no_sense_are_counted(tmp_path: Path) -> None:
    rows = ["0,1.0,G,0.5,1.0", "what", "1,2.0,G,,x", "x,2.0,G,1.0,1.0", '2,3.0,"a,b",1,1']
    reader = RunReader(lines(tmp_path / "gan", *(f"{row}\n" for row in rows)))

    assert only_problem(reader) == "2 lines make no sense, and are left out."
    assert reader.names == ["G", "a,b"]
    np.testing.assert_array_equal(reader.series("G")["weight"], [1.0, math.nan])


def test_one_line_that_makes_no_sense_is_counted(tmp_path: Path) -> None:
    reader = RunReader(lines(tmp_path / "gan", "0,1.0,G,0.5,1.0\n", "what\n"))

    assert only_problem(reader) == "1 line makes no sense, and is left out."


def test_a_file_without_sense_is_a_problem_and_no_error(tmp_path: Path) -> None:
    reader = RunReader(lines(tmp_path / "gan", "what\n", "is,this\n"))

    assert only_problem(reader) == "2 lines make no sense, and are left out."
    assert reader.names == []


def test_an_unreadable_file_is_a_problem_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "gan" / "losses.csv").mkdir(parents=True)

    reader = RunReader(tmp_path / "gan")

    assert "losses.csv cannot be read" in only_problem(reader)
    assert reader.state == "unreadable"


@pytest.mark.parametrize("bad", ["abc", "nan", "inf", ""])
def test_a_line_without_a_time_does_not_bring_a_run_back_to_life(tmp_path: Path, bad: str) -> None:
    folder = lines(tmp_path / "gan", "0,1.0,G,0.5,1.0\n")
    reader = RunReader(folder)

    with (folder / "losses.csv").open("a") as file:
        file.write(f"1,{bad},G,0.5,1.0\n")
    reader.poll()

    assert reader.state == "stale"
    assert reader.series("G")["step"].tolist() == [0]
    assert only_problem(reader) == "1 line makes no sense, and is left out."
    assert LastRows([folder / "losses.csv"]).step == 0


def test_names_of_any_kind(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>", 'a"b,c', "val/G", "🙂", "x" * 200, "100 %"]
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({f"loss/{name}": 1.0 for name in names}, step=0)

    assert RunReader(logger.path).names == names


def test_a_run_whose_process_is_gone_has_crashed(tmp_path: Path) -> None:
    code = f"""
import os
from loss_loggers import CsvLogger
logger = CsvLogger({str(tmp_path / "gan")!r})
logger.log_metrics({{"loss/G": 1.0}}, step=0)
os._exit(1)
"""
    subprocess.run([sys.executable, "-c", code], check=False)

    reader = RunReader(tmp_path / "gan")
    assert reader.state == "crashed"
    assert reader.error == "it was killed, or the machine restarted; no exception was recorded"


@pytest.mark.parametrize("has_lock", [True, False])
@pytest.mark.parametrize("change", [{"pid": os.getpid()}, {"pid": os.getpid(), "boot": "earlier"}])
def test_a_killed_run_has_crashed_whoever_has_its_number_by_now(
    tmp_path: Path, has_lock: bool, change: dict[str, Any]
) -> None:
    kill = "import os, signal; from loss_loggers import CsvLogger; log = CsvLogger('gan');"
    kill += " log.log_metrics({'loss/G': 1.0}, step=0); os.kill(os.getpid(), signal.SIGTERM)"
    subprocess.run([sys.executable, "-c", kill], cwd=tmp_path, check=False)
    info = tmp_path / "gan/run.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | change))
    if not has_lock:
        (tmp_path / "gan/.lock").write_bytes(b"")  # as where a file system has none

    is_known = has_lock or "boot" in change
    assert (RunReader(info.parent).state == "crashed") is is_known
    assert (summarize(info.parent).state == "crashed") is is_known


def test_a_run_goes_on_as_long_as_its_lock_is_held_and_its_copy_does_not(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
        shutil.copytree(tmp_path / "gan", tmp_path / "copy")
        info = json.loads((tmp_path / "gan/run.json").read_text())
        changed = json.dumps(info | {"pid": 2**22 + 1})  # of another container with our name
        (tmp_path / "gan/run.json").write_text(changed)

        states = [RunReader(tmp_path / name).state for name in ("gan", "copy")]

    assert states == ["running", "crashed"]


def test_an_exception_is_why_a_run_crashed(tmp_path: Path) -> None:
    def train() -> None:
        with CsvLogger(tmp_path / "gan") as logger:
            logger.log_metrics({"loss/G": 1.0}, step=0)
            assert RunReader(logger.path).error is None
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        train()

    assert RunReader(tmp_path / "gan").error == "RuntimeError: out of memory"


@pytest.mark.parametrize(("interval", "state"), [(1.0, "stale"), (10.0, "running")])
def test_a_run_without_rows_for_long_is_stale(tmp_path: Path, interval: float, state: str) -> None:
    last = time.time() - 20
    with CsvLogger(tmp_path / "gan") as logger:
        moments = [(step, last - (19 - step) * interval) for step in range(20)]
        logger.log_rows([(step, moment, {"loss/G": 1.0}) for step, moment in moments])

        reader = RunReader(logger.path)

        assert reader.state == state
        assert reader.steps_per_second == pytest.approx(1 / interval)


@pytest.mark.parametrize(("pace", "said"), [(12.34, "12.3"), (999.7, "1000")])
def test_the_line_of_a_run_has_its_pace_without_a_power_of_ten(
    tmp_path: Path, pace: float, said: str
) -> None:
    first = time.time() - 20
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_rows([(step, first + step / pace, {"loss/G": 1.0}) for step in range(100)])

    assert f"  {said} steps/s" in headline(RunReader(logger.path))


def test_rows_that_are_older_than_the_run_count_from_the_first_of_them(tmp_path: Path) -> None:
    first = time.time() - 500
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_rows([(step, first + step, {"loss/G": 1.0}) for step in range(300)])
        reader = RunReader(logger.path)

        assert reader.state == "stale"
        assert reader.elapsed == pytest.approx(299)
        assert reader.silent == pytest.approx(201, abs=10)
    reader.poll()

    assert reader.elapsed == pytest.approx(500, abs=10)


def test_a_run_without_rows_is_silent_for_no_time(tmp_path: Path) -> None:
    (tmp_path / "gan").mkdir()
    (tmp_path / "gan" / "run.json").write_text("{}")

    reader = RunReader(tmp_path / "gan")

    assert math.isnan(reader.silent)
    assert math.isnan(reader.elapsed)


def test_blocks_end_where_lines_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = record(tmp_path / "gan", 100)
    monkeypatch.setattr(_tail, "BLOCK", 997)

    assert RunReader(folder).series("G")["step"].tolist() == list(range(100))


def test_a_reader_that_ran_out_of_patience_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = record(tmp_path / "gan", 200)
    monkeypatch.setattr(_tail, "BLOCK", 1024)

    reader = RunReader(folder, patience=0)
    before = len(reader.series("G")["step"])
    while reader.progress < 1:
        assert reader.poll()

    assert 0 < before < 200
    assert reader.series("G")["step"].tolist() == list(range(200))


def test_another_process_writes_all_the_while(tmp_path: Path) -> None:
    code = f"""
from loss_loggers import CsvLogger
with CsvLogger({str(tmp_path / "gan")!r}) as logger:
    for step in range(5000):
        if step % 500 == 0:
            input()
        logger.log_metrics({{"loss/G": step / 7, "loss/D": -step / 7}}, step=step)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
        until((tmp_path / "gan" / "losses.csv").exists)
        reader = RunReader(tmp_path / "gan")
        for _ in range(9):
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            until(reader.poll)  # in the middle of what it writes now
        while writer.poll() is None:
            reader.poll()
        reader.poll()

    assert reader.problems == []
    steps = np.arange(5000)
    np.testing.assert_array_equal(reader.series("G")["loss"], steps / 7)
    np.testing.assert_array_equal(reader.series("D")["loss"], -steps / 7)


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    folder = record(tmp_path / "gan", 5, **{"var/G": 1.0, "nonfinite/G": 0})

    columns = RunReader(folder, columns=["nonfinite"]).series("G")

    assert "var" not in columns
    assert {"step", "time", "loss", "nonfinite"} <= columns.keys()


def test_a_long_run_is_read_without_loading_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="it is what reads many lines")
    pytest.importorskip("pandas", reason="it is what pyarrow loads by itself")
    rows = [f"{step},{step / 10},G,{step},\n" for step in range(_columns.WORTH // 8)]
    code = (
        "import sys; from loss_dashboard.reading import RunReader;"
        f" reader = RunReader({str(lines(tmp_path, *rows))!r});"
        " print(len(reader.series('G')['loss']), {'pandas', 'pyarrow'} & set(sys.modules))"
    )

    printed = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert printed == f"{len(rows)} {{'pyarrow'}}\n"


def test_run_json_may_be_lost_and_found(tmp_path: Path) -> None:
    info = record(tmp_path / "gan") / "run.json"
    reader = RunReader(tmp_path / "gan")

    text = info.read_text()
    info.write_text("{")
    reader.poll()
    assert reader.problems == ["run.json is missing or makes no sense."]
    assert reader.state == "finished"

    info.write_text(json.dumps({**json.loads(text), "state": "crashed"}))
    assert reader.poll()
    assert (reader.state, reader.problems) == ("crashed", [])


@pytest.fixture(params=["pyarrow", "the standard library"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either of the two that read lines, however few there are."""
    if request.param == "pyarrow":
        pytest.importorskip("pyarrow", reason="it is what reads many lines")
    monkeypatch.setattr(_columns, "WORTH", 1 if request.param == "pyarrow" else math.inf)


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("write", [repr, "{:.3e}".format, "{:g}".format, "{:+.17f}".format])
def test_numbers_are_read_exactly_as_python_reads_them(write: Callable[[float], str]) -> None:
    bits = np.random.default_rng(0).integers(0, 2**64, 5000, dtype=np.uint64).view(np.float64)
    numbers = [*bits[np.isfinite(bits)].tolist(), 0.1, 1 / 3, 0.0, -0.0, 5e-324, math.inf]
    cells = [write(number) for number in [*numbers, -math.inf, math.nan]]
    rows = "".join(f"{step},1.5,G,{cell}\n" for step, cell in enumerate(cells))

    block = parse_lines(rows.encode(), ["step", "time", "name", "loss"])

    np.testing.assert_array_equal(block.values[2], [float(cell) for cell in cells])
    np.testing.assert_array_equal(
        np.signbit(block.values[2][:-1]), [c[0] == "-" for c in cells[:-1]]
    )


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    "bad", ["0,1.0,G,x", "0,1.0", "0,1.0,G,1,2", "", "0,1.0,G,-", "x,1,G,1", "1,x,G,1"]
)
def test_a_bad_line_costs_no_other(bad: str) -> None:
    rows = f'0,1.0,"a,b",0.5\n{bad}\n1,2.0,"a,b",\n'

    block = parse_lines(rows.encode(), ["step", "time", "name", "loss"])

    mine = block.values[:, block.codes == block.names.index(b"a,b")]
    np.testing.assert_array_equal(mine, [[0.0, 1.0], [1.0, 2.0], [0.5, math.nan]])
    assert len(block.codes) + block.refused == 3


@pytest.mark.parametrize("length", [0, 1, 7, 100, 1001])
def test_decimation_hides_neither_spikes_nor_lost_values(length: int) -> None:
    values = np.random.default_rng(0).normal(size=length)
    values[length // 3 : length // 3 + 2] = [math.nan, math.inf][: min(2, length)]
    values[length // 2 : length // 2 + 1] = 1e9

    few = decimate(np.arange(float(length)), values, 50)

    finite = values[np.isfinite(values)]
    assert len(few.x) == min(50, length)
    assert few.nonfinite.sum() == length - len(finite)
    if len(finite):
        assert np.nanmax(few.high) == finite.max()
        assert np.nanmin(few.low) == finite.min()
        shown = np.isfinite(few.mean)
        assert (few.low <= few.mean)[shown].all()
        assert (few.mean <= few.high)[shown].all()


def test_a_poll_tells_of_a_run_that_went_stale_since_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 1.0}, step=0)
        reader = RunReader(logger.path)
        assert reader.state == "running"
        monkeypatch.setattr(reader._throughput, "patience", 0.0)  # sooner than by waiting

        assert (reader.poll(), reader.state) == (True, "stale")
        assert reader.poll() is False


ALIVE = """
import sys
from loss_loggers import CsvLogger
logger = CsvLogger(sys.argv[1])
logger.log_metrics({"loss/G": 1.0}, step=0)
print("written", flush=True)
sys.stdin.read()
"""


def test_a_poll_tells_of_a_run_whose_process_died_since_the_last_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALIVE, str(tmp_path / "gan")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as training:
        assert training.stdout is not None
        training.stdout.readline()
        reader = RunReader(tmp_path / "gan")
        before = reader.state
        training.kill()
        training.wait()

        assert before in ("waiting", "running")
        assert (reader.poll(), reader.state) == (True, "crashed")
