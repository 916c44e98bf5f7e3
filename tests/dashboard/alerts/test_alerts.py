from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pytest

from loss_dashboard.alerts import find_alerts
from loss_dashboard.curves.live_curves import LiveCurves
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader
from loss_dashboard.web._run_view import view
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from pathlib import Path

    from loss_dashboard.alerts import Alert

Curve = Callable[[int], float | None]


def alerts(
    folder: Path,
    losses: Mapping[str, Curve],
    weights: Mapping[str, Curve] | None = None,
    method: str | None = None,
    steps: int = 400,
) -> list[Alert]:
    """The alerts of a run with these curves, where None is a step without that loss."""
    with CsvLogger(folder / "run") as logger:
        if method:
            logger.log_hyperparams({"weighting": {"method": method}})
        for step in range(steps):
            row = {f"loss/{name}": curve(step) for name, curve in losses.items()}
            row |= {f"weight/{name}": curve(step) for name, curve in (weights or {}).items()}
            row = {name: value for name, value in row.items() if value is not None}
            logger.log_rows([(step, 1e9 + step, row)])
    return find_alerts(RunReader(logger.path))


def noise(_step: int) -> float:
    return 1 + random.random()


def test_a_calm_run_has_none(tmp_path: Path) -> None:
    losses = {"G": noise, "D": lambda step: noise(step) * math.exp(-step / 50)}
    weights = {"G": lambda step: 0.3 + 1e-4 * step, "D": lambda step: 0.7 - 1e-4 * step}

    assert alerts(tmp_path, losses, weights, "CoVWeighting") == []


@pytest.mark.parametrize("method", [None, "PlainSum", "EqualWeighting", "StaticWeighting"])
def test_constant_weights_are_not_frozen(tmp_path: Path, method: str | None) -> None:
    weights = {"G": lambda _: 1e-4, "D": lambda _: 1.0}

    assert alerts(tmp_path, {"G": noise, "D": noise}, weights, method) == []


def test_a_loss_that_is_lost_is_counted_from_its_first_step(tmp_path: Path) -> None:
    values = {7: math.nan, 8: math.inf, 300: math.nan}

    (alert,) = alerts(tmp_path, {"G": lambda step: values.get(step, 1.0)})

    assert alert == (
        "nonfinite",
        "G",
        7,
        "G was NaN or infinite 3 times, first at step 7",
    )


def test_a_line_without_the_loss_is_no_nan(tmp_path: Path) -> None:
    losses = {"G": lambda step: 1.0 if step % 2 else None}

    with CsvLogger(tmp_path / "run") as logger:
        for step in range(50):
            logger.log_metrics({"loss/G": 1.0, "weight/G": 1.0}, step=step)
            logger.log_metrics({"accuracy/G": 0.5}, step=step)

    assert find_alerts(RunReader(logger.path)) == []
    assert alerts(tmp_path, losses) == []


def test_losses_of_a_file_without_a_column_for_them_are_no_nan(tmp_path: Path) -> None:
    with CsvLogger(tmp_path / "run") as logger:
        for step in range(30):
            row = {"loss/G": math.nan if step == 7 else 1.0, "weight/G": 1.0, "mean/G": 1.0}
            logger.log_metrics(row, step=step)
    bare = "".join(f"{step},1e9,G,1.0,1.0\n" for step in range(30, 60))
    (logger.path / "losses-2.csv").write_text("step,time,name,weight,mean\n" + bare)

    reader = RunReader(logger.path)
    shown = view(reader, LiveCurves(ViewOptions()))

    assert reader.problems == ["losses-2.csv has no column loss."]
    assert [alert.text for alert in find_alerts(reader)] == ["G was NaN or infinite at step 7"]
    assert (shown["losses"][0]["last"], shown["losses"][0]["lost"]) == (None, 1)
    assert shown["curves"]["each"]["G"]["lost"] == [[7, 1]]


def test_a_spike_is_told_with_its_size(tmp_path: Path) -> None:
    (alert,) = alerts(tmp_path, {"G": lambda step: 50.0 if step == 200 else 2.0})

    assert alert[:3] == ("spike", "G", 200)
    assert alert.text == "G was over 10 times its running mean at step 200 (50 against 2)"


def test_a_loss_that_changes_its_sign_is_compared_by_its_size(tmp_path: Path) -> None:
    def actor(step: int) -> float:
        return 5 * math.sin(step / 30) + random.uniform(-0.1, 0.1)

    assert alerts(tmp_path / "calm", {"actor": actor, "entropy": lambda _: -1.2}) == []
    (alert,) = alerts(tmp_path / "jump", {"actor": lambda at: -90.0 if at == 300 else actor(at)})

    assert alert[:3] == ("spike", "actor", 300)
    assert "over 10 times the running mean of its size at step 300 (-90 against 3." in alert.text


def test_a_wild_start_is_no_spike(tmp_path: Path) -> None:
    assert alerts(tmp_path, {"G": lambda step: 1000.0 if step == 1 else 1.0}) == []


