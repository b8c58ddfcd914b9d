"""The smoke grid, run once for all tests that only look at it or plan beside it."""

import pytest
import slurm_cluster
from snakemake_calls import SMOKE, run


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """Folder in which the smoke grid has run, undisturbed."""
    folder = tmp_path_factory.mktemp("smoke")
    run(folder, "--cores", "2", config=SMOKE)
    return folder


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
