"""The index of the grids of published geometry, planned as a user would before running it."""

import re
import shutil

import pytest
import yaml
from snakemake_calls import planned

from repository import ROOT

pytestmark = pytest.mark.workflow

FOLDER = ROOT / "config" / "stephenson2021"


def stated_jobs(name):
    return int(re.search(r"(\d+) jobs", (FOLDER / f"{name}.yaml").read_text())[1])


def test_the_index_plans_as_many_jobs_as_its_comment_states(tmp_path):
    """Up to epoch 200, blocks of 10 epochs are 21; up to 500, blocks of 101 are five."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    jobs = planned(tmp_path, config=yaml.safe_load((FOLDER / "all.yaml").read_text()))
    assert jobs["prepare_data"] == 3
    assert jobs["draw_labels"] == jobs["train"] == 2 * 6 + 3 * 3
    for rule in ("fit_probes", "geometry", "gradients", "transfer"):
        assert jobs[rule] == (2 * 6 + 3) * 21 + 2 * 3 * 5
    assert jobs["rewind"] == jobs["maps"] == jobs["train"]
    assert sum(jobs.values()) == stated_jobs("all")


@pytest.mark.parametrize("name", ["vgg16-cifar100", "resnet18-cifar100", "cnn-mnist"])
def test_a_file_plans_as_many_jobs_as_its_comment_states(tmp_path, name):
    jobs = planned(tmp_path, config=yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))
    assert sum(jobs.values()) == stated_jobs(name)
