from __future__ import annotations

import gc
import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import warnings
from collections import UserDict, UserList
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loss_loggers import (
    Background,
    CsvLogger,
    JsonlLogger,
    MemoryLogger,
    Tee,
    read_run,
    row_time,
    run_info,
    sync,
)
from loss_loggers.recording import parts, read_rows
from multi_loss_weighting import LossGroup

FIXED = (
    "step,time,name,loss,weight,weighted,mean,std,var,cov,cov_weight,"
    "block_mean,block_std,nonfinite,value"
)


def lines(logger: CsvLogger, file: str = "losses.csv") -> list[str]:
    return (logger.path / file).read_text().splitlines()


def losses(path: Path, name: str = "G") -> list[float]:
    return list(read_run(path)[name]["loss"].tolist())


def write(logger: CsvLogger, steps: range) -> None:
    for step in steps:
        logger.log_metrics({"loss/G": step / 3, "loss/D": -step / 7}, step=step)


def test_each_step_and_loss_has_a_line(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        row = {"loss/G": 0.5, "loss/val/D": 2, "weight/G": 0.25, "lr": 0.001}
        logger.log_rows([(7, 12.5, row)])

    assert lines(logger) == [
        FIXED,
        "7,12.5,G,0.5,0.25,,,,,,,,,,",
        "7,12.5,val/D,2,,,,,,,,,,,",
        "7,12.5,lr,,,,,,,,,,,,0.001",
    ]


def test_the_time_of_a_row_is_when_it_was_logged(tmp_path: Path) -> None:
    start = row_time()
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 0.5}, step=0)

    assert start <= read_run(tmp_path)["G"]["time"][0] <= row_time()


def test_a_row_is_on_disk_when_it_was_logged(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path)

    logger.log_metrics({"loss/G": 0.5}, step=0)

    assert losses(tmp_path) == [0.5]
    assert run_info(tmp_path)["losses"] == {"G": "#0072b2"}


def test_threads_do_not_tear_each_others_lines(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda step: write(logger, range(step, step + 1)), range(400)))
        size = logger.state_dict()["offset"]

    assert sorted(losses(tmp_path)) == [step / 3 for step in range(400)]
    assert (tmp_path / "losses.csv").stat().st_size == size


def test_a_late_loss_adds_lines(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 0.5}, step=0)
        logger.log_metrics({"loss/G": 0.25, "loss/D": 2.0}, step=1)

    assert [path.name for path in tmp_path.glob("*.csv")] == ["losses.csv"]
    assert losses(tmp_path, "D") == [2.0]


def test_statistics_of_the_first_row_have_columns(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 0.5, "median/G": 0.75}, step=0)

    assert lines(logger)[0] == f"{FIXED},median"


def test_a_late_statistic_starts_a_part_and_rewrites_nothing(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 0.5}, step=0)
        before = lines(logger)
        logger.log_metrics({"loss/G": 0.25, "median/G": 0.75}, step=1)
        logger.log_metrics({"loss/G": 0.125}, step=2)

    assert lines(logger) == before
    assert lines(logger, "losses-2.csv")[0] == f"{FIXED},median"
    assert losses(tmp_path) == [0.5, 0.25, 0.125]
    assert read_run(tmp_path)["G"]["median"].tolist()[1] == 0.75


@pytest.mark.parametrize(
    "value",
    [np.float64(0.1), np.float32(0.1), np.array(0.1), np.int64(3), np.bool_(True), True],
    ids=repr,
)
def test_other_numbers_become_plain_ones(tmp_path: Path, value: Any) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": value}, step=np.int64(5))

    assert losses(tmp_path) == [float(value)]
    assert read_run(tmp_path)["G"]["step"].tolist() == [5]


