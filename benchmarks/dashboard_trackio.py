"""Record a run with Trackio: as many steps as are asked for, then one for each line of stdin.

It runs with the Python of an environment that has Trackio; `TRACKIO_DIR` says where it records.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import trackio

if TYPE_CHECKING:
    from benchmarks.dashboard_rows import rows
else:
    from dashboard_rows import rows

steps = int(sys.argv[1])
trackio.init(project="run", name="run", embed=False, auto_log_cpu=False, auto_log_gpu=False)
source = enumerate(rows())
for _ in range(steps):
    step, row = next(source)
    trackio.log(row, step=step)
for line in sys.stdin:
    trackio.log(next(source)[1], step=int(line))
trackio.finish()
