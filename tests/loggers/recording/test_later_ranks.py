"""Of a distributed run the ranks that write rows have a folder, and no other one takes its name."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from loss_loggers import CsvLogger, JsonlLogger, Tee, read_run
from loss_loggers.base._pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")


@pytest.fixture
def as_rank(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Be the process of this rank from now on."""
    for name in RANKS:
        monkeypatch.delenv(name, raising=False)
    return lambda rank: monkeypatch.setenv("RANK", rank)


def rows(folder: Path) -> dict[str, int]:
    """How many lines each run has."""
    return {path.name: len(read_run(path).columns["step"]) for path in folder.iterdir()}


SETTINGS = """
import sys
from loss_loggers import CsvLogger
logger = CsvLogger(sys.argv[1])
logger.log_hyperparams({"lr": 1})
if sys.argv[2] == "0":
    for step in range(5): logger.log_metrics({"loss/a": 1.0}, step=step)
"""


@pytest.mark.parametrize("variable", ["RANK", "SLURM_PROCID"])
def test_settings_on_every_rank_take_no_name_from_the_one_that_writes_rows(
    tmp_path: Path, variable: str
) -> None:
    clean = {key: value for key, value in os.environ.items() if key not in RANKS}
    for rank in "201":
        command = [sys.executable, "-c", SETTINGS, str(tmp_path / "gan"), rank]
        subprocess.run(command, env={**clean, variable: rank}, check=True)

    assert rows(tmp_path) == {"gan": 5}


def _settings(logger: CsvLogger) -> None:
    logger.log_hyperparams({"lr": 1})


def _state(logger: CsvLogger) -> None:
    logger.load_state_dict(logger.state_dict())


def _nothing(logger: CsvLogger) -> None:
    logger.log_epoch(0, {}, step=0)
    pending = Pending([(0, 0.0, {})])
    pending.tries = 2
    logger.log_pending(pending)


@pytest.mark.parametrize("do", [_settings, _state, _nothing])
def test_a_later_rank_without_rows_leaves_nothing_on_disk(
    tmp_path: Path, as_rank: Callable[[str], None], do: Callable[[CsvLogger], None]
) -> None:
    as_rank("2")
    with CsvLogger(tmp_path / "gan", resume=True) as logger:
        do(logger)

    assert list(tmp_path.iterdir()) == []


def test_the_settings_of_a_later_rank_come_with_its_first_row(
    tmp_path: Path, as_rank: Callable[[str], None]
) -> None:
    as_rank("2")
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"losses": ["a"], "seed": 3})
        logger.log_hyperparams({"seed": 4})
        logger.log_metrics({"loss/a": 1.0}, step=0)

    assert read_run(tmp_path / "gan").info["hyperparameters"] == {"losses": ["a"], "seed": 4}


def test_an_epoch_is_a_row_that_brings_the_folder(
    tmp_path: Path, as_rank: Callable[[str], None]
) -> None:
    as_rank("2")
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"seed": 3})
        logger.log_epoch(0, {"a": (1.0, 1)}, step=0)

    run = read_run(tmp_path / "gan")
    assert run.epochs["epoch"].tolist() == [0]
    assert run.info["hyperparameters"] == {"seed": 3}


def test_a_later_rank_goes_back_to_its_checkpoint_with_its_first_row(
    tmp_path: Path, as_rank: Callable[[str], None]
) -> None:
    as_rank("2")
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/a": 1.0}, step=0)
        state = logger.state_dict()
        logger.log_metrics({"loss/a": 1.0}, step=1)

    with CsvLogger(tmp_path / "gan", resume=True) as logger:
        logger.load_state_dict(state)
        assert logger.state_dict() == state
        logger.log_metrics({"loss/a": 3.0}, step=1)

    assert read_run(tmp_path / "gan")["a"]["loss"].tolist() == [1.0, 3.0]


