"""What goes wrong on a cluster, and that the tables end as if nothing had."""

import re
import shutil
import signal
import subprocess
import sys

import pytest
import yaml
from slurm_cluster import ended, steps, trainings
from snakemake_calls import check_out, long_grid, run, until

pytestmark = [pytest.mark.workflow, pytest.mark.exhaustive]

CELL = "results/runs/digits/mlp_small/uniform-0.6/data0-1-model0"
TARGETS = [f"{CELL}/history.parquet", f"{CELL}/records.parquet", f"{CELL}/probes/all/0000-0099.parquet"]


def grid():
    config = long_grid()
    config["defaults"]["probes"] = {"velpic": {"kind": "velpic", "family": "all"}}
    return config | {"device": "auto"}  # so that jobs ask for a GPU


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Folder of a local run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder, "--cores", "1", *TARGETS, config=grid())
    return folder


def prepared(folder, undisturbed):
    """A checkout with the grid and its data."""
    check_out(folder)
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid()))
    # With their times, so that they need not be made.
    shutil.copytree(undisturbed / "results/data", folder / "results/data")
    return folder


@pytest.fixture
def folder(tmp_path, slurm, undisturbed):
    return prepared(tmp_path, undisturbed)


def start(slurm, folder):
    return slurm.start(folder, "--configfile", "grid.yaml", "--", *TARGETS)


def caught_in_training(slurm, folder, process):
    """The job that trains, held after its first saved epoch: the process and what SLURM says of the job."""
    until(lambda: list((folder / CELL).glob("partial/data0-model0/*/state.safetensors")), process)
    training = until(lambda: trainings(folder))[0]
    training.suspend()
    return training, slurm.jobs(folder)[-1]


def has_resumed(folder):
    log = (folder / "results/logs/train/digits/mlp_small/uniform-0.6/data0-1-model0.log").read_text()
    return re.search(r"data\d-model0: resuming after epoch", log) is not None


def same_tables(folder, undisturbed):
    return all((folder / name).read_bytes() == (undisturbed / name).read_bytes() for name in TARGETS)


def states(slurm, folder):
    return [job["JobState"] for job in slurm.jobs(folder)]


@pytest.fixture(scope="module", autouse=True)
def out_of_time(slurm, undisturbed, tmp_path_factory):
    """A call whose training must wait for its end, which comes a minute after its start, while other tests go on."""
    folder = prepared(tmp_path_factory.mktemp("out_of_time"), undisturbed)
    process = start(slurm, folder)
    _, job = caught_in_training(slurm, folder, process)
    slurm.ask("scontrol", "update", f"JobId={job['JobId']}", "TimeLimit=1")
    return folder, process, job


def test_a_cancelled_job_is_submitted_again_and_resumes(slurm, folder, undisturbed):
    process = start(slurm, folder)
    _, job = caught_in_training(slurm, folder, process)
    slurm.ask("scancel", job["JobId"])
    ended(process, folder)
    assert states(slurm, folder).count("CANCELLED") == 1
    assert has_resumed(folder)
    assert same_tables(folder, undisturbed)


def unlock(slurm, folder):
    call = [sys.executable, "envs/unlock.py"]
    return subprocess.run(call, cwd=folder, env=slurm.environment(), capture_output=True, text=True)


def test_a_killed_snakemake_is_started_again_when_its_jobs_are_gone(slurm, folder, undisturbed):
    process = start(slurm, folder)
    training, job = caught_in_training(slurm, folder, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    refused = unlock(slurm, folder)
    assert refused.returncode == 1
    assert f"SLURM job {job['JobId']} of this folder is RUNNING" in refused.stderr
    # As the message says.
    slurm.ask("scancel", *re.search(r"call: scancel (.*)", refused.stderr)[1].split())
    until(lambda: "RUNNING" not in states(slurm, folder) and not training.is_running())
    tries = []

    def freed():
        tries.append(unlock(slurm, folder))
        return tries[-1].returncode == 0

    # SLURM looks after the end of a job for a while.
    until(freed, seconds=300, said=lambda: tries[-1].stderr)
    assert "Unlocked" in tries[-1].stderr + tries[-1].stdout
    ended(start(slurm, folder), folder)
    assert has_resumed(folder)
    assert same_tables(folder, undisturbed)


def test_an_orphaned_training_is_never_joined_by_its_replacement(slurm, folder, undisturbed):
    process = start(slurm, folder)
    training, _ = caught_in_training(slurm, folder, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # Against all advice, by hand.
    run(folder, "--unlock")
    second = start(slurm, folder)
    log = folder / "results/logs/train/digits/mlp_small/uniform-0.6/data0-1-model0.log"
    until(lambda: log.exists() and "another training is alive" in log.read_text(), second)
    assert not (folder / CELL / "checkpoints.json").exists()
    training.resume()
    ended(second, folder)
    assert same_tables(folder, undisturbed)


def test_a_job_out_of_time_is_submitted_again_with_more_and_resumes(slurm, out_of_time, undisturbed):
    folder, process, job = out_of_time
    ended(process, folder)
    timed_out = next(job for job in slurm.jobs(folder) if job["JobState"] == "TIMEOUT")
    again = next(other for other in slurm.jobs(folder) if int(other["JobId"]) > int(timed_out["JobId"]))
    assert minutes(again["TimeLimit"]) == 2 * minutes(job["TimeLimit"])
    assert has_resumed(folder)
    assert same_tables(folder, undisturbed)


def minutes(limit):
    days, _, clock = limit.rpartition("-")
    hours, minutes, _ = clock.split(":")
    return (int(days or 0) * 24 + int(hours)) * 60 + int(minutes)


def test_a_controller_that_is_killed_and_is_back_at_once_is_not_noticed(slurm, folder, undisturbed):
    process = start(slurm, folder)
    training, _ = caught_in_training(slurm, folder, process)
    slurm.restart_controller()
    training.resume()
    ended(process, folder)
    assert set(states(slurm, folder)) == {"COMPLETED"}
    assert same_tables(folder, undisturbed)


def test_a_node_that_is_drained_lost_and_returned_costs_only_time(slurm, folder, undisturbed):
    node = slurm.ask("sinfo", "--noheader", "--format=%n").strip()

    def set_node(state):
        slurm.ask("scontrol", "update", f"NodeName={node}", f"State={state}", "Reason=test")

    process = start(slurm, folder)
    training, job = caught_in_training(slurm, folder, process)
    try:
        set_node("drain")
        assert slurm.jobs(folder)[-1]["JobState"] == "RUNNING"
        # Lost with the job on it, which SLURM puts back into its queue.
        set_node("down")
        # SLURM must be done with it on the node too before it may begin there again.
        until(lambda: not training.is_running() and not steps(job["JobId"]))
        waiting = until(lambda: [job for job in slurm.jobs(folder) if job["JobState"] == "PENDING"])
        assert [job["JobId"] for job in waiting] == [job["JobId"]]
    finally:
        set_node("resume")
    until(lambda: slurm.ask("sinfo", "--noheader", "--format=%T").strip() == "idle")
    # SLURM lets a job that it has put back wait for two minutes.
    slurm.ask("scontrol", "update", f"JobId={job['JobId']}", "StartTime=now")
    ended(process, folder)
    assert [again["Restarts"] for again in slurm.jobs(folder) if again["JobId"] == job["JobId"]] == ["1"]
    assert has_resumed(folder)
    assert same_tables(folder, undisturbed)
