#!/usr/bin/env bash
# Pins requirements.txt (everything) and ops/requirements.txt (what the image runs) with hashes and without naming an index.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool"
"$tool/bin/pip" install --quiet --disable-pip-version-check uv
compile() {
  "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links "$@" pyproject.toml
}
compile --all-extras --group dev --output-file requirements.txt
compile --constraints requirements.txt --output-file ops/requirements.txt
