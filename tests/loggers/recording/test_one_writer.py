"""A run has one writer: who comes second is told, and the first one writes nothing any more."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING

import pytest

from loss_loggers import CsvLogger, Tee, is_run, read_run, run_info

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, time
from loss_loggers import CsvLogger
logger = CsvLogger(sys.argv[1], resume=True)
logger.log_metrics({"loss/a": 0.0}, step=0)
print("here", flush=True)
for line in sys.stdin:
    step = int(line)
    logger.log_metrics({"loss/a": 1.0}, step=step)
    print(logger.failed, flush=True)
"""


class Other:
    """Another process that writes a run, step by step as it is told."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def write(self, step: int) -> str:
        """Write a row; how many it has lost by then."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{step}\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> str:
        """End well; what it said on standard error."""
        return self.process.communicate(timeout=300)[1]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def write(logger: CsvLogger, *steps: int) -> None:
    for step in steps:
        logger.log_metrics({"loss/a": 1.0}, step=step)


def steps(path: Path) -> list[int]:
    found: list[int] = read_run(path).columns["step"].tolist()
    return found


def test_who_resumes_a_run_that_another_process_writes_is_told_who_does(tmp_path: Path) -> None:
    other = Other(tmp_path)

    with pytest.raises(RuntimeError, match=rf"process {other.process.pid} on .* takeover=True"):
        CsvLogger(tmp_path, resume=True)

    assert other.write(1) == "0"
    other.end()
    assert steps(tmp_path) == [0, 1]
    assert run_info(tmp_path)["state"] == "finished"


def test_a_killed_writer_holds_nothing(tmp_path: Path) -> None:
    other = Other(tmp_path)
    other.kill()

    with CsvLogger(tmp_path, resume=True) as logger:
        write(logger, 1)

    assert steps(tmp_path) == [0, 1]


def test_a_takeover_makes_the_other_process_stop(tmp_path: Path) -> None:
    other = Other(tmp_path)

    with pytest.warns(RuntimeWarning, match="is taken over from process"):
        logger = CsvLogger(tmp_path, resume=True, takeover=True)
    write(logger, 1)

    assert other.write(2) == "1"
    assert "another process has taken it over" in other.end()
    write(logger, 3)
    assert run_info(tmp_path)["state"] == "running"
    logger.close()
    assert steps(tmp_path) == [0, 1, 3]


def test_a_cell_that_is_run_again_takes_over(tmp_path: Path) -> None:
    first = CsvLogger(tmp_path, resume=True)
    write(first, 0)

    with pytest.warns(RuntimeWarning, match="by a new logger of this process"):
        second = CsvLogger(tmp_path, resume=True)
    with pytest.warns(RuntimeWarning, match="another logger of this process goes on with it"):
        write(first, 1)
    write(second, 2)
    first.close()

    assert first.failed == 1
    assert steps(tmp_path) == [0, 2]
    assert run_info(tmp_path)["state"] == "running"
    second.close()


def test_a_run_that_is_written_is_no_place_for_a_new_one(tmp_path: Path) -> None:
    other = Other(tmp_path / "gan")

    with CsvLogger(tmp_path / "gan") as logger:
        assert logger.path.name == "gan-2"

    other.end()


