"""Two-dimensional embeddings against decompositions, definitions and brute force; and the cell's table of them."""

import importlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import RECIPE, RUNS, put_weights, train, trained_cell
from scipy.spatial.distance import cdist, pdist
from scipy.stats import special_ortho_group

from latentgen import models, tables
from latentgen.analyses import TABLES
from latentgen.embeddings import embedding
from latentgen.embeddings.cell import embeddings_cell, sample
from latentgen.embeddings.declaration import EMBEDDINGS, METHODS
from latentgen.embeddings.embedding import aligned, embed
from latentgen.labels import RunLabels
from latentgen.training.state import load_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def blobs():
    """(80, 8) features of four clusters far apart, and their labels."""
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.repeat(np.arange(4), 20))
    return (12 * np.eye(8)[labels] + rng.normal(size=(80, 8))).astype(np.float32), labels


def squared_distance(points, others):
    return ((points - others) ** 2).sum()


def turned(points, angle, mirrored=False):
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ (rotation * [1, -1] if mirrored else rotation)


# ---- one embedding ----


@pytest.mark.parametrize("shape", [(60, 7), (40, 200), (50, 2)])
def test_principal_components_are_those_of_the_centred_singular_vectors(rng, shape):
    features = rng.normal(size=shape) * np.linspace(3, 1, shape[1]) + 5
    u, s, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
    found = embed("pca", features, None, 0).points
    expected = u[:, :2] * s[:2]
    assert np.allclose(found, expected * np.sign((found * expected).sum(axis=0)), atol=1e-9)


def test_one_feature_has_no_second_component(rng):
    feature = rng.normal(size=(40, 1))
    found = embed("pca", feature, None, 0).points
    assert not found[:, 1].any()
    assert np.allclose(pdist(found), pdist(feature))


def test_trustworthiness_is_venna_and_kaskis(rng):
    n, k = 45, 15
    features = rng.normal(size=(n, 6))
    found = embed("pca", features, None, 0)
    penalty = 0
    for i in range(n):
        others = [j for j in range(n) if j != i]
        ranked = sorted(others, key=lambda j: np.linalg.norm(features[i] - features[j]))
        near = sorted(others, key=lambda j: np.linalg.norm(found.points[i] - found.points[j]))[:k]
        penalty += sum(max(0, 1 + ranked.index(j) - k) for j in near)
    expected = 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * penalty
    assert 0.5 < expected < 0.95
    assert found.trustworthiness == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_clusters_stay_apart(blobs, method):
    features, labels = blobs
    found = embed(method, features, None, 0)
    assert found.points.dtype == np.float64
    assert np.allclose(found.points.mean(axis=0), 0, atol=1e-5)
    distances = cdist(found.points, found.points)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1)[:, :5]
    assert (labels[nearest] == labels[:, None]).mean() > 0.97


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", ["one feature", "three points"])
def test_layers_that_are_nearly_dead_have_maps(rng, method, shape):
    features = rng.normal(size=(60, 1)) if shape == "one feature" else rng.normal(size=(3, 5))[np.arange(60) % 3]
    assert np.isfinite(embed(method, features, None, 0).points).all()


@pytest.mark.parametrize("method", METHODS)
def test_layers_that_are_dead_have_none(method):
    assert embed(method, np.full((60, 5), 0.3), None, 0) is None
    assert embed(method, np.where(np.eye(60, 5), np.nan, 1.0), None, 0) is None
    assert embed(method, np.where(np.eye(60, 5), np.inf, 1.0), None, 0) is None


# ---- alignment ----


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_mirrored_shifted_copy_comes_back(rng, mirrored):
    points = rng.normal(size=(50, 2)) * [3, 1] + [2, -7]
    assert np.allclose(aligned(turned(points, 2.2, mirrored) + [100, -30], points), points, atol=1e-12)


def test_alignment_is_the_best_rigid_motion_of_a_fine_search(rng):
    onto = rng.normal(size=(30, 2))
    points = rng.normal(size=(30, 2)) + 0.5 * turned(onto, 1.0, mirrored=True)
    moved = aligned(points, onto)
    assert np.allclose(pdist(moved), pdist(points))
    # The best shift brings the means together, whatever the rotation.
    searched = [
        squared_distance(turned(points - points.mean(axis=0), angle, mirrored), onto - onto.mean(axis=0))
        for angle in np.linspace(0, 2 * np.pi, 2000)
        for mirrored in (False, True)
    ]
    assert min(searched) * (1 - 1e-5) < squared_distance(moved, onto) <= min(searched)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_is_closer_to_the_one_before_for_being_aligned(blobs, rng, method, monkeypatch):
    features, _ = blobs
    # The next epoch has nearly the same distances, in other directions.
    later = (features + 0.3 * rng.normal(size=features.shape)) @ special_ortho_group.rvs(8, random_state=2)
    before = turned(embed(method, features, None, 0).points, 2.0, mirrored=True)
    found = embed(method, later, before, 0)
    monkeypatch.setattr(embedding, "aligned", lambda points, onto: points)
    unaligned = embed(method, later, before, 0)
    assert squared_distance(found.points, before) < squared_distance(unaligned.points, before)
    assert np.allclose(pdist(found.points), pdist(unaligned.points))


