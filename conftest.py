"""What holds for every test."""

import os
import tempfile
from importlib.util import find_spec

from hypothesis import HealthCheck, settings

# Comet reads it when it is imported: it would slow down every backward, and record, in the folder
# where the tests were started, what other tests tell MLflow.
os.environ["COMET_DISABLE_AUTO_LOGGING"] = "1"

# What `losses ls` and the page know of runs is not kept in the cache of who tests.
_cache = tempfile.TemporaryDirectory(prefix="losses-cache-")
os.environ["XDG_CACHE_HOME"] = _cache.name

# How long an example takes, or to think of one, depends on what else the machine does.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# What needs JAX, TensorFlow or Keras is tested where they are: `make test-frameworks`.
collect_ignore = (
    []
    if find_spec("keras")
    else ["tests/frameworks", "src/multi_loss_weighting/integrations/keras.py"]
)
