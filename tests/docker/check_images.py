"""The services of docker/compose.yaml, run from images that were built, and talked to.

`make docker-check` builds the images and runs this where loopback is the whole network, so that
the addresses on which a service listens are reached from nowhere else.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

yaml = pytest.importorskip("yaml", reason="reading compose.yaml needs PyYAML, of the dev group")

BUILDAH = [sys.executable, str(Path(__file__).with_name("buildah.py"))]
COMPOSE = Path(__file__).parents[2] / "docker" / "compose.yaml"
IMAGE = "localhost/multi-loss-weighting-{}"
SETTINGS = {"DASHBOARD_TOKEN": "a-token"}
PATIENCE = 120


def _interpolated(text: str) -> str:
    """As Compose does it: what is set, else the default."""
    return re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", lambda m: SETTINGS.get(m[1], m[3]), text)


SERVICES: dict[str, Any] = yaml.safe_load(_interpolated(COMPOSE.read_text()))["services"]


class Machine:
    """A container for each service, with the volumes of all."""

    def __init__(self, volumes: Path) -> None:
        self._volumes = volumes
        self._containers: dict[str, str] = {}

    def volume(self, name: str) -> Path:
        """The folder of a volume, owned by the user of the images."""
        folder = self._volumes / name
        folder.mkdir(exist_ok=True)
        os.chown(folder, 1000, 1000)
        return folder

    def command(self, service: str, command: list[str]) -> list[str]:
        """What runs a command as Compose would, as far as buildah can."""
        settings = SERVICES[service]
        # An engine makes a fresh /tmp.
        options = ["--volume", f"{self.volume('tmp')}:/tmp"]
        for volume in settings["volumes"]:
            name, _, rest = volume.partition(":")
            options += ["--volume", f"{self.volume(name)}:{rest}"]
        for name, value in settings.get("environment", {}).items():
            options += ["--env", f"{name}={value}"]
        container = self._container(service, settings["build"]["target"])
        return [*BUILDAH, "run", "--isolation=chroot", *options, container, "--", *command]

    def run(self, service: str, *command: str) -> str:
        """What a command in the container of the service says; its own if none is given."""
        arguments = self.command(service, list(command) or SERVICES[service]["command"])
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serve(self, service: str) -> Iterator[str]:
        """The service itself, meanwhile; its address."""
        log = self._volumes / f"{service}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                self.command(service, SERVICES[service]["command"]),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            port = SERVICES[service]["ports"][0].rpartition(":")[2]
            _wait_until_it_answers(f"http://127.0.0.1:{port}/", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()

    def is_healthy(self, service: str) -> bool:
        """What Compose would find."""
        kind, *test = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        return subprocess.run(self.command(service, test), check=False).returncode == 0

    def remove(self) -> None:
        """Forget the containers."""
        if self._containers:
            subprocess.run(["buildah", "rm", *self._containers.values()], check=True)

    def _container(self, service: str, target: str) -> str:
        if service not in self._containers:
            made = subprocess.run(
                [
                    "buildah",
                    "from",
                    "--pull-never",
                    "--add-host=mlflow:127.0.0.1",
                    IMAGE.format(target),
                ],
                capture_output=True,
                text=True,
                check=True,
            )
            self._containers[service] = made.stdout.strip()
        return self._containers[service]


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not _answers(url):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return bool(_status(url))
    except URLError:
        return False


def _last_descendant(pid: int) -> int:
    """The command in the container; buildah itself passes no signal on."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return _last_descendant(children[0]) if children else pid


def _get(url: str, **headers: str) -> str:
    with urlopen(Request(url, headers=headers)) as answer:
        return str(answer.read().decode())


def _status(url: str, **headers: str) -> int:
    try:
        with urlopen(Request(url, headers=headers)) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def _losses(run: Path) -> list[str]:
    return list(json.loads((run / "run.json").read_text())["losses"])


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("volumes"))
    yield machine
    machine.remove()


@pytest.fixture(scope="module")
def demo(machine: Machine) -> Path:
    """The run that `train` recorded."""
    command = [*SERVICES["train"]["command"], "--steps=200"]
    print(machine.run("train", *command))
    return machine.volume("runs") / "gan"


