"""One to three sentences say what of a run deserves a look, the same ones everywhere."""

from __future__ import annotations

import json
import math
import random
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from zlib import decompress

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from loss_dashboard.alerts import explain, in_words
from loss_dashboard.cli.losses import app
from loss_dashboard.curves.shares import held_since, shares
from loss_dashboard.curves.view_options import ViewOptions
from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Row = dict[str, float]
COV = {"weighting": {"method": "CoVWeighting"}}


def noise(_step: int = 0) -> float:
    return 1 + random.random()


def run(
    folder: Path,
    row: Callable[[int], Row],
    steps: Iterable[int] = range(400),
    settings: dict[str, Any] = COV,
) -> RunReader:
    with CsvLogger(folder / "gan") as logger:
        logger.log_hyperparams(settings)
        logger.log_rows([(step, 1e9 + step, row(step)) for step in steps])
    return RunReader(logger.path, columns=())


def moving(step: int, **losses: float) -> Row:
    """Losses whose weights move, and are unequal."""
    weights = [0.2 + 1e-4 * (step % 97) + 0.3 * place for place in range(len(losses))]
    named = zip(losses, weights, strict=True)
    values = {f"loss/{name}": value for name, value in losses.items()}
    return values | {f"weight/{name}": weight for name, weight in named}


def said(reader: RunReader) -> str:
    return in_words(explain(reader))


def test_nothing_stands_out_in_a_calm_run(tmp_path: Path) -> None:
    reader = run(tmp_path, lambda step: moving(step, G=noise(), D=noise()))

    assert said(reader) == "Nothing stands out."


def test_a_loss_that_is_nearly_all_of_the_total_is_named_with_its_share_and_since_when(
    tmp_path: Path,
) -> None:
    def row(step: int) -> Row:
        return moving(step, recon=1.0 if step < 800 else 40.0, kl=0.75)

    assert said(run(tmp_path, row, range(0, 2000, 4))).startswith(
        "recon makes 96 % of the total since step 800."
    )


def test_a_loss_that_always_was_nearly_all_has_no_step(tmp_path: Path) -> None:
    reader = run(tmp_path, lambda step: moving(step, recon=90 * noise(), kl=0.01))

    assert said(reader) == "recon makes 100 % of the total from the first step on."


def test_a_validation_is_no_part_of_the_total(tmp_path: Path) -> None:
    def row(step: int) -> Row:
        return moving(step, G=noise(), D=noise()) | {
            "loss/val/G": 1e4 * noise(),
            "weight/val/G": 1.0,
        }

    reader = run(tmp_path, row, settings=COV | {"val/weighting": {"method": "PlainSum"}})

    assert "makes" not in said(reader)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ({"lr": lambda step: 0.01 if step < 270 else 0.5}, "lr went from 0.01 to 0.5 at step 270"),
        (
            {"optim/learning_rate": lambda step: 0.5 if step < 270 else 0.01},
            "optim/learning_rate went from 0.5 to 0.01 at step 270",
        ),
        (
            {"loss/D": lambda step: 90.0 if step == 280 else 1.5},
            "a spike of D at step 280 (90 against 1.5)",
        ),
        ({"loss/D": lambda step: 6.0 if step == 290 else 1.5}, "a clamp of D at step 290"),
        (
            {"norm": lambda step: 80.0 if step == 299 else 2.0},
            "a spike of norm at step 299 (80 against 2)",
        ),
        (
            {"norm": lambda step: math.nan if step == 299 else 2.0},
            "norm was nan at step 299",
        ),
    ],
)
def test_what_preceded_a_nan_is_said(
    tmp_path: Path, cause: dict[str, Callable[[int], float]], words: str
) -> None:
    def row(step: int) -> Row:
        more = {name: value(step) for name, value in cause.items()}
        return moving(step, G=math.nan if step >= 300 else noise(), D=noise()) | more

    limits = {"max_loss": {"D": 5.0 if "clamp" in words else 1e9}}
    assert said(run(tmp_path, row, settings=COV | limits)) == (
        f"G was NaN or infinite 100 times, first at step 300, after {words}."
    )


