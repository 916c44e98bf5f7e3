"""The alerts of a whole run and those of its rows one by one are the same."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from loss_dashboard.alerts import find_alerts
from loss_dashboard.reading import RunReader
from loss_loggers import CsvLogger
from loss_loggers.alerts._running_alerts import RunningAlerts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loss_loggers import Row

METHODS = [
    "CoVWeighting",
    "AutomaticWeightedLoss",
    "UncertaintyWeighting",
    "PlainSum",
    "MyWeighting",
    "GradientShareWeighting",
]
LIMITS = [None, "x", 1.0, 2.0, 100, 3000.0, math.inf]


class Stream:
    """Rows with as much trouble as a run can have."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        chance = self.random.random
        self.scopes = self.random.choice([[""], ["", "val/"], ["a/", "b/"]])
        self.method = self.random.choice(METHODS)
        self.limit = self.random.choice(LIMITS)
        self.reference = self.random.choice([None, "l0", "l1", "l9"])
        names = [f"{scope}l{number}" for scope in self.scopes for number in range(3)]
        self.joins = {name: self.random.choice([0, 0, 0, 50, 150]) for name in names}
        self.stops = {name: self.random.choice([9999, 9999, 9999, 130, 250]) for name in names}
        self.every = {name: self.random.choice([*[1] * 9, 40]) for name in names}
        self.trouble = self.random.choice([0.0, 0.003, 0.02])
        self.frozen = self.random.choice([(999, 999), (0, 999), (260, 999), (160, 300), (20, 400)])
        self.extreme = self.random.choice([(999, 999), (0, 999), (200, 350), (200, 290), (20, 500)])
        self.constant = chance() < 0.2
        self.is_split = chance() < 0.3
        self.back = chance() < 0.2

    @property
    def settings(self) -> dict[str, Any]:
        how = {"method": self.method, "max_weight": self.limit, "reference": self.reference}
        return {f"{scope}weighting": how for scope in self.scopes}

    def rows(self) -> Iterator[Row]:
        steps = [*range(700)]
        if self.back:
            steps[400:400] = range(300, 400)
        for index, step in enumerate(steps):
            row: dict[str, float] = {}
            for name in self.joins:
                if self.joins[name] <= step <= self.stops[name] and step % self.every[name] == 0:
                    one = {f"loss/{name}": self.loss(), f"weight/{name}": self.weight(step, name)}
                    if self.is_split:
                        yield step, 1e9 + index, one
                    row |= one
            if row and not self.is_split:
                yield step, 1e9 + index, {**row, "loss/total": math.nan, "lr": 0.1}

    def loss(self) -> float:
        if self.random.random() < self.trouble:
            return self.random.choice([math.nan, math.inf, -math.inf, 60.0, -80.0, 0.0, 1e308])
        return 1.0 if self.constant else 1 + self.random.random()

    def weight(self, step: int, name: str) -> float:
        if self.frozen[0] <= step <= self.frozen[1]:
            step = self.frozen[0]
        if self.extreme[0] <= step <= self.extreme[1] and name.endswith("l0"):
            return 1e-4 + 1e-9 * step
        return 0.3 + 1e-4 * step


@pytest.mark.parametrize("seed", range(60))
def test_they_are_the_same_at_any_time(tmp_path: Path, seed: int) -> None:
    stream = Stream(seed)
    rows = list(stream.rows())
    alerts = RunningAlerts()
    alerts.add_settings(stream.settings)

    with CsvLogger(tmp_path / "run") as logger:
        logger.log_hyperparams(stream.settings)
        reader = RunReader(logger.path)
        for end in sorted({*range(0, len(rows), 97), len(rows)})[1:]:
            begin = 97 * ((end - 1) // 97)
            logger.log_rows(rows[begin:end])
            reader.poll()
            for row in rows[begin:end]:
                alerts.add(*row)

            assert alerts.now() == find_alerts(reader)
