"""The whole workflow on the smoke grid: what it leaves, what reruns, and what it refuses."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from snakemake_calls import SMOKE, changed, check_out, environment, planned, run

from latentgen import tables
from latentgen.analyses import TABLES

pytestmark = pytest.mark.workflow

MLP = "results/runs/digits/mlp_small/uniform-0.6/data0-1-model0"
CNN = "results/runs/digits/cnn_small/uniform-0.6/data0-model0"


def test_every_run_is_in_every_table(smoke):
    history = tables.read(smoke / "results/tables/history.parquet")
    probes = tables.read(smoke / "results/tables/probes.parquet")
    runs = {
        ("mlp_small", 0.0, 0),
        ("mlp_small", 0.0, 1),
        ("mlp_small", 0.6, 0),
        ("mlp_small", 0.6, 1),
        ("mlp_dropout", 0.6, 0),
        ("mlp_dropout", 0.6, 1),
        ("cnn_small", 0.6, 0),
        *((f"mlp-{width}", 0.6, seed) for width in (4, 16, 64) for seed in (0, 1)),
    }
    for frame, schema in ((history, tables.HISTORY), (probes, TABLES["probes"].schema)):
        assert list(frame.columns) == schema.names
        assert set(zip(frame["model"], frame["level"], frame["data_seed"], strict=True)) == runs
    assert set(probes["probe"]) == {"masc", "masc50", "velpic", "logistic"}
    assert set(probes["split"]) == {"test", "train", "validation"}
    assert set(probes[probes["split"] == "train"]["probe"]) == {"masc50"}
    assert probes["value"].between(0, 1).all() and history["value"].notna().all()


def test_stopped_runs_end_in_the_block_of_their_last_epoch(smoke):
    for level in ("0.0", "0.6"):
        cell = smoke / MLP.replace("0.6", level)
        index = json.loads((cell / "checkpoints.json").read_text())
        probes = {block: tables.read(cell / "probes/all" / f"{block}.parquet") for block in ("0000-0003", "0004-0007")}
        for seed in (0, 1):
            kept = {int(epoch) for epoch in index[f"data{seed}-model0"]["sha256"]}
            for (first, last), frame in (((0, 3), probes["0000-0003"]), ((4, 7), probes["0004-0007"])):
                found = set(frame[frame["data_seed"] == seed]["epoch"])
                assert found == {epoch for epoch in kept if first <= epoch <= last}
    # Clean labels are learned before the last epoch, so one of the blocks is shorter than declared.
    clean = json.loads((smoke / MLP.replace("0.6", "0.0") / "checkpoints.json").read_text())
    assert min(run["last_epoch"] for run in clean.values()) < 6


def test_interventions_are_in_their_tables(smoke):
    transfer, edit, relabel = (
        tables.read(smoke / f"results/tables/{name}.parquet") for name in ("transfer", "edit", "relabel")
    )
    assert set(transfer["model"]) == {"mlp_small", "mlp_dropout"}
    assert set(transfer["layer"][transfer["model"] == "mlp_small"]) == {"input", "fc1", "fc2", "fc3"}
    assert set(transfer["layer"][transfer["model"] == "mlp_dropout"]) == {"fc3"}
    assert set(edit["model"]) == set(relabel["model"]) == {"mlp_small"}
    assert set(edit["edit_epoch"]) == {1} and edit["epoch"].max() == 3 and set(edit["rows"]) == {"none", "axis"}
    # The fitted axis is VeLPIC's: the two tables must say the same of the layers that both know.
    probes = tables.read(smoke / "results/tables/probes.parquet")
    keys = ["model", "level", "data_seed", "epoch", "layer"]
    velpic = probes[(probes["probe"] == "velpic") & (probes["split"] == "test")].set_index(keys)["value"]
    edited = (transfer["rows"] == "axis") & (transfer["norm"] == "unit") & (transfer["mix"] == 1)
    edited &= (transfer["bias"] == "zero") & (transfer["split"] == "test")
    both = transfer[edited].set_index(keys)["value"]
    assert len(both) > 30 and (both - velpic[both.index]).abs().max() <= 1 / 450


def test_geometry_is_in_its_table(smoke):
    geometry = tables.read(smoke / "results/tables/geometry.parquet")
    history = tables.read(smoke / "results/tables/history.parquet")
    assert list(geometry.columns) == TABLES["geometry"].schema.names
    assert set(geometry["model"]) == {"mlp_small"} and set(geometry["level"]) == {0.0, 0.6}
    assert set(geometry["layer"]) == {"input", "fc1", "fc2", "fc3", "output"}
    empty = (geometry["level"] == 0) & geometry["view"].isin(["permuted", "restored"])
    assert (empty == (geometry["n"] == 0)).all() and geometry["value"][empty].isna().all()
    simulated = geometry[geometry["metric"] == "simulated_capacity"]
    of_mlp = history[history["model"] == "mlp_small"]
    runs = ["level", "data_seed"]
    assert simulated.groupby(runs)["epoch"].unique().str[0].equals(of_mlp.groupby(runs)["epoch"].max())


def test_rewound_networks_are_in_their_table_and_end_as_the_history_does(smoke):
    rewind = tables.read(smoke / "results/tables/rewind.parquet")
    history = tables.read(smoke / "results/tables/history.parquet")
    assert list(rewind.columns) == TABLES["rewind"].schema.names
    assert set(rewind["model"]) == {"mlp_small"} and set(rewind["layer"]) == {"fc1", "fc2", "fc3", "output"}
    assert set(rewind["view"]) == {"test", "unpermuted", "permuted", "restored", "validation"}
    assert (rewind["n"] <= 400).all()
    empty = (rewind["level"] == 0) & rewind["view"].isin(["permuted", "restored"])
    assert (empty == (rewind["n"] == 0)).all() and (empty == rewind["value"].isna()).all()
    run = ["level", "data_seed"]
    ends = history[history["model"] == "mlp_small"].groupby(run)["epoch"].max()
    assert rewind.groupby(run)["last_epoch"].unique().str[0].equals(ends)
    # Held-out examples are fewer than the limit, so all of them count, as they do in the history.
    whole = rewind[(rewind["view"] == "validation") & (rewind["kind"] == "prefix") & (rewind["layer"] == "output")]
    whole = whole[whole["weights"] == "saved"].set_index([*run, "epoch"])["value"]
    own = history[(history["model"] == "mlp_small") & (history["mode"] == "evaluated")]
    own = own[(own["split"] == "validation") & (own["labels"] == "given") & (own["metric"] == "accuracy")]
    assert (whole - own.set_index([*run, "epoch"])["value"]).dropna().eq(0).sum() == len(whole)


def test_gradients_maps_and_layers_are_in_their_tables(smoke):
    gradients, embeddings, layers = (
        tables.read(smoke / f"results/tables/{name}.parquet") for name in ("gradients", "embeddings", "layers")
    )
    assert [list(frame.columns) for frame in (gradients, embeddings, layers)] == [
        schema.names for schema in (TABLES["gradients"].schema, TABLES["embeddings"].schema, tables.LAYERS)
    ]
    assert set(gradients["layer"]) == {"network", "fc1", "fc2", "fc3", "output"}
    assert set(gradients["group"]) == {"unpermuted", "permuted", "selected", "all"}
    assert set(embeddings["layer"]) == {"fc3", "output"} and set(embeddings["data_seed"]) == {0}
    assert (embeddings.groupby(["level", "layer", "epoch"]).size() == 100).all()
    assert set(layers["model"]) == {"mlp_small", "mlp_dropout", "cnn_small", "mlp-4", "mlp-16", "mlp-64"}
    assert layers[layers["model"] == "mlp-4"]["parameters"].tolist() == [65 * 4, 5 * 10]


DRAWN = {*range(1, 7), *range(9, 14), *range(15, 27)}


def test_figures_are_whole(smoke):
    assert {path.name for path in (smoke / "results/figures").glob("*.pdf")} == {f"fig{n}.pdf" for n in DRAWN}
    for number in DRAWN:
        stem = smoke / "results/figures" / f"fig{number}"
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        assert stem.with_suffix(".svg").read_text().rstrip().endswith("</svg>")
        assert stem.with_suffix(".md").read_text().startswith(f"# Figure {number}. ")
        assert pq.read_table(stem.with_suffix(".parquet")).num_rows >= 8
    assert "digits" in (smoke / "results/tables/headline.txt").read_text()


def test_every_job_has_a_log(smoke):
    text = (smoke / "results/logs/train/digits/mlp_small/uniform-0.6/data0-1-model0.log").read_text()
    assert "data1-model0: epoch 1 of at most 6, running training accuracy" in text and "left" in text


def test_an_unchanged_rerun_does_nothing(smoke):
    assert planned(smoke) == {}


#: What a cell of the MLP has of its two blocks, and as a whole.
OF_BLOCKS = {"fit_probes": 2, "geometry": 2, "gradients": 2, "transfer": 2}
OF_CELL = dict.fromkeys(["draw_labels", "train", "edit", "relabel", "rewind", "embeddings"], 1)
#: Everything that is drawn, and what is drawn from probes.
ALL = {"gather": 9, "headline": 1, "draw_figure": 23}
OF_PROBES = {"gather": 1, "headline": 1, "draw_figure": 10}


def with_probe(**probe):
    return changed(probes=SMOKE["defaults"]["probes"] | {"extra": probe})


def with_geometry(**settings):
    config = changed()
    config["grid"][0]["geometry"] |= settings
    return config


def with_intervention(**interventions):
    config = changed()
    config["grid"][0]["interventions"] |= interventions
    return config


@pytest.mark.parametrize(
    ("config", "jobs"),
    [
        pytest.param(
            changed(levels=[0.0, 0.3, 0.6]),
            {**OF_CELL, **OF_BLOCKS, **ALL},
            id="level",
        ),
        pytest.param(
            changed(data_seeds=["0-1", 2]),
            # Two more cells of the MLP, and one of each network of the sweep.
            {
                **dict.fromkeys(OF_CELL, 2),
                **dict.fromkeys(OF_BLOCKS, 4),
                **{"draw_labels": 5, "train": 5, "fit_probes": 7},
                **ALL,
            },
            id="seed",
        ),
        pytest.param(
            changed(saved_epochs=[0, 1, 2, 3, 4]),
            {
                **dict.fromkeys(["edit", "relabel", "rewind", "embeddings"], 2),
                **dict.fromkeys(["geometry", "gradients"], 4),
                **{"train": 7, "fit_probes": 9, "transfer": 5},
                **ALL,
            },
            id="saved epoch",
        ),
        pytest.param(with_probe(kind="masc", n_axes=1), {"fit_probes": 9, **OF_PROBES}, id="probe in its own family"),
        pytest.param(with_probe(kind="velpic", family="all"), {"fit_probes": 9, **OF_PROBES}, id="probe in the family"),
        pytest.param(
            with_geometry(simulated=None), {"geometry": 4, "gather": 1, "draw_figure": 4}, id="nothing simulated"
        ),
        pytest.param(
            with_intervention(edit={"epochs": [1, 2], "until": 3}),
            {"edit": 2, "gather": 1, "headline": 1, "draw_figure": 2},
            id="edited epoch",
        ),
        pytest.param(
            with_intervention(relabel={"probe": "masc"}),
            # The probe is on the last layer now, which the networks are asked for.
            {"try_models": 1, "accept_models": 1, "relabel": 2, "gather": 1, "headline": 1, "draw_figure": 1},
            id="relabelling probe",
        ),
    ],
)
def test_an_addition_reruns_only_what_is_new(smoke, config, jobs):
    try:
        counts = planned(smoke, config=config)
    finally:
        (smoke / "grid.yaml").unlink()  # the next call writes the smoke grid again
    assert counts == jobs


OWN = """
from torch import nn
from shapes import side


