"""The script that measures a GPU, on a CPU and in small: every part, and what calls them."""

import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from benchmarks.gpu import grid
from benchmarks.gpu.common import Sheet
from packaging.requirements import Requirement

from repository import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.exhaustive]

SCRIPT = ROOT / "benchmarks" / "gpu.sh"
LOCK = (ROOT / "envs" / "requirements.txt").read_text().splitlines()
FIELDS = ["part", "subject", "method", "quantity", "unit", "value", "least", "most", "repeats"]


def call(*arguments, **environment):
    """Finished call of the script, where no GPU is seen."""
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment}
    return subprocess.run([SCRIPT, *map(str, arguments)], env=hidden, capture_output=True, text=True, timeout=600)


def measured(part, out):
    """Rows of a part, run by itself."""
    command = [sys.executable, "-m", f"benchmarks.gpu.{part}", str(out), "--device", "cpu", "--tiny"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pd.read_parquet(out / f"{part}.parquet")
    assert list(rows) == FIELDS and set(rows["part"]) <= {part}
    assert (rows["least"] <= rows["value"]).all() and (rows["value"] <= rows["most"]).all()
    return rows


def values(rows, quantity, method=".*"):
    chosen = rows["quantity"].str.fullmatch(quantity) & rows["method"].str.fullmatch(method)
    assert chosen.any(), (quantity, method)
    return rows.loc[chosen, "value"]


def test_without_a_gpu_nothing_is_measured(tmp_path):
    done = call(tmp_path / "out")
    assert (done.returncode, done.stdout) == (0, "no GPU: nothing measured\n")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_call_without_a_folder_says_how_to_call():
    for arguments in ((), ("--tiny",)):
        done = call(*arguments)
        assert done.returncode == 2 and "benchmarks/gpu.sh OUT" in done.stderr


def test_what_must_be_brought_along_is_named_as_the_lock_has_it():
    named = call("--needs").stdout.splitlines()
    wanted = (ROOT / "benchmarks" / "gpu" / "needs.txt").read_text().split()
    assert [Requirement(line).name for line in named] == wanted and len(set(named)) == len(named)
    assert set(named) <= {line.split(" ")[0] for line in LOCK}
    assert {"snakemake", "jsonschema", "umap-learn"} <= set(wanted)
    assert not {"torch", "numpy", "torchvision"} & set(wanted)


def test_a_second_call_does_what_is_missing_and_a_failed_part_leaves_its_log(tmp_path):
    """All parts count as done but three, of which one cannot work without the others' rows."""
    parts = re.search(r"^parts=\((.*)\)$", SCRIPT.read_text(), re.M)[1].split()
    for part in set(parts) - {"machine", "probes", "hours"}:
        (tmp_path / f"{part}.txt").write_text("done\n")
    done = call(tmp_path, "--device", "cpu", "--tiny")
    assert done.returncode == 1
    assert done.stdout.rstrip().endswith("not finished: hours (status 1)")
    assert "needs what training measured" in (tmp_path / "hours.log").read_text()
    assert not (tmp_path / "hours.txt").exists() and (tmp_path / "tests.txt").read_text() == "done\n"
    for part in ("machine", "probes"):
        assert f"== {part}: status 0" in (tmp_path / f"{part}.txt").read_text()
        assert pq.read_metadata(tmp_path / f"{part}.parquet").num_rows > 0
    assert "== machine" not in call(tmp_path, "--device", "cpu", "--tiny").stdout


def test_every_part_has_a_limit_and_a_module_and_stands_in_the_documents():
    text = SCRIPT.read_text()
    parts = re.search(r"^parts=\((.*)\)$", text, re.M)[1].split()
    assert sorted(re.findall(r"\[(\w+)\]=\d+", text)) == sorted(parts)
    page = (ROOT / "docs" / "gpu.md").read_text()
    for part in parts:
        assert (ROOT / "benchmarks" / "gpu" / f"{part}.py").exists() and f"`{part}`" in page
    assert int(re.search(r"^total=(\d+)$", text, re.M)[1]) <= 8 * 60


def test_training_in_every_way_gives_the_same_weights(tmp_path):
    rows = measured("training", tmp_path)
    assert (values(rows, "updates a second") > 0).all()
    assert {"as it is", "single steps", "2 batched replicas", "2 processes, as it is"} == set(rows["method"])
    assert (values(rows, "difference of weights") < 1e-6).all()
    pages = measured("hours", with_probes(tmp_path))
    training = values(pages, "training")
    assert (training > 0).all() and set(pages["method"]) == {"as it is", "fastest measured"}
    slow, fast = (values(pages, "training", method).sum() for method in ("as it is", "fastest measured"))
    assert fast <= slow


def with_probes(folder):
    """Beside what is there, rows of probes: a second for a layer of each kind."""
    sizes = ["60,000 x 784", "60,000 x 2,048", "50,000 x 16,384"]
    rows = pd.DataFrame({"subject": sizes, "quantity": "MASC and VeLPIC, fit and score", "value": 1.0})
    rows.to_parquet(folder / "probes.parquet")
    return folder


def test_compiled_networks_and_streams(tmp_path):
    assert (values(measured("compiled", tmp_path), "updates a second") > 0).all()
    assert len(measured("streams", tmp_path)) == 0


@pytest.mark.exhaustive
def test_equal_runs_on_a_cpu_are_called_equal(tmp_path):
    rows = measured("determinism", tmp_path)
    assert (values(rows, "equal in one process") == 1).all() and (values(rows, "equal in two processes") == 1).all()
    assert {"masc", "gradients", "rewinding", "training, as it is"} <= set(rows["method"])


def test_probes_and_analyses(tmp_path):
    rows = measured("probes", tmp_path)
    assert (values(rows, "largest error") < 1e-5).all()
    assert (values(rows, "error of the largest value") < 1e-4).all()
    assert (values(rows, "accuracy") > 0.5).all()
    rows = measured("analyses", tmp_path)
    assert (values(rows, "a checkpoint") > 0).all()
    for analysis in ("gradients", "rewinding.*", "geometry", "transfer.*", "MASC.*", "logistic.*", "nearest.*"):
        values(rows, "a checkpoint", analysis)


@pytest.mark.exhaustive
def test_the_workflow_twice(tmp_path):
    rows = measured("grid", tmp_path)
    equal = rows[rows["quantity"] == "equal files"]
    assert (equal["unit"] == [f"of {value:.0f}" for value in equal["value"]]).all()
    assert {"weights", "records of cells", "gathered history"} <= set(equal["method"])
    assert (values(rows, ".*difference of values") == 0).all()


@pytest.mark.exhaustive
def test_jobs_beside_each_other_and_their_estimate(tmp_path):
    rows = measured("jobs", tmp_path)
    assert (values(rows, "jobs that waited") == 0).all() and (values(rows, "devices held") == 0).all()
    assert (values(rows, "a job") > 0).all()
    assert 0.1 < values(rows, "estimated / measured").item() < 10


def test_differences_between_grids_are_found(tmp_path):
    """One file differs, one is absent, one row is absent, and one value is another."""
    rows = pd.DataFrame({"epoch": [0, 1, 2], "value": [0.1, 0.2, 0.3], "rank": np.nan, "inputs": "a"})
    for name, frame in (("one", rows), ("two", rows.assign(value=[0.1, 0.25, 0.3], inputs="b")[:2])):
        cell = tmp_path / name / "runs/digits/mlp/uniform-0.6/data0-model0"
        (cell / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "tables").mkdir()
        frame.to_parquet(tmp_path / name / "tables" / "probes.parquet")
        frame.to_parquet(cell / "history.parquet")
        (cell / "checkpoints" / "epoch-0000.safetensors").write_bytes(b"equal")
        (cell / "checkpoints" / "epoch-0001.safetensors").write_bytes(name.encode())
    (tmp_path / "two/runs/digits/mlp/uniform-0.6/data0-model0/checkpoints/epoch-0001.safetensors").unlink()
    sheet = Sheet(tmp_path, "grid")
    grid.compare_bytes(sheet, tmp_path / "one", tmp_path / "two")
    grid.compare_tables(sheet, tmp_path / "one" / "tables", tmp_path / "two" / "tables")
    found = pd.read_parquet(tmp_path / "grid.parquet").set_index(["method", "quantity"])
    assert found.loc[("weights", "equal files"), ["value", "unit"]].tolist() == [1, "of 2"]
    assert found.loc[("history of cells", "equal files"), ["value", "unit"]].tolist() == [0, "of 1"]
    assert found.loc[("gathered probes", "equal files"), "value"] == 0
    assert found.loc[("probes", "rows of both"), ["value", "unit"]].tolist() == [2, "of 3"]
    assert found.loc[("probes", "largest difference of values"), "value"] == pytest.approx(0.05)


def test_the_page_shows_medians_units_and_what_varies(tmp_path):
    rows = [
        ["probes", "60 x 7", "as it is", "update", "s", 2.0, 1.0, 3.0, 3],
        ["probes", "60 x 7", "as it is", "most memory", "GiB", 0.5, 0.5, 0.5, 1],
        ["probes", "60 x 9", "as it is", "update", "s", 1234.6, 1234.0, 1235.0, 3],
    ]
    pd.DataFrame(rows, columns=FIELDS).to_parquet(tmp_path / "probes.parquet")
    page = tmp_path / "page.md"
    page.write_text("Prose.\n\n<!-- Written by `python -m benchmarks.gpu.page OUT docs/gpu.md`: -->\n\nold\n")
    command = [sys.executable, "-m", "benchmarks.gpu.page", str(tmp_path), str(page)]
    subprocess.run(command, cwd=ROOT, check=True)
    text = page.read_text()
    assert text.startswith("Prose.\n") and "old" not in text
    assert "| method | quantity | 60 x 7 | 60 x 9 (s) |" in text
    assert "| as it is | update | 2 (1 to 3) s | 1,235 |" in text and "| as it is | most memory | 0.5 GiB |  |" in text
    subprocess.run(command, cwd=ROOT, check=True)
    assert page.read_text() == text
    assert "Written by `python -m benchmarks.gpu.page" in (ROOT / "docs" / "gpu.md").read_text()
