from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import mlflow
import pytest
from tests.loggers.delivery.mlflow_server import MlflowServer
from tests.several_machines import MODEL

from loss_loggers import read_run

from .page import changes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

(CHANGE,) = changes("Several machines")
RANKS = 2
STEPS = 5

# `fails` is what each worker does at its third batch.
OPEN = """
import os
import ray
from ray.train import get_context

def make_model():
    torch.manual_seed(0)
    return Model()

def make_loader():
    torch.manual_seed(get_context().get_world_rank())
    for step in range({steps}):
        if step == 3:
            {fails}
        yield torch.randn(8, 4), torch.randn(8, 2)

storage = {storage!r}
ray.init(num_cpus=2, include_dashboard=False)
"""


@pytest.fixture
def server(mlflow_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowServer]:
    server = MlflowServer(mlflow_uri).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    yield server
    server.kill()


def trained(code: str, folder: Path, fails: str = "pass") -> subprocess.CompletedProcess[str]:
    """Train with Ray, in a process of its own."""
    imports, rest = code.split("\n\n\n", 1)
    opened = OPEN.format(steps=STEPS, fails=fails, storage=str(folder / "storage"))
    script = folder / "train.py"
    script.write_text(f"{imports}\n{MODEL}{opened}\n\n{rest}")
    # The path of a socket is short, and that of a test's folder is not.
    session = tempfile.mkdtemp(prefix="ray-")
    settings = {
        "RAY_TMPDIR": session,
        "RAY_AUTH_MODE": "disabled",  # it would keep a token in the home of who tests
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    try:
        return subprocess.run(
            [sys.executable, str(script)],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=500,
        )
    finally:
        shutil.rmtree(session, ignore_errors=True)


def curves(client: Any, *names: str) -> list[list[float]]:
    (sent,) = client.search_runs(["0"])
    histories = [client.get_metric_history(sent.info.run_id, name) for name in names]
    return [
        [metric.value for metric in sorted(history, key=lambda metric: metric.step)]
        for history in histories
    ]


def test_workers_of_ray_weigh_alike_and_send_to_one_mlflow(
    tmp_path: Path, server: MlflowServer
) -> None:
    ended = trained(CHANGE.after, tmp_path)

    assert ended.returncode == 0, ended.stderr
    recorded, client = (
        read_run(tmp_path / "storage" / "losses"),
        mlflow.MlflowClient(server.address),
    )
    own = curves(client, *(f"loss/rank{rank}/kl" for rank in range(RANKS)))
    shared, weights = curves(client, "loss/kl", "weight/kl")
    assert shared == pytest.approx(recorded["kl"]["loss"].tolist())
    assert shared == pytest.approx([sum(values) / RANKS for values in zip(*own, strict=True)])
    assert weights == pytest.approx(recorded["kl"]["weight"].tolist())
    assert len({values[0] for values in own}) == RANKS
    assert len(shared) == STEPS
    (sent,) = client.search_runs(["0"])
    assert sent.data.params["loss_weighting/weighting/method"] == "CoVWeighting"


def test_rows_up_to_an_error_of_a_worker_are_sent(tmp_path: Path, server: MlflowServer) -> None:
    ended = trained(CHANGE.after, tmp_path, fails="raise RuntimeError('bad batch')")

    assert ended.returncode != 0
    assert "bad batch" in ended.stderr
    assert read_run(tmp_path / "storage" / "losses")["kl"]["step"].tolist() == [0, 1, 2]
    client = mlflow.MlflowClient(server.address)
    sent = curves(client, "loss/kl", "loss/rank0/kl", "loss/rank1/kl")
    assert [len(curve) for curve in sent] == [3, 3, 3]
