"""The evidence is of the repository: it needs what only the development environment has."""

from importlib.util import find_spec

NEEDED = ("evidence", "torchjd", "matplotlib", "mlxtend", "skimage")

collect_ignore_glob = [] if all(map(find_spec, NEEDED)) else ["test_*.py"]
