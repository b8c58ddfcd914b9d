#!/bin/sh
# Writes requirements.txt from pyproject.toml; needs uv. Versions stay where they can: `envs/lock.sh --upgrade` takes the
# newest, `envs/lock.sh --upgrade-package NAME` the newest of one package.
set -eu
cd "$(dirname "$0")/.."
lock=envs/requirements.txt
new=$(mktemp)
trap 'rm -f "$new" "$new.head"' EXIT
sed -n '1,2p' "$lock" >"$new.head"
cp "$lock" "$new"
uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --extra dev --extra slurm \
    --generate-hashes --no-header --no-annotate --output-file "$new" "$@" pyproject.toml
cat "$new.head" "$new" >"$lock"
