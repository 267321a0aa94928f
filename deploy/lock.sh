#!/bin/sh
# Cuts the two locks of the image out of requirements.lock: the same pins and hashes, without developers' tools.
# Run it after `make lock`; needs uv, like that.
set -eu
cd "$(dirname "$0")/.."
export UV_NO_PROGRESS=1
OPTIONS="--constraints requirements.lock --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet"
# shellcheck disable=SC2086 # options are split on purpose
uv pip compile $OPTIONS pyproject.toml --extra ib-insync --output-file deploy/requirements-runtime.lock
# shellcheck disable=SC2086
uv pip compile $OPTIONS deploy/requirements-build.in --output-file deploy/requirements-build.lock
