"""A run that is killed and started again ends as if nothing had happened."""

import signal
import subprocess

import psutil
import pytest
from snakemake_calls import command, environment, long_grid, robustness, run, until

pytestmark = [pytest.mark.workflow, pytest.mark.exhaustive]

CELL = "results/runs/digits/mlp_small/uniform-0.6/data0-1-model0"
TARGETS = [f"{CELL}/checkpoints.json", f"{CELL}/probes/all/0000-0099.parquet"]


def kill_in_training(folder, children_too):
    """Start the grid and kill it as soon as the first run has saved epoch 20."""
    call = command(folder, "--cores", "1", *TARGETS, config=long_grid())
    process = subprocess.Popen(call, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: list((folder / CELL).glob("partial/data0-model0/*/state.safetensors")), process, 300)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    for child in children if children_too else []:
        child.kill()
    return children


def same_results(left, right):
    names = [*TARGETS, f"{CELL}/history.parquet", f"{CELL}/records.parquet"]
    names += [str(path.relative_to(left)) for path in sorted((left / CELL / "checkpoints").rglob("*.safetensors"))]
    assert len(names) == 4 + 2 * 3
    return [name for name in names if (left / name).read_bytes() != (right / name).read_bytes()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder, "--cores", "1", *TARGETS, config=long_grid())
    return folder


def test_killed_with_its_jobs_it_resumes_to_the_same_bytes(undisturbed, tmp_path):
    kill_in_training(tmp_path, children_too=True)
    assert not (tmp_path / CELL / "checkpoints.json").exists()
    run(tmp_path, "--unlock")
    run(tmp_path, "--cores", "1", "--rerun-incomplete", *TARGETS)
    log = (tmp_path / "results/logs/train/digits/mlp_small/uniform-0.6/data0-1-model0.log").read_text()
    assert "data0-model0: resuming after epoch" in log
    assert same_results(undisturbed, tmp_path) == []


def test_an_orphaned_training_is_waited_for_not_joined(undisturbed, tmp_path):
    orphans = [child for child in kill_in_training(tmp_path, children_too=False) if child.is_running()]
    for orphan in orphans:
        orphan.suspend()  # so that it is surely still there when the second one starts
    run(tmp_path, "--unlock")
    log = tmp_path / "results/logs/train/digits/mlp_small/uniform-0.6/data0-1-model0.log"
    second = subprocess.Popen(
        command(tmp_path, "--cores", "1", "--rerun-incomplete", *TARGETS),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: log.exists() and "another training is alive" in log.read_text(), second, 120)
        assert not (tmp_path / CELL / "checkpoints.json").exists()
    finally:
        for orphan in orphans:
            if orphan.is_running():
                orphan.resume()
    assert second.wait(300) == 0
    assert same_results(undisturbed, tmp_path) == []


def test_a_call_that_is_ended_at_a_random_moment_ends_equal():
    assert robustness("kills", "--strict", "--kills", "1", "--seed", "5").splitlines()[-1].startswith("1 kill")


@pytest.mark.exhaustive
def test_calls_that_are_ended_at_many_moments_end_equal():
    assert robustness("kills", "--strict", "--kills", "4", "--seed", "6").splitlines()[-1].startswith("4 kills")
