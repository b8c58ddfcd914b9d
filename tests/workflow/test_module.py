"""The workflow as a part of another one, and as the catalog of workflows shows it."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from snakemake_calls import check_out, environment

from repository import ROOT

pytestmark = pytest.mark.workflow

ENTRY = {
    "model": "mlp_small",
    "levels": [0.4],
    "saved_epochs": [0],
    "training": {"optimizer": "adam", "learning_rate": 0.005, "batch_size": 64, "epochs": 1},
    "probes": {"masc": {"kind": "masc"}},
}
DIGITS = {"device": "cpu", "jobs_per_gpu": 3, "grid": [{"dataset": "digits", **ENTRY}]}

#: Its own default target comes first, and a rule of its own has wildcards that this workflow constrains elsewhere.
OUTER = """
configfile: "outer.yaml"

rule everything:
    input:
        "accuracy.txt",
        "memorisation/results/figures/fig1.pdf",

module latentgen:
    snakefile: "{snakefile}"
    config: config["memorisation"]
    prefix: "memorisation"

use rule * from latentgen as latentgen_*

rule accuracy:
    input:
        "memorisation/results/tables/headline.parquet",
    output:
        "{{table}}.txt",
    shell:
        "python -c 'import pandas, sys; print(len(pandas.read_parquet(sys.argv[1])), *sys.argv[2:])'"
        " {{input}} $LATENTGEN_JOBS_PER_GPU > {{output}}"
"""

TWO = """
configfile: "outer.yaml"

module one:
    snakefile: "{snakefile}"
    config: config["one"]
    prefix: "one"

use rule * from one as one_*

module two:
    snakefile: "{snakefile}"
    config: config["two"]
    prefix: "two"

use rule * from two as two_*

rule both:
    default_target: True
    input:
        "one/results/tables/headline.parquet",
        "two/results/tables/headline.parquet",
"""


def call(folder, text, config, *arguments):
    """Output of Snakemake on an outer workflow in ``folder``."""
    (folder / "Snakefile").write_text(text.format(snakefile=ROOT / "Snakefile"))
    (folder / "outer.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def jobs(text):
    table = text[text.index("Job stats") :]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, flags=re.M)}


@pytest.fixture(scope="module")
def outer(tmp_path_factory):
    """Folder in which an outer workflow has run, and what it said."""
    folder = tmp_path_factory.mktemp("outer")
    return folder, call(folder, OUTER, {"memorisation": DIGITS})


def test_another_workflow_runs_what_it_needs_of_a_grid(outer):
    folder, text = outer
    assert jobs(text) == {
        **dict.fromkeys(["everything", "accuracy", "latentgen_headline", "latentgen_draw_figure"], 1),
        **dict.fromkeys(["latentgen_prepare_data", "latentgen_draw_labels", "latentgen_train"], 1),
        **{"latentgen_fit_probes": 1, "latentgen_gather": 2, "total": 10},
    }
    headline = pd.read_parquet(folder / "memorisation/results/tables/headline.parquet")
    assert set(headline["dataset"]) == {"digits"} and headline["level"].unique() == [0.4]
    # The jobs of a call know how many of them may share a GPU.
    assert (folder / "accuracy.txt").read_text() == f"{len(headline)} 3\n"
    assert (folder / "memorisation/results/figures/fig1.pdf").read_bytes().startswith(b"%PDF")


def test_everything_of_it_lies_below_the_prefix(outer):
    folder, _ = outer
    assert {path.name for path in folder.iterdir()} == {
        *(".snakemake", "Snakefile", "outer.yaml", "accuracy.txt", "memorisation")
    }
    assert {path.name for path in (folder / "memorisation").iterdir()} == {"results"}


def test_the_outer_report_shows_its_figures_with_their_captions(outer):
    folder, _ = outer
    call(folder, OUTER, {"memorisation": DIGITS}, "--report", "report.html", "memorisation/results/figures/fig1.pdf")
    text = (folder / "report.html").read_text()
    assert "memorisation/results/figures/fig1.png" in text and "headline.csv" not in text
    caption = (folder / "memorisation/results/figures/fig1.md").read_text()
    assert "**n and intervals.** One data seed" in caption and "<strong>n and intervals.</strong> One data" in text


def test_two_grids_in_one_workflow_are_kept_apart(tmp_path):
    images = np.zeros((4, 6, 6), dtype=np.uint8)
    labels = np.arange(4) % 2
    np.savez(tmp_path / "leaves.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    leaves = {"device": "cpu", "datasets": {"leaves": {"npz": "leaves.npz"}}}
    leaves["grid"] = [{"dataset": "leaves", **ENTRY, "model": "cnn_small", "levels": [0.2, 0.6]}]
    text = call(tmp_path, TWO, {"one": DIGITS, "two": leaves}, "--dry-run")
    assert jobs(text) == {
        **{f"one_{rule}": 1 for rule in ("prepare_data", "draw_labels", "train", "fit_probes", "headline")},
        **{f"two_{rule}": 2 for rule in ("draw_labels", "train", "fit_probes", "gather")},
        **{"two_prepare_data": 1, "two_headline": 1, "one_gather": 2, "both": 1, "total": 18},
    }
    # The user's own file lies where the configuration says, not below the prefix.
    assert re.search(r"^rule two_prepare_data:\n +input: leaves\.npz$", text, flags=re.M)
    written = re.findall(r"^ +output: (\S+?),?\s", text, flags=re.M)
    assert {path.split("/")[0] for path in written} == {"one", "two"}


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_the_grid_is_the_default_target_of_both_snakefiles(tmp_path, snakefile):
    check_out(tmp_path)
    call = [sys.executable, "-m", "snakemake", "--dry-run", "--snakefile", snakefile]
    done = subprocess.run(call, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
    assert re.search(r"^train +12$", done.stdout + done.stderr, flags=re.M)


def test_the_catalog_finds_what_it_shows():
    shown = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(shown["mandatory-flags"]) == {"desc", "flags"}
    deployment = shown["software-stack-deployment"]
    assert deployment == {"conda": True, "apptainer": False, "apptainer+conda": False, "report": True}
    assert shown["report"] is True
    rules = (ROOT / "workflow" / "rules").glob("*.smk")
    with_scripts = [text for text in (path.read_text() for path in rules) if "script:" in text]
    assert with_scripts and all(text.count("script:") == text.count("conda:") for text in with_scripts)