TRAINING = """
import os, signal, sys
from loss_loggers import CsvLogger
logger = CsvLogger(sys.argv[1], resume=True)
for step in range(int(sys.argv[2]), int(sys.argv[2]) + 3):
    logger.log_metrics({"loss/a": float(os.environ["SLURM_PROCID"])}, step=step)
print(flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("orders", ["012 120", "102 012"])
def test_trainings_under_one_launcher_go_on_each_with_its_own_in_whichever_order(
    tmp_path: Path, orders: str
) -> None:
    clean = {key: value for key, value in os.environ.items() if key not in RANKS}
    for start, order in zip((0, 3), orders.split(), strict=True):
        ranks = []
        for rank in order:
            command = [sys.executable, "-c", TRAINING, str(tmp_path / "gan"), str(start)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            process = subprocess.Popen(command, env={**clean, "SLURM_PROCID": rank}, **pipes)  # type: ignore[call-overload]
            assert process.stdout.readline()
            ranks.append(process)
        for process in ranks:
            process.communicate(b"\n", timeout=60)

    runs = [read_run(path) for path in tmp_path.iterdir()]
    losses = sorted(run["a"]["loss"].tolist() for run in runs)
    assert losses == [[rank] * 6 for rank in (0.0, 1.0, 2.0)]
    assert all(run["a"]["step"].tolist() == [*range(6)] for run in runs)


def write(path: Path, loss: float, **options: bool) -> str:
    """Record a row; in which folder."""
    with CsvLogger(path, **options) as logger:
        logger.log_metrics({"loss/a": loss}, step=0)
    return logger.path.name


def test_a_later_rank_goes_on_with_no_run_of_another_training(
    tmp_path: Path, as_rank: Callable[[str], None]
) -> None:
    for rank in ("", "0", "1"):  # one training alone, and later one of two ranks
        as_rank(rank)
        write(tmp_path / "gan", 0.5)

    as_rank("1")
    assert write(tmp_path / "gan", 1.5, resume=True) == "gan-4"


def test_a_first_rank_that_cannot_go_on_where_it_was_to_says_so(
    tmp_path: Path, as_rank: Callable[[str], None]
) -> None:
    as_rank("1")
    write(tmp_path / "gan", 0.5)
    as_rank("0")

    with pytest.warns(RuntimeWarning, match="another rank began .*gan, so this one begins .*gan-2"):
        assert write(tmp_path / "gan", 1.5, resume=True) == "gan-2"


def test_a_later_rank_takes_no_run_of_another_over_and_says_who_may(
    tmp_path: Path, as_rank: Callable[[str], None]
) -> None:
    as_rank("2")
    write(tmp_path / "gan", 0.5)

    as_rank("3")
    with pytest.warns(RuntimeWarning, match="begins .*gan-2: takeover=True .* first rank alone"):
        assert write(tmp_path / "gan", 1.5, resume=True, takeover=True) == "gan-2"
    as_rank("0")
    assert write(tmp_path / "gan", 2.5, resume=True, takeover=True) == "gan"


def test_without_a_launcher_a_run_of_any_rank_goes_on(
    tmp_path: Path, as_rank: Callable[[str], None]
) -> None:
    for rank in "01":
        as_rank(rank)
        write(tmp_path / "gan", 0.5)

    as_rank("")
    assert write(tmp_path / "gan-2", 1.5, resume=True) == "gan-2"
    as_rank("1")
    assert write(tmp_path / "gan", 2.5, resume=True) == "gan-2"


def test_a_state_of_the_first_rank_stops_no_other_one(
    tmp_path: Path, as_rank: Callable[[str], None]
) -> None:
    """All ranks load the checkpoint that the first one saved."""
    as_rank("0")
    first = CsvLogger(tmp_path / "gan", resume=True)
    first.log_metrics({"loss/a": 1.0}, step=0)
    state = first.state_dict()
    as_rank("1")
    record = CsvLogger(tmp_path / "other", resume=True)
    second = Tee(record)

    record.load_state_dict(state)
    with pytest.warns(RuntimeWarning, match="other does not go back: the state belongs to run"):
        second.log_metrics({"loss/a": 1.0}, step=1)
    second.log_metrics({"loss/a": 1.0}, step=2)
    second.close()

    assert second.failed == second.withheld == 0
    assert rows(tmp_path) == {"gan": 1, "other": 2}


def test_a_file_of_json_lines_comes_with_its_first_row(tmp_path: Path) -> None:
    with Tee(JsonlLogger(tmp_path / "gan.jsonl")) as logger:
        logger.log_hyperparams({"lr": 1})
        logger.log_rows([])

    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:cannot record in", "ignore:the run in .* is over")
def test_a_disk_that_takes_nothing_at_first_makes_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource", reason="needs RLIMIT_FSIZE")
    monkeypatch.setenv("SLURM_PROCID", "0")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        with Tee(CsvLogger(tmp_path / "gan", resume=True)) as tee:
            for step in range(5):
                tee.log_metrics({"loss/G": 1.0}, step=step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    assert [path.name for path in tmp_path.iterdir()] == ["gan"]
