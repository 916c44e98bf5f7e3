"""The problems: each in a file, each with exact or held-out truth outside its losses."""

from . import (
    adversarial,
    annealing_paper,
    burgers,
    inverse_heat,
    poisson_l,
    regression,
    stereo,
    two_digits,
    vae,
)
from ._problem import InParts as InParts
from ._problem import Problem as Problem
from ._problem import Task as Task

_modules = (
    regression,
    two_digits,
    annealing_paper,
    poisson_l,
    burgers,
    vae,
    stereo,
    adversarial,
    inverse_heat,
)

PROBLEMS: dict[str, Problem] = {
    problem.name: problem for module in _modules for problem in module.PROBLEMS
}
