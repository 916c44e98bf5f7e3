#!/usr/bin/env bash
# An index of one package, the torch for processors that pip finds on this machine; fails where there
# is none.
#
#     tests/docker/torch_index.sh /tmp/index && export TORCH_INDEX_URL=file:///tmp/index
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$1/torch

mkdir -p "$folder"
# Of a version and its CPU build, pip takes none but the latter.
python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 \
    --dest "$folder" "$(grep '^torch==' constraints.txt)+cpu"
(cd "$folder" && for wheel in *.whl; do echo "<a href=\"${wheel/+/%2B}\">$wheel</a>"; done >index.html)
