"""The problems: each in a file, each with exact or held-out truth outside its losses."""

from ._problem import Problem as Problem
from ._problem import Task as Task
