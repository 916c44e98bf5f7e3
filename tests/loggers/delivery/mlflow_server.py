"""A server of MLflow in a process of its own, which can be killed and started again."""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from tests.forked import MLFLOW, Process, start
from tests.loggers.delivery.http_backend import free_port, until

if TYPE_CHECKING:
    from typing_extensions import Self


class MlflowServer:
    """A real one, which keeps its runs when it is killed."""

    def __init__(self, store: str) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._store = store
        self._process: Process | None = None

    def start(self) -> Self:
        self._process = start(
            Path(__file__),
            *(self._store, str(self.port)),
            loaded=MLFLOW,
            environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        until(self._answers)
        return self

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=300)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=300):
                return True
        except OSError:
            return False


def serve(store: str, port: int) -> None:
    """As `mlflow server`, without its first process, which would import all once more."""
    import mlflow.server
    import uvicorn

    os.environ[mlflow.server.BACKEND_STORE_URI_ENV_VAR] = store  # type: ignore[attr-defined]
    uvicorn.run("mlflow.server.fastapi_app:app", port=port, log_level="error")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
