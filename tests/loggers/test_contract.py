"""What all loggers promise, held for each of them with the real thing behind it.

What is particular to one is in the test of that one, in `backends/` and `recording/`.
"""

from __future__ import annotations

import copy
import math
import re
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tests.loggers.conftest import failed_in_a_fork
from tests.loggers.contract_backends import BACKENDS, Opened

from loss_loggers import Background, BaseLogger, Logger, Tee
from loss_loggers.backends._adapter import Adapter
from multi_loss_weighting import LossGroup

if TYPE_CHECKING:
    from tests.loggers.contract_backends import Curves

STEPS = 5
FORKED = 3
KINDS: dict[str, Any] = {
    "loss/bf16": torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True),
    "loss/float64": torch.tensor(0.25, dtype=torch.float64),
    "loss/numpy": np.float32(0.75),
    "loss/array": np.array(2.5),
    "loss/int": 3,
    "loss/bool": True,
    "loss/nan": math.nan,
    "loss/inf": math.inf,
    "loss/minus": -math.inf,
    "loss/text": "much",
}
NAMES = (
    "",
    "loss/ü b.c",
    "loss/line\nbreak",
    "loss/a=b",
    "loss/a*b",
    "\ud800",
    "step",
    "_step",
    "l" * 300,
    "l" * 301,
)
SETTINGS = {"own": {"deep": 0.5, "list": ["a|b", "c"]}, "odd": "`x`", "none": None}


@dataclass
class Story:
    """A logger, what it was told, and what arrived."""

    opened: Opened
    curves: Curves = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)

    def tell(self) -> None:
        logger = self.opened.logger
        tee, now = Tee(logger), time.time() + 10
        tee.log_hyperparams(SETTINGS)
        for name in ("recon", "kl"):
            LossGroup([name], tee, scope="own").update({name: 4.0}, do_backwards=False, step=0)
        for step in range(STEPS):
            logger.log_metrics({"loss/G": step / 4, "weight/val/G": 1, "lr": 0.5}, step=step)
        rows = [(STEPS + n, now + n, {"loss/G": (STEPS + n) / 4}) for n in range(STEPS)]
        tee.log_rows(rows)
        logger.log_metrics(KINDS, step=np.int64(10))
        logger.log_metrics(dict(zip(NAMES, range(1, 1 + len(NAMES)), strict=True)), step=11)
        logger.log_epoch(3, {"G": (0.625, 128.0)}, step=12)
        self.failed["before the end"] = logger.failed
        self.failed["in a fork"] = failed_in_a_fork(logger, FORKED)

    def end(self) -> None:
        logger = self.opened.logger
        if not self.opened.is_ours:
            logger.close()
            logger.close()
            logger.log_metrics({"loss/closed": 1.0}, step=14)
        self.opened.end()
        for step in (15, 16):
            logger.log_metrics({"loss/after": 1.0}, step=step)
        self.opened.end()
        logger.close()


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda backend: backend.__name__)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story of a logger, told once for all tests of it."""
    told = Story(request.param(tmp_path_factory.mktemp(request.param.__name__)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        told.tell()
        told.end()
        told.curves, told.settings = told.opened.curves(), told.opened.settings()
    told.said = [str(one.message) for one in caught if one.category is RuntimeWarning]
    return told


def test_it_is_a_logger(story: Story) -> None:
    assert isinstance(story.opened.logger, Logger)
    assert isinstance(story.opened.logger, BaseLogger)


def test_each_row_arrives_with_its_step(story: Story) -> None:
    assert story.curves["loss/G"] == [(step, step / 4) for step in range(2 * STEPS)]
    assert story.curves["weight/val/G"] == [(step, 1.0) for step in range(STEPS)]
    assert story.curves["lr"] == [(step, 0.5) for step in range(STEPS)]


def test_numbers_of_any_kind_arrive(story: Story) -> None:
    found = {name: story.curves[name] for name in KINDS if name in story.curves}

    assert math.isnan(found.pop("loss/nan")[0][1])
    assert found == {
        "loss/bf16": [(10, 0.5)],
        "loss/float64": [(10, 0.25)],
        "loss/numpy": [(10, 0.75)],
        "loss/array": [(10, 2.5)],
        "loss/int": [(10, 3.0)],
        "loss/bool": [(10, 1.0)],
        "loss/inf": [(10, story.opened.infinity)],
        "loss/minus": [(10, -story.opened.infinity)],
    }


def test_what_is_no_number_is_told(story: Story) -> None:
    is_told = any("loss/text is a number; got str" in words for words in story.said)

    assert is_told or story.opened.stays_in_a_fork  # a list keeps whatever comes


def test_names_of_any_kind_arrive_and_no_two_become_one(story: Story) -> None:
    arrived = [value for points in story.curves.values() for step, value in points if step == 11]

    assert sorted(arrived) == [float(number) for number in range(1, 1 + len(NAMES))]


def test_the_means_of_an_epoch_arrive(story: Story) -> None:
    assert story.curves["epoch_loss/G"] == [(12, 0.625)]


def test_nested_settings_and_those_of_each_group_arrive(story: Story) -> None:
    opened = story.opened
    if not hasattr(opened.logger, "log_hyperparams"):
        return  # a file of rows alone
    names = ["own/deep", "own/list/2", "losses/1", *["losses/2"] * opened.takes_later_settings]

    found = {name: str(story.settings[f"loss_weighting/{name}"]) for name in names}

    assert [*found.values()] == ["0.5", "c", "own/recon", "own/kl"][: len(names)]
    assert "loss_weighting/own/list/1" in story.settings


def test_its_close_leaves_the_run_to_its_user(story: Story) -> None:
    assert ("loss/closed" in story.curves) is not story.opened.is_ours


def test_a_row_after_the_end_arrives_or_is_counted(story: Story) -> None:
    arrived = len(story.curves.get("loss/after", ()))

    assert arrived == (2 if story.opened.takes_rows_after_end else 0)
    assert story.opened.logger.failed == 2 - arrived
    told = [words for words in story.said if re.search("is closed|is finished|has ended", words)]
    assert len(told) == (0 if arrived else 1)


def test_nothing_fails_before_the_end(story: Story) -> None:
    assert story.failed["before the end"] == 0


def test_a_forked_process_leaves_it_to_its_parent(story: Story) -> None:
    expected = 0 if story.opened.stays_in_a_fork else FORKED

    assert story.failed["in a fork"] == expected


def test_a_copy_of_a_model_shares_it(story: Story) -> None:
    logger = story.opened.logger

    assert copy.deepcopy({"logger": logger})["logger"] is logger


def test_its_target_names_it_and_does_not_change(story: Story) -> None:
    logger = story.opened.logger

    assert logger.target == Tee(logger).target
    assert logger.target.isprintable()


def test_a_background_takes_it_unless_it_is_bound_to_the_thread(story: Story) -> None:
    logger = story.opened.logger

    if story.opened.is_for_threads:
        with Background(logger):
            pass
    else:
        with pytest.raises(TypeError, match=r"cannot leave the thread that trains: .* Every\(10"):
            Background(logger)


def test_what_it_cannot_wrap_is_an_error(story: Story) -> None:
    """That says what it needs, and what came."""
    logger = story.opened.logger
    if not isinstance(logger, Adapter) or story.opened.is_ours:
        return  # it wraps nothing
    kind: Any = type(logger)

    with pytest.raises(TypeError, match=r"is needed; got NoneType"):
        kind(None)
    with pytest.raises(TypeError, match=f"got the class {kind.__name__}, not an instance of it"):
        kind(kind)