def test_what_was_long_before_a_nan_or_after_it_is_no_cause(tmp_path: Path) -> None:
    def row(step: int) -> Row:
        rate = 0.01 if 150 < step < 320 else 0.5
        return moving(step, G=math.nan if step >= 300 else noise(), D=noise()) | {"lr": rate}

    assert said(run(tmp_path, row)) == "G was NaN or infinite 100 times, first at step 300."


def test_causes_are_told_in_the_order_of_time_and_a_schedule_is_none(tmp_path: Path) -> None:
    def row(step: int) -> Row:
        loss = math.nan if step >= 300 else 90.0 if step == 290 else 1.5
        rates = {"lr": 0.1 * 0.99**step, "lr-head": 0.1 if step < 280 else 0.2}
        return moving(step, G=loss, D=noise()) | rates | {"clamped/G": float(step >= 290)}

    assert said(run(tmp_path, row, settings=COV | {"max_loss": {"G": 9.0}})) == (
        "G was NaN or infinite 100 times, first at step 300, after lr-head went from 0.1 to 0.2 at"
        " step 280, a spike of G at step 290 (90 against 1.5) and a clamp of G at step 290."
    )


def test_losses_that_were_lost_are_one_sentence(tmp_path: Path) -> None:
    first = {"a": 310, "b": 300, "c": 305, "d": 999}

    def row(step: int) -> Row:
        losses = {name: math.nan if step >= at else noise() for name, at in first.items()}
        return moving(step, **losses)

    assert said(run(tmp_path, row)) == (
        "b was NaN or infinite 100 times, first at step 300; c and a from step 305 on."
    )


def test_a_loss_that_stopped_is_named(tmp_path: Path) -> None:
    def row(step: int) -> Row:
        losses = moving(step, G=noise(), D=noise())
        return {key: value for key, value in losses.items() if step < 200 or "D" not in key}

    assert said(run(tmp_path, row)).startswith("D is no longer logged since step 199.")


@pytest.mark.parametrize(
    ("apart", "told"),
    [
        (
            0.0,
            "The weights have stayed the same since step 0, for 399 steps."
            " The weights have been equal since step 0.",
        ),
        (0.04, "The weights have hardly differed from equal since step 0, by 4.0 % at most."),
        (0.2, "Nothing stands out."),
    ],
)
def test_weights_that_hardly_differ_from_equal_are_named(
    tmp_path: Path, apart: float, told: str
) -> None:
    def row(step: int) -> Row:
        own = 0.5 * (1 + apart * math.cos(step))
        return {"loss/G": noise(), "loss/D": noise(), "weight/G": own, "weight/D": 1 - own}

    assert said(run(tmp_path, row)) == told


def test_constant_weights_are_not_said_to_be_equal(tmp_path: Path) -> None:
    def row(_: int) -> Row:
        return {"loss/G": noise(), "loss/D": noise(), "weight/G": 1.0, "weight/D": 1.0}

    assert said(run(tmp_path, row, settings={"weighting": {"method": "PlainSum"}})) == (
        "Nothing stands out."
    )


FOR_ALL = "for 400 steps from step 0."


@pytest.mark.parametrize("others", [1, 2, 9])
@pytest.mark.parametrize(
    ("size", "heavy", "limit", "told"),
    [
        (1e-4, 1e4, 1e9, f"G had a share of the weights over 0.95 {FOR_ALL}"),
        (
            1.0,
            1e4,
            1e9,
            "G makes 100 % of the total from the first step on, with a share of the weights over"
            f" 0.95 {FOR_ALL}",
        ),
        (0.01, 100.0, 100, f"The weight of G was held at its limit (max_weight=100) {FOR_ALL}"),
    ],
)
def test_a_weight_that_is_nearly_all_of_them_is_one_sentence(
    tmp_path: Path, others: int, size: float, heavy: float, limit: float, told: str
) -> None:
    losses = {f"task_{number}": (1.0, 1.0) for number in range(others)} | {"G": (size, heavy)}

    def row(step: int) -> Row:
        scale = 1 + 1e-4 * (step % 97)
        values = {f"loss/{name}": own * noise() for name, (own, _) in losses.items()}
        return values | {f"weight/{name}": own * scale for name, (_, own) in losses.items()}

    settings = {"weighting": {"method": "CoVWeighting", "max_weight": limit}}

    assert said(run(tmp_path, row, settings=settings)) == told