@pytest.mark.parametrize("method, module, estimator", [("umap", "umap", "UMAP"), ("tsne", "sklearn.manifold", "TSNE")])
def test_a_map_starts_from_the_one_before_else_from_components(blobs, method, module, estimator, monkeypatch):
    features, _ = blobs
    started = []

    class Recorded(getattr(importlib.import_module(module), estimator)):
        def fit_transform(self, x):
            started.append((np.array(self.init), self.random_state, self.n_jobs))
            return super().fit_transform(x)

    monkeypatch.setattr(f"{module}.{estimator}", Recorded)
    before = embed(method, features, None, 3).points
    embed(method, features, before, 3)
    (first, *fixed), (second, *_) = started
    assert fixed == [3, 1]
    components = embed("pca", features, None, 3).points
    assert np.allclose(first / first[:, 0].std(), components / components[:, 0].std(), atol=1e-3)
    assert first[:, 0].std() == pytest.approx(1e-4)
    assert np.array_equal(second, before)


# ---- which examples ----


def run_labels(n, wrong, held_out=0):
    """``n`` examples of 10 classes, of which those at the positions ``wrong`` are mislabelled."""
    true = np.arange(n) % 10
    given = true.copy()
    given[wrong] = (given[wrong] + 3) % 10
    return RunLabels(given, true, np.arange(held_out, n), np.arange(held_out), given != true)


def test_half_of_the_sample_is_mislabelled():
    labels = run_labels(1000, np.arange(0, 1000, 4), held_out=100)
    for most in (100, 101):
        found = sample(labels, most, 0)
        assert len(np.unique(found)) == most
        assert (np.diff(found) > 0).all()
        assert (labels.given != labels.true)[found].sum() == 50
        assert np.isin(found, labels.train).all()
    assert np.array_equal(found, sample(labels, 101, 0))
    assert not np.array_equal(found, sample(labels, 101, 1))


@pytest.mark.parametrize(
    "wrong, most, expected",
    [(0, 60, (0, 60)), (10, 60, (10, 50)), (190, 60, (50, 10)), (200, 60, (60, 0)), (60, 1000, (60, 140))],
)
def test_where_one_kind_is_too_few_the_other_fills_up(wrong, most, expected):
    labels = run_labels(200, np.arange(wrong))
    found = (labels.given != labels.true)[sample(labels, most, 0)]
    assert (found.sum(), (~found).sum()) == expected


def test_too_few_examples_name_the_key():
    with pytest.raises(ValueError, match=r"embeddings\.examples: 30 training examples .* at least 31"):
        sample(run_labels(30, []), 1000, 0)
    assert len(sample(run_labels(31, []), 1000, 0)) == 31


def test_settings_have_defaults_and_refuse_too_few_examples():
    assert EMBEDDINGS.complete(None) is None
    assert EMBEDDINGS.complete({"layers": ["last"]}) == {"methods": ["umap"], "layers": ["last"], "examples": 1000}
    assert list(EMBEDDINGS.wrong({"embeddings": None}, {0})) == list(EMBEDDINGS.wrong({"embeddings": {}}, {0})) == []
    assert list(EMBEDDINGS.wrong({"embeddings": {"examples": 31}}, {0})) == []
    (error,) = EMBEDDINGS.wrong({"embeddings": {"examples": 30}}, {0})
    assert error.startswith(".embeddings.examples: 30")


# ---- the table of a cell ----

SETTINGS = {"methods": ["pca", "umap", "tsne"], "layers": ["input", "fc2", "last", "fc3", "output"], "examples": 60}


@pytest.fixture(scope="module")
def cell(tmp_path_factory, digits_folder):
    folder = tmp_path_factory.mktemp("cell")
    train(folder, digits_folder)
    return folder


def embedded(cell, digits_folder, runs=RUNS, **changed):
    return embeddings_cell(trained_cell(cell, digits_folder, runs), SETTINGS | changed)


@pytest.fixture(scope="module")
def table(cell, digits_folder):
    return embedded(cell, digits_folder)


@pytest.fixture(scope="module")
def rows(table):
    return table.to_pandas()


def features(cell, digits, epoch, examples, layer):
    """(examples, features) by calling the network's parts one after another."""
    network = models.build("mlp_small", digits.in_shape, 10, 0).eval()
    load_weights(network, cell / "checkpoints" / "data0-model0" / f"epoch-{epoch:04d}.safetensors")
    x = (torch.from_numpy(np.array(digits.x_train[examples])).float() / digits.pixel_max - digits.mean) / digits.std
    if layer != "input":
        for name, module in network.named_children():
            with torch.no_grad():
                x = module(x)
            if name == network.probed.get(layer):
                break
    return x.flatten(1).double().numpy()


