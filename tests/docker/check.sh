#!/usr/bin/env bash
# Build the images of docker/compose.yaml without an engine, run each service and talk to it.
#
#     make docker-check                           # on a base that debootstrap makes here
#     BASE=python:3.11-slim make docker-check     # on the base of compose.yaml
#     STORE=/var/tmp/losses make docker-check     # keep what was built, and build on it
#
# It needs root, buildah and debootstrap. Images, caches and volumes are in a store of their own;
# STORAGE_DRIVER=vfs is for where overlays cannot be mounted.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}

made=
if [ -z "${STORE:-}" ]; then made=$(mktemp --directory) STORE=$made; else export BUILDAH_LAYERS=true; fi
clean_up() {
    buildah rm --all >/dev/null
    umount "$STORE/images/overlay" 2>/dev/null || true
    if [ -n "$made" ]; then rm -rf --one-file-system "$made"; fi
}
trap clean_up EXIT

mkdir -p "$STORE/tmp"
printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrunroot = "%s"\n' \
    "${STORAGE_DRIVER:-overlay}" "$STORE/images" "$STORE/run" >"$STORE/storage.conf"
export CONTAINERS_STORAGE_CONF=$STORE/storage.conf TMPDIR=$STORE/tmp

if [ -z "${BASE:-}" ]; then
    export BASE=localhost/python:3.11-slim
    tests/docker/base.sh "$BASE"
fi
if [ -z "${TORCH_INDEX_URL:-}" ] && tests/docker/torch_index.sh "$STORE/index"; then
    export TORCH_INDEX_URL=file://$STORE/index
fi
tests/docker/build.sh
# Loopback is the whole network: where a service listens is reached from nowhere else.
unshare --net sh -c 'ip link set lo up && exec "$@"' sh \
    "$python" -m pytest --quiet tests/docker/check_images.py "$@"
