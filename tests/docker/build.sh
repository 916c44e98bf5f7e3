#!/usr/bin/env bash
# Build the images of docker/compose.yaml with buildah, without an engine.
#
# BASE, PIP_INDEX_URL and TORCH_INDEX_URL are as in docker/.env.example; a file:// index is mounted.
set -euo pipefail
cd "$(dirname "$0")/../.."

# What Compose passes on when it is not set.
options=(--isolation chroot --file docker/Dockerfile --build-arg "PIP_INDEX_URL=${PIP_INDEX_URL:-}")
if [ -n "${BASE:-}" ]; then options+=(--build-arg "BASE=$BASE"); fi
if [ -n "${TORCH_INDEX_URL:-}" ]; then options+=(--build-arg "TORCH_INDEX_URL=$TORCH_INDEX_URL"); fi
case ${TORCH_INDEX_URL:-} in
    file://*) options+=(--volume "${TORCH_INDEX_URL#file://}:${TORCH_INDEX_URL#file://}:ro") ;;
esac
for target in dashboard mlflow train; do
    python3 tests/docker/buildah.py build "${options[@]}" --target "$target" \
        --tag "localhost/multi-loss-weighting-$target" .
done