def test_every_map_has_the_same_examples_and_their_labels(table, rows, cell):
    assert table.schema.equals(TABLES["embeddings"].schema) and set(rows["data_seed"]) == {0}  # the first of two runs
    labels = RunLabels.read(cell / "labels.parquet", 0)
    expected = sample(labels, 60, 0)
    groups = rows.groupby(["epoch", "layer", "depth", "method"], sort=False)
    layers = [("input", 0), ("fc2", 2), ("fc3", 3), ("output", 4)]
    assert [name for name, _ in groups] == [
        (epoch, *layer, method) for epoch in (0, 1, 4) for layer in layers for method in SETTINGS["methods"]
    ]
    for _, group in groups:
        assert group["index"].tolist() == expected.tolist()
        assert group["true_label"].tolist() == labels.true[expected].tolist()
        assert group["given_label"].tolist() == labels.given[expected].tolist()
        assert group["trustworthiness"].nunique() == 1
    assert (rows["given_label"] != rows["true_label"]).mean() == 0.5
    assert rows[list(RUNS[0])].drop_duplicates().to_dict("records") == [RUNS[0]]


@pytest.mark.parametrize("layer", ["input", "fc2", "output"])
def test_distances_are_those_of_the_layers_principal_components(rows, cell, digits, layer):
    for epoch in (0, 1, 4):
        found = rows[(rows["epoch"] == epoch) & (rows["layer"] == layer) & (rows["method"] == "pca")]
        x = features(cell, digits, epoch, found["index"].to_numpy(), layer)
        u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        assert np.allclose(pdist(found[["x", "y"]]), pdist(u[:, :2] * s[:2]), rtol=1e-3, atol=1e-4)


def test_maps_are_laid_onto_the_epoch_before_and_the_input_stays(rows):
    embeddings = {key: group[["x", "y"]].to_numpy() for key, group in rows.groupby(["layer", "method", "epoch"])}
    for (layer, method, epoch), points in embeddings.items():
        assert np.allclose(points.mean(axis=0), 0, atol=1e-5)
        if epoch:
            before = embeddings[layer, method, 0 if epoch == 1 else 1]
            assert np.allclose(aligned(points, before), points, atol=1e-5)
            assert (layer == "input") == np.array_equal(points, before)


def test_equal_calls_give_equal_bytes(table, cell, digits_folder, tmp_path):
    tables.write(table, tmp_path / "one")
    tables.write(embedded(cell, digits_folder), tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_dead_epoch_is_null_and_passed_over(cell, digits_folder, tmp_path):
    shutil.copytree(cell, tmp_path, dirs_exist_ok=True)
    put_weights(tmp_path, 1, torch.zeros_like)
    found = embedded(tmp_path, digits_folder, methods=["pca"], layers=["output"])
    # Arrow, for pandas makes NaN of null.
    nulls = {name: found[name].is_null().to_numpy().reshape(3, 60) for name in ("x", "y", "trustworthiness")}
    for null in nulls.values():
        assert null.all(axis=1).tolist() == [False, True, False]
        assert null.any(axis=1).tolist() == [False, True, False]
    points = found.select(["x", "y"]).to_pandas().to_numpy().reshape(3, 60, 2)
    assert np.allclose(aligned(points[2], points[0]), points[2])


def test_a_run_that_stopped_has_the_epochs_that_it_kept(tmp_path, digits_folder):
    run = RUNS[1]
    train(tmp_path, digits_folder, replace(RECIPE, stop_accuracy=0.2), saved=(0, 1, 4), runs=[run])
    index = json.loads((tmp_path / "checkpoints.json").read_text())["data1-model0"]
    assert index["last_epoch"] < 4
    found = embedded(tmp_path, digits_folder, [run], methods=["pca"], layers=["output"]).to_pandas()
    assert found["epoch"].unique().tolist() == sorted(map(int, index["sha256"]))


def test_an_unknown_layer_is_named_with_those_that_there_are(cell, digits_folder):
    with pytest.raises(ValueError, match=r"embeddings\.layers: 'fc9' .* input, fc1, fc2, fc3, output, last"):
        embedded(cell, digits_folder, layers=["output", "fc9"])


@pytest.mark.parametrize("method", ["tsne", "umap", "pca"])
def test_maps_do_not_depend_on_the_unit_of_length(method):
    features = np.maximum(np.random.default_rng(0).standard_normal((40, 12)), 0).astype(np.float32)
    plain = embed(method, features, None, 0)
    for power in (-120, -70, 70, 120):
        # A power of two that leaves float32 behind once it is squared: the methods see what they see of others.
        found = embed(method, np.ldexp(features, power), None, 0)
        assert found.trustworthiness == pytest.approx(plain.trustworthiness, abs=0.1)
        assert np.isfinite(found.points).all()
    if method != "pca":
        assert np.array_equal(embed(method, np.ldexp(features, 20), None, 0).points, plain.points)


@pytest.mark.parametrize("method", ["tsne", "umap", "pca"])
@pytest.mark.parametrize("value", [0.0, 0.37, 1e-42, 3e38, np.nan, np.inf])
def test_layers_without_differences_or_with_infinite_values_have_no_map(method, value):
    assert embed(method, np.full((40, 5), value, np.float32), None, 0) is None
