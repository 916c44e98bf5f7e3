"""A server of MLflow in a process of its own, which can be killed and started again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.forked import MLFLOW, Process, start
from tests.loggers.delivery.http_backend import Server


class MlflowServer(Server):
    """A real one, which keeps its runs when it is killed."""

    def __init__(self, store: str) -> None:
        super().__init__()
        self.address = f"http://127.0.0.1:{self.port}"
        self._store = store

    def _begun(self) -> Process:
        return start(
            Path(__file__),
            *(self._store, str(self.port)),
            loaded=MLFLOW,
            environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )


def serve(store: str, port: int) -> None:
    """As `mlflow server`, without its first process, which would import all once more."""
    import mlflow.server
    import uvicorn

    os.environ[mlflow.server.BACKEND_STORE_URI_ENV_VAR] = store  # type: ignore[attr-defined]
    uvicorn.run("mlflow.server.fastapi_app:app", port=port, log_level="error")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
