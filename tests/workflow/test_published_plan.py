"""The index of the published grids, planned as a user would before running it."""

import resource
import shutil

import pytest
import yaml
from snakemake_calls import planned

from repository import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.exhaustive]

#: Seconds of a processor that planning may take, one that another thread of its core shares; waits do not count.
PATIENCE = 60


def test_the_index_plans_every_published_run_within_a_minute_of_a_processor(tmp_path):
    """Three runs of 71 points; blocks of 101 epochs are five up to epoch 500, of 51 (resnet18) ten."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    index = yaml.safe_load((tmp_path / "config" / "ketha2026" / "all.yaml").read_text())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = planned(tmp_path, config=index)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert jobs["prepare_data"] == 5
    assert jobs["draw_labels"] == jobs["train"] == 3 * 71
    # Seven full grids of 18 runs with four families (five on clean labels), resnet18 with five, dropout with two.
    assert jobs["fit_probes"] == 7 * (18 * 4 + 3) * 5 + 15 * 5 * 10 + 72 * 2 * 5
    assert jobs["transfer"] == 7 * 18 * 5 + 15 * 10
    assert jobs["edit"] == (6 * 3 + 1) * 15 and jobs["relabel"] == 7 * 15  # not at level 1, not for resnet18
    assert jobs["draw_figure"] == 13
    assert seconds < PATIENCE
