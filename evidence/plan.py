"""Which fits there are: the protocol of the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from .cost import Cost
from .fit import Fit
from .methods import ALL, METHODS, Method
from .problems import PROBLEMS, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DEAR = ("digits_both", "circuit_unit", "adversarial", "vae_sum")
"""Where the standard run has the methods that are dear."""


@dataclass(frozen=True)
class Mode:
    """How much is run."""

    name: str
    seeds: int
    steps: Callable[[Problem], int]
    has_dear: Callable[[Problem], bool]
    problems: tuple[str, ...] | None = None
    """None for all."""
    methods: tuple[str, ...] | None = None
    rates: int | None = None
    """How many learning rates, the middle ones; None for all."""


LEFT_OUT = ("helmholtz", "stereo_4")
"""Problems that only the full run has the time for."""

STANDARD = Mode(
    "standard",
    10,
    lambda it: it.steps,
    lambda it: it.name in DEAR,
    problems=tuple(name for name in PROBLEMS if name not in LEFT_OUT),
)
FULL = Mode("full", 10, lambda it: it.full_steps, lambda _: True)
QUICK = Mode(
    "quick",
    3,
    lambda _: 60,
    lambda _: True,
    problems=("circuit_raw", "circuit_unit"),
    rates=1,
)


@dataclass(frozen=True)
class Plan:
    """A mode, and the problems and methods that were chosen of it."""

    mode: Mode
    problems: tuple[Problem, ...]
    methods: tuple[Method, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The same for all methods, so that each can be compared with itself."""
        return tuple(range(self.mode.seeds))

    @property
    def halves(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What is chosen for the seeds of one half is chosen on the other."""
        middle = self.mode.seeds // 2
        return self.seeds[:middle], self.seeds[middle:]

    def rates(self, problem: Problem) -> tuple[float, ...]:
        """The learning rates to choose from."""
        count = self.mode.rates or len(problem.rates)
        start = (len(problem.rates) - count) // 2
        return problem.rates[start : start + count]

    def methods_for(self, problem: Problem) -> list[Method]:
        """The methods that a problem is trained with."""
        has_dear = self.mode.has_dear(problem)
        return [it for it in self.methods if it.fits(problem) and (has_dear or not it.is_dear)]

    def candidates(self, problem: Problem, method: Method) -> list[Fit]:
        """What to choose from: a fit for each rate, and for each constant of the grid."""
        return [
            Fit(problem.name, name, rate, self.seeds, self.mode.steps(problem), weights)
            for name, weights in _settings(problem, method)
            for rate in self.rates(problem)
        ]

    def fits(self) -> Iterator[Fit]:
        """All fits but those with frozen weights, each once."""
        fits = (
            fit
            for problem in self.problems
            for method in self.methods_for(problem)
            if method.name != "frozen"
            for fit in self.candidates(problem, method)
        )
        yield from dict.fromkeys(fits)

    def costs(self) -> Iterator[Cost]:
        """What to time."""
        for problem in self.problems:
            for method in self.methods_for(problem):
                if method.name not in ("plain", "constant", "frozen"):  # which cost the same
                    yield Cost(problem.name, method.name)


def _settings(
    problem: Problem, method: Method
) -> Iterator[tuple[str, tuple[tuple[str, float], ...]]]:
    """Methods with their weights; where all of the constants are 1 it is the plain sum."""
    if method.name != "constant":
        yield method.name, ()
        return
    for weights in product(*problem.constants.values()):
        if all(weight == 1 for weight in weights):
            yield "plain", ()
        else:
            yield "constant", tuple(zip(problem.constants, weights, strict=True))


def make_plan(
    mode: Mode, problems: Sequence[str] | None = None, methods: Sequence[str] | None = None
) -> Plan:
    """The plan of a mode, of some problems and methods only if these are given.

    Raises:
        ValueError: If one of them is unknown.
    """
    chosen = _known(problems or mode.problems or [*PROBLEMS], PROBLEMS, "problem")
    named = _known(methods or mode.methods or [*METHODS], METHODS, "method")
    return Plan(
        mode,
        tuple(PROBLEMS[name] for name in chosen),
        tuple(method for method in ALL if method.name in {"plain", *named}),
    )


def _known(
    names: Sequence[str], among: dict[str, Problem] | dict[str, Method], what: str
) -> Sequence[str]:
    unknown = [name for name in names if name not in among]
    if unknown:
        msg = f"{what} must be one of {', '.join(among)}, got {unknown[0]}"
        raise ValueError(msg)
    return names