def test_a_forked_child_keeps_no_run_of_its_parent(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("nothing is forked on this system")
    read, done = os.pipe()
    code = (
        "import os, sys, time\n"
        "from loss_loggers import CsvLogger\n"
        "logger = CsvLogger(sys.argv[1], resume=True)\n"
        "logger.log_metrics({'loss/a': 1.0}, step=0)\n"
        "begun, begin = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(begin, b'.')\n"
        "    os.read(int(sys.argv[2]), 1)\n"  # it outlives its parent
        "    os._exit(0)\n"
        "os.read(begun, 1)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(read)], pass_fds=[read], check=False
    )

    with CsvLogger(tmp_path, resume=True) as logger:
        write(logger, 1)

    os.close(done)
    os.close(read)
    assert steps(tmp_path) == [0, 1]


def _child(path: Path, fails: bool) -> None:
    logger = CsvLogger(path)
    write(logger, 0)
    globals()["kept"] = logger  # until the end
    if fails:
        raise RuntimeError("out of memory")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_child_of_multiprocessing_says_how_it_ended(
    tmp_path: Path, method: str, fails: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system knows no {method}")
    context = multiprocessing.get_context(method)

    child = context.Process(target=_child, args=(tmp_path, fails))  # type: ignore[attr-defined]
    child.start()
    child.join(300)

    info = run_info(tmp_path)
    assert info["state"] == ("crashed" if fails else "finished"), capfd.readouterr().err
    assert info.get("error") == ("RuntimeError: out of memory" if fails else None)


def test_a_trial_whose_error_was_caught_did_not_finish(tmp_path: Path) -> None:
    def trial() -> None:
        logger = CsvLogger(tmp_path)
        write(logger, 0)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        trial()
    gc.collect()

    assert run_info(tmp_path)["state"] == "stopped"


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_later_rank_has_no_folder_before_its_first_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, resume: bool
) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"):
        monkeypatch.delenv(name, raising=False)
    loggers = []
    for rank in "210":
        monkeypatch.setenv(variable, rank)
        loggers.append(CsvLogger(tmp_path / "gan", resume=resume))

    assert [path.name for path in tmp_path.iterdir()] == ["gan"]
    write(loggers[-1], 0)
    loggers[-1].close()
    assert [path.name for path in tmp_path.iterdir()] == ["gan"]


def test_eight_trainings_of_one_launcher_are_eight_runs(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from loss_loggers import CsvLogger\n"
        "with CsvLogger(sys.argv[1], resume=True) as logger:\n"
        "    for step in range(3): logger.log_metrics({'loss/a': 1.0}, step=step)\n"
        "    print('here', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    processes = []
    for rank in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "seed")],
            env={**os.environ, "SLURM_PROCID": str(rank)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        processes.append(process)
    for process in processes:
        process.communicate(timeout=300)

    runs = [path for path in tmp_path.iterdir() if is_run(path)]
    assert len(runs) == 8
    assert [steps(run) for run in runs] == [[0, 1, 2]] * 8


def _delete(path: Path) -> None:
    shutil.rmtree(path)


def _move(path: Path) -> None:
    path.rename(path.with_name("moved"))


def _save_by_renaming(path: Path) -> None:
    saved = path / "saved"
    saved.write_bytes((path / "losses.csv").read_bytes())
    saved.replace(path / "losses.csv")


def _save_other_lines(path: Path) -> None:
    saved = path / "saved"
    saved.write_bytes((path / "losses.csv").read_bytes().replace(b",", b";"))
    saved.replace(path / "losses.csv")


def _delete_losses(path: Path) -> None:
    (path / "losses.csv").unlink()


@pytest.mark.parametrize(
    "fault", [_delete, _move, _delete_losses, _save_by_renaming, _save_other_lines]
)
def test_a_record_that_is_taken_away_goes_on_with_one_warning(
    tmp_path: Path, fault: object
) -> None:
    record = CsvLogger(tmp_path / "run")
    logger = Tee(record)
    for step in range(5):
        logger.log_metrics({"loss/a": float(step)}, step=step)

    fault(record.path)  # type: ignore[operator]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)
        for step in range(5, 300):
            logger.log_metrics({"loss/a": float(step)}, step=step)
        logger.close()

    assert len(told) == 1, [str(one.message) for one in told]
    assert logger.failed == 0
    assert set(range(5, 300)) <= set(_readable(record.path))
    assert run_info(record.path)["state"] == "finished"


@pytest.mark.parametrize("left", [0, 7, 300])
def test_a_record_that_is_cut_goes_on_with_one_warning(tmp_path: Path, left: int) -> None:
    """As `> losses.csv` does in a shell; what was in it is gone, and that is counted."""
    record = CsvLogger(tmp_path / "run")
    logger = Tee(record)
    for step in range(20):
        logger.log_metrics({"loss/a": float(step)}, step=step)
        record.log_epoch(step, {"a": (1.0, 1)}, step=step)

    for file in record.path.glob("*.csv"):
        os.truncate(file, min(left, file.stat().st_size))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)
        for step in range(20, 300):
            logger.log_metrics({"loss/a": float(step)}, step=step)
        logger.log_epoch(20, {"a": (1.0, 1)}, step=299)
        logger.close()

    (one,) = told
    assert "rows are lost" in str(one.message)
    run = read_run(record.path)
    assert run["a"]["step"].tolist()[-279:] == list(range(21, 300))  # 20 may end a torn line
    assert run.epochs["epoch"].tolist()[-1] == 20
    assert 0 < logger.failed <= 300


