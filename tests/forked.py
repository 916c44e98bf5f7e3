"""Scripts in processes of their own, forked from one that has imported what takes long.

That is 0.1 s, not 3 of each; all workers of xdist have the same one. Elsewhere than on Linux, where
a fork may fail, each imports it for itself.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# With what they would import at their first backward, DDP, page or demo, as far as it is installed.
TRAINING = (
    *("torch._dynamo", "torch.distributed", "multi_loss_weighting"),
    *("loss_dashboard.cli.losses", "loss_dashboard.web.serving"),
    *("uvicorn.loops.auto", "uvicorn.protocols.http.auto"),
    *("sklearn.datasets", "matplotlib.figure"),
)
# With what a server of MLflow imports, and who sends to one.
MLFLOW = ("mlflow.server.fastapi_app", *TRAINING[3:7], "loss_loggers")

IDLE_SECONDS = 600


class Forked:
    """As a `subprocess.Popen`, of a process that another one has started."""

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket) -> None:
        # Without a buffer, which might take the line of a process that is over already, too.
        self._lines = connection.makefile("rb", buffering=0)
        self._connection = connection
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            if not self._connection.recv(1, socket.MSG_PEEK):
                raise ChildProcessError(self.pid)
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._connection.close()
        return self.returncode

    def poll(self) -> int | None:
        with suppress(BlockingIOError):
            self.wait(0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Process = Forked | subprocess.Popen[bytes]


def start(
    script: Path | str,
    *arguments: str,
    said: Path = Path(os.devnull),
    folder: Path | None = None,
    loaded: Sequence[str] = TRAINING,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Begin to run a script, or a module by its name, whose output goes to a file, in a folder."""
    everything = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    if sys.platform != "linux":
        where = {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = ["-m", script] if isinstance(script, str) else [str(script)]
        with said.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, *command, *arguments],
                env=everything | where,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
    request = {
        "script": str(script),
        "is_module": isinstance(script, str),
        "arguments": arguments,
        "said": str(said.absolute()),
        "environment": everything,
        "path": sys.path,
        "folder": str((folder or Path()).absolute()),
    }
    connection = _connected(loaded)
    connection.sendall(json.dumps(request).encode() + b"\n")
    return Forked(connection)


def end(process: Process, seconds: float) -> int:
    """Its exit code; one that is not over in time is killed."""
    with suppress(TimeoutError, subprocess.TimeoutExpired):
        return process.wait(seconds)
    process.kill()
    return process.wait()


def _connected(loaded: Sequence[str]) -> socket.socket:
    """To the server that has imported them, which is started by whoever comes first."""
    from filelock import FileLock

    # The folder of these tests, which goes with them.
    address = f"{tempfile.gettempdir()}/{loaded[0]}"
    connection = socket.socket(socket.AF_UNIX)
    with FileLock(f"{address}.lock"):
        server = None
        while connection.connect_ex(address):
            if server is None:
                Path(address).unlink(missing_ok=True)  # of one that was killed
                server = _start_server(address, loaded)
            assert server.poll() is None
            time.sleep(0.005)
    return connection


def _start_server(address: str, loaded: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, address, *loaded]
    alone = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with Path(f"{address}.txt").open("wb") as said:
        return subprocess.Popen(
            command,
            env={**os.environ, **alone},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # an interrupt at the terminal is for pytest
        )


def _serve(address: str, loaded: Sequence[str]) -> dict[str, Any]:
    """The request, in the process that is to do it; others serve on."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(128)  # who comes early waits
    listener.settimeout(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no zombies stay
    for module in loaded:
        with suppress(ImportError):
            import_module(module)
    gc.collect()
    gc.freeze()  # so that no collection copies its memory
    last = time.monotonic()
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            if not Path(address).exists() or time.monotonic() > last + IDLE_SECONDS:
                os._exit(0)
            continue
        last = time.monotonic()
        if os.fork() == 0:
            listener.close()
            return _accepted(connection)
        connection.close()


def _accepted(connection: socket.socket) -> dict[str, Any]:
    """In a process for each, which waits for the one that is to do it, to tell its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection, connection.makefile() as lines:
        request: dict[str, Any] = json.loads(lines.readline())
        if (child := os.fork()) == 0:
            return request
        os.setpgid(child, child)  # a signal to its group is for no other
        connection.sendall(b"%d\n" % child)
        handle = os.pidfd_open(child)
        Thread(target=_kill_unheard, args=(connection, handle), daemon=True).start()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(OSError):  # who asked is gone
            connection.sendall(b"%d\n" % code)
    os._exit(0)


def _kill_unheard(connection: socket.socket, handle: int) -> None:
    """End what nobody waits for any more."""
    connection.recv(1)
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)


def _run(request: dict[str, Any]) -> None:
    with Path(request["said"]).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    script = request["script"]
    sys.argv = [script, *request["arguments"]]
    sys.path[:] = request["path"]
    if request["is_module"]:
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(script).parent))
        runpy.run_path(script, run_name="__main__")


def _end() -> NoReturn:
    """Without a farewell to each object of what was imported, which takes 0.3 s."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(CODE)


if __name__ == "__main__":
    CODE = 1  # of an error
    atexit.register(_end)  # the first, so it is called last
    try:
        _run(_serve(sys.argv[1], sys.argv[2:]))
        CODE = 0
    except SystemExit as exit_:
        CODE = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        raise