def test_train_records_a_run(demo: Path) -> None:
    assert json.loads((demo / "run.json").read_text())["state"] == "finished"
    names = _losses(demo)  # the total is one of them
    assert len((demo / "losses.csv").read_text().splitlines()) == 1 + 200 * len(names)


def test_the_signal_that_stops_train_completes_its_record(machine: Machine) -> None:
    command = [*SERVICES["train"]["command"], "--out=runs/stopped", "--steps=1000000"]
    process = subprocess.Popen(machine.command("train", command), start_new_session=True)
    record = machine.volume("runs") / "stopped" / "losses.csv"
    while not record.exists():
        assert process.poll() is None
        time.sleep(0.1)

    os.kill(_last_descendant(process.pid), signal.Signals[SERVICES["train"]["stop_signal"]])
    process.wait()

    assert json.loads((record.parent / "run.json").read_text())["state"] == "finished"


def test_the_dashboard_shows_the_run_to_whoever_has_the_token(machine: Machine, demo: Path) -> None:
    with machine.serve("dashboard") as address:
        token = f"?token={SETTINGS['DASHBOARD_TOKEN']}"
        runs = json.loads(_get(f"{address}/api/runs{token}"))["runs"]

        assert any(demo.name in run["key"] for run in runs)
        assert "<title>" in _get(f"{address}/{token}")
        assert _status(f"{address}/") == 401
        assert machine.is_healthy("dashboard")
    assert not machine.is_healthy("dashboard")


@pytest.mark.parametrize("service", ["dashboard", "tensorboard"])
def test_who_shows_runs_cannot_change_them(machine: Machine, demo: Path, service: str) -> None:
    with pytest.raises(AssertionError, match="Read-only file system"):
        machine.run(service, "touch", f"runs/{demo.name}/run.json")


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_is_root_or_can_change_its_image(machine: Machine, service: str) -> None:
    writable = "find / -xdev -writable -not -type l -not -path '/proc/*' -not -path '/dev/*'"

    assert machine.run(service, "id", "-u") == "1000\n"
    found = machine.run(service, "sh", "-c", f"{writable} 2>/dev/null || true").splitlines()
    roots = ("/tmp", "/var/tmp", "/run/lock", "/data/runs", "/mlflow/")
    assert [path for path in found if not path.startswith(roots)] == []


def test_the_dashboard_needs_no_torch(machine: Machine) -> None:
    find = "from importlib.util import find_spec; print(find_spec('torch'))"

    assert machine.run("dashboard", "python", "-c", find) == "None\n"


def test_train_has_the_torch_of_a_processor(machine: Machine) -> None:
    version = "import torch; print(torch.version.cuda)"

    assert machine.run("train", "python", "-c", version) == "None\n"


def test_a_recorded_run_is_sent_to_mlflow(machine: Machine, demo: Path) -> None:
    with machine.serve("mlflow") as address:
        assert machine.is_healthy("mlflow")
        # The name of the service leads to it among containers.
        sent = machine.run("train", "losses", "sync", demo.name, "--to=mlflow")
        run_id = re.findall(r"mlflow (\w{32})", sent)[0]
        query = f"run_id={run_id}&metric_key=loss/{_losses(demo)[0]}&max_results=1000"
        history = json.loads(_get(f"{address}/api/2.0/mlflow/metrics/get-history?{query}"))

        assert [metric.get("step", 0) for metric in history["metrics"]] == list(range(200))
        assert _status(f"{address}/", Host="elsewhere.example") == 403
    assert (machine.volume("database") / "mlflow.db").stat().st_size
    assert not machine.is_healthy("mlflow")


def test_tensorboard_shows_a_run_that_was_sent_to_it(machine: Machine, demo: Path) -> None:
    machine.run("train", "losses", "sync", demo.name, "--to=tensorboard")
    with machine.serve("tensorboard") as address:
        end = time.monotonic() + PATIENCE
        while (runs := json.loads(_get(f"{address}/data/runs"))) != [demo.name]:
            assert time.monotonic() < end, runs
            time.sleep(0.1)
