"""The smoke grid on a real SLURM, with the command line of the README."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake_calls import SMOKE, check_out

from latentgen import tables

pytestmark = [pytest.mark.workflow, pytest.mark.exhaustive]

#: Words in the name of a job's log that tell that the job computes.
COMPUTING = {"train", "probes", "geometry", "gradients", "embeddings", "transfer", "rewind", "edit", "relabel"}


@pytest.fixture(scope="module")
def submitted(slurm, tmp_path_factory):
    """Folder in which SLURM has run the smoke grid, with jobs that ask for a GPU."""
    folder = check_out(tmp_path_factory.mktemp("submitted"))
    # Where PyTorch finds no GPU, `auto` computes on the CPU, to the same bytes; the job has asked for one all the same.
    (folder / "grid.yaml").write_text(yaml.safe_dump(SMOKE | {"device": "auto"}))
    slurm.run(folder, "--configfile", "grid.yaml")
    return folder


@pytest.fixture(scope="module")
def jobs(slurm, submitted):
    """What SLURM says of each job, and the words in the name of its log, ``rule_…`` or ``group_…``."""
    found = slurm.jobs(submitted)
    for job in found:
        parts = Path(job["StdOut"]).parts
        job["words"] = set(parts[parts.index("slurm_logs") + 1].split("_"))
    return found


def test_every_job_went_through_sbatch_and_ended_well(submitted, jobs):
    output = (submitted / "output.txt").read_text()
    assert {(job["JobState"], job["ExitCode"], job["Restarts"]) for job in jobs} == {("COMPLETED", "0:0", "0")}
    assert {job["JobId"] for job in jobs} == set(re.findall(r"submitted with SLURM jobid (\d+)", output))
    # What is left out below is the target rule alone, which nothing has to do for.
    assert len(re.findall(r"^localrule ", output, flags=re.M)) == len(re.findall(r"^localrule all", output, flags=re.M))
    assert re.search(r"(\d+) of \1 steps \(100%\) done", output)


def test_jobs_that_compute_have_a_gpu_each_and_there_are_two(jobs):
    computing = [job for job in jobs if job["words"] & COMPUTING and "gather" not in job["words"]]
    others = [job for job in jobs if job not in computing]
    assert len(computing) > 20 and len(others) > 3
    assert {job.get("TresPerJob") for job in computing} == {"gres:gpu:1"}
    assert {job.get("TresPerJob") for job in others} == {None}
    at_once = [
        sum(other["StartTime"] <= job["StartTime"] < other["EndTime"] for other in computing) for job in computing
    ]
    assert max(at_once) == 2


def test_jobs_of_a_group_ask_for_what_one_of_them_needs(jobs):
    groups = [job for job in jobs if "group" in job["words"]]
    assert {job["NumCPUs"] for job in groups} == {"1"}
    assert {job["MinMemoryNode"] for job in groups if "train" in job["words"]} == {"8000M"}


def test_every_job_has_its_log_where_a_local_run_has_it(smoke, submitted):
    logs = {path.relative_to(smoke) for path in (smoke / "results/logs").rglob("*.log")}
    assert logs == {path.relative_to(submitted) for path in (submitted / "results/logs").rglob("*.log")}


def test_tables_are_those_of_a_local_run(smoke, submitted):
    names = sorted(path.relative_to(smoke) for path in (smoke / "results/tables").glob("*.parquet"))
    assert len(names) > 9
    for name in names:
        # The hash of a row's inputs names the device as the configuration does.
        local, remote = (
            tables.read(folder / name).drop(columns="inputs", errors="ignore") for folder in (smoke, submitted)
        )
        pd.testing.assert_frame_equal(local, remote, check_exact=True)
