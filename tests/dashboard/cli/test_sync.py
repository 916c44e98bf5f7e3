from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner

from loss_dashboard.cli.losses import app
from loss_loggers import Background, CsvLogger, MLflowLogger, Tee, run_info


def losses(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def record(path: Path, steps: int = 20) -> Path:
    with CsvLogger(path) as logger:
        logger.log_hyperparams({"losses": ["G", "D"]})
        send(logger, range(steps))
    return logger.path


def send(logger: CsvLogger | Tee, steps: range) -> None:
    for step in steps:
        logger.log_metrics({"loss/G": step / 3, "loss/D": 1.0, "lr": 0.1}, step=step)


EXPERIMENTS = [("--experiment", name) for name in ("Default", "gans")]


@pytest.fixture
def mlflow() -> Any:
    return pytest.importorskip("mlflow", reason="needs the mlflow extra")


def test_a_run_is_sent_to_mlflow_with_its_steps_and_times(
    tmp_path: Path, mlflow: Any, mlflow_uri: str
) -> None:
    run, uri = record(tmp_path / "gan"), mlflow_uri

    code, printed = losses("sync", run, "--to", "mlflow", "--uri", uri, "--experiment", "gans")

    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("gans")
    (sent,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(sent.info.run_id, "loss/G")
    assert code == 0, printed
    said = f"sent 20 rows (60 numbers, steps 0 to 19) to mlflow {sent.info.run_id}"
    assert printed.splitlines()[-1] == said  # MLflow makes its database known above
    assert [(one.step, one.value) for one in history] == [(step, step / 3) for step in range(20)]
    info = run_info(run)
    assert (sent.info.run_name, sent.info.status) == ("gan", "FINISHED")
    assert sent.info.start_time == int(info["start"] * 1000)
    assert sent.info.start_time <= history[0].timestamp <= sent.info.end_time


@pytest.mark.parametrize("time", ["x", [], {}, True, -1, 1e300, float("nan"), float("inf")])
def test_a_time_that_somebody_edited_stops_nothing(
    tmp_path: Path, mlflow: Any, mlflow_uri: str, time: Any
) -> None:
    run, uri = record(tmp_path / "gan"), mlflow_uri
    (run / "run.json").write_text(json.dumps({**run_info(run), "start": time, "end": time}))

    code, printed = losses("sync", run, "--to", "mlflow", "--uri", uri)

    (sent,) = mlflow.MlflowClient(uri).search_runs(["0"])
    assert code == 0, printed
    assert (sent.info.status, "sent 20 rows" in printed) == ("FINISHED", True)


def test_a_second_time_sends_what_is_new_to_the_same_run(
    tmp_path: Path, mlflow: Any, mlflow_uri: str
) -> None:
    run, uri = record(tmp_path / "gan"), mlflow_uri
    arguments = ("sync", run, "--to", "mlflow", "--uri", uri)
    losses(*arguments)

    again = losses(*arguments)[1]
    with CsvLogger(run, resume=True) as logger:
        send(logger, range(20, 25))
    more = losses(*arguments)[1]

    client = mlflow.MlflowClient(uri)
    (sent,) = client.search_runs(["0"])
    assert again == f"nothing to send: mlflow {sent.info.run_id} has all rows\n"
    assert more.startswith("sent 5 rows (15 numbers, steps 20 to 24) to mlflow")
    assert len(client.get_metric_history(sent.info.run_id, "loss/G")) == 25


def test_settings_that_changed_are_sent_too(tmp_path: Path, mlflow: Any, mlflow_uri: str) -> None:
    run, client = record(tmp_path / "gan"), mlflow.MlflowClient(mlflow_uri)
    arguments = ("sync", run, "--to", "mlflow", "--uri", mlflow_uri)
    told = []
    for settings in ({"lr": 0.1}, {"lr": 0.2, "batch": 64}):
        with CsvLogger(run, resume=True) as logger:
            logger.log_hyperparams(settings)
        losses(*arguments)
        (sent,) = client.search_runs(["0"])
        told.append({**sent.data.params, **sent.data.tags})

    known = [[one.get(f"loss_weighting/{name}") for name in ("lr", "batch")] for one in told]
    assert known == [["0.1", None], ["0.2", "64"]]


def test_another_server_gets_all_and_each_goes_on_with_its_own_run(
    tmp_path: Path, mlflow: Any, mlflow_uri: str
) -> None:
    run, uris = record(tmp_path / "gan"), (mlflow_uri, f"sqlite:///{tmp_path}/other.db")
    places = [(*("--uri", uri), *experiment) for uri in uris for experiment in EXPERIMENTS]
    for steps in (20, 25):
        with CsvLogger(run, resume=True) as logger:
            send(logger, range(20, steps))
        for place in places:
            code, printed = losses("sync", run, "--to", "mlflow", *place)
            assert (code, f"sent {5 if steps == 25 else 20} rows" in printed) == (0, True), printed

    for uri in uris:
        client = mlflow.MlflowClient(uri)
        for _, experiment in EXPERIMENTS:
            (sent,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
            assert len(client.get_metric_history(sent.info.run_id, "loss/G")) == 25


def test_of_a_run_that_was_deleted_it_is_said_how_to_send_all_again(
    tmp_path: Path, mlflow: Any, mlflow_uri: str
) -> None:
    run, client = record(tmp_path / "gan"), mlflow.MlflowClient(mlflow_uri)
    arguments = ("sync", run, "--to", "mlflow", "--uri", mlflow_uri)
    losses(*arguments)
    (sent,) = client.search_runs(["0"])
    client.delete_run(sent.info.run_id)

    code, printed = losses(*arguments)
    noted = losses(*arguments, "--dry-run")[1]
    (note,) = run.glob("mlflow-*")
    shutil.rmtree(note)
    again = losses(*arguments)[1]

    said = f"mlflow {sent.info.run_id} was deleted: remove {note} to send all of the run again\n"
    assert (code, printed) == (1, said)
    assert noted.endswith("has all rows, as is noted in the run folder\n")
    assert again.startswith("sent 20 rows")
    assert client.search_runs(["0"])[0].info.run_id != sent.info.run_id


def test_a_copy_is_not_mixed_with_the_run_that_it_is_of(
    tmp_path: Path, mlflow: Any, mlflow_uri: str
) -> None:
    run, copy = record(tmp_path / "gan"), tmp_path / "copy"
    options = ("--to", "mlflow", "--uri", mlflow_uri)
    losses("sync", run, *options)
    shutil.copytree(run, copy)
    (tmp_path / "link").symlink_to(run)
    assert losses("sync", tmp_path / "link", *options)[1].startswith("nothing to send")
    for path in (run, copy):
        with CsvLogger(path, resume=True) as logger:
            send(logger, range(20, 25))

    code, printed = losses("sync", copy, *options)
    (note,) = copy.glob("mlflow-*")
    assert (code, printed.startswith(f"{copy} is a copy of {run}, and rows of both")) == (1, True)
    assert f"remove {note} to send" in printed
    shutil.rmtree(note)
    assert losses("sync", copy, *options)[1].startswith("sent 25 rows")
    assert losses("sync", run, *options)[1].startswith("sent 5 rows")
    client = mlflow.MlflowClient(mlflow_uri)
    counts = [
        len(client.get_metric_history(one.info.run_id, "loss/G"))
        for one in client.search_runs(["0"])
    ]
    assert counts == [25, 25]


def test_what_a_background_could_not_deliver_goes_to_the_run_of_then(
    tmp_path: Path, mlflow: Any, mlflow_uri: str
) -> None:
    uri = mlflow_uri
    client = mlflow.MlflowClient(uri)
    run_id = client.create_run("0").info.run_id
    logger = MLflowLogger(run_id, client)
    tee = Tee(CsvLogger(tmp_path / "gan"), Background(logger))
    send(tee, range(10))
    tee.guards[1].close()
    with pytest.warns(RuntimeWarning, match="was closed"):
        send(tee, range(10, 20))
    tee.close()

    code, printed = losses("sync", tmp_path / "gan", "--to", "mlflow", "--uri", uri)

    assert code == 0, printed
    assert printed == f"sent 10 rows (30 numbers, steps 10 to 19) to mlflow {run_id}\n"
    assert len(client.get_metric_history(run_id, "loss/G")) == 20
    assert client.get_run(run_id).info.status == "RUNNING"  # the user's run is the user's to end


def test_a_run_is_sent_to_tensorboard_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = record(tmp_path / "gan")

    code, printed = losses("sync", run, "--to", "tensorboard")
    again = losses("sync", run, "--to", "tensorboard")[1]

    assert len([*run.glob("*tfevents*")]) == 1  # nothing to send opens nothing
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    assert code == 0, printed
    assert f"to tensorboard {run}\n" in printed
    assert "nothing to send" in again
    assert [event.step for event in events.Scalars("loss/G")] == list(range(20))
    assert events.Scalars("loss/G")[-1].wall_time <= run_info(run)["end"]


def test_of_a_folder_that_was_deleted_it_is_said_how_to_send_all_again(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    run, folder = record(tmp_path / "gan"), tmp_path / "charts"
    arguments = ("sync", run, "--to", "tensorboard")
    losses(*arguments, "--logdir", folder)
    shutil.rmtree(folder)
    (note,) = run.glob("tensorboard-*")
    gone = (
        f"tensorboard {folder} has no events any more: remove {note} to send all of the run again"
    )

    for option in ([], ["--logdir", folder], ["--dry-run"]):
        assert losses(*arguments, *option) == (1, f"{gone}\n")
    shutil.rmtree(note)
    assert losses(*arguments, "--logdir", folder)[1].startswith("sent 20 rows")


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_a_run_that_was_moved_or_copied_has_its_own_chart_in_tensorboard(
    tmp_path: Path, how: Any
) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first, other = record(tmp_path / "first", 10), tmp_path / "other"
    losses("sync", first, "--to", "tensorboard")
    how(str(first), other)
    if not first.exists():
        record(first, 10)
        losses("sync", first, "--to", "tensorboard")
    with CsvLogger(other, resume=True) as logger:
        send(logger, range(10, 20))

    printed = losses("sync", other, "--to", "tensorboard")[1]

    assert printed == f"sent 10 rows (30 numbers, steps 10 to 19) to tensorboard {other}\n"
    for run, steps in ((first, 10), (other, 20)):
        events = EventAccumulator(str(run), size_guidance={"scalars": 0})
        events.Reload()
        assert [event.step for event in events.Scalars("loss/G")] == list(range(steps))


def test_a_run_is_sent_to_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="needs the wandb extra")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    wandb.teardown()  # it reads the environment once, which another test may have done before
    run = record(tmp_path / "gan")

    code, printed = losses("sync", run, "--to", "wandb", "--project", "gans")
    again = losses("sync", run, "--to", "wandb")[1]

    assert code == 0, printed
    assert "sent 20 rows (60 numbers, steps 0 to 19) to wandb " in printed
    assert "nothing to send" in again
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


def test_a_run_is_sent_to_comet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMET_DISABLE_AUTO_LOGGING", "1")
    monkeypatch.setenv("COMET_START_ONLINE", "0")
    monkeypatch.setenv("COMET_OFFLINE_DIRECTORY", str(tmp_path / "comet"))
    pytest.importorskip("comet_ml", reason="needs the comet extra")
    run = record(tmp_path / "gan")

    code, printed = losses("sync", run, "--to", "comet", "--project", "gans")

    assert code == 0, printed
    assert "sent 20 rows (60 numbers, steps 0 to 19) to comet " in printed
    (archive,) = (tmp_path / "comet").glob("*.zip")
    with zipfile.ZipFile(archive) as file:
        lines = [json.loads(line) for line in file.read("messages.json").splitlines()]
    metrics = [line["payload"]["metric"] for line in lines if line["type"] == "metric_msg"]
    ours = [metric for metric in metrics if metric["metricName"] == "loss/G"]
    assert [one["step"] for one in ours] == list(range(20))
    assert float(ours[-1]["metricValue"]) == pytest.approx(19 / 3)


def test_a_run_is_sent_to_trackio_with_its_steps_and_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_STORAGE_MODE", "sqlite")
    storage = pytest.importorskip("trackio.sqlite_storage", reason="needs the trackio extra")
    monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path / "trackio")
    other, run = record(tmp_path / "other" / "gan", 3), record(tmp_path / "gan")
    losses("sync", other, "--to", "trackio", "--project", "gans")

    code, printed = losses("sync", run, "--to", "trackio", "--project", "gans")
    again = losses("sync", run, "--to", "trackio")[1]
    with CsvLogger(run, resume=True) as logger:
        send(logger, range(20, 25))
    more = losses("sync", run, "--to", "trackio")[1]

    assert code == 0, printed
    assert "sent 20 rows (60 numbers, steps 0 to 19) to trackio gans/gan-2\n" in printed
    assert "nothing to send: trackio gans/gan-2 has all rows" in again
    assert "sent 5 rows (15 numbers, steps 20 to 24) to trackio gans/gan-2" in more
    rows = storage.SQLiteStorage.get_logs("gans", run="gan-2")
    assert [(row["step"], row["loss/G"]) for row in rows] == [
        (step, step / 3) for step in range(25)
    ]
    assert datetime.fromisoformat(rows[0]["timestamp"]).timestamp() < run_info(run)["end"]
    config = storage.SQLiteStorage.get_run_config("gans", "gan-2")
    assert config["loss_weighting/losses/2"] == "D"
    assert len(storage.SQLiteStorage.get_logs("gans", run="gan")) == 3


def test_after_a_kill_trackio_gets_each_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = pytest.importorskip("trackio.sqlite_storage", reason="needs the trackio extra")
    monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path / "trackio")
    run = record(tmp_path / "gan", 2000)
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}

    command = [sys.executable, "-c", KILLED, "sync", str(run), "--to", "trackio"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.splitlines()[-1] == str([-signal.SIGKILL] * 3 + [0])

    rows = storage.SQLiteStorage.get_logs("losses", run="gan")
    assert sorted(row["step"] for row in rows) == list(range(2000))


# Each command in a process of its own, which does not import Trackio for itself.
KILLED = """
import os, signal, sys, loss_loggers, trackio
def log_rows(self, rows, log_rows=loss_loggers.TrackioLogger.log_rows):
    global left
    log_rows(self, rows)
    left -= 1
    if left == 0:  # all of them are there, and this is not written down yet
        os.kill(os.getpid(), signal.SIGKILL)
loss_loggers.TrackioLogger.log_rows = log_rows
from loss_dashboard.cli.losses import app
codes = []
for left in (1, 2, 3, -1):
    child = os.fork()
    if child == 0:
        app(sys.argv[1:])
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(codes)
"""


@pytest.mark.parametrize("backend", ["mlflow", "wandb", "comet", "tensorboard", "trackio"])
def test_a_dry_run_opens_nothing(tmp_path: Path, backend: str) -> None:
    run = record(tmp_path / "gan")
    before = sorted(tmp_path.rglob("*"))

    code, printed = losses("sync", run, "--to", backend, "--dry-run")

    assert code == 0
    assert printed.startswith(f"would send 20 rows (60 numbers, steps 0 to 19) to {backend} ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("mlflow")
def test_a_backend_that_is_away_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    code, printed = losses(
        "sync", record(tmp_path / "gan"), "--to", "mlflow", "--uri", "http://127.0.0.1:1"
    )

    assert code == 1
    assert printed.startswith("not all of it was sent, so run this again later (MlflowException")
    assert len(printed.splitlines()) == 1


def test_an_option_of_another_backend_is_one_line(tmp_path: Path) -> None:
    run = record(tmp_path / "gan")

    code, printed = losses("sync", run, "--to", "mlflow", "--logdir", "x", "--project", "y")

    assert (code, printed) == (1, "mlflow knows no --project or --logdir\n")


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    code, printed = losses("sync", tmp_path / "gan", "--to", "mlflow")

    assert code == 1
    assert len(printed.splitlines()) == 1


def test_a_backend_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record(tmp_path / "gan")
    monkeypatch.setattr("loss_dashboard.cli.commands.sync.find_spec", lambda _: None)

    code, printed = losses("sync", run, "--to", "mlflow")

    assert code == 1
    assert printed == "mlflow is not installed: pip install 'multi-loss-weighting[mlflow]'\n"


@pytest.mark.parametrize("options", [["--dry-run"], []])
@pytest.mark.parametrize("name", ["losses.csv", "epochs.csv", "losses-2.csv"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "semicolons", "utf-16", "long"])
def test_a_file_that_cannot_be_read_is_named_in_one_line(
    tmp_path: Path, kind: str, name: str, options: list[str]
) -> None:
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    run = record(tmp_path / "gan")
    file, table = run / name, (run / "losses.csv").read_text()
    file.unlink(missing_ok=True)
    if kind in ("folder", "pipe"):
        file.mkdir() if kind == "folder" else os.mkfifo(file)
    else:
        table = table.replace(",", ";") if kind == "semicolons" else table
        table = "x" * (1 << 24) if kind == "long" else table
        file.write_text(table, encoding="utf-16" if kind == "utf-16" else "utf-8")

    code, printed = losses("sync", run, "--to", "tensorboard", *options)

    assert (code, len(printed.splitlines())) == (1, 1), printed
    assert printed.startswith(str(file))
    assert "later" not in printed


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_a_folder_that_cannot_be_written_is_to_be_copied() -> None:
    """In no folder of pytest's, which another user cannot read: root has to become one for this."""
    pytest.importorskip("tensorboard", reason="needs the tensorboard extra")
    code = (
        "import os, pickle, sys; from loss_dashboard.cli.losses import app\n"
        "import loss_dashboard.cli.sending, loss_dashboard.cli.commands.sync, rich.progress\n"
        "os.getuid() or os.setuid(65534)\n"
        "app(['sync', sys.argv[1], '--to', 'tensorboard'])\n"
    )
    with TemporaryDirectory(dir="/tmp") as folder:
        run = record(Path(folder) / "gan")
        run.chmod(0o555)
        Path(folder).chmod(0o755)
        done = subprocess.run([sys.executable, "-c", code, run], capture_output=True, text=True)
        run.chmod(0o755)

    assert done.returncode == 1
    assert done.stderr == (
        f"{run} must be writable, for it notes what was sent (Permission denied): copy it to where"
        " you may write, and send the copy\n"
    )
