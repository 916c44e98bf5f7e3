"""What holds for every test."""

from __future__ import annotations

import gc
import os
import re
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# Comet reads it when it is imported: it would slow down every backward, and record, in the folder
# where the tests were started, what other tests tell MLflow.
os.environ["COMET_DISABLE_AUTO_LOGGING"] = "1"

# What tests, and the processes that they start, leave among the temporary files goes with this
# folder; pytest keeps its own elsewhere, those of the last three times. The workers of xdist have
# the folder of the process that started them: they end in a way that would leave one.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    _temporary = tempfile.TemporaryDirectory(prefix="losses-", ignore_cleanup_errors=True)
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), _temporary.name))
    tempfile.tempdir = None  # it is looked up anew

# What `losses ls` and the page know of runs is not kept in the cache of who tests.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="cache-")

# How long an example takes, or to think of one, depends on what else the machine does.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# What needs JAX, TensorFlow or Keras is tested where they are: `make test-frameworks`. Likewise the
# packages of docs/codebases.md: `make test-codebases`.
collect_ignore = [
    *(
        []
        if find_spec("keras")
        else ["tests/frameworks", "src/multi_loss_weighting/integrations/keras.py"]
    ),
    *([] if find_spec("timm") else ["tests/codebases"]),
]

# The command `losses` is an extra: without it, tests that import the command are left out.
IMPORTS_COMMAND = re.compile(r"(?m)^from (click|rich|loss_dashboard\.(cli|terminal|demo))\b")
if find_spec("click") is None:
    tests = (Path(__file__).parent / "tests").rglob("test_*.py")
    collect_ignore += [
        str(test) for test in tests if IMPORTS_COMMAND.search(test.read_text(encoding="utf-8"))
    ]


# What takes long is begun first, so that no worker is alone with it at the end; and what needs a
# browser stands together, so that few workers start one.
FIRST = ("evidence/test_run", "test_notebooks", "test_docs", "test_benchmarks", "web/test_page")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the order otherwise, which is random."""
    items.sort(key=lambda item: next((i for i, name in enumerate(FIRST) if name in item.nodeid), 9))


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported stays: to look for garbage in it takes 5 s of a worker."""
    gc.disable()
    yield
    gc.enable()