def test_epochs_that_are_taken_away_alone_go_on(tmp_path: Path) -> None:
    record = CsvLogger(tmp_path)
    record.log_metrics({"loss/a": 1.0}, step=0)
    record.log_epoch(0, {"a": (1.0, 1)}, step=0)
    (tmp_path / "epochs.csv").unlink()
    with pytest.warns(RuntimeWarning, match="what was written is saved"):
        record.log_epoch(1, {"a": (1.0, 1)}, step=0)
    record.close()

    assert read_run(tmp_path).epochs["epoch"].tolist() == [0, 1]


def _readable(path: Path) -> list[int]:
    """The steps in all files of ours that have our header."""
    found: list[int] = []
    for file in path.glob("losses*.csv"):
        lines = file.read_text().splitlines()
        if lines[0].startswith("step,"):
            found += [int(line.partition(",")[0]) for line in lines[1:]]
    return found


def test_what_is_known_of_the_run_survives_that_its_folder_is_deleted(tmp_path: Path) -> None:
    record = CsvLogger(tmp_path / "run")
    record.log_hyperparams({"seed": 3})
    write(record, 0)
    before = run_info(record.path)
    shutil.rmtree(record.path)
    with pytest.warns(RuntimeWarning, match="what was written is saved"):
        record.close()

    after = json.loads((record.path / "run.json").read_text())
    assert after["id"] == before["id"]
    assert after["hyperparameters"] == {"seed": 3}
    assert steps(record.path) == [0]


def test_recorded_time_never_goes_back(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as record:
        record.log_rows([(0, 5e9, {"loss/a": 1.0})])  # far in the future
        write(record, 1, 2)
    with CsvLogger(tmp_path, resume=True) as record:
        write(record, 3, 4)

    times = read_run(tmp_path).columns["time"].tolist()
    assert times == sorted(times)
    assert run_info(tmp_path)["resumed"][0]["shift"] > 0
    assert times[-1] - times[-2] < 60  # it goes on from there


def test_rows_of_one_step_and_one_time_stay_two(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as record:
        record.log_rows([(0, 1e9, {"loss/a": 1.0}), (0, 1e9, {"loss/b": 1.0})])

    first, second = read_run(tmp_path).columns["time"].tolist()
    assert first < second


@pytest.mark.skipif(sys.platform == "win32", reason="there are no shared locks of this kind")
def test_who_only_asks_for_the_lock_keeps_nobody_from_writing(tmp_path: Path) -> None:
    import fcntl

    CsvLogger(tmp_path / "gan").close()
    asks = os.open(tmp_path / "gan/.lock", os.O_RDWR | os.O_CREAT)  # as a kill leaves it
    fcntl.flock(asks, fcntl.LOCK_SH)  # and is not scheduled for a while
    end = threading.Timer(0.05, os.close, [asks])
    end.start()

    with CsvLogger(tmp_path / "gan", resume=True) as logger:
        logger.log_metrics({"loss/a": 1.0}, step=0)
    end.join()

    assert logger.path == tmp_path / "gan"
    assert logger.failed == 0
