"""What rows are known by: unchanged while no version is raised, and a raised one changes what it belongs to alone."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from latentgen import (
    activations,
    blocks,
    embeddings,
    geometry,
    gradients,
    interventions,
    models,
    noise,
    probes,
    training,
    versions,
)
from latentgen.analyses import NAMED
from latentgen.embeddings.declaration import METHODS as METHODS_OF_EMBEDDINGS
from latentgen.geometry.blocks import geometry_block
from latentgen.gradients.blocks import gradients_block
from latentgen.interventions.rewind import rewind_cell
from latentgen.interventions.transfer import transfer_block
from latentgen.probes import blocks as probe_blocks
from latentgen.probes import kinds
from latentgen.probes.blocks import probe_block
from latentgen.trained import TrainedCell

RUN = {
    "dataset": "invented",
    "model": "net",
    "noise": "uniform",
    "level": 0.5,
    "data_seed": 3,
    "model_seed": 7,
    "entry": "abc",
}
PROBES = {f"my {kind}": kinds.complete({"kind": kind}) for kind in kinds.KINDS}
GEOMETRY = NAMED["geometry"].complete({"simulated": {}})
INTERVENTIONS = {name: NAMED[name].complete({}) for name in ("transfer", "rewind")}

#: Versions of rooms when their methods got some of their own.
ROOMS = {
    activations: 1,
    geometry: 1,
    gradients: 1,
    interventions: 1,
    embeddings: 1,
    models: 1,
    noise: 1,
    probes: 2,
    training: 1,
}
METHODS = (geometry, interventions, embeddings, probes)


@pytest.fixture
def cell(tmp_path):
    """A cell of one run that kept two epochs, of data, labels and weights that are only digests."""
    digests = {"0": "0" * 64, "5": "5" * 64}
    (tmp_path / "checkpoints.json").write_text(json.dumps({"data3-model7": {"last_epoch": 5, "sha256": digests}}))
    model = {"factory": "my.nets:net", "options": {"width": 3}}
    cell = TrainedCell(tmp_path, [RUN], Path("data"), Path("labels.parquet"), model, "cpu", 2)
    cell.__dict__["data"] = SimpleNamespace(digest="d" * 64)
    cell.__dict__["labels"] = {3: SimpleNamespace(digest="e" * 64, selected=bytes(range(9)))}
    return cell


@pytest.fixture
def keys(cell, monkeypatch):
    """Hashes by analysis, method and epoch, of all rows that the analyses would compute or keep."""

    def known(_kept, _schema, pieces, _compute):
        return {f"{piece.method} {piece.checkpoint.epoch}": key for piece, key in pieces.items()}

    monkeypatch.setattr(blocks, "complete", known)

    def found():
        by_analysis = {
            "probes": probe_block(cell, PROBES, block="0000-0009"),
            "geometry": geometry_block(cell, GEOMETRY, block="0000-0009"),
            "gradients": gradients_block(cell, True, block="0000-0009"),
            "transfer": transfer_block(cell, INTERVENTIONS["transfer"], block="0000-0009"),
            "rewind": rewind_cell(cell, INTERVENTIONS["rewind"]),
        }
        return {f"{name}: {piece}": key for name, pieces in by_analysis.items() for piece, key in pieces.items()}

    return found


@pytest.fixture
def unraised(monkeypatch):
    """No method's version raised, and those of rooms as `ROOMS` has them."""
    for room, version in ROOMS.items():
        monkeypatch.setattr(room, "VERSION", version)
    for room in METHODS:
        monkeypatch.setattr(room, "VERSIONS", dict.fromkeys(room.VERSIONS, versions.FIRST))


#: Of rows that were computed before methods had versions of their own: they stay good.
FROZEN = {
    "probes: my masc 0": "6fcde6a20731bb6e",
    "probes: my velpic 0": "dbd59f4b4a08f0d5",
    "probes: my logistic 0": "01623c36f1b37d44",
    "probes: my nearest_mean 0": "aa48dcffa6dd3e37",
    "probes: my lda 0": "9a52f8f0f1fed95f",
    "probes: my qda 0": "9ee401cbc6094139",
    "probes: my knn 0": "387fb8b545b7f7d3",
    "probes: my masc 5": "4b0450f897d60ff2",
    "probes: my velpic 5": "b4878ae1e14c1073",
    "probes: my logistic 5": "f61f0890b5d009fc",
    "probes: my nearest_mean 5": "7d3ba6e07dd5ca36",
    "probes: my lda 5": "3d75c6599e03a87f",
    "probes: my qda 5": "05f93722726f7830",
    "probes: my knn 5": "6371a08a9bf5d714",
    "geometry: mean field 0": "99ffda40b06fb880",
    "geometry: mean field 5": "87e969240f9468f9",
    "geometry: simulated 5": "0f582ca298258490",
    "gradients: gradients 0": "8803b68edaf9a2bc",
    "gradients: gradients 5": "b266f03c9c441cbe",
    "transfer: transfer 0": "d6c1e512aaffdaa5",
    "transfer: transfer 5": "dae65d59a2180742",
    "rewind: saved 0": "c9a11265ff05fea8",
    "rewind: saved 5": "bb495d2703844456",
    "rewind: redraw 0 0": "410433816dbc7f90",
}


def test_rows_from_before_methods_had_versions_stay_known(keys, unraised):
    assert keys() == FROZEN


@pytest.mark.parametrize("room", METHODS, ids=lambda room: room.__name__.rpartition(".")[2])
def test_every_method_that_a_grid_may_name_has_a_version(room):
    named = {
        probes: kinds.KINDS,
        embeddings: METHODS_OF_EMBEDDINGS,
        interventions: [analysis.name for analysis in NAMED.values() if analysis.intervention],
    }
    assert set(room.VERSIONS) == set(named.get(room, ["mean field", "simulated"]))


