"""One published line, as long as it was: `python -m evidence.published`, some 20 minutes.

Trains the Helmholtz problem of arXiv:2001.04536 for its 40,000 steps, with the plain sum and with
learning-rate annealing, at the rate that its paper begins with, and fills the errors into the
results file. Nothing is chosen by the metric.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import cache
from .fit import Fit
from .run import do, make_pool

TOP = Path(__file__).parent
STEPS, RATE, SEEDS = 40_000, 1e-3, tuple(range(10))
METHODS = ("plain", "annealing")


def fits() -> dict[str, Fit]:
    """What is trained, by method."""
    return {method: Fit("helmholtz", method, RATE, SEEDS, STEPS) for method in METHODS}


def line(folder: Path, workers: int = 2) -> dict[str, Any]:
    """The error of each seed, by method; a fit that is in the folder is not trained again."""
    with make_pool(workers) as pool:
        do(fits().values(), folder, pool, "fits")
    numbers = {method: cache.read(folder, fit) or {} for method, fit in fits().items()}
    errors = {
        method: [float(f"{error:.4g}") for error in one["curve"][-1]]
        for method, one in numbers.items()
    }
    return {"problem": "helmholtz", "steps": STEPS, "rate": RATE, "errors": errors}


if __name__ == "__main__":
    file = TOP / "results.json"
    results = json.loads(file.read_text(encoding="utf-8"))
    results["published"] = line(TOP.parent / ".evidence")
    file.write_text(json.dumps(results) + "\n", encoding="utf-8")
