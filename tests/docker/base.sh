#!/usr/bin/env bash
# A base image for a machine that reaches Debian, but no registry of images: Debian's Python, with
# the certificates that this machine trusts.
#
#     tests/docker/base.sh localhost/python:3.11-slim
set -euo pipefail
image=$1

if buildah inspect --type image "$image" >/dev/null 2>&1; then exit; fi
root=$(mktemp --directory)
trap 'rm -rf --one-file-system "$root"' EXIT
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
