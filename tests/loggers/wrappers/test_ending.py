"""The last calls to loggers of other projects, which nobody else makes in a plain loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from loss_loggers import Background, Every, Guard, MemoryLogger, Rename, Tee
from multi_loss_weighting import LossGroup
from multi_loss_weighting.integrations._reporting import reporting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.loggers.conftest import Script

THEIRS = """
import sys
class Theirs:
    "Writes at its end only, as other projects' loggers do."
    def __init__(self, path): self.path, self.rows = path, []
    def log_metrics(self, metrics, step=None): self.rows.append(step)
    def finalize(self, status): open(self.path, "a").write(f"{status} {len(self.rows)} rows\\n")
"""


class Theirs:
    """A logger of another project, which notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        self.calls.append(f"row {step}")

    def save(self) -> None:
        self.calls.append("save")

    def flush(self, timeout: float = 1.0) -> None:
        self.calls.append("flush")

    def finalize(self, status: str) -> None:
        self.calls.append(status)


LAST = ["save", "flush", "success"]


@pytest.mark.parametrize(
    "wrap",
    [Tee, lambda one: Tee(Tee(one)), lambda one: Rename("{loss}_{stat}", one), Background],
    ids=["Tee", "nested", "Rename", "Background"],
)
def test_they_are_made_once_when_it_is_closed(wrap: Any) -> None:
    theirs = Theirs()

    with wrap(theirs) as logger:
        logger.log_metrics({"loss/G": 0.5}, step=0)
    logger.close()

    assert theirs.calls == ["row 0", *LAST]


def test_last_rows_come_before_them() -> None:
    theirs = Theirs()

    with Every(5, theirs, reduce="mean") as logger:
        logger.log_metrics({"loss/G": 0.5}, step=1)

    assert theirs.calls == ["row 1", *LAST]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "success"),
        (SystemExit(0), "success"),
        (SystemExit(1), "failed"),
        (OSError(), "failed"),
    ],
    ids=repr,
)
def test_they_say_how_the_work_ended(error: BaseException | None, status: str) -> None:
    theirs = Theirs()

    Guard(theirs).close(error)

    assert theirs.calls[-1] == status


def test_what_asks_for_more_than_we_know_is_left_alone() -> None:
    class Other(Theirs):
        def save(self, path: str) -> None:  # type: ignore[override]
            raise AssertionError

        def finalize(self) -> None:  # type: ignore[override]
            self.calls.append("over")

    other = Other()

    Guard(other).close()

    assert other.calls == ["flush", "over"]


def test_one_that_fails_keeps_no_other_from_its_end() -> None:
    class Stuck(Theirs):
        def save(self) -> None:
            raise SystemExit(1)

    stuck, theirs = Stuck(), Theirs()

    with pytest.warns(RuntimeWarning, match="Stuck failed .SystemExit: 1"):
        Tee(stuck, theirs).close()

    assert (stuck.calls, theirs.calls) == (LAST[1:], LAST)


def test_a_run_of_the_user_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_uri: str
) -> None:
    monkeypatch.setenv("COMET_DISABLE_AUTO_LOGGING", "1")
    comet_ml = pytest.importorskip("comet_ml", reason="needs the comet extra")
    mlflow = pytest.importorskip("mlflow", reason="needs the mlflow extra")
    mlflow.set_tracking_uri(mlflow_uri)
    experiment = comet_ml.OfflineExperiment(
        offline_directory=str(tmp_path), display_summary_level=0
    )

    with mlflow.start_run() as run:
        Tee(mlflow, experiment).close()
        assert mlflow.active_run().info.run_id == run.info.run_id
    assert experiment.alive
    experiment.end()


def test_a_framework_ends_its_own_loggers() -> None:
    theirs, group = Theirs(), LossGroup(["kl"])

    with reporting(group, "losses", [theirs]):
        group.record({"kl": 0.5})
        assert group.reporter is not None
        group.reporter.logger.close()

    assert theirs.calls == ["row 0"]


@pytest.mark.parametrize(
    ("end", "status"), [("", "success"), ("1 / 0", "failed")], ids=["well", "with an error"]
)
def test_they_are_made_at_the_end_of_the_process(
    script: Script, tmp_path: Path, end: str, status: str
) -> None:
    """Once for each logger, after the last rows of those before it."""
    code = f"""{THEIRS}
from loss_loggers import Every, Tee
def main():
    kept, shared = Theirs(sys.argv[1]), Theirs(sys.argv[2])
    for logger in (Every(5, kept), [shared], shared):
        Tee(logger).log_metrics({{"loss/a": 1.0}}, step=1)
    tee = Tee(shared)
    tee.log_metrics({{"loss/a": 1.0}}, step=2)
main()
{end}
"""
    script(code, tmp_path / "kept", tmp_path / "shared")

    assert (tmp_path / "kept").read_text() == f"{status} 1 rows\n"
    assert (tmp_path / "shared").read_text() == f"{status} 3 rows\n"


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_they_are_made_at_the_end_of_a_child(script: Script, tmp_path: Path, method: str) -> None:
    """Which ends the loggers that it made; those of its parent are its parent's."""
    module = tmp_path / "training.py"
    module.write_text(f"""{THEIRS}
import multiprocessing
from loss_loggers import Tee
def train(path):
    Tee(Theirs(path)).log_metrics({{"loss/a": 1.0}}, step=0)
    if path.endswith("crashed"): raise OSError
if __name__ == "__main__":
    train("parent")
    context = multiprocessing.get_context({method!r})
    for name in ("well", "crashed"):
        child = context.Process(target=train, args=(name,))
        child.start()
        child.join()
""")
    script(
        f"import os, runpy; os.chdir({str(tmp_path)!r}); import sys; sys.path.insert(0, '');"
        "sys.argv[0] = 'training.py'; runpy.run_path('training.py', run_name='__main__')"
    )

    found = {name: (tmp_path / name).read_text() for name in ("parent", "well", "crashed")}
    assert found == {
        "parent": "success 1 rows\n",
        "well": "success 1 rows\n",
        "crashed": "failed 1 rows\n",
    }


def test_a_logger_of_ours_is_closed_as_before() -> None:
    closed: list[BaseException | None] = []

    class Ours(MemoryLogger):
        def save(self) -> None:
            raise AssertionError

        def close(self, error: BaseException | None = None) -> None:
            closed.append(error)

    with Tee(Ours()):
        pass

    assert closed == [None]