@pytest.mark.parametrize(
    ("room", "method", "changed"),
    [
        *((probes, kind, [f"probes: my {kind} "]) for kind in ("masc", "logistic", "lda", "qda", "knn")),
        # Readouts are made of the axes of the one and of the means of the other.
        (probes, "velpic", ["probes: my velpic ", "transfer: "]),
        (probes, "nearest_mean", ["probes: my nearest_mean ", "transfer: "]),
        (geometry, "mean field", ["geometry: mean field "]),
        (geometry, "simulated", ["geometry: simulated "]),
        (interventions, "transfer", ["transfer: "]),
        (interventions, "rewind", ["rewind: "]),
        (interventions, "edit", []),
        (interventions, "relabel", []),
        (embeddings, "pca", []),
    ],
)
def test_a_raised_version_changes_rows_of_its_method_alone(keys, unraised, monkeypatch, room, method, changed):
    monkeypatch.setitem(room.VERSIONS, method, 2)
    found = keys()
    assert set(found) == set(FROZEN)
    differing = {name for name in FROZEN if found[name] != FROZEN[name]}
    assert differing == {name for name in FROZEN if name.startswith(tuple(changed))}


def params():
    """What the rules' params hold, by rule and what its job needs."""
    entry = {"probes": PROBES, "interventions": {}}

    def of(name, settings, entry=entry):
        return versions.of_job(NAMED[name], settings, entry)

    def relabelled(kind):
        return of("relabel", {}, {"probes": PROBES, "interventions": {"relabel": {"probe": f"my {kind}"}}})

    return {
        "moments": of("probes", {name: PROBES[name] for name in ("my masc", "my velpic")}),
        "neighbours": of("probes", {"my knn": PROBES["my knn"]}),
        "geometry": of("geometry", {"simulated": None}),
        "geometry, simulated": of("geometry", {"simulated": {}}),
        "gradients": of("gradients", True),
        "embeddings": of("embeddings", {"methods": ["umap"]}),
        "embeddings, pca": of("embeddings", {"methods": ["umap", "pca"]}),
        "transfer": of("transfer", {}),
        "rewind": of("rewind", {}),
        "edit": of("edit", {}),
        "relabel, masc": relabelled("masc"),
        "relabel, knn": relabelled("knn"),
    }


FROZEN_PARAMS = {
    "moments": [2, 1, 1, 1],
    "neighbours": [2, 1, 1, 1],
    "geometry": [1, 1, 1],
    "geometry, simulated": [1, 1, 1],
    "gradients": [1, 1, 1],
    "embeddings": [1, 1, 1],
    "embeddings, pca": [1, 1, 1],
    "transfer": [1, 2, 1, 1],
    "rewind": [1, 1, 1],
    "edit": [1, 1, 2, 1, 1],
    "relabel, masc": [1, 1, 2, 1, 1],
    "relabel, knn": [1, 1, 2, 1, 1],
}


def test_params_from_before_methods_had_versions_stay(unraised):
    assert params() == FROZEN_PARAMS


@pytest.mark.parametrize(
    ("room", "method", "changed"),
    [
        (probes, "masc", {"moments", "relabel, masc"}),
        (probes, "velpic", {"moments", "transfer", "edit"}),
        (probes, "nearest_mean", {"transfer"}),
        (probes, "knn", {"neighbours", "relabel, knn"}),
        (geometry, "mean field", {"geometry", "geometry, simulated"}),
        (geometry, "simulated", {"geometry, simulated"}),
        (embeddings, "umap", {"embeddings", "embeddings, pca"}),
        (embeddings, "pca", {"embeddings, pca"}),
        (interventions, "transfer", {"transfer"}),
        (interventions, "edit", {"edit"}),
        (interventions, "relabel", {"relabel, masc", "relabel, knn"}),
        (interventions, "rewind", {"rewind"}),
    ],
)
def test_a_raised_version_reruns_the_jobs_that_use_the_method(unraised, monkeypatch, room, method, changed):
    monkeypatch.setitem(room.VERSIONS, method, 2)
    found = params()
    assert {name for name in found if found[name] != FROZEN_PARAMS[name]} == changed
    assert all([method, 2] in found[name] for name in changed)


ROW = {
    "layer": "fc1",
    "depth": 1,
    "batch_norm": "running",
    "fit_labels": "given",
    "split": "test",
    "labels": "true",
    "metric": "accuracy",
    "value": 0.5,
    "n": 2,
    "rank": None,
    "margin": None,
}


def test_a_job_that_runs_again_keeps_the_rows_of_other_probes(cell, unraised, monkeypatch, tmp_path):
    fitted = []

    def compute(_cell, _family, missing, dumps):
        for epoch in (0, 5):
            mine = [piece for piece in missing if piece.checkpoint.epoch == epoch]
            fitted.append((epoch, sorted(piece.method for piece in mine)))
            yield {piece: [{**ROW, "probe": piece.method}] for piece in mine}

    monkeypatch.setattr(probe_blocks, "_compute", compute)
    family = {name: PROBES[name] for name in ("my masc", "my lda")}
    first = probe_block(cell, family, block="0000-0009", kept=tmp_path / "kept.parquet").to_pandas()
    monkeypatch.setitem(probes.VERSIONS, "lda", 2)
    second = probe_block(cell, family, block="0000-0009", kept=tmp_path / "kept.parquet").to_pandas()
    assert fitted == [(0, ["my lda", "my masc"]), (5, ["my lda", "my masc"]), (0, ["my lda"]), (5, ["my lda"])]
    same = (first["inputs"] == second["inputs"]).groupby(first["probe"]).all()
    assert same.to_dict() == {"my masc": True, "my lda": False}
