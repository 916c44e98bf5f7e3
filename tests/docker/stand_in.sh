#!/usr/bin/env bash
# For a machine that reaches Debian and a package index, but neither Docker Hub nor PyTorch's index:
# a base image of Debian's Python, with the certificates that this machine trusts, and an index with
# the one torch that pip finds here.
#
#     tests/docker/stand_in.sh localhost/python:3.11-slim /tmp/index
#     BASE=localhost/python:3.11-slim TORCH_INDEX_URL=file:///tmp/index make docker-check
set -euo pipefail
image=$1 index=$2/torch
constraints=$(cd "$(dirname "$0")/../.." && pwd)/constraints.txt

mkdir -p "$index"
python3 -m pip download --quiet --no-deps --constraint "$constraints" --dest "$index" torch
(cd "$index" && for wheel in *.whl; do echo "<a href=\"${wheel/+/%2B}\">$wheel</a>"; done >index.html)

if buildah inspect --type image "$image" >/dev/null 2>&1; then exit; fi
root=$(mktemp --directory)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"  # it becomes the root of the image, where every user has to get in
debootstrap --variant=minbase \
    --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$root" >/dev/null
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/doc
ln -s ../../bin/python3 "$root/usr/local/bin/python"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$root/etc/pip.conf"
container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >/dev/null
buildah commit --quiet --rm "$container" "$image" >/dev/null