def make(in_shape, n_classes):
    network = nn.Sequential(nn.Flatten(), nn.Linear(side(in_shape), 8), nn.ReLU(), nn.Linear(8, n_classes))
    network.probed = {"hidden": "2"}
    return network


def two(in_shape, n_classes):
    return nn.Flatten()
"""


def test_a_refused_network_stops_no_other_and_changed_code_reruns_its_own(tmp_path, monkeypatch):
    code = tmp_path / "code"
    code.mkdir()
    (code / "own.py").write_text(OWN)
    (code / "shapes.py").write_text("def side(shape):\n    return shape[1] * shape[2]\n")
    monkeypatch.setenv("PYTHONPATH", f"{code}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    config = changed(levels=[0.6], data_seeds=[0], saved_epochs=[0], probes={"velpic": {"kind": "velpic"}})
    config["models"] = {"good": {"factory": "own:make"}, "bad": {"factory": "own:two"}}
    training = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 64, "epochs": 1}
    config["grid"] = [{"model": ["good", "bad"], "training": training}]
    cells = {name: f"results/runs/digits/{name}/uniform-0.6/data0-model0/history.parquet" for name in config["models"]}
    targets = ["results/models.txt", "results/models/digits.txt", *cells.values()]
    done = run(tmp_path, "--cores", "2", "--keep-going", *targets, config=config, check=False)
    assert done.returncode != 0
    refusal = "models.bad (own:two), images 1 × 8 × 8, 10 classes: it has no weights that training could change"
    assert refusal in done.stdout
    listed = (tmp_path / "results/models.txt").read_text()
    assert "  hidden  2             8             8         520" in listed and "  REFUSED: it has no weights" in listed
    assert (tmp_path / cells["good"]).exists() and not (tmp_path / cells["bad"]).exists()
    assert not (tmp_path / "results/models/digits.txt").exists()

    assert planned(tmp_path, cells["good"]) == {}
    with open(code / "own.py", "a") as file:
        file.write("\n\n# a comment\ndef unrelated(): ...\n")
    assert planned(tmp_path, cells["good"]) == {}
    # Which submodules are layers is no part of the weights: the training runs and finds itself done.
    config["models"]["good"]["probed"] = {"raw": "1", "hidden": "2"}
    assert planned(tmp_path, cells["good"], config=config) == {"train": 1}
    (code / "shapes.py").write_text("def side(shape):\n    return int(shape[1] * shape[2])\n")
    text = run(tmp_path, "--dry-run", cells["good"], config=config).stdout
    changed_file = r"code of own:make: own.py (\w{12}), shapes.py (\w{12}).*: own.py \1, shapes.py (?!\2)\w"
    assert re.search(changed_file, text)


def test_a_single_target_plans_only_what_it_needs(tmp_path):
    assert planned(tmp_path, f"{CNN}/history.parquet") == {"prepare_data": 1, "draw_labels": 1, "train": 1}


def test_dumps_are_targets_and_probes_that_read_them_give_the_same_bytes(smoke, tmp_path):
    shutil.copytree(smoke, tmp_path, dirs_exist_ok=True, symlinks=True)
    layer = f"{CNN}/activations/epoch-0002/fc1.npy"
    table = f"{CNN}/probes/all/0000-0099.parquet"
    streamed = (tmp_path / table).read_bytes()
    (tmp_path / table).unlink()
    shutil.rmtree(tmp_path / CNN / "partial" / "probes")
    run(tmp_path, "--cores", "1", layer, table, config={**SMOKE, "activations": "dump"})
    assert (tmp_path / table).read_bytes() == streamed
    single = np.load(tmp_path / layer)
    assert single.shape == (1797, 128)
    assert np.array_equal(single, np.load(tmp_path / CNN / "dumps/0000-0099/data0-model0/epoch-0002/fc1.npy"))

    late = run(tmp_path, "--cores", "1", f"{CNN}/activations/epoch-0009/fc1.npy", config=SMOKE, check=False)
    assert late.returncode != 0
    log = tmp_path / "results/logs/activations/digits/cnn_small/uniform-0.6/data0-model0/epoch-0009-fc1.log"
    assert "stopped after epoch 4; there is no epoch 9" in log.read_text()


def processor_seconds(call):
    """What ``call`` makes child processes spend."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(getattr(after, part) - getattr(before, part) for part in ("ru_utime", "ru_stime"))


