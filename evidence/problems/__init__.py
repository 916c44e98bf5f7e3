"""The problems: each in a file, each with exact or held-out truth outside its losses."""

from . import regression, two_digits
from ._problem import Problem as Problem
from ._problem import Task as Task

PROBLEMS: dict[str, Problem] = {
    problem.name: problem for module in (regression, two_digits) for problem in module.PROBLEMS
}
