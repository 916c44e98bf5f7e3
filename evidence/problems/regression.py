"""An electric circuit: four outputs whose natural units are some 1,000 apart.

A resistor, a coil and a capacitor in series at some frequency: Friedman's circuit (1991), known
from scikit-learn's `make_friedman2` and `make_friedman3`, with the capacitance in microfarads. The
network gives standardised outputs in both problems; only the units of the losses differ.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from ._problem import Problem
from ._stack import Network, batches, generator, stacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OUTPUTS = ("impedance", "reactance", "phase", "power_factor")
TRAINING, HELD_OUT, BATCH = 1000, 2000, 64
NOISE = 0.05  # of an output's standard deviation
WIDTH = 64


class CircuitTask:
    """Learn the four outputs from noisy examples."""

    def __init__(self, seeds: Sequence[int], *, raw_units: bool) -> None:
        self._inputs, self._targets = examples(seeds)
        self._test_inputs, truth = circuit(generator(0, "held out"), HELD_OUT)
        self._truth = (truth - MEAN) / SPREAD
        self._units = SPREAD if raw_units else torch.ones_like(SPREAD)
        self._batches = batches(seeds, TRAINING, BATCH)
        self._network = Network(seeds, "circuit", (4, WIDTH, WIDTH, len(OUTPUTS)))
        self.parameters: Sequence[Tensor] = self._network.parameters
        self.shared: Sequence[Tensor] = [self._network.weights[-2]]

    def losses(self, step: int) -> Mapping[str, Tensor]:
        """The mean squared error of each output, in its unit."""
        chosen = self._batches.at(step)
        rows = torch.arange(len(chosen))[:, None]
        errors = self._network(self._inputs[rows, chosen]) - self._targets[rows, chosen]
        means = (errors * self._units).square().mean(dim=1)
        return dict(zip(OUTPUTS, means.unbind(dim=1), strict=True))

    @torch.no_grad()
    def metric(self) -> Tensor:
        """The root mean squared error in standard deviations, its mean over the outputs."""
        return self._errors().mean(dim=1)

    @torch.no_grad()
    def parts(self) -> dict[str, Tensor]:
        """The root mean squared error of each output."""
        return dict(zip(OUTPUTS, self._errors().unbind(dim=1), strict=True))

    @torch.no_grad()
    def collapsed(self) -> Tensor:
        """Whether an output hardly depends on the inputs."""
        return (self._predicted().std(dim=1) < 0.05).any(dim=1)

    def _errors(self) -> Tensor:
        return (self._predicted() - self._truth).square().mean(dim=1).sqrt()

    def _predicted(self) -> Tensor:
        return self._network(self._test_inputs.expand(len(self.parameters[0]), -1, -1))


def circuit(random: Generator, samples: int) -> tuple[Tensor, Tensor]:
    """Resistance, frequency, inductance and capacitance between -1 and 1; the outputs."""
    inputs = torch.rand(samples, 4, generator=random)
    low = torch.tensor([0.0, 40 * torch.pi, 0.0, 1e-6])
    high = torch.tensor([100.0, 560 * torch.pi, 1.0, 11e-6])
    resistance, frequency, inductance, capacitance = (low + (high - low) * inputs).unbind(dim=1)
    reactance = frequency * inductance - 1 / (frequency * capacitance)
    impedance = torch.hypot(resistance, reactance)
    phase = torch.atan2(reactance, resistance)
    outputs = torch.stack([impedance, reactance, phase, resistance / impedance], dim=1)
    return 2 * inputs - 1, outputs


def examples(seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Inputs and noisy standardised outputs, other ones for each seed."""
    drawn = [circuit(generator(seed, "examples"), TRAINING) for seed in seeds]
    outputs = torch.stack([(output - MEAN) / SPREAD for _, output in drawn])
    shape = outputs.shape[1:]
    noise = stacked(seeds, "noise", lambda random: torch.randn(shape, generator=random))
    return torch.stack([inputs for inputs, _ in drawn]), outputs + NOISE * noise


_, _sample = circuit(generator(0, "units"), 10_000)
MEAN, SPREAD = _sample.mean(dim=0), _sample.std(dim=0)
"""Of each output, in ohms, ohms, radians and 1."""


def _problem(name: str, title: str, family: str, *, raw_units: bool) -> Problem:
    return Problem(
        name=name,
        title=title,
        family=family,
        losses=OUTPUTS,
        metric="error in standard deviations",
        measures="the root of each loss in standard deviations, on held-out examples without noise",
        make=partial(CircuitTask, raw_units=raw_units),
        steps=800,
        full_steps=4000,
        rates=(3e-3, 1e-2, 3e-2),
        constants={"phase": (1.0, 1e5), "power_factor": (1.0, 1e6)},
    )


PROBLEMS = (
    _problem("circuit_raw", "Circuit, raw units", "should matter", raw_units=True),
    _problem("circuit_unit", "Circuit, unit variance", "should not matter", raw_units=False),
)
