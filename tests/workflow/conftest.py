"""The smoke grid, run once for all tests that only look at it or plan beside it."""

import os
import shutil

import pytest
import slurm_cluster
from filelock import FileLock
from snakemake_calls import SMOKE, run


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """Folder in which the smoke grid has run, undisturbed; of several workers one runs it, and each has a copy."""
    folder = tmp_path_factory.mktemp("smoke")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        run(folder, "--cores", "2", config=SMOKE)
        return folder
    common = tmp_path_factory.getbasetemp().parent / "smoke"
    with FileLock(f"{common}.lock"):
        if not (common / "report").exists():
            common.mkdir(exist_ok=True)
            report = run(common, "--cores", "2", config=SMOKE).stdout
            (common / "report").write_text(report)
    copy_linked(common, folder)
    return folder


def copy_linked(source, target):
    """Copy a folder; checkpoints and resume states that are one file on disk stay one."""
    copies = {}

    def copy(file, to):
        first = copies.setdefault(os.stat(file).st_ino, to)
        if first == to:
            shutil.copy2(file, to)
        else:
            os.link(first, to)

    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, copy_function=copy)


@pytest.fixture(scope="session")
def slurm():
    """A real SLURM on this machine alone, or a skip where its programs are not installed."""
    if missing := slurm_cluster.missing():
        pytest.skip(
            f"SLURM cannot be started: {', '.join(missing)} not found; as root on Debian: "
            "tests/workflow/single_node_slurm.sh install"
        )
    cluster = slurm_cluster.Cluster()
    yield cluster
    cluster.stop()
