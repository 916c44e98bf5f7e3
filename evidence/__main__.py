"""The command: `python -m evidence`."""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cache, choice
from .gather import gather
from .plan import FULL, QUICK, STANDARD, Plan, make_plan
from .report.page import write
from .run import Job, do, make_pool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .fit import Fit

TOP = Path(__file__).parent.parent
CACHE = TOP / ".evidence"


def main(arguments: list[str] | None = None) -> None:
    """Do what is not done yet, then make the results file, the page and its figure."""
    options = _parser().parse_args(arguments)
    mode = QUICK if options.quick else FULL if options.full else STANDARD
    plan = make_plan(mode, options.problems, options.methods)
    read = partial(_read, options.cache)
    with make_pool(options.workers) as pool:
        do(plan.fits(), options.cache, pool, "fits")
        do(_frozen(plan, read), options.cache, pool, "fits with frozen weights")
        do(plan.costs(), options.cache, pool, "costs")
    results = gather(plan, read, read)
    is_whole = mode is not QUICK and not options.problems and not options.methods
    _write(results, options.to or (None if is_whole else options.cache / "page"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m evidence", description=main.__doc__)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="a minute: two problems, few steps")
    amount.add_argument("--full", action="store_true", help="more than a day: long fits")
    parser.add_argument("--problems", type=_listed, metavar="A,B", help="only these")
    parser.add_argument("--methods", type=_listed, metavar="A,B", help="only these")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where finished fits are kept")
    parser.add_argument("--to", type=Path, help="a folder for results, page and figure")
    return parser


def _listed(text: str) -> list[str]:
    return text.split(",")


def _frozen(plan: Plan, read: choice.Results) -> Iterable[Fit]:
    for problem in plan.problems:
        if choice.can_freeze(plan, problem):
            yield from choice.frozen(plan, problem, read)


def _read(folder: Path, job: Job) -> Any:
    return cache.read(folder, job)


def _write(results: dict[str, Any], folder: Path | None) -> None:
    """Into the repository, or all into one folder."""
    data, docs = (TOP / "evidence", TOP / "docs") if folder is None else (folder, folder)
    docs.mkdir(parents=True, exist_ok=True)
    file = data / "results.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if "published" in known:  # which has a command of its own
        results["published"] = known["published"]
    file.write_text(json.dumps(results) + "\n", encoding="utf-8")
    print(os.path.relpath(write(results, docs)))


if __name__ == "__main__":
    main()