@pytest.mark.parametrize("value", [2**53 + 1, np.int64(2**62 + 1), np.uint64(2**64 - 1)], ids=repr)
def test_a_whole_number_stays_exact(tmp_path: Path, value: Any) -> None:
    with Tee(CsvLogger(tmp_path / "gan"), JsonlLogger(tmp_path / "gan.jsonl")) as logger:
        LossGroup(logger=logger).record({"G": 1.0}, extra={"tokens": value})
        logger.log_metrics({"tokens": value}, step=1)
        logger.log_hyperparams({"seed": value})

    rows = [row[2]["tokens"] for row, _ in read_rows(tmp_path / "gan")]
    values = [
        json.loads(line)["values"]["tokens"]
        for line in (tmp_path / "gan.jsonl").read_text().splitlines()
    ]
    assert rows == values == [int(value)] * 2
    assert run_info(tmp_path / "gan")["hyperparameters"]["seed"] == int(value)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int64"])
def test_tensors_of_one_number_become_plain_ones(tmp_path: Path, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    value = torch.tensor(3.14159, dtype=getattr(torch, kind))

    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": value}, step=0)

    assert losses(tmp_path) == [value.item()]


def test_what_is_no_number_leaves_its_cell_empty(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger, pytest.warns(RuntimeWarning, match="phase is a number"):
        logger.log_metrics({"loss/G": 0.5, "phase": "warmup"}, step=0)

    assert losses(tmp_path) == [0.5]
    assert math.isnan(read_run(tmp_path)["phase"]["value"][0])


def test_an_empty_row_is_no_line(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({}, step=0)

    assert read_run(tmp_path).names == []


def test_no_two_numbers_share_a_cell(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        for step in range(2):
            logger.log_metrics({"loss/G": 0.5, "lr": 1.0, "value/lr": 2.0}, step=step)
        logger.log_metrics({"value/lr": 3.0}, step=2)

    run = read_run(tmp_path)
    assert losses(tmp_path) == [0.5, 0.5]
    assert run["lr"]["value"].tolist() == [1.0, 1.0]
    assert run["value/lr"]["value"].tolist() == [2.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("loss/a b", "loss/a\nb", "a b_2"),
        ("a\0b", "a b", "a b_2"),
        ("\udcff", "\\udcff", "\\udcff_2"),
    ],
)
def test_names_that_become_alike_in_the_record_are_told_apart(
    tmp_path: Path, first: str, second: str, name: str
) -> None:
    row = {first: 1.0, second: 2.0, "loss/c d": 1.0, "loss/c\rd": 2.0}
    with CsvLogger(tmp_path) as logger:
        with pytest.warns(RuntimeWarning, match="has a name like") as caught:
            logger.log_metrics(row, step=0)
        for step in range(1, 3):
            logger.log_metrics(row, step=step)  # a warning would be an error here

    run = read_run(tmp_path)
    column = "loss" if first.startswith("loss/") else "value"
    assert len(caught) == 1
    assert run[name][column].tolist() == [2.0] * 3
    assert run[name.removesuffix("_2")][column].tolist() == [1.0] * 3
    assert (losses(tmp_path, "c d"), losses(tmp_path, "c d_2")) == ([1.0] * 3, [2.0] * 3)


def test_statistics_that_become_alike_in_the_record_have_a_column_each(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"my mean/G": 1.0, "my\nmean/G": 2.0}, step=0)

    run = read_run(tmp_path)["G"]
    assert (run["my mean"].tolist(), run["my mean_2"].tolist()) == ([1.0], [2.0])


@pytest.mark.parametrize("metric", ["time/data", "step/size", "name/x", "/G", "loss/", "/"])
def test_a_metric_that_names_no_statistic_stands_under_value(tmp_path: Path, metric: str) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({metric: 1.0}, step=0)

    assert read_run(tmp_path)[metric]["value"].tolist() == [1.0]


# Names of any text but the one thing that a line cannot hold; a slash only splits off the loss.
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1)


@given(name=names, number=st.floats() | st.integers(-(2**53), 2**53), step=st.integers(0, 2**62))
def test_any_name_and_number_come_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, number: float, step: int
) -> None:
    path = tmp_path_factory.mktemp("run")

    with CsvLogger(path) as logger:
        logger.log_rows([(step, 0.1, {f"loss/{name}": number, "loss/another": 1.0})])

    run = read_run(path)
    pd = pytest.importorskip("pandas", reason="needs pandas")
    # As text, for older versions of pandas round the last digit unless told not to.
    frame = pd.read_csv(path / "losses.csv", keep_default_na=False, dtype=str)
    assert run.names[0] == frame["name"][0] == name
    assert run[name]["step"][0] == int(frame["step"][0]) == step
    np.testing.assert_array_equal(run[name]["loss"][0], number)
    np.testing.assert_array_equal(float(frame["loss"][0]), number)


