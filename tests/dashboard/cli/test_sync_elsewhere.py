"""`losses sync` beside other processes: a training that runs, one that was killed, another sync."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from tests.forked import MLFLOW, Process, end, start
from tests.loggers.delivery.http_backend import until

from loss_dashboard.cli.losses import app
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path

TRAIN = """
import os, sys, time
from loss_loggers import Background, CsvLogger, Tee
class Sink:
    target = f"tensorboard {os.getcwd()}/tb"
    hangs = False
    def log_metrics(self, metrics, /, *, step):
        while self.hangs: time.sleep(1)
        with open("arrived", "a") as file:
            file.write(f"{step}\\n")
background = Background(sink := Sink(), interval=60)
logger = Tee(CsvLogger("runs/gan"), background)
for step in range(10):
    logger.log_metrics({"loss/G": float(step)}, step=step)
background.flush(300)
sink.hangs = True  # so that it has not sent the others by and by
for step in range(10, 30):
    logger.log_metrics({"loss/G": float(step)}, step=step)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
open("ready", "w").close()
time.sleep(600)
"""
SYNC = ("-m", "loss_dashboard", "sync", "latest")
TENSORBOARD = (*SYNC, "--to", "tensorboard")


def losses(folder: Path, *arguments: str, around: tuple[str, ...] = ()) -> str:
    command = [*around, sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    return " ".join((done.stdout + done.stderr).split())


def here(*arguments: str) -> str:
    """What a command says that needs no process of its own."""
    return " ".join(CliRunner().invoke(app, arguments[2:]).output.split())


def container(host: str) -> tuple[str, ...]:
    """As in a container of this machine: a host name and process numbers of its own."""
    inside = f'hostname {host}; "$0" "$@"; exit $?'  # the first process of all cannot be killed
    spaces = ("--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
    around = ("unshare", *spaces, "sh", "-c", inside)
    if shutil.which("unshare") is None or subprocess.run([*around, "true"], check=False).returncode:
        pytest.skip("needs Linux, and the rights to make namespaces")
    return around


def steps_in(folder: Path) -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [event.step for event in events.Scalars("loss/G")]


def of_another_machine(folder: Path) -> None:
    (path,) = folder.glob("runs/gan/*/delivered.jsonl")
    mark, *others = path.read_text().splitlines()
    mark = json.dumps({**json.loads(mark), "host": "node042", "boot": "another", "pid": 12})
    path.write_text("\n".join([mark, *others]) + "\n")


def test_what_may_still_come_from_another_machine_is_told_and_sent_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    monkeypatch.chdir(tmp_path)
    losses(tmp_path, "-c", TRAIN, "killed")
    of_another_machine(tmp_path)
    held_back = (
        f"nothing to send: tensorboard {tmp_path.resolve()}/tb has all others; 20 rows are held"
        " back for a Background in process 12 on node042, which may still run there: add --all to"
        " send them, too"
    )

    assert here(*TENSORBOARD, "--dry-run") == held_back
    assert here(*TENSORBOARD).endswith(held_back)
    counted = here(*TENSORBOARD, "--dry-run", "--all")
    sent = here(*TENSORBOARD, "--all")

    assert counted.startswith("would send 20 rows (20 numbers, steps 10 to 29) to tensorboard ")
    assert "sent 20 rows (20 numbers, steps 10 to 29) to tensorboard " in sent
    assert "held back" not in counted + sent
    assert steps_in(tmp_path / "tb") == list(range(10, 30))
    assert "has all rows" in here(*TENSORBOARD)


def test_a_container_sends_what_a_killed_one_left_behind(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    train, other = container("3f9c0d1b"), container("77aa01c2")
    losses(tmp_path, "-c", TRAIN, "killed", around=train)

    sent = losses(tmp_path, *TENSORBOARD, around=other)

    assert "sent 20 rows (20 numbers, steps 10 to 29) to tensorboard " in sent
    assert "held back" not in sent
    assert steps_in(tmp_path / "tb") == list(range(10, 30))


def test_a_container_leaves_to_another_one_what_that_is_about_to_send(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    train, other = container("3f9c0d1b"), container("77aa01c2")
    command = [*train, sys.executable, "-c", TRAIN, "goes on"]
    with subprocess.Popen(command, cwd=tmp_path) as process:
        try:
            until(lambda: (tmp_path / "ready").exists())
            told = losses(tmp_path, *TENSORBOARD, "--dry-run", around=other)
        finally:
            process.kill()

    assert "has all others; 20 rows are held back for a Background in process" in told
    assert "on 3f9c0d1b: add --all to send them, too" in told


@pytest.fixture
def mlflow() -> Any:
    return pytest.importorskip("mlflow", reason="needs the mlflow extra")


def to_mlflow(script: Path | str, uri: str, said: Path) -> Process:
    options = ("--to", "mlflow", "--uri", uri)
    return start(script, "sync", "latest", *options, said=said, folder=said.parent, loaded=MLFLOW)


def test_two_commands_at_once_make_one_mlflow_run(
    tmp_path: Path, mlflow: Any, mlflow_uri: str
) -> None:
    uri = mlflow_uri
    with CsvLogger(tmp_path / "runs/gan") as logger:
        for step in range(300):
            logger.log_metrics({"loss/G": float(step)}, step=step)

    texts = [tmp_path / "first", tmp_path / "second"]
    both = [to_mlflow("loss_dashboard", uri, text) for text in texts]
    for process in both:
        end(process, 300)
    said = [text.read_text() for text in texts]

    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs(["0"])
    history = client.get_metric_history(run.info.run_id, "loss/G")
    assert sorted(one.step for one in history) == list(range(300)), said
    assert sum("sent 300 rows" in text for text in said) == 1, said
    assert all(
        any(words in text for words in ("sent 300", "another sync", "has all rows"))
        for text in said
    )


def test_a_sync_that_was_killed_before_its_first_row_leaves_its_mlflow_run_to_the_next(
    tmp_path: Path, mlflow: Any, mlflow_uri: str
) -> None:
    uri = mlflow_uri
    with CsvLogger(tmp_path / "runs/gan") as logger:
        for step in range(20):
            logger.log_metrics({"loss/G": float(step)}, step=step)
    (killed := tmp_path / "killed.py").write_text(
        "import os, sys, loss_loggers\n"
        "loss_loggers.MLflowLogger.log_hyperparams = loss_loggers.MLflowLogger.log_rows = (\n"
        "    lambda *_: os.kill(os.getpid(), 9))\n"
        "loss_loggers.MLflowLogger.target = property(lambda self: os.kill(os.getpid(), 9))\n"
        "from loss_dashboard.cli.losses import app\n"
        "app(sys.argv[1:])\n"
    )
    assert end(to_mlflow(killed, uri, tmp_path / "said"), 300) == -9
    client = mlflow.MlflowClient(uri)
    assert len(client.search_runs(["0"])) == 1

    assert end(to_mlflow("loss_dashboard", uri, tmp_path / "said"), 300) == 0
    said = " ".join((tmp_path / "said").read_text().split())

    (run,) = client.search_runs(["0"])
    assert f"sent 20 rows (20 numbers, steps 0 to 19) to mlflow {run.info.run_id}" in said
    assert len(client.get_metric_history(run.info.run_id, "loss/G")) == 20
