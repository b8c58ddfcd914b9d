"""Snakemake as a user calls it, in a folder of its own."""

import copy
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from repository import ROOT

SMOKE = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())


def command(folder, *arguments, config=None):
    """Command line that runs the workflow in ``folder`` with a configuration written there."""
    path = Path(folder) / "grid.yaml"
    if config is not None or not path.exists():
        path.write_text(yaml.safe_dump(config or SMOKE))
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    return [*snakemake, "--directory", str(folder), "--configfile", str(path), *arguments]


def environment():
    """The tests' own, with this Python first on PATH, because script jobs call ``python``."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run(folder, *arguments, config=None, check=True):
    """Finished call; its output is in ``stdout``, with the logs of a failure in the message."""
    done = subprocess.run(
        command(folder, *arguments, config=config),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    if check:
        assert done.returncode == 0, done.stdout[-6000:]
    return done


def robustness(module, *arguments):
    """What a command of `benchmarks.robustness` says; fails where it found a fault."""
    call = [sys.executable, "-m", f"benchmarks.robustness.{module}", *arguments]
    done = subprocess.run(call, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def planned(folder, *targets, config=None):
    """Jobs that a dry run plans, by rule, without the target rule."""
    text = run(folder, "--dry-run", *targets, config=config).stdout
    if "Nothing to be done" in text:
        return {}
    table = text[text.index("Job stats") :]
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.M)}
    return {rule: count for rule, count in counts.items() if rule not in ("all", "total")}


def changed(**defaults):
    """The smoke grid with other defaults."""
    config = copy.deepcopy(SMOKE)
    config["defaults"] |= defaults
    return config


def long_grid():
    """A training of seconds that can be caught between two saved epochs, and probes of it."""
    config = changed(levels=[0.6], saved_epochs=[0, 20, 60], epochs_per_job=100)
    training = {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 16, "epochs": 60}
    config["grid"] = [{"model": "mlp_small", "training": training}]
    return config


def check_out(folder):
    """What a user has in front of them, less the library and results."""
    for name in ("workflow", "profiles", "slurm", "config", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def until(condition, process=None, seconds=180, said=lambda: ""):
    """First true value of ``condition()``; fails when there is none, or when ``process`` ends before there is.

    ``said()`` is what there is to read when it waited in vain.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert process is None or process.poll() is None, "Snakemake ended too early"
        assert time.monotonic() < deadline, f"waited in vain: {said()}"
        time.sleep(0.1)
    return value
