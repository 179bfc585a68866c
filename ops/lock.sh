#!/usr/bin/env bash
# Pins requirements.txt (everything), ops/requirements.txt (what the image runs), ops/build-requirements.txt (what
# builds the package) and ops/bench/decoders.txt (what the bench compares with) with hashes and without naming an index.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool"
"$tool/bin/pip" install --quiet --disable-pip-version-check uv
compile() {
  "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links "$@"
}
compile pyproject.toml --all-extras --group dev --output-file requirements.txt
compile pyproject.toml --constraints requirements.txt --output-file ops/requirements.txt
compile --group pyproject.toml:build --constraints requirements.txt --output-file ops/build-requirements.txt
compile ops/bench/decoders.in --output-file ops/bench/decoders.txt
