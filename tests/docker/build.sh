#!/usr/bin/env bash
# Build the images of docker/compose.yaml with buildah, without an engine.
#
# BASE and TORCH_INDEX_URL are as in docker/.env.example; a file:// index is mounted.
set -euo pipefail
cd "$(dirname "$0")/../.."

options=(--isolation chroot --layers --file docker/Dockerfile)
for name in BASE PIP_INDEX_URL TORCH_INDEX_URL; do
    if [ -n "${!name:-}" ]; then options+=(--build-arg "$name=${!name}"); fi
done
case ${TORCH_INDEX_URL:-} in
    file://*) options+=(--volume "${TORCH_INDEX_URL#file://}:${TORCH_INDEX_URL#file://}:ro") ;;
esac
for target in dashboard mlflow train; do
    buildah build "${options[@]}" --target "$target" --tag "localhost/multi-loss-weighting-$target" .
done