def test_a_loss_that_stopped_is_found_but_not_one_that_is_rare(tmp_path: Path) -> None:
    losses: dict[str, Curve] = {
        "G": noise,
        "D": lambda step: 1.0 if step < 100 else None,
        "E": lambda step: 1.0 if step % 150 == 0 else None,
    }

    (alert,) = alerts(tmp_path, losses)

    assert alert == ("stopped", "D", 99, "D is no longer logged since step 99")


@pytest.mark.parametrize(
    ("share", "kinds"),
    [(0.04, ["large weight"]), (0.001, ["small weight", "large weight"])],
)
def test_an_extreme_weight_is_found_if_it_stays(
    tmp_path: Path, share: float, kinds: list[str]
) -> None:
    def weight(step: int) -> float:
        return share + 1e-6 * step if 100 <= step < 250 else 0.5 + 1e-6 * step

    weights = {"G": weight, "D": lambda step: 1 - weight(step)}

    found = alerts(tmp_path, {"G": noise, "D": noise}, weights, "CoVWeighting")

    assert [(alert.kind, alert.step) for alert in found] == [(kind, 100) for kind in kinds]
    assert all("for 150 steps" in alert.text for alert in found)


def test_an_extreme_weight_for_a_moment_is_none(tmp_path: Path) -> None:
    def weight(step: int) -> float:
        return 0.001 if 100 <= step < 190 else 0.5 + 1e-6 * step

    weights = {"G": weight, "D": lambda step: 1 - weight(step)}

    assert alerts(tmp_path, {"G": noise, "D": noise}, weights, "CoVWeighting") == []


@pytest.mark.parametrize("reference", ["", "recon"])
def test_a_weight_that_its_limit_holds_is_found(tmp_path: Path, reference: str) -> None:
    """A network meets the boundary by giving 0, and the gradient of that loss vanishes."""
    torch = pytest.importorskip("torch")
    from multi_loss_weighting import GradientShareWeighting, LossGroup

    value = torch.ones(2, requires_grad=True)
    weighting = GradientShareWeighting([value], every=1, reference=reference or None)
    with CsvLogger(tmp_path / "run") as logger:
        group = LossGroup(["recon", "boundary"], logger, weighting=weighting)
        for step in range(300):
            vanishing = value[1] * math.exp(-step / 10)
            group.update({"recon": value[0] * (1 + step % 3), "boundary": vanishing})

    (alert,) = (one for one in find_alerts(RunReader(logger.path)) if one.kind == "capped weight")
    assert alert.loss == "boundary"
    assert "was held at its limit (max_weight=100) for 2" in alert.text
    assert weighting.capped["boundary"] > 200


def test_many_losses_may_each_weigh_little(tmp_path: Path) -> None:
    names = [f"task{number}" for number in range(150)]
    weights = {name: lambda step: 1 / 150 + 1e-9 * step for name in names}

    assert alerts(tmp_path, dict.fromkeys(names, noise), weights, "CoVWeighting", 120) == []


def test_weights_that_stop_moving_are_frozen(tmp_path: Path) -> None:
    weights = {"G": lambda step: min(step, 200) * 1e-3 + 0.1, "D": lambda _: 0.5}

    (alert,) = alerts(tmp_path, {"G": noise, "D": noise}, weights, "CoVWeighting")

    assert alert[:3] == ("frozen", "", 200)


def test_weights_of_losses_that_stand_still_are_not_frozen(tmp_path: Path) -> None:
    constant = {"G": lambda _: 1.0, "D": lambda _: 2.0}

    assert alerts(tmp_path, constant, constant, "CoVWeighting") == []


@pytest.mark.parametrize("method", ["AutomaticWeightedLoss", "UncertaintyWeighting"])
def test_learned_weights_that_never_moved_are_in_no_optimizer(tmp_path: Path, method: str) -> None:
    weights = {"G": lambda _: 0.5, "D": lambda _: 0.5}

    (alert,) = alerts(tmp_path, {"G": noise, "D": noise}, weights, method)

    assert alert.kind == "unmoved"
    assert "optimizer" in alert.text


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_real_training_raises_the_alerts_it_deserves(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from multi_loss_weighting import AutomaticWeightedLoss, LossGroup

    with CsvLogger(tmp_path / "run") as logger:
        group = LossGroup(["G", "D"], logger, weighting=AutomaticWeightedLoss(2))
        for step in range(150):
            lost = math.nan if step == 42 else 1.0
            losses = {"G": torch.rand(()) + 1, "D": torch.rand(()) * lost}
            group.update(losses, do_backwards=False)

    found = find_alerts(RunReader(logger.path))

    assert [(alert.kind, alert.step) for alert in found] == [("unmoved", 0), ("nonfinite", 42)]


def test_runs_without_rows_have_no_alerts(tmp_path: Path) -> None:
    CsvLogger(tmp_path / "run").close()

    assert find_alerts(RunReader(tmp_path / "run")) == []
