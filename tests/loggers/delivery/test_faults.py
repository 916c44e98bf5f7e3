"""Backends, disks and processes that fail: training goes on, and no row of the record is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import (
    Background,
    CsvLogger,
    MemoryLogger,
    MLflowLogger,
    Tee,
    read_run,
    run_info,
    sync,
)
from loss_loggers.delivery._delivery_log import DeliveryLog

from .http_backend import Backend, HttpLogger, free_port, until
from .mlflow_server import MlflowServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.loggers.conftest import Caught, Script

FAST = 0.02
SETUP = f"""
import os, signal, sys, threading, time, warnings
sys.path.insert(0, {str(Path(__file__).parent)!r})
from http_backend import HttpLogger
from loss_loggers import Background, CsvLogger, Every, Tee

def send(logger, steps):
    for step in steps:
        logger.log_metrics({{"loss/G": step / 3}}, step=step)
"""


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    server = Backend(tmp_path)
    yield server
    server.kill()


class Training:
    """Logs a row for each step."""

    def __init__(self, logger: Tee) -> None:
        self._logger = logger
        self.step = 0

    def go_on(self, steps: int = 50) -> None:
        for step in range(self.step, self.step + steps):
            self._logger.log_metrics({"loss/G": step / 3}, step=step)
            time.sleep(0.0005)
        self.step += steps


def recorded(run: Path) -> list[int]:
    steps: list[int] = read_run(run)["G"]["step"].tolist()
    return steps


def undelivered(run: Path, name: str = "http") -> list[int]:
    lines = (run / name / "undelivered.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


# The backend.


def test_a_backend_that_is_killed_and_started_again_gets_every_row(
    tmp_path: Path, backend: Backend, caught: Caught
) -> None:
    logger = HttpLogger(backend.start().port)
    background = Background(logger, interval=FAST)
    training = Training(tee := Tee(CsvLogger(tmp_path / "gan"), background))

    training.go_on()
    background.flush()
    backend.kill()
    training.go_on()
    until(lambda: caught)
    backend.start()
    training.go_on()
    until(lambda: not background.pending)
    tee.close()

    assert backend.steps == recorded(tmp_path / "gan") == list(range(150))
    assert threading.get_ident() not in logger.threads
    assert [str(warning.message).split(" (")[0] for warning in caught] == [
        "HttpLogger takes no rows",
        "HttpLogger takes rows again",
    ]
    assert (background.delivered, background.failed) == (150, 0)


def test_after_a_long_outage_the_gap_is_sent_later(
    tmp_path: Path, backend: Backend, caught: Caught
) -> None:
    background = Background(HttpLogger(backend.start().port), interval=FAST, max_rows=40)
    training = Training(tee := Tee(CsvLogger(tmp_path / "gan"), background))

    training.go_on()
    background.flush()
    backend.kill()
    training.go_on(300)
    until(lambda: background.pending <= 30)
    backend.start()
    training.go_on()
    tee.close()
    live = backend.steps
    sync(tmp_path / "gan", HttpLogger(backend.port))

    assert live == [*range(50), *live[50:]]
    assert len(live) < 200
    assert sorted(backend.steps) == recorded(tmp_path / "gan") == list(range(400))
    assert len(caught) == 2


@pytest.mark.skipif(os.name != "posix", reason="needs SIGSTOP")
def test_a_backend_that_hangs_holds_up_neither_training_nor_its_end(
    tmp_path: Path, backend: Backend, caught: Caught
) -> None:
    logger = HttpLogger(backend.start().port)  # waits for five minutes
    background = Background(logger, interval=FAST, timeout=0.5)
    training = Training(tee := Tee(CsvLogger(tmp_path / "gan"), background))

    training.go_on()
    background.flush()
    backend.freeze()
    training.go_on()
    start = time.monotonic()
    tee.close()

    assert time.monotonic() - start < 60
    assert threading.get_ident() not in logger.threads
    assert recorded(tmp_path / "gan") == list(range(100))
    assert undelivered(tmp_path / "gan") == list(range(50, 100))
    (warning,) = caught
    assert "HttpLogger did not take all rows in time" in str(warning.message)

    backend.kill()
    sync(tmp_path / "gan", HttpLogger(backend.start().port))
    assert backend.steps == list(range(100))


def test_a_backend_that_is_not_there_at_the_start_may_come_later(
    tmp_path: Path, backend: Backend, caught: Caught
) -> None:
    background = Background(HttpLogger(backend.port), interval=FAST)
    training = Training(tee := Tee(CsvLogger(tmp_path / "gan"), background))

    training.go_on()
    until(lambda: caught)
    backend.start()
    until(lambda: not background.pending)
    tee.close()

    assert backend.steps == list(range(50))
    assert "Connection refused" in str(caught[0].message)
    assert len(caught) == 2


def test_a_backend_that_never_comes_leaves_its_rows_to_sync(
    tmp_path: Path, backend: Backend, caught: Caught
) -> None:
    training = Training(
        tee := Tee(CsvLogger(tmp_path / "gan"), Background(HttpLogger(free_port()), interval=FAST))
    )

    training.go_on()
    until(lambda: caught)
    tee.close()

    assert len(caught) == 1
    assert undelivered(tmp_path / "gan") == list(range(50))
    sync(tmp_path / "gan", HttpLogger(backend.start().port))
    assert backend.steps == list(range(50))


def test_a_logger_of_the_user_that_raises_is_warned_about_once(
    tmp_path: Path, caught: Caught
) -> None:
    class Mine:
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            raise KeyError(step)

    training = Training(
        tee := Tee(CsvLogger(tmp_path / "gan"), Background(Mine(), interval=FAST), MemoryLogger())
    )

    training.go_on()
    until(lambda: caught)
    training.go_on()
    tee.close()

    assert len(caught) == 1
    assert "Mine takes no rows (KeyError: 0)" in str(caught[0].message)
    assert undelivered(tmp_path / "gan", "mine") == recorded(tmp_path / "gan") == list(range(100))


def test_a_logger_that_leaves_the_program_only_leaves_its_thread(
    tmp_path: Path, caught: Caught
) -> None:
    class Mine:
        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            sys.exit("no license")

    tee = Tee(CsvLogger(tmp_path / "gan"), Background(Mine(), interval=FAST))
    Training(tee).go_on()
    tee.close()

    assert undelivered(tmp_path / "gan", "mine") == list(range(50))
    assert "no license" in str(caught[0].message)


def test_a_run_that_ended_under_us_leaves_its_rows_to_sync(tmp_path: Path, caught: Caught) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="needs TensorBoard")
    from loss_loggers import TensorBoardLogger

    writer = tensorboard.SummaryWriter(str(tmp_path / "tensorboard"))
    logger = TensorBoardLogger(writer)
    background = Background(logger, interval=FAST)
    training = Training(tee := Tee(CsvLogger(tmp_path / "gan"), background))

    training.go_on()
    background.flush()
    writer.close()
    training.go_on()
    tee.close()

    assert (background.delivered, background.failed) == (50, 50)
    (file,) = background.undelivered
    assert file.parent.parent == tmp_path / "gan"
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [*range(50, 100)]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert len(caught) == 1


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_an_mlflow_server_that_is_killed_and_started_again_gets_every_row(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caught: Caught
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # or each call takes minutes
    server = MlflowServer(mlflow_uri).start()
    client = mlflow.MlflowClient(server.address)
    logger = MLflowLogger(client.create_run("0").info.run_id, client)
    background = Background(logger, interval=0.2, max_rows=100)
    training = Training(tee := Tee(CsvLogger(tmp_path / "gan"), background))

    try:
        training.go_on(100)
        background.flush()
        server.kill()
        training.go_on(50)
        until(lambda: any("it is tried again" in str(one.message) for one in caught))
        training.go_on(450)
        until(lambda: background.pending <= 75)
        server.start()
        training.go_on(50)
        until(lambda: background.flush(1.0))
        tee.close()
        live = len(client.get_metric_history(logger.run_id, "loss/G"))
        sync(tmp_path / "gan", logger)
        history = client.get_metric_history(logger.run_id, "loss/G")
    finally:
        server.kill()

    assert live == background.delivered < 300
    assert recorded(tmp_path / "gan") == list(range(650))
    assert sorted((one.step, one.value) for one in history) == [(n, n / 3) for n in range(650)]
    ours = [str(one.message) for one in caught if "MLflowLogger" in str(one.message)]
    assert len(ours) == 2
    assert "MLflowLogger takes rows again" in ours[1]


# The disk.


@pytest.mark.skipif(os.name != "posix", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_costs_no_row_that_the_record_has(
    tmp_path: Path, script: Script, backend: Backend
) -> None:
    done = script(
        SETUP + "import resource\n"
        "tee = Tee(CsvLogger(sys.argv[1]), b := Background(HttpLogger(int(sys.argv[2]))))\n"
        "send(tee, range(100))\n"
        "limit = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limit[1]))\n"
        "b.close()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, limit)\n"
        "send(tee, range(100, 110))\n"
        "tee.close()\n"
        "print(b.failed)\n",
        tmp_path / "gan",
        free_port(),
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "110\n"
    assert done.stderr.count("cannot be kept in") == 1
    sync(tmp_path / "gan", HttpLogger(backend.start().port))
    assert sorted(backend.steps) == recorded(tmp_path / "gan") == list(range(110))


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_a_folder_that_cannot_be_written_is_warned_about_once(
    tmp_path: Path, script: Script
) -> None:
    done = script(
        SETUP + "import json\n"
        "file = sys.argv[1] + '/rows.jsonl'\n"
        "logger = Background(HttpLogger(int(sys.argv[2])), undelivered=file)\n"
        "os.mkdir(sys.argv[1]); os.chmod(sys.argv[1], 0o555)\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "send(logger, range(10))\n"
        "logger.close()\n"
        "print(logger.failed)\n",
        tmp_path / "locked",
        free_port(),
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "10\n"
    assert done.stderr.count("cannot be kept in") == 1
    assert "Permission denied" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs RLIMIT_NOFILE")
def test_files_that_cannot_be_opened_for_a_while_stop_no_delivery(
    tmp_path: Path, script: Script
) -> None:
    """Not even when the file of what arrived is to be written anew, after a thousand batches."""
    done = script(
        SETUP + "import resource\n"
        "from loss_loggers import MemoryLogger\n"
        "tee = Tee(CsvLogger(sys.argv[1]), b := Background(MemoryLogger(), interval=60))\n"
        "limit = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "for step in range(1050):\n"
        "    if step == 990: resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))\n"
        "    if step == 1020: resource.setrlimit(resource.RLIMIT_NOFILE, limit)\n"
        "    send(tee, [step])\n"
        "    assert b.flush(60), step\n"
        "tee.close()\n"
        "print(b.delivered, tee.failed)\n",
        tmp_path / "gan",
    )

    assert (done.stdout, done.stderr) == ("1050 0\n", "")
    assert [file.name for file in (tmp_path / "gan/memory").iterdir()] == ["delivered.jsonl"]
    assert not sync(tmp_path / "gan", MemoryLogger()).rows


class Gone:
    """A number that cannot be read or shown any more, as an array that JAX gave away."""

    def item(self) -> float:
        msg = "Array has been deleted"
        raise RuntimeError(msg)

    __float__ = __repr__ = item  # type: ignore[assignment]


def test_a_value_that_cannot_even_be_shown_costs_no_other_row(
    tmp_path: Path, caught: Caught
) -> None:
    class Mine:
        def __init__(self) -> None:
            self.steps: list[int] = []

        def log_metrics(self, metrics: dict[str, Any], /, *, step: int) -> None:
            assert all(map(float, metrics.values()))
            self.steps.append(step)

    mine, later = Mine(), Mine()
    tee = Tee(CsvLogger(tmp_path / "gan"), background := Background(mine, interval=FAST))
    for step in range(20):
        tee.log_metrics({"loss/G": 1.0, "lr": Gone() if step == 5 else 0.1}, step=step)
    is_delivered = background.flush(60)
    sync_sends = sync(tmp_path / "gan", later, dry_run=True).withheld
    tee.close()
    sync(tmp_path / "gan", later)

    assert (is_delivered, sync_sends, tee.failed) == (True, 1, 1)
    assert mine.steps == [step for step in range(20) if step != 5]
    assert later.steps == [5]
    assert sum("cannot be kept in" in str(warning.message) for warning in caught) == 1


@pytest.mark.parametrize("bad", [3, 8])
def test_of_rows_that_go_to_the_file_together_a_bad_one_is_lost_alone(
    tmp_path: Path, caught: Caught, bad: int
) -> None:
    file = tmp_path / "rows.jsonl"
    logger = Background(HttpLogger(free_port()), undelivered=file, interval=60)
    for step in range(10):
        logger.log_metrics({"lr": Gone() if step == bad else 0.1}, step=step)
    logger.close()

    steps = [json.loads(line)["step"] for line in file.read_text().splitlines()]
    assert steps == [step for step in range(10) if step != bad]
    assert logger.failed == 10
    assert sum("cannot be kept in" in str(warning.message) for warning in caught) == 1


def test_an_error_beside_the_backend_ends_no_delivery(
    monkeypatch: pytest.MonkeyPatch, caught: Caught
) -> None:
    errors: list[BaseException] = [MemoryError(), SystemExit()]

    def save(log: DeliveryLog, was: Any = DeliveryLog.save) -> None:
        if errors:
            raise errors.pop()
        was(log)

    monkeypatch.setattr(DeliveryLog, "save", save)
    logger = Background(memory := MemoryLogger(), interval=FAST)
    for step in range(4):
        logger.log_metrics({"loss/G": 0.5}, step=step)
        assert logger.flush(60)
    logger.close()

    assert [step for step, _ in memory["loss/G"]] == list(range(4))
    assert not errors
    (warning,) = caught
    assert "the delivery to MemoryLogger met an error (SystemExit)" in str(warning.message)


# The process.


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("is_there", [True, False], ids=["delivering", "down"])
def test_a_killed_process_loses_nothing_that_its_record_has(
    tmp_path: Path, backend: Backend, *, is_there: bool
) -> None:
    if is_there:
        backend.start()
    code = SETUP + (
        "from itertools import count\n"
        "logger = Background(HttpLogger(int(sys.argv[2])), interval=0.05, max_rows=300)\n"
        "tee = Tee(CsvLogger(sys.argv[1]), logger)\n"
        "for step in count():\n"
        "    send(tee, [step]); time.sleep(0.0002)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "gan"), str(backend.port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    until(lambda: len(_lines(tmp_path / "gan/losses.csv")) > 1000)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    if not is_there:
        backend.start()
    live = backend.steps
    sync(tmp_path / "gan", HttpLogger(backend.port))
    sync(tmp_path / "gan", HttpLogger(backend.port))

    steps = recorded(tmp_path / "gan")
    assert sorted(set(backend.steps)) == steps == list(range(len(steps)))
    assert bool(live) == is_there
    # What it had delivered, and not yet written down, comes again.
    assert len(backend.steps) - len(steps) <= 600


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "sys.exit(0)",
        "raise ValueError",
        "del tee, logger; import gc; gc.collect(); time.sleep(0.2)",
    ],
)
def test_what_waits_at_the_end_of_a_script_is_delivered(
    tmp_path: Path, script: Script, backend: Backend, ending: str
) -> None:
    done = script(
        SETUP + "import atexit; atexit.register(print, 'the backend ends its run')\n"
        "from http_backend import Backend\n"
        "def log_rows(self, rows, was=HttpLogger.log_rows):\n"
        "    print(len(rows)); time.sleep(0.3); was(self, rows)\n"  # the script ends meanwhile
        "HttpLogger.log_rows = log_rows\n"
        "HttpLogger.finalize = lambda *_: time.sleep(0.3)\n"
        "logger = Background(HttpLogger(int(sys.argv[2])), interval=60, timeout=1000)\n"
        "tee = Tee(CsvLogger(sys.argv[1]), logger)\n"
        "send(tee, range(50))\n" + ending,
        tmp_path / "gan",
        backend.start().port,
    )

    assert backend.steps == list(range(50))
    assert done.stdout.splitlines() == ["50", "the backend ends its run"]
    assert "RuntimeWarning" not in done.stderr
    assert run_info(tmp_path / "gan")["state"] != "running"


HUNG = (
    "class Hung:\n"
    "    def __init__(self, target): self.target = target\n"
    "    def log_metrics(self, metrics, /, *, step): time.sleep(600)\n"
    "class Listed(Hung):\n"
    "    def log_metrics(self, metrics, /, *, step): print('row', step, flush=True)\n"
    "    def finalize(self, status): time.sleep(0.1); print(status, flush=True)\n"
    "def background(logger, timeout=0.5):\n"
    "    return Background(logger, timeout=timeout, interval=60)\n"
)


@pytest.mark.parametrize("ending", ["", "tee.close()"])
@pytest.mark.parametrize(
    "loggers",
    [
        "*(background(Hung(name)) for name in 'abcdefgh')",
        "background(Tee(*(Every(2, background(Hung(name))) for name in 'abcdefgh')))",
    ],
    ids=["beside", "nested"],
)
def test_all_that_hang_are_waited_for_together(
    tmp_path: Path, script: Script, loggers: str, ending: str
) -> None:
    done = script(
        "import atexit, time\n"
        "atexit.register(lambda: print(time.monotonic() - start))\n"  # the last of all
        + SETUP
        + HUNG
        + f"tee = Tee(CsvLogger(sys.argv[1]), {loggers})\n"
        "send(tee, range(3))\n"
        "start = time.monotonic()\n" + ending,
        tmp_path / "gan",
    )

    assert 0.5 <= float(done.stdout) < 3


@pytest.mark.parametrize("ending", ["", "tee.close()"])
def test_one_that_hangs_takes_no_time_from_others(
    tmp_path: Path, script: Script, ending: str
) -> None:
    """Not from their last rows, nor from their end: another project may write its rows there."""
    done = script(
        SETUP + HUNG + "listed = Every(4, background(Listed('listed')), reduce='mean')\n"
        "tee = Tee(CsvLogger(sys.argv[1]), background(Hung('hung')), listed)\n"
        "send(tee, range(3))\n" + ending,
        tmp_path / "gan",
    )

    assert done.stdout.splitlines() == ["row 0", "row 2", "success"]


def test_the_last_steps_of_every_arrive_at_the_end_of_a_script(
    tmp_path: Path, script: Script, backend: Backend
) -> None:
    done = script(
        SETUP + "port = int(sys.argv[2])\n"
        "outside = Every(10, Background(HttpLogger(port), interval=60), reduce='mean')\n"
        "inside = Background(Every(10, HttpLogger(port), reduce='mean'), interval=60)\n"
        "send(outside, range(5)); send(inside, range(100, 105))\n",
        tmp_path / "gan",
        backend.start().port,
    )

    assert done.stderr == ""
    assert sorted(backend.steps) == [0, 4, 100, 104]


@pytest.mark.skipif(os.name != "posix", reason="needs SIGSTOP")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_a_script_in_bounded_time(tmp_path: Path, backend: Backend, times: int) -> None:
    backend.start().freeze()
    code = SETUP + (
        "port, timeout = int(sys.argv[2]), float(sys.argv[3])\n"
        "logger = Background(HttpLogger(port), interval=0.02, timeout=timeout)\n"
        "with Tee(CsvLogger(sys.argv[1]), logger) as tee:\n"
        "    send(tee, range(50))\n"
        "    try:\n"
        "        print('waits', flush=True)\n"
        "        time.sleep(600)\n"
        "    finally:\n"
        "        print('ends', flush=True)\n"
    )
    # A second Ctrl-C does not wait for that.
    timeout = "0.5" if times == 1 else "600"
    arguments = [str(tmp_path / "gan"), str(backend.port), timeout]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None

    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.stdout.readline()
    start = time.monotonic()
    while times == 2 and process.poll() is None:  # the first may come before it has begun to wait
        process.send_signal(signal.SIGINT)
        time.sleep(1)
    _, errors = process.communicate(timeout=600)

    assert time.monotonic() - start < 100  # the backend itself would be waited for for 300 s
    assert process.returncode != 0
    assert errors.count("RuntimeWarning") == 1
    assert undelivered(tmp_path / "gan") == recorded(tmp_path / "gan") == list(range(50))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("ending", ["sys.exit(0)", "os._exit(0)"])
def test_a_forked_child_neither_delivers_nor_hangs(
    tmp_path: Path, script: Script, backend: Backend, ending: str
) -> None:
    done = script(
        SETUP + "tee = Tee(CsvLogger(sys.argv[1]),"
        "    background := Background(HttpLogger(int(sys.argv[2])), interval=0.05))\n"
        "send(tee, range(10))\n"
        "if os.fork() == 0:\n"
        "    send(tee, range(100, 110))\n"
        "    assert not background.flush()\n"
        "    background.close(); tee.close()\n"
        "    print(background.failed, flush=True)\n"
        f"    {ending}\n"
        "assert os.wait()[1] == 0\n"
        "send(tee, range(10, 20))\n",
        tmp_path / "gan",
        backend.start().port,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "10\n"
    assert done.stderr.count("HttpLogger delivers nothing here") == 1
    assert backend.steps == recorded(tmp_path / "gan") == list(range(20))


# The memory.


def test_a_dead_backend_does_not_fill_the_memory(tmp_path: Path, script: Script) -> None:
    done = script(
        SETUP + "import resource\n"
        "logger = Background(HttpLogger(int(sys.argv[2])), max_rows=1000, interval=0.05)\n"
        "tee = Tee(CsvLogger(sys.argv[1]), logger)\n"
        "row = {f'loss/{number}': number / 7 for number in range(10)}\n"
        "def log(steps):\n"
        "    for step in steps: logger.log_metrics(row, step=step)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = log(range(5000))\n"
        "after = log(range(5000, 100_000))\n"
        "logger.close()\n"
        "print(after - before, logger.failed)\n",
        tmp_path / "gan",
        free_port(),
    )

    assert done.returncode == 0, done.stderr
    grown, failed = map(int, done.stdout.split())
    assert grown < 4000 * (1024 if sys.platform == "darwin" else 1)  # kB
    assert failed == len(undelivered(tmp_path / "gan")) == 100_000
    assert done.stderr.count("RuntimeWarning") == 1
