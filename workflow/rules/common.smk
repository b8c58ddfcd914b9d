"""The grid, and what all rules take from it."""

import gc
import os
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from latentgen import (
    activations,
    analyses,
    datasets,
    devices,
    figures,
    grid,
    models,
    noise,
    plan,
    published,
    training,
)
from latentgen.figures import catalogue
from latentgen.grid import copies
from latentgen.models import verdicts

# A plan is a million small objects that all stay. By default Python searches them for garbage again and again as they
# grow, which takes a seventh of the time that a large grid is planned in.
gc.set_threshold(100_000, 50, 100)

RUN = f"results/runs/{plan.OF_RUN}"
CELL = f"results/runs/{plan.OF_CELL}"
DATA = "results/data/{dataset}"
#: What jobs that read trained networks take.
TRAINED = {"data": f"{DATA}/meta.json", "labels": f"{CELL}/labels.parquet", "index": f"{CELL}/checkpoints.json"}


wildcard_constraints:
    dataset=r"[A-Za-z0-9_.-]+",
    model=r"[A-Za-z0-9_.-]+",
    noise=r"[a-z0-9_]+",
    level=r"[0-9.e-]+",
    seeds=r"data[0-9-]+-(model[0-9-]+|paired)",
    run=r"data[0-9]+-model[0-9]+",
    block=r"[0-9]+-[0-9]+",
    epoch=r"[0-9]+",
    table="|".join(analyses.GATHERED),


# As a module of another workflow this one is given its configuration, and the files are the other's.
CONFIGURATION_FILES = [] if workflow.modifier.skip_configfile else workflow.configfiles

try:
    GRID = grid.load(config, CONFIGURATION_FILES)
except grid.ConfigError as error:
    raise WorkflowError(str(error)) from None

# Once for a call; jobs plan again.
if workflow.is_main_process:
    for note in copies.notes(GRID.cells):
        logger.warning(note)


def is_there(path):
    """Whether a result lies where the rules look for it, which another workflow may have given a prefix."""
    return os.path.exists(str(workflow.modifier.path_modifier.modify(path)))


PLAN = plan.Plan(GRID, is_there if GRID.config["partial_results"] else None)

DEVICE = GRID.config["device"]
THREADS = GRID.config["threads"]
GPU = 0 if DEVICE == "cpu" else 1
DUMP = GRID.config["activations"] == "dump"

# Jobs inherit it. Not a parameter of theirs: how many share a GPU changes nothing in a result.
os.environ[devices.JOBS_PER_GPU] = str(GRID.config["jobs_per_gpu"])


def local_files_of_data(wildcards):
    """Files of a declared data set.

    They are local: a configuration names them as seen from where Snakemake is called, whatever another workflow puts
    before the results.
    """
    return [local(path) for path in PLAN.files_of_data(wildcards)]


# Rules of analyses, by name


def rows(name):
    return f"{CELL}/{analyses.NAMED[name].files}"


def log_of(name):
    return plan.log(analyses.NAMED[name], "logs", "log")


def benchmark_of(name):
    return plan.log(analyses.NAMED[name], "benchmarks", "tsv")


def params_of(name):
    return {"device": DEVICE, "threads": THREADS, **PLAN.params(analyses.NAMED[name])}


# Resources that grow with each attempt


def more_memory(megabytes):
    def mem_mb(wildcards, attempt):
        return megabytes * attempt

    return mem_mb


def more_minutes(minutes):
    def runtime(wildcards, attempt):
        return minutes * 2 ** (attempt - 1)

    return runtime


def computing(minutes):
    """Resources of a job that computes, on a GPU where there is one."""
    return {"gpu": GPU, "mem_mb": more_memory(8000), "runtime": more_minutes(minutes)}
