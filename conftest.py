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

# What `losses ls` and the page know of runs is not kept in the cache of who tests.
_cache = tempfile.TemporaryDirectory(prefix="losses-cache-")
os.environ["XDG_CACHE_HOME"] = _cache.name

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


@pytest.hookimpl(hookwrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported stays: to look for garbage in it takes 5 s of a worker."""
    gc.disable()
    yield
    gc.enable()
