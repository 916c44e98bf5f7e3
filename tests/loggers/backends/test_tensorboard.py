from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tests.loggers.delivery.http_backend import free_port

from loss_loggers import Tee, TensorBoardLogger
from multi_loss_weighting import LossGroup, LossTracker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


pytest.importorskip("tensorboard", reason="needs the tensorboard extra")


@pytest.fixture(params=["torch.utils.tensorboard", "tensorboardX"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    pytest.importorskip(request.param, reason="needs this SummaryWriter")
    writer = import_module(request.param).SummaryWriter(str(tmp_path))
    yield writer
    writer.close()


def events(folder: Path, kind: str = "scalars") -> dict[str, list[Any]]:
    """What TensorBoard reads from the event files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    accumulator.Reload()
    read = accumulator.Scalars if kind == "scalars" else accumulator.Tensors
    return {tag: read(tag) for tag in accumulator.Tags()[kind]}


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    return {tag: [(e.step, e.value) for e in found] for tag, found in events(folder).items()}


def layout(folder: Path) -> dict[str, list[str]]:
    """The charts that share a tab, and the patterns of what they show."""
    from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

    (event,) = events(folder, "tensors")["custom_scalars__config__"]
    (category,) = Layout.FromString(event.tensor_proto.string_val[0]).category
    return {chart.title: list(chart.multiline.tag) for chart in category.chart}


def test_a_row_is_one_event_with_its_time(writer: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    row = {f"loss/{index}": 0.5 for index in range(30)}

    TensorBoardLogger(writer, layout=False).log_rows([(0, 12.5, row), (1, 13.5, row)])
    writer.close()

    (path,) = tmp_path.glob("*tfevents*")
    assert len(list(RawEventFileLoader(str(path)).Load())) == 1 + 2  # the first says the version
    assert [event.wall_time for event in events(tmp_path)["loss/29"]] == [12.5, 13.5]


def test_steps_may_repeat_go_back_and_be_numpy(writer: Any, tmp_path: Path) -> None:
    logger = TensorBoardLogger(writer)
    steps: list[Any] = [np.int64(7), 3, 3, torch.tensor(5)]

    for value, step in enumerate(steps):
        logger.log_metrics({"loss/G": value}, step=step)
    writer.close()

    assert curves(tmp_path) == {"loss/G": [(3, 1.0), (3, 2.0), (5, 3.0)]}


def log(writer: Any, steps: Iterable[int], value: float, **settings: Any) -> None:
    """Rows as a training has them, with those of its validation."""
    logger = TensorBoardLogger(writer, **settings)
    for step in steps:
        logger.log_metrics({"loss/G": value, "weight/G": 1.0}, step=step)
        if step % 5 == 4:
            logger.log_metrics({"loss/val/G": value}, step=step)


def line(steps: Iterable[int], value: float) -> list[tuple[int, float]]:
    return [(step, value) for step in steps]


def test_each_step_is_there_once_after_a_checkpoint(writer: Any, tmp_path: Path) -> None:
    """Which a training goes back to, first in its own process, then in one that goes on."""
    log(writer, range(20), 1.0)
    log(writer, range(10, 30), 2.0)
    writer.close()
    with type(writer)(str(tmp_path), filename_suffix=".2") as another:
        log(another, range(25, 40), 3.0)

    assert curves(tmp_path)["loss/G"] == [
        *line(range(10), 1.0),
        *line(range(10, 25), 2.0),
        *line(range(25, 40), 3.0),
    ]
    assert [step for step, _ in curves(tmp_path)["loss/val/G"]] == [4, 9, 14, 19, 24, 29, 34, 39]


def test_groups_at_their_own_paces_keep_their_curves(writer: Any, tmp_path: Path) -> None:
    """They share the tags of the total, of `lr` and of the epoch, and none of them goes back."""
    logger = TensorBoardLogger(writer)
    fast, slow = LossGroup(["D"], logger), LossGroup(["G"], logger)
    for _ in range(20):
        for _ in range(5):
            fast.update({"D": torch.tensor(1.0)}, do_backwards=False, extra={"lr": 0.1})
        slow.update({"G": torch.tensor(1.0)}, do_backwards=False, extra={"lr": 0.1})
    fast.end_epoch()
    slow.end_epoch()
    writer.close()

    found = curves(tmp_path)
    assert [step for step, _ in found["loss/D"]] == list(range(100))
    assert [step for step, _ in found["loss/G"]] == list(range(20))
    assert len(found["epoch_loss/D"]) == len(found["epoch_loss/G"]) == 1


def test_the_server_of_tensorboard_heeds_the_first_purge_too(writer: Any, tmp_path: Path) -> None:
    """It reads files in its own way, which takes the first start of a session for that of the run.

    So `purge_step` of a writer does nothing there.
    """
    server = import_module("tensorboard.backend.event_processing.plugin_event_accumulator")
    log(writer, range(20), 1.0)
    writer.close()
    with type(writer)(str(tmp_path), filename_suffix=".2") as another:
        log(another, range(10, 30), 2.0)

    accumulator = server.EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    accumulator.Reload()

    assert [event.step for event in accumulator.Tensors("loss/G")] == list(range(30))


def test_a_validation_that_comes_first_hides_no_row_of_its_training(
    writer: Any, tmp_path: Path
) -> None:
    log(writer, range(14), 1.0)
    writer.close()
    with type(writer)(str(tmp_path), filename_suffix=".2") as another:
        TensorBoardLogger(another).log_metrics({"loss/val/G": 2.0}, step=12)
        log(another, range(13, 20), 2.0)

    assert curves(tmp_path)["loss/G"] == [*line(range(13), 1.0), *line(range(13, 20), 2.0)]
    assert [step for step, _ in curves(tmp_path)["loss/val/G"]] == [4, 9, 12, 14, 19]


def test_a_number_of_a_validation_makes_no_validation_of_a_row(writer: Any, tmp_path: Path) -> None:
    log(writer, range(14), 1.0)
    writer.close()
    with type(writer)(str(tmp_path), filename_suffix=".2") as another:
        TensorBoardLogger(another).log_metrics({"loss/G": 2.0, "top1/val/acc": 0.5}, step=12)
        log(another, range(13, 20), 2.0)

    assert curves(tmp_path)["loss/G"] == [*line(range(12), 1.0), *line(range(12, 20), 2.0)]


def test_the_newer_file_is_read_last_whatever_the_clock_did(writer: Any, tmp_path: Path) -> None:
    """It was set back between two sessions, as names of files tell; or both began in one second."""
    log(writer, range(20), 1.0)
    writer.close()
    (first,) = tmp_path.glob("*tfevents*")
    first.rename(tmp_path / "events.out.tfevents.3000000000.host.1.9")
    with type(writer)(str(tmp_path)) as another:
        log(another, range(10, 30), 2.0)
        another.add_scalar("accuracy", 0.5, 30)

    assert curves(tmp_path)["loss/G"] == [*line(range(10), 1.0), *line(range(10, 30), 2.0)]
    assert curves(tmp_path)["accuracy"] == [(30, 0.5)]
    assert len(list(tmp_path.iterdir())) == 2


def test_purging_can_be_left_to_the_user(writer: Any, tmp_path: Path) -> None:
    log(writer, range(20), 1.0, purge=False)
    log(writer, range(10, 30), 2.0, purge=False)
    writer.close()

    assert curves(tmp_path)["loss/G"] == [*line(range(20), 1.0), *line(range(10, 30), 2.0)]


def test_a_training_that_begins_anew_hides_no_other(writer: Any, tmp_path: Path) -> None:
    writer.add_scalar("accuracy", 0.5, 7)
    log(writer, range(20), 1.0)
    writer.close()
    with type(writer)(str(tmp_path), filename_suffix=".2") as another:
        TensorBoardLogger(another).log_metrics({"loss/fine": 1.0}, step=0)
        TensorBoardLogger(another).log_metrics({"loss/other": 1.0}, step=5)

    found = curves(tmp_path)
    assert (found["loss/G"], found["accuracy"]) == (line(range(20), 1.0), [(7, 0.5)])


def test_settings_of_any_text_are_a_row_of_the_table(writer: Any, tmp_path: Path) -> None:
    """As TensorBoard shows it."""
    plugin_util = pytest.importorskip("tensorboard.plugin_util")
    values = ["a|b", "two\nlines", "`x`", "`a | b`", "**a** _b_ __init__", "<b>", "[l](u)", "\\|",
              "&amp;", "# h", "a_b/c*d"]  # fmt: skip

    TensorBoardLogger(writer).log_hyperparams({"own": values, "a|b": {"`c`": 1}})
    writer.close()

    (event,) = events(tmp_path, "tensors")["loss_weighting/text_summary"]
    page = plugin_util.markdown_to_safe_html(event.tensor_proto.string_val[0].decode())
    cells = re.findall(r"<td>(.*?)</td>", page)
    shown = [html.unescape(cell.replace("<br>", "\n")) for cell in cells]
    names = [f"loss_weighting/own/{number}" for number in range(1, 1 + len(values))]
    assert shown == [
        *(text for pair in zip(names, values, strict=True) for text in pair),
        *("loss_weighting/a|b/`c`", "1"),
    ]


def test_a_writer_with_nothing_but_add_scalar_is_enough(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="needs TensorBoard")

    class Plain:
        def __init__(self, writer: Any) -> None:
            self.add_scalar = writer.add_scalar

    with tensorboard.SummaryWriter(tmp_path) as writer:
        TensorBoardLogger(Plain(writer)).log_rows([(3, 12.5, {"loss/G": 0.5})])

    (event,) = events(tmp_path)["loss/G"]
    assert (event.step, event.wall_time, event.value) == (3, 12.5, 0.5)


def test_losses_share_a_chart_for_each_statistic(writer: Any, tmp_path: Path) -> None:
    logger = TensorBoardLogger(writer)

    logger.log_metrics({"lr": 0.1}, step=0)
    logger.log_metrics({"loss/G": 1.0, "weight/G": 1.0, "cov/G": 0.0, "lr": 0.1}, step=1)
    logger.log_metrics({"loss/D": 2.0, "weight/D": 1.0}, step=1)
    writer.close()

    assert layout(tmp_path) == {name: [f"^{name}/"] for name in ("loss", "weight", "cov")}


def test_a_layout_of_your_own_is_left_alone(writer: Any, tmp_path: Path) -> None:
    logger = TensorBoardLogger(writer, layout=False)

    logger.log_metrics({"loss/G": 1.0}, step=0)
    writer.add_custom_scalars({"mine": {"chart": ["Multiline", ["loss/G"]]}})
    writer.close()

    assert layout(tmp_path) == {"chart": ["loss/G"]}


def test_trackers_share_a_writer_with_its_user(writer: Any, tmp_path: Path) -> None:
    logger = Tee(TensorBoardLogger(writer))
    trackers = [LossTracker(name, logger, weight=0.5) for name in "GD"]
    losses = [1.0, 0.5, 0.25]

    for step, loss in enumerate(losses):
        writer.add_scalar("accuracy", step / 2, step)
        for tracker in trackers:
            tracker.update(loss, do_backwards=False)
    writer.close()

    found = curves(tmp_path)
    assert found["accuracy"] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    for name in "GD":
        assert found[f"loss/{name}"] == list(enumerate(losses))
        assert found[f"weighted/{name}"] == [(0, 0.5), (1, 0.25), (2, 0.125)]
    *_, text = events(tmp_path, "tensors")["loss_weighting/text_summary"]
    assert "| loss_weighting/losses/2 | D |" in text.tensor_proto.string_val[0].decode()


def log_more(logger: TensorBoardLogger) -> None:
    for step in (1, 2):
        logger.log_metrics({"loss/G": 0.5}, step=step)
    logger.log_rows([(3, 0.0, {"loss/G": 0.5})])
    logger.log_hyperparams({"losses": ["G"]})


def test_a_closed_writer_starts_no_other_file(writer: Any, tmp_path: Path) -> None:
    logger = TensorBoardLogger(writer)
    logger.log_metrics({"loss/G": 0.5}, step=0)
    writer.close()
    before = sorted(tmp_path.iterdir())

    with pytest.warns(RuntimeWarning, match="cannot deliver: the writer is closed") as caught:
        log_more(logger)

    assert len(caught) == 1
    assert logger.failed == 3
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_written_to_is_an_error(writer: Any) -> None:
    with pytest.raises(TypeError, match=r"a SummaryWriter, .* is needed; got str"):
        TensorBoardLogger("runs/gan")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got the class SummaryWriter, not an instance of it"):
        TensorBoardLogger(type(writer))  # type: ignore[arg-type]
    writer.close()
    with pytest.raises(ValueError, match="a writer that is open is needed; the writer is closed"):
        TensorBoardLogger(writer)


def test_tensorboard_serves_what_a_group_logged(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="needs TensorBoard")
    with tensorboard.SummaryWriter(tmp_path / "gan") as writer:
        group = LossGroup(["recon", "kl"], TensorBoardLogger(writer))
        for step in range(20):
            group.update({"recon": 1.0 + step, "kl": 4.0}, do_backwards=False)

    with Server(tmp_path) as server:
        layout = server.get("custom_scalars/layout")
        shared = server.get("custom_scalars/scalars", run="gan", tag="^loss/")["tag_to_events"]
        tables = server.get("text/text", run="gan", tag="loss_weighting/text_summary")

    charts = {chart["title"] for chart in layout["category"][0]["chart"]}
    assert {"loss", "weight", "weighted", "cov"} <= charts
    assert {tag: [value for _, _, value in curve] for tag, curve in shared.items()} == {
        "loss/recon": [1.0 + step for step in range(20)],
        "loss/kl": [4.0] * 20,
        "loss/total": [5.0 + step for step in range(20)],
    }
    assert "<td>loss_weighting/losses/2</td>" in tables[0]["text"]


class Server:
    """A TensorBoard of its own, on this machine only."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self._address = f"http://127.0.0.1:{port}/data/plugin"
        options = {"--logdir": folder, "--port": port, "--host": "127.0.0.1"}
        arguments = [f"{name}={value}" for name, value in options.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", *arguments, "--load_fast=false"],
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Server:
        deadline = time.monotonic() + 300
        while not self._has_read():
            assert time.monotonic() < deadline, "TensorBoard does not answer"
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=300)

    def get(self, path: str, **query: str) -> Any:
        address = f"{self._address}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=300) as answer:
            return json.load(answer)

    def _has_read(self) -> bool:
        try:
            return bool(self.get("custom_scalars/layout"))
        except OSError:
            return False
