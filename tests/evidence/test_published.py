"""The published line is made of fits as long as those of its paper, at a rate nobody chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evidence import cache, published
from evidence.report.published import STEPS

if TYPE_CHECKING:
    from pathlib import Path


def test_fits_that_are_done_are_not_trained_again(tmp_path: Path) -> None:
    errors = {"plain": 0.5, "annealing": 0.0625}
    for method, fit in published.fits().items():
        assert (fit.steps, fit.seeds) == (STEPS, tuple(range(10)))
        cache.write(tmp_path, fit, {"curve": [[1.0] * 10, [errors[method]] * 10]})

    line = published.line(tmp_path)

    assert line["errors"] == {method: [error] * 10 for method, error in errors.items()}
    assert line["rate"] == 1e-3
