"""The grids of Stephenson et al. and the sweeps of widths, planned as a user would before running them."""

import re
import shutil

import pytest
import yaml
from snakemake_calls import planned

from repository import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.exhaustive]

CONFIG = ROOT / "config"


def stated_jobs(name):
    return int(re.search(r"([\d,]+) jobs", (CONFIG / f"{name}.yaml").read_text())[1].replace(",", ""))


def test_the_index_plans_as_many_jobs_as_its_comment_states(tmp_path):
    """Up to epoch 200, blocks of 10 epochs are 21; up to 500, blocks of 101 are five."""
    shutil.copytree(CONFIG, tmp_path / "config")
    jobs = planned(tmp_path, config=yaml.safe_load((CONFIG / "stephenson2021/all.yaml").read_text()))
    assert jobs["prepare_data"] == 3
    assert jobs["draw_labels"] == jobs["train"] == 2 * 6 + 3 * 3
    for rule in ("fit_probes", "geometry", "gradients", "transfer"):
        assert jobs[rule] == (2 * 6 + 3) * 21 + 2 * 3 * 5
    assert jobs["rewind"] == jobs["embeddings"] == jobs["train"]
    assert sum(jobs.values()) == stated_jobs("stephenson2021/all")


@pytest.mark.parametrize(
    "name",
    sorted(
        str(path.relative_to(CONFIG).with_suffix(""))
        for folder in ("stephenson2021", "double-descent")
        for path in (CONFIG / folder).glob("*.yaml")
        if path.stem != "all"
    ),
)
def test_a_file_plans_as_many_jobs_as_its_comment_states(tmp_path, name):
    jobs = planned(tmp_path, config=yaml.safe_load((CONFIG / f"{name}.yaml").read_text()))
    assert sum(jobs.values()) == stated_jobs(name)