def test_a_bad_configuration_is_refused_before_any_job_and_quickly(tmp_path):
    def refuse():
        refused = run(tmp_path, "--cores", "1", config=changed(levels=[0.2, 1.2]), check=False)
        assert refused.returncode != 0
        assert "grid[0].levels: 1.2 is not a probability; allowed: 0 to 1" in refused.stdout
        assert "Job stats" not in refused.stdout and not (tmp_path / "results").exists()

    def import_snakemake():
        subprocess.run([sys.executable, "-c", "import snakemake.cli, snakemake.workflow"], check=True)

    # Nearly all of it is Snakemake's own start, so a busy machine is allowed for by the same work without ours.
    seconds, least = processor_seconds(refuse), processor_seconds(import_snakemake)
    assert seconds < max(5, least + 2)


def test_a_grid_whose_entries_share_no_pair_of_probes_draws_no_difference(tmp_path):
    config = changed(probes={})
    none = {"interventions": {}, "geometry": None, "gradients": False, "embeddings": None}
    config["grid"] = [
        {**SMOKE["grid"][0], **none, "probes": {"masc": {"kind": "masc"}}},
        {**SMOKE["grid"][2], "probes": {"velpic": {"kind": "velpic"}}},
    ]
    figures = [f"results/figures/fig{number}.pdf" for number in (1, 2, 10, 12, 15)]
    assert planned(tmp_path, config=config)["draw_figure"] == len(figures)
    assert planned(tmp_path, *figures, config=config)["draw_figure"] == len(figures)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return check_out(tmp_path_factory.mktemp("checkout"))


