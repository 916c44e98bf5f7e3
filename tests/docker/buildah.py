"""buildah, once more where it could not seal the copy of itself that it runs.

To start a command, `buildah run` and `buildah build` copy buildah into memory and seal the copy.
Linux refuses that (EBUSY) while something else holds a page of it, such as reclaim or compaction,
which is over a moment later. buildah then gives up before the command began; here it begins anew.

    python tests/docker/buildah.py run --isolation=chroot CONTAINER -- true
"""

from __future__ import annotations

import subprocess
import sys

REFUSED = b"sealing memfd copy"
ATTEMPTS = 5


def main() -> int:
    """The status of buildah; a signal that ended it counts as a shell counts it."""
    for _ in range(ATTEMPTS):
        status, refused = _attempt()
        if not (status and refused):
            break
    return status if status >= 0 else 128 - status


def _attempt() -> tuple[int, bool]:
    refused = False
    with subprocess.Popen(["buildah", *sys.argv[1:]], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
            refused = refused or REFUSED in line
    return process.returncode, refused


if __name__ == "__main__":
    sys.exit(main())
