#!/bin/sh
# Snakemake runs this from the repository root once the conda environment exists and is active.
set -eu
python -m pip install --no-index --no-deps --no-build-isolation --editable .