def call_in(folder, *arguments):
    call = [sys.executable, "-m", "snakemake", *arguments]
    done = subprocess.run(call, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_target_is_made_without_saying_how_many_cores(checkout):
    call_in(checkout, "results/data/digits/meta.json")
    assert json.loads((checkout / "results/data/digits/meta.json").read_text())["n_classes"] == 10


@pytest.mark.parametrize(
    "arguments",
    [["results/figures/fig1.pdf"], [], ["--cores", "8"], ["--cores", "8", "--profile", "slurm"]],
    ids=lambda arguments: " ".join(arguments) or "default",
)
def test_the_users_command_lines_plan_as_typed(checkout, arguments):
    assert re.search(r"train +12\n", call_in(checkout, "--dry-run", *arguments))


def test_mnist_runs_on_real_files(data_root, tmp_path):
    config = changed(dataset="mnist", levels=[0.6], data_seeds=[0], noise="ketha2026", saved_epochs=[0])
    config["data_root"] = str(data_root)
    config["models"] = {"narrow": {"factory": "mlp", "options": {"widths": [128, 64]}}}
    config["defaults"]["probes"] = {"velpic": {"kind": "velpic"}}
    training = {"optimizer": "adam", "learning_rate": 0.001, "batch_size": 256, "epochs": 1}
    config["grid"] = [{"model": "narrow", "training": training}]
    cell = "results/runs/mnist/narrow/ketha2026-0.6/data0-model0"
    run(tmp_path, "--cores", "1", f"{cell}/probes/moments/0000-0099.parquet", config=config)
    frame = tables.read(tmp_path / cell / "probes/moments/0000-0099.parquet")
    test = frame[(frame["split"] == "test") & (frame["epoch"] == 1)].set_index("layer")["value"]
    assert list(test.index) == ["input", "fc1", "fc2"]
    assert test["input"] > 0.75 and test["fc1"] > 0.7
