"""One model of two fails: what the call says, what can be drawn of the other, and what is left once it is mended."""

import os
import re

import pytest
from snakemake_calls import run

from latentgen import incomplete, tables

pytestmark = pytest.mark.workflow

TARGETS = ["results/tables/headline.txt", "results/figures/fig12.pdf"]
BROKEN = """
def network(shape, n_classes):
    raise ValueError("no such network:\\n  nor another")
"""
MENDED = """
from latentgen.models.mlp import mlp_small


def network(shape, n_classes):
    return mlp_small(shape, n_classes)
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "mine_for_partial.py").write_text(BROKEN)
    return {
        "device": "cpu",
        "models": {"mine": {"factory": "mine_for_partial:network"}},
        "grid": [
            {
                "dataset": "digits",
                "model": ["mlp_small", "mine"],
                "levels": [0.6],
                "saved_epochs": [0],
                "training": {"optimizer": "adam", "learning_rate": 0.005, "batch_size": 64, "epochs": 1},
                "probes": {"masc": {"kind": "masc"}},
            }
        ],
    }


def rules_of(done):
    return set(re.findall(r"^(?:local)?rule (\w+):", done.stdout, re.M))


def test_what_failed_is_listed_the_rest_is_drawn_on_request_and_never_taken_for_the_whole(tmp_path, config):
    failed = run(tmp_path, "--cores", "2", "--keep-going", "--quiet", "all", "--", *TARGETS, config=config, check=False)
    assert failed.returncode == 1
    assert failed.stdout.rstrip().endswith(
        "1 job failed:\n  train of digits, mine, uniform, 0.6, data0-model0\n"
        "    cause: latentgen.models.refusal.Refused: models.mine (mine_for_partial:network), images 1 × 8 × 8, "
        "10 classes: it cannot be made: no such network: nor another\n"
        "    log: results/logs/train/digits/mine/uniform-0.6/data0-model0.log"
    )
    assert not (tmp_path / "results/tables/history.parquet").exists()

    partial = run(tmp_path, "--cores", "2", "--config", "partial_results=true", "--", *TARGETS)
    assert rules_of(partial) == {"gather", "headline", "draw_figure"}
    text = (tmp_path / TARGETS[0]).read_text()
    assert text.startswith(
        "PARTIAL RESULTS: 1 of 2 runs is missing:\n  digits/mine/uniform-0.6/data0-model0\n\ndigits / mlp_small"
    )
    history = tmp_path / "results/tables/history.parquet"
    assert incomplete.missing([history]) == (["digits/mine/uniform-0.6/data0-model0"], 2)
    assert set(tables.read(history)["model"]) == {"mlp_small"}
    again = run(tmp_path, "--dry-run", "--config", "partial_results=true", "--", *TARGETS)
    assert "Nothing to be done" in again.stdout

    (tmp_path / "mine_for_partial.py").write_text(MENDED)
    whole = run(tmp_path, "--cores", "2", "--", *TARGETS)
    assert {"train", "gather", "headline", "draw_figure"} <= rules_of(whole)
    assert "PARTIAL" not in (tmp_path / TARGETS[0]).read_text()
    assert incomplete.missing([history]) == ([], 0)
    assert set(tables.read(history)["model"]) == {"mlp_small", "mine"}
