"""An example to watch and to copy: an adversarial autoencoder with three losses."""

from ._run import run_demo as run_demo
from ._train import train as train
