"""Examples to watch and to copy: three networks that have several losses each."""

from ._gan import Gan as Gan
from ._run import run_demo as run_demo
from ._train import train as train