def test_names_that_no_line_can_hold_lose_only_that(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/a\r\nb": 1.0, "loss/\udcff": 2.0}, step=0)

    assert read_run(tmp_path).names == ["a  b", "\\udcff"]


def test_pandas_reads_it(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        write(logger, range(3))

    pd = pytest.importorskip("pandas", reason="needs pandas")
    frame = pd.read_csv(tmp_path / "losses.csv")

    assert frame[frame.name == "G"].loss.tolist() == pytest.approx([0 / 3, 1 / 3, 2 / 3])


def test_hyperparameters_are_kept_and_a_later_setting_replaces_that_one(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_hyperparams({"losses": ["G"], "weighting": {"method": "Mine", "decay": 0.5}})
    with CsvLogger(tmp_path, resume=True) as logger:
        logger.log_hyperparams({"losses": ["D", "G"], "weighting": {"spike": math.inf}})
        logger.log_hyperparams({"optimizer": Path("adam"), 3: (1, 2)})  # type: ignore[dict-item]

    info = run_info(tmp_path)
    assert info["hyperparameters"] == {
        "losses": ["G", "D"],
        "weighting": {"spike": "inf"},
        "optimizer": "adam",
        "3": [1, 2],
    }
    assert list(info["losses"]) == ["G", "D"]


def test_settings_of_any_kind_are_kept(tmp_path: Path) -> None:
    """As those of Hydra, whose dicts and lists are classes of its own."""

    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    settings = UserDict(model=MappingProxyType({"layers": UserList([64, np.int64(32)])}), odd=Odd())
    with CsvLogger(tmp_path) as logger:
        logger.log_hyperparams(settings)  # type: ignore[arg-type]

    assert run_info(tmp_path)["hyperparameters"] == {"model": {"layers": [64, 32]}, "odd": "Odd"}


@pytest.mark.parametrize("losses", [3, "l1", {"l1": 0.5}, None])
def test_a_users_own_setting_called_losses_names_none(tmp_path: Path, losses: Any) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_hyperparams({"losses": losses})
        logger.log_metrics({"loss/G": 0.5}, step=0)

    assert list(run_info(logger.path)["losses"]) == ["G"]
    assert run_info(logger.path)["hyperparameters"] == {"losses": losses}


def test_a_run_json_that_was_edited_by_hand_keeps_no_run_from_being_resumed(
    tmp_path: Path,
) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        logger.log_metrics({"loss/G": 0.5}, step=0)
    edited = {"losses": ["G"], "hyperparameters": "none", "resumed": 1, "note": "mine"}
    (logger.path / "run.json").write_text(json.dumps(run_info(logger.path) | edited))

    with CsvLogger(logger.path, resume=True) as logger:
        logger.log_hyperparams({"lr": 0.1})
        logger.log_metrics({"loss/G": 0.25}, step=1)

    info = run_info(logger.path)
    assert (list(info["losses"]), info["hyperparameters"], info["note"]) == (
        ["G"],
        {"lr": 0.1},
        "mine",
    )
    assert len(info["resumed"]) == 1
    assert len((logger.path / "losses.csv").read_text().splitlines()) == 3


def test_a_total_is_grey_and_takes_no_colour_from_the_losses(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 1.0, "loss/total": 2.0, "loss/D": 1.0, "lr": 0.1}, step=0)

    assert run_info(tmp_path)["losses"] == {"G": "#0072b2", "total": "#777777", "D": "#d55e00"}


def test_a_number_between_two_losses_is_no_loss_and_takes_no_colour(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 1.0, "gradient_cosine/G-D": 0.5, "loss/D": 1.0}, step=0)

    assert list(run_info(tmp_path)["losses"]) == ["G", "D"]


def test_run_json_says_what_runs(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path)

    info = run_info(tmp_path)
    logger.close()

    assert (info["schema"], info["state"], info["pid"]) == (1, "running", os.getpid())
    assert len(info["id"]) == 32
    assert info["start"] <= row_time()
    assert run_info(tmp_path)["state"] == "finished"
    assert run_info(tmp_path)["end"] >= info["start"]


# Never overwritten, never mixed.


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as first:
        write(first, range(2))
    before = lines(first)

    with CsvLogger(tmp_path / "gan") as second, CsvLogger(tmp_path / "gan") as third:
        write(second, range(5))

    assert lines(first) == before
    assert (second.path, third.path) == (tmp_path / "gan-2", tmp_path / "gan-3")


def test_a_folder_that_holds_no_run_is_used(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("the learning rate is too high")

    with CsvLogger(tmp_path) as logger:
        assert logger.path == tmp_path


def test_what_is_left_of_a_run_is_a_run(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        write(logger, range(2))
    (logger.path / "run.json").unlink()

    assert CsvLogger(tmp_path / "gan").path.name == "gan-2"


def test_processes_that_race_for_a_folder_get_one_each(tmp_path: Path) -> None:
    code = "import sys; from loss_loggers import CsvLogger; print(CsvLogger(sys.argv[1]).path.name)"
    command = [sys.executable, "-c", code, str(tmp_path / "gan")]

    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    taken = sorted(racer.communicate(timeout=300)[0].strip() for racer in racers)

    assert taken == ["gan", "gan-2", "gan-3", "gan-4", "gan-5", "gan-6"]


def test_the_folder_stays_where_it_was_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()

    with CsvLogger("gan") as logger:
        monkeypatch.chdir("elsewhere")
        logger.log_metrics({"loss/G": 0.5, "median/G": 0.5}, step=0)

    assert logger.path == tmp_path / "gan"
    assert run_info(tmp_path / "gan")["state"] == "finished"


# Going on after an interruption.


def test_a_run_is_resumed_after_its_last_whole_line(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        write(logger, range(3))
    with (tmp_path / "losses.csv").open("a") as file:
        file.write("3,1700000000.5,G,0.33")

    with pytest.warns(RuntimeWarning, match="half-written line: 21 bytes were dropped"):
        resumed = CsvLogger(tmp_path, resume=True)
    state = run_info(tmp_path)["state"]
    with resumed:
        write(resumed, range(3, 5))

    assert state == "running"
    assert losses(tmp_path) == [step / 3 for step in range(5)]
    info = run_info(tmp_path)
    assert [entry["part"] for entry in info["resumed"]] == [1]
    assert info["id"] == logger.state_dict()["run"] == resumed.state_dict()["run"]


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf])
def test_a_time_that_is_none_does_not_spread(tmp_path: Path, time: float) -> None:
    """It was logged so, or is in a file that somebody edited."""
    with CsvLogger(tmp_path) as logger:
        logger.log_rows([(0, time, {"loss/G": 0.5}), (1, 1.5e9, {"loss/G": 0.5})])
    with (tmp_path / "losses.csv").open("a") as file:
        file.write(f"2,{time},G,0.5{',' * 11}\n")
    with CsvLogger(tmp_path, resume=True) as logger:
        write(logger, range(3, 5))

    times = read_run(tmp_path).columns["time"].tolist()
    known = times[:2] + times[3:]
    assert known == sorted(known)
    assert 1.5e9 < known[0] <= known[-1] < 1e10


def test_a_run_that_lost_its_header_gets_it_again(tmp_path: Path) -> None:
    CsvLogger(tmp_path).close()
    (tmp_path / "losses.csv").write_text("step,time,na")

    with pytest.warns(RuntimeWarning, match="half-written"):
        resumed = CsvLogger(tmp_path, resume=True)
    with resumed:
        write(resumed, range(1))

    assert lines(resumed)[0] == FIXED


@pytest.mark.parametrize("how", ["index", "semicolons", "utf-16"])
def test_behind_a_header_that_others_wrote_it_goes_on_in_a_part_of_its_own(
    tmp_path: Path, how: str
) -> None:
    """As pandas writes a table with its index, or a spreadsheet where a comma is in numbers."""
    with CsvLogger(tmp_path) as logger:
        write(logger, range(3))
        logger.log_epoch(0, {"G": (0.5, 1)}, step=2)
        state = logger.state_dict()
    file, epochs = tmp_path / "losses.csv", tmp_path / "epochs.csv"
    ours = file.read_bytes()
    if how == "index":
        pd = pytest.importorskip("pandas", reason="needs pandas")
        pd.read_csv(file).to_csv(file)
        pd.read_csv(epochs).to_csv(epochs)
    else:
        edited = ours.decode().replace(",", ";")
        file.write_text(edited, encoding="utf-8" if how == "semicolons" else how)
        epochs.write_text("epoch;step;name;mean;samples\n0;2;G;0.5;1\n")
    theirs = file.read_bytes(), epochs.read_bytes()

    with pytest.warns(
        RuntimeWarning, match=r"line 1: .*; (the record goes on|it is now)"
    ) as caught:
        resumed = CsvLogger(tmp_path, resume=True)
    with resumed:
        write(resumed, range(3, 6))
        resumed.log_epoch(1, {"G": (0.25, 1)}, step=5)
        with pytest.raises(ValueError, match=r"losses.csv, line 1: it must be"):
            resumed.load_state_dict(state)
    with CsvLogger(tmp_path, resume=True) as again:
        write(again, range(6, 7))

    assert len(caught) == 2
    assert (file.read_bytes(), (tmp_path / "epochs-2.csv").read_bytes()) == theirs
    assert again.failed == resumed.failed == 0
    for read in (read_run, lambda path: list(read_rows(path))):
        with pytest.raises(ValueError, match=r"losses.csv, line 1: it must be"):
            read(tmp_path)
    file.write_bytes(ours)
    assert losses(tmp_path) == [step / 3 for step in range(7)]
    assert read_run(tmp_path).epochs["mean"].tolist() == [0.25]


def test_a_checkpoint_fits_where_only_the_epochs_were_written_by_others(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        write(logger, range(3))
        logger.log_epoch(0, {"G": (0.5, 1)}, step=2)
        state = logger.state_dict()
        write(logger, range(3, 5))
    (tmp_path / "epochs.csv").write_text("epoch;step;name;mean;samples\n0;2;G;0.5;1\n")

    with pytest.warns(RuntimeWarning, match="it is now epochs-2.csv"):
        resumed = CsvLogger(tmp_path, resume=True)
    with resumed:
        resumed.load_state_dict(state)
        write(resumed, range(3, 6))
        resumed.log_epoch(1, {"G": (0.25, 1)}, step=5)

    assert losses(tmp_path) == [step / 3 for step in range(6)]
    assert read_run(tmp_path).epochs["mean"].tolist() == [0.25]


def test_colours_and_columns_outlive_an_interruption(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/G": 0.5, "median/G": 0.5}, step=0)
    colours = run_info(tmp_path)["losses"]

    with CsvLogger(tmp_path, resume=True) as resumed:
        resumed.log_metrics({"loss/D": 0.5, "median/D": 0.5}, step=1)

    assert not (tmp_path / "losses-2.csv").exists()
    assert run_info(tmp_path)["losses"] == {**colours, "D": "#d55e00"}


def test_to_resume_nothing_is_to_start(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan", resume=True) as logger:
        write(logger, range(2))

    assert "resumed" not in run_info(tmp_path / "gan")
    assert losses(tmp_path / "gan") == [0.0, 1 / 3]


def test_a_checkpoint_puts_the_record_back_to_the_byte(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        write(logger, range(3))
        checkpoint = json.loads(json.dumps(logger.state_dict()))
        before = (tmp_path / "losses.csv").read_bytes()
        write(logger, range(3, 6))
        logger.log_metrics({"loss/G": 1.0, "median/G": 1.0}, step=6)

    with CsvLogger(tmp_path, resume=True) as resumed:
        resumed.load_state_dict(checkpoint)
        assert (tmp_path / "losses.csv").read_bytes() == before
        assert not (tmp_path / "losses-2.csv").exists()
        write(resumed, range(3, 5))

    assert losses(tmp_path) == [step / 3 for step in range(5)]


def test_a_checkpoint_before_the_first_row_empties_the_record(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        checkpoint = logger.state_dict()
        logger.log_metrics({"loss/G": 1.0, "median/G": 1.0}, step=6)
        logger.load_state_dict(checkpoint)
        write(logger, range(2))

    assert lines(logger)[0] == FIXED
    assert losses(tmp_path) == [0.0, 1 / 3]


def test_a_checkpoint_of_another_run_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as first:
        write(first, range(1))

    with CsvLogger(tmp_path / "gan") as second:
        write(second, range(3))
        before = lines(second)
        with pytest.raises(ValueError, match="open the folder of the former with resume=True"):
            second.load_state_dict(first.state_dict())

    assert lines(second) == before


def test_a_checkpoint_beyond_the_end_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        write(logger, range(3))
        before = lines(logger)
        for wrong in ({"offset": 10**6}, {"part": 2}):
            with pytest.raises(ValueError, match="no longer has as many"):
                logger.load_state_dict(logger.state_dict() | wrong)
        write(logger, range(3, 4))

    assert lines(logger)[:-2] == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"offset": -5},
        {"offset": "3"},
        {"offset": True},
        {"part": None},
        {"epochs": 0.5},
        {"run": 7},
        {"rows": 3},
        {"rows": [[0, 1.5]]},
        {"rows": [[0, 1.5, "loss"]]},
    ],
)
def test_what_is_no_state_is_an_error_and_changes_nothing(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with CsvLogger(tmp_path) as logger:
        write(logger, range(3))
        before, right = lines(logger), logger.state_dict()
        nothing: Any = None
        for state in ({}, nothing, right | wrong):
            with pytest.raises(ValueError, match="state must be what state_dict"):
                logger.load_state_dict(state)
        with pytest.raises(ValueError, match="where no line ends"):
            logger.load_state_dict(right | {"offset": right["offset"] - 7})

        assert lines(logger) == before


# However it ends.


def test_an_exception_in_its_block_is_a_crash(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), CsvLogger(tmp_path):
        raise KeyboardInterrupt

    assert (run_info(tmp_path)["state"], run_info(tmp_path)["error"]) == (
        "crashed",
        "KeyboardInterrupt",
    )


def test_to_leave_with_success_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), CsvLogger(tmp_path):
        sys.exit(0)

    assert run_info(tmp_path)["state"] == "finished"


def test_a_second_close_does_nothing(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path)

    logger.close()
    logger.close(ValueError("too late"))

    assert run_info(tmp_path)["state"] == "finished"


def test_rows_after_the_end_are_counted_and_not_written(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path)
    write(logger, range(2))
    logger.close()

    with pytest.warns(RuntimeWarning, match="records nothing more: it is closed") as caught:
        write(logger, range(2, 5))

    assert len(caught) == 1
    assert Tee(logger).failed == logger.failed == 3
    assert losses(tmp_path) == [0.0, 1 / 3]


def test_a_run_whose_logger_was_dropped_did_not_finish(tmp_path: Path) -> None:
    logger = CsvLogger(tmp_path)

    del logger
    gc.collect()

    assert run_info(tmp_path)["state"] == "stopped"


@pytest.mark.parametrize(
    ("ending", "state", "error"),
    [
        ("pass", "finished", None),
        ("sys.exit(0)", "finished", None),
        ("raise ValueError('no')", "crashed", "ValueError: no"),
        ("raise KeyboardInterrupt", "crashed", "KeyboardInterrupt"),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", "crashed", "KeyboardInterrupt"),
    ],
)
def test_the_end_of_a_script_is_recorded(
    tmp_path: Path, script: Any, ending: str, state: str, error: str | None
) -> None:
    script(
        "import os, signal, sys, time; from loss_loggers import CsvLogger\n"
        "logger = CsvLogger(sys.argv[1])\n"
        "logger.log_metrics({'loss/G': 0.5}, step=0)\n" + ending,
        tmp_path,
    )

    info = run_info(tmp_path)
    assert (info["state"], info.get("error")) == (state, error)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_process_loses_at_most_the_line_being_written(tmp_path: Path) -> None:
    code = (
        "import sys; from itertools import count; from loss_loggers import CsvLogger\n"
        "logger = CsvLogger(sys.argv[1])\n"
        "for step in count():\n"
        "    logger.log_metrics({'loss/G': step / 3, 'loss/D': 0.1}, step=step)\n"
        "    if step >= 100: print(step, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None

    said = [process.stdout.readline() for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    logged = int([*said, *process.stdout][-1])
    process.wait(timeout=300)

    recorded = losses(tmp_path)
    assert len(recorded) > logged
    assert recorded == [step / 3 for step in range(len(recorded))]
    assert run_info(tmp_path)["state"] == "running"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_record_to_its_parent(tmp_path: Path, script: Any) -> None:
    done = script(
        "import os, sys; from loss_loggers import CsvLogger\n"
        "logger = CsvLogger(sys.argv[1])\n"
        "logger.log_metrics({'loss/G': 0.0}, step=0)\n"
        "if os.fork() == 0:\n"
        "    logger.log_metrics({'loss/G': 9.0}, step=9)\n"
        "    print(logger.failed)\n"
        "    logger.close()\n"
        "    sys.exit(0)\n"
        "os.wait()\n"
        "assert '\"running\"' in (logger.path / 'run.json').read_text()\n"
        "logger.log_metrics({'loss/G': 1.0}, step=1)\n",
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"
    assert done.stderr.count("belongs to the process that forked this one") == 1
    assert losses(tmp_path) == [0.0, 1.0]
    assert run_info(tmp_path)["state"] == "finished"


# Where the disk says no.


def test_to_pickle_it_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        write(logger, range(1))
        for other in (Tee(logger), Background(MemoryLogger()), JsonlLogger(tmp_path / "gan.jsonl")):
            with pytest.raises(TypeError, match=r"(Logger|Background) works in .* state_dict\(\)"):
                pickle.dumps(other)
        write(logger, range(1, 2))

    assert losses(tmp_path) == [0.0, 1 / 3]


@pytest.mark.skipif(os.name != "posix", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_tears_no_line_and_is_written_again_when_there_is_room(
    tmp_path: Path, script: Any
) -> None:
    done = script(
        "import resource, sys, warnings; from loss_loggers import CsvLogger, Tee\n"
        "tee = Tee(CsvLogger(sys.argv[1]))\n"
        "record = tee.guards[0].logger\n"
        "def log(steps):\n"
        "    for step in steps: tee.log_metrics({'loss/G': step / 3}, step=step)\n"
        "log(range(10))\n"
        "limit = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))\n"
        "log(range(10, 100))\n"
        "data = (record.path / 'losses.csv').read_bytes()\n"
        "assert data.endswith(b'\\n') and len(data) <= 1000, data\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, limit)\n"
        "lost = tee.failed + tee.withheld\n"
        "import time; time.sleep(max(0, tee.guards[0]._silent_until - time.perf_counter()))\n"
        "log(range(100, 110))\n"
        "print(lost, tee.failed + tee.withheld)\n",
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert before == after > 0
    assert done.stderr.count("CsvLogger failed (OSError: [Errno 27] File too large") == 1
    recorded = read_run(tmp_path)["G"]
    assert len(recorded["step"]) == 110 - before
    assert recorded["step"].tolist()[-10:] == list(range(100, 110))
    assert recorded["loss"].tolist() == [step / 3 for step in recorded["step"].tolist()]


def test_a_folder_that_cannot_be_made_is_tried_again(tmp_path: Path) -> None:
    obstacle = tmp_path / "runs"
    obstacle.write_text("a file")

    with pytest.warns(RuntimeWarning, match=r"cannot record in .*runs/gan yet .*Not a directory"):
        logger = CsvLogger(obstacle / "gan")
    with pytest.raises(NotADirectoryError):
        logger.log_metrics({"loss/G": 1.0}, step=0)
    obstacle.unlink()
    with logger:
        logger.log_metrics({"loss/G": 2.0}, step=1)

    assert losses(obstacle / "gan") == [2.0]


def test_hyperparameters_are_not_lost_while_there_is_no_folder(tmp_path: Path) -> None:
    obstacle = tmp_path / "gan"
    obstacle.write_text("a file")

    with pytest.warns(RuntimeWarning, match="cannot record"):
        logger = CsvLogger(obstacle)
    with pytest.raises(OSError, match="exists"):
        logger.log_hyperparams({"losses": ["G"]})
    obstacle.unlink()
    with logger:
        logger.log_metrics({"loss/G": 2.0}, step=1)

    assert run_info(obstacle)["hyperparameters"] == {"losses": ["G"]}


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_without_write_permission_does_not_stop_the_script(
    script: Any, *, resume: bool
) -> None:
    """Such as one that another user made, in a container or on a shared disk."""
    with TemporaryDirectory() as folder:  # others can read it, unlike one of pytest's
        CsvLogger(folder).close()
        done = script(
            "import json, os, pathlib, platform, sys; from loss_loggers import CsvLogger, Tee\n"
            "import loss_loggers.recording._run_writer\n"
            "os.chmod(sys.argv[1], 0o555)\n"
            "if os.getuid() == 0: os.setuid(65534)\n"
            "tee = Tee(CsvLogger(sys.argv[2], resume=True))\n"
            "tee.log_metrics({'loss/G': 1.0}, step=0)\n"
            "tee.close()\n"
            "print(tee.failed)\n",
            folder,
            folder if resume else f"{folder}/gan",
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"
    assert done.stderr.count("Permission denied") == 2  # at the start, and at the first row


def test_a_run_that_ends_well_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with CsvLogger(tmp_path) as logger:
            write(logger, range(3))
        CsvLogger(tmp_path, resume=True).close()


def test_statistics_that_come_one_by_one_make_no_file_each(tmp_path: Path) -> None:
    with CsvLogger(tmp_path) as logger:
        for step in range(20):
            logger.log_metrics({"loss/G": 1.0, f"own{step}/G": float(step)}, step=step)

    assert len(list(tmp_path.glob("losses*.csv"))) == 4
    memory = MemoryLogger()
    sync(tmp_path, memory)
    assert [(step, metrics) for step, _, metrics in memory.rows] == [
        (step, {"loss/G": 1.0, f"own{step}/G": float(step)}) for step in range(20)
    ]


class Missing(UserDict[str, object]):
    """A setting that somebody was to give, as Hydra's `???`: who asks for it gets an error."""

    def __getitem__(self, key: str) -> object:
        raise ValueError(key)

    def __str__(self) -> str:
        return "{'path': '???'}"


def test_a_setting_that_cannot_be_read_is_text_and_costs_no_other(tmp_path: Path) -> None:
    settings = {"seed": 1, "data": Missing(path=1), "time": np.timedelta64(5, "ns")}
    with CsvLogger(tmp_path) as logger:
        logger.log_hyperparams(settings)

    known = json.loads((tmp_path / "run.json").read_text())["hyperparameters"]
    assert known == {"seed": 1, "data": "{'path': '???'}", "time": "5 nanoseconds"}


def test_a_dated_copy_beside_the_record_is_no_part_of_it(tmp_path: Path) -> None:
    """Neither read, nor written to, nor removed when the record goes back."""
    copy = tmp_path / "losses-20261129.csv"
    with CsvLogger(tmp_path) as logger:
        logger.log_metrics({"loss/a": 0.5}, step=0)
        shutil.copy(tmp_path / "losses.csv", copy)
        state, size = logger.state_dict(), copy.stat().st_size
        logger.log_metrics({"loss/a": 0.25}, step=1)
        logger.load_state_dict(state)
    with CsvLogger(tmp_path, resume=True) as logger:
        logger.log_metrics({"loss/a": 0.125}, step=1)

    assert copy.stat().st_size == size
    assert read_run(tmp_path)["a"]["loss"].tolist() == [0.5, 0.125]
    assert read_run(tmp_path).note == ""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs links without asking")
def test_a_loop_of_links_has_no_record(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    assert parts(tmp_path / "loop") == []
