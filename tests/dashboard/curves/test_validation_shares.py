"""A validation has no part in what is optimised, whatever its losses are called: on every face."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Any

import pytest

from loss_dashboard.alerts import explain, find_alerts
from loss_dashboard.curves.live_curves import LiveCurves
from loss_dashboard.curves.shares import objective, shares
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.notebook._source import Memory, RunSource
from loss_dashboard.reading import RunReader
from loss_dashboard.runs.run_json import settings_in
from loss_dashboard.web._run_view import view
from loss_loggers import CsvLogger
from loss_loggers.recording import GREY
from multi_loss_weighting import LossGroup

if TYPE_CHECKING:
    from pathlib import Path

TRAINED = ("recon", "kl")


def recorded(folder: Path, names: list[str], scope: str, *, by_hand: bool) -> RunReader:
    """A training, and beside it a validation, as a group or as rows that somebody logs."""
    with CsvLogger(folder) as logger:
        train = LossGroup([*TRAINED], logger)
        val = None if by_hand else LossGroup(names, logger, scope=scope)
        for step in range(100):
            train.record({"recon": 0.2, "kl": 0.6})
            if step % 20 == 19 and val:
                val.record(dict.fromkeys(names, 30.0), step=step)
            elif step % 20 == 19:
                keys = [f"{kind}/{scope}/{name}" for kind in ("loss", "weight") for name in names]
                logger.log_metrics(dict.fromkeys(keys, 30.0), step=step)
    return RunReader(folder)


@pytest.fixture(
    params=[
        (["error"], "val", False),
        (["error"], "test", False),
        (["error"], "val", True),
        (["recon", "lpips"], "val", False),
        (["recon", "lpips"], "eval", True),
        (["error"], "head/val", False),
    ],
    ids=str,
)
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> RunReader:
    names, scope, by_hand = request.param
    return recorded(tmp_path / "gan", names, scope, by_hand=by_hand)


def validation(reader: RunReader) -> list[str]:
    return [name for name in reader.losses if name not in TRAINED]


def test_a_validation_whose_losses_the_training_lacks_has_no_share(reader: RunReader) -> None:
    losses = {name: reader.series(name) for name in reader.losses}
    optimised = objective(settings_in(reader.info), losses)

    assert optimised == [*TRAINED]
    parts = shares({name: losses[name] for name in optimised})
    assert parts == pytest.approx({"recon": 0.25, "kl": 0.75})
    assert explain(reader, find_alerts(reader)) == []


def test_the_page_and_the_report_give_it_none(reader: RunReader) -> None:
    told = view(reader, LiveCurves(ViewOptions()))["losses"]

    by_name: dict[str, Any] = {one["name"]: one for one in told}
    assert [by_name[name]["share"] for name in TRAINED] == pytest.approx([0.25, 0.75])
    assert {by_name[name]["share"] for name in validation(reader)} == {None}
    assert all(by_name[name]["of"] for name in validation(reader))


def test_the_terminal_gives_it_none(reader: RunReader) -> None:
    pytest.importorskip("rich", reason="the terminal is drawn with it")
    from loss_dashboard.terminal._view import View
    from loss_dashboard.terminal.as_json import run_as_json

    told = {one["name"]: one["share"] for one in run_as_json(reader)["losses"]}
    assert (told["recon"], told["kl"]) == pytest.approx((0.25, 0.75))
    assert {told[name] for name in validation(reader)} == {None}
    lines = zip(reader.losses, View().lines(reader, "loss", 50), strict=True)
    assert {name for name, line in lines if line.is_dotted} == {*validation(reader)}


def test_a_notebook_draws_it_as_no_part(reader: RunReader) -> None:
    shown = {one.name: one for one in RunSource(reader).curves()}
    memory = Memory("gan")
    for name in reader.losses:
        memory.add(name, 0.0, 1.0, nan)
    kept = {one.name: one for one in memory.curves()}

    for curves in (shown, kept):
        assert [curves[name].is_part for name in TRAINED] == [True, True]
        assert not any(curves[name].is_part for name in validation(reader))
    assert GREY not in {one.color for one in kept.values()}


def test_two_validations_stand_beside_the_training_and_not_each_other(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "gan") as logger:
        groups = [LossGroup(["kl"], logger, scope=scope) for scope in ("test", "val", "train")]
        for group in groups:
            group.record({"kl": 1.0}, step=0)
    reader = RunReader(tmp_path / "gan")

    assert reader.followed == {"test/kl": "train/kl", "val/kl": "train/kl"}
    assert len({reader.colour_of(name) for name in reader.losses}) == 1
