"""Snakemake as benchmarks call it: on a configuration of theirs, in a folder of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def started(folder: Path, config: Mapping[str, Any], *arguments: str, own_group: bool = False) -> subprocess.Popen:
    """Snakemake in ``folder``, its output added to ``folder.log``; ``own_group`` : in a process group of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "grid.yaml").write_text(yaml.safe_dump(config))
    call = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    call += ["--configfile", str(folder / "grid.yaml"), *arguments]
    # Script jobs call `python`.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with open(f"{folder}.log", "a") as log:
        return subprocess.Popen(
            call, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=own_group
        )
