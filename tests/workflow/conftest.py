"""The smoke grid, run once for all tests that only look at it or plan beside it."""

import pytest
from snakemake_calls import SMOKE, run


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """Folder in which the smoke grid has run, undisturbed."""
    folder = tmp_path_factory.mktemp("smoke")
    run(folder, "--cores", "2", config=SMOKE)
    return folder
