from __future__ import annotations

from pathlib import Path

import pytest

from loss_dashboard.runs.find_run import RunNotFoundError, find_run, run_names
from loss_loggers import CsvLogger


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs in `runs`, the newer one called vae."""
    monkeypatch.chdir(tmp_path)
    for name in ("other/gan", "runs/gan", "runs/vae"):
        with CsvLogger(name) as logger:
            logger.log_metrics({"loss/G": 1.0}, step=0)


@pytest.mark.parametrize("name", ["gan", "runs/gan", "runs/gan/losses.csv", Path("runs/gan")])
def test_a_run_is_found_by_path_and_by_name(name: str | Path) -> None:
    assert find_run(name).resolve() == Path("runs/gan").resolve()


def test_latest_is_the_newest() -> None:
    assert find_run("latest").name == "vae"


def test_names_complete_with_the_newest_first() -> None:
    assert run_names() == ["latest", "vae", "gan"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gam", "no run gam: a path, a name in runs/ or `latest` is needed; there is gan"),
        ("runs", "runs holds 2 runs, such as runs/vae: name one"),
        ("other", "other holds one run, other/gan: name it"),
    ],
)
def test_a_wrong_name_says_what_there_is(name: str, said: str) -> None:
    with pytest.raises(RunNotFoundError) as error:
        find_run(name)

    assert str(error.value) == said


def test_of_many_runs_some_are_named_and_that_there_are_more() -> None:
    for name in ("one", "two", "three"):
        CsvLogger(f"runs/{name}").close()

    with pytest.raises(RunNotFoundError, match=r"there is latest, three, two, …$"):
        find_run("zzzz")


def test_without_runs_even_latest_is_unknown() -> None:
    with pytest.raises(RunNotFoundError, match=r"empty/ has no runs$"):
        find_run("latest", Path("empty"))