def test_recorded_gradients_say_what_diagnose_would(tmp_path: Path) -> None:
    def row(step: int) -> Row:
        gradients = {"gradient_norm/G": 1.0, "gradient_norm/D": 90.0, "gradient_cosine/G-D": 0.5}
        return moving(step, G=noise(), D=noise()) | (gradients if step % 20 == 0 else {})

    assert said(run(tmp_path, row)) == (
        "The losses differ in size: the gradient of 'D' is 90 times that of 'G' (sure: 20 of 20"
        " measurements). Try GradientShareWeighting(parameters) first: sizes of the losses do not"
        " explain it."
    )


def test_gradients_that_do_not_differ_say_nothing(tmp_path: Path) -> None:
    def row(step: int) -> Row:
        gradients = {"gradient_norm/G": 1.0, "gradient_norm/D": 2.0, "gradient_cosine/G-D": 0.5}
        return moving(step, G=noise(), D=noise()) | gradients

    assert said(run(tmp_path, row)) == "Nothing stands out."


def test_there_are_three_sentences_at_most_and_the_gravest_come_first(tmp_path: Path) -> None:
    def row(step: int) -> Row:
        own = {"weight/G": 0.5, "weight/D": 0.5, "weight/E": 1e-9}
        gradients = {"gradient_norm/G": 1.0, "gradient_norm/D": 90.0}
        losses = {"loss/G": 99 * noise(), "loss/D": math.nan if step > 300 else 1.0}
        return losses | {"loss/E": 300.0 if step == 200 else noise()} | own | gradients

    found = explain(run(tmp_path, row))

    assert [alert.kind for alert in found] == ["nonfinite", "frozen", "dominant"]


@given(
    st.lists(st.sampled_from([0.0, 0.5, 2.0, 40.0, math.nan]), min_size=1, max_size=150),
    st.integers(1, 4),
)
def test_a_share_is_held_at_the_end_whenever_it_is_the_share(
    values: list[float], every: int
) -> None:
    def own(loss: np.ndarray[Any, np.dtype[np.float64]], each: int) -> dict[str, Any]:
        steps = np.arange(len(loss), dtype=float)[::each]
        return {"step": steps, "loss": loss[::each], "weight": np.ones(len(steps))}

    losses = {"G": own(np.array(values), every), "D": own(np.ones(len(values)), 1)}
    share = shares(losses)["G"]

    since = held_since(losses, "G", 0.6)

    assert (since == since) == (share >= 0.6 - 1e-12) or abs(share - 0.6) < 1e-9


def test_it_is_the_same_everywhere(tmp_path: Path) -> None:
    reason = "needs the dashboard extra"
    run_session: Any = pytest.importorskip("loss_dashboard.web._run_session", reason=reason)

    def row(step: int) -> Row:
        spike = {"loss/G": 90.0} if step == 190 else {}
        rate = {"lr": 0.1 if step < 150 else 0.5}
        return moving(step, G=math.nan if step >= 200 else 1.5, D=noise()) | spike | rate

    reader = run(tmp_path, row, settings=COV | {"max_loss": {"G": 9.0}})
    words = said(reader)
    session = run_session.RunSession(reader.path, lambda _: True)
    session.poll()
    page = json.loads(session.answer(ViewOptions())[0])["explained"]

    assert "a clamp of G" in words
    assert page == words
    assert printed("explain", reader.path) == f"{words}\n"
    assert words in printed("watch", "--once", reader.path)
    assert words in printed("watch", "--plain", reader.path).splitlines()
    printed("report", reader.path, "-o", tmp_path / "losses.html")
    assert report(tmp_path / "losses.html")["views"][0]["explained"] == words


def printed(*arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done.output


def report(path: Path) -> Any:
    (packed,) = re.findall(r'id="embedded">(.*?)</script>', path.read_text())
    return json.loads(decompress(b64decode(packed)))
