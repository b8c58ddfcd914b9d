"""Geometry rows of a block of checkpoints, against the same analysis done by hand."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from cells import train, trained_cell

from latentgen import models, seeds, tables
from latentgen.activations.sources import Stream
from latentgen.analyses import TABLES
from latentgen.geometry import manifold_geometry, simulated_capacity
from latentgen.geometry.blocks import geometry_block
from latentgen.geometry.centers import center_axes
from latentgen.geometry.declaration import GEOMETRY
from latentgen.geometry.evaluate import MEAN_FIELD, STANDARD, Analysis
from latentgen.geometry.measures import measures
from latentgen.geometry.views import VIEWS, views
from latentgen.labels import RunLabels
from latentgen.training.state import load_weights

pytestmark = pytest.mark.slow

SETTINGS = GEOMETRY.complete(
    {"points": 10, "directions": 30, "kappa": 0.1, "restarts": 2, "simulated": {"dichotomies": 20}}
)
LAYERS = ["input", "fc1", "fc2", "fc3", "output"]


@pytest.fixture(scope="module")
def cell(tmp_path_factory, digits_folder):
    folder = tmp_path_factory.mktemp("cell")
    train(folder, digits_folder)
    return folder


def block(cell, digits_folder, block="0000-0099", settings=SETTINGS, kept=None):
    return geometry_block(trained_cell(cell, digits_folder), settings, block=block, kept=kept)


@pytest.fixture(scope="module")
def rows(cell, digits_folder):
    return block(cell, digits_folder).to_pandas()


def features(cell, digits, seed, epoch, layer):
    """(train, test) features, by calling the network's parts one after another."""
    network = models.build("mlp_small", digits.in_shape, 10, 0).eval()
    load_weights(network, cell / "checkpoints" / f"data{seed}-model0" / f"epoch-{epoch:04d}.safetensors")
    found = []
    for images in (digits.x_train, digits.x_test):
        x = (torch.from_numpy(np.array(images)).float() / digits.pixel_max - digits.mean) / digits.std
        if layer == "input":
            found.append(x.flatten(1).double().numpy())
            continue
        with torch.no_grad():
            for name, module in network.named_children():
                x = module(x)
                if layer != "output" and name == network.probed[layer]:
                    break
        found.append(x.flatten(1).double().numpy())
    return found


def test_there_is_a_row_for_every_layer_view_and_metric(rows):
    assert list(rows.columns) == TABLES["geometry"].schema.names
    mean_field = rows[~rows["metric"].str.startswith("simulated")]
    counts = mean_field.groupby(["data_seed", "epoch", "layer", "depth", "view", "metric"]).size()
    assert len(counts) == 2 * 3 * len(LAYERS) * len(VIEWS) * len(MEAN_FIELD + STANDARD)
    assert set(counts) == {1}
    assert rows.groupby("depth")["layer"].unique().str[0].tolist() == LAYERS
    assert rows["points"].unique().tolist() == [10] and rows["n"].unique().tolist() == [100]
    assert rows["unstructured"].unique().tolist() == [0.2]
    assert rows["value"].notna().all()
    assert set(rows.loc[rows["kappa"].notna(), "metric"]) == {"capacity", "radius", "dimension"}


def of_examples(cell, digits, seed, layer, view):
    """Manifolds of a view after epoch 4, taken from the features of all examples."""
    found = views(RunLabels.read(cell / "labels.parquet", seed), digits.y_test, 10, 10, seed)
    chosen = next(one for one in found if one.name == view)
    train_features, test_features = features(cell, digits, seed, 4, layer)
    of = {"train": train_features, "test": test_features}[chosen.split]
    return [of[examples] for examples in chosen.examples]


def at_last_epoch(rows, seed, layer, view):
    here = rows[(rows["epoch"] == 4) & (rows["layer"] == layer) & (rows["view"] == view) & (rows["data_seed"] == seed)]
    return here.set_index("metric")


@pytest.mark.parametrize("layer, view, seed", [("fc2", "restored", 0), ("output", "test", 1), ("input", "permuted", 1)])
def test_measures_are_those_of_the_sampled_examples(cell, digits, rows, layer, view, seed):
    here = at_last_epoch(rows, seed, layer, view)
    for metric, value in measures(of_examples(cell, digits, seed, layer, view)).items():
        assert here["value"][metric] == pytest.approx(value, rel=1e-3), metric


# Not on ten features of the output: there the search for centre axes may end elsewhere after a change of rounding.
@pytest.mark.parametrize("layer, view, seed", [("fc2", "restored", 0), ("input", "permuted", 1)])
def test_values_are_those_of_the_sampled_examples(cell, digits, rows, layer, view, seed):
    manifolds = of_examples(cell, digits, seed, layer, view)
    stream_seed = seeds.derive("geometry directions", seed)
    expected = manifold_geometry(manifolds, kappa=0.1, n_t=30, seed=stream_seed, n_restarts=2)
    here = at_last_epoch(rows, seed, layer, view)
    assert here["value"]["capacity"] == pytest.approx(expected.capacity, rel=1e-4)
    assert here["error"]["capacity"] == pytest.approx(expected.capacity_error, rel=1e-4)
    assert here["value"]["radius"] == pytest.approx(expected.radius, rel=1e-4)
    assert here["value"]["dimension"] == pytest.approx(expected.dimension, rel=1e-4)
    assert here["value"]["center_correlation"] == pytest.approx(expected.center_correlation, rel=1e-4)
    assert here["value"]["center_axes"] == expected.n_center_axes
    for name in ("capacity", "radius", "dimension"):
        assert here["spread"][name] == pytest.approx(getattr(expected, f"{name}_spread"), rel=1e-2, abs=1e-6)


def test_capacity_is_simulated_at_the_last_epoch_on_the_last_layer_with_and_without_centre_axes(cell, digits, rows):
    simulated = rows[rows["metric"].str.startswith("simulated")]
    assert simulated["epoch"].unique().tolist() == [4] and simulated["layer"].unique().tolist() == ["fc3"]
    assert len(simulated) == 2 * len(VIEWS) * 2
    assert (simulated["error"].dropna() > 0).all()
    points = of_examples(cell, digits, 0, "fc3", "test")
    mean = np.concatenate(points).mean(0)
    centers = np.stack([part.mean(0) for part in points]) - mean
    axes = center_axes(centers, 2, seeds.derive("geometry directions", 0)).axes
    removed = [(part - mean) - (part - mean) @ axes @ axes.T for part in points]
    seed = seeds.derive("geometry dichotomies", 0)
    here = simulated[(simulated["view"] == "test") & (simulated["data_seed"] == 0)].set_index("metric")
    for metric, manifolds in (("simulated_capacity", removed), ("simulated_capacity_raw", points)):
        # A rotation, which rounding may cause, is another draw of the projections: equal up to chance.
        expected = simulated_capacity(manifolds, 20, seed)
        error = np.diff(expected.interval)[0] / 2 / 1.96
        assert abs(here["value"][metric] - expected.capacity) < 3 * error
        assert here["error"][metric] == pytest.approx(error, rel=0.8)


def test_the_input_has_one_geometry_at_all_epochs(rows):
    of_input = rows[rows["layer"] == "input"].groupby(["data_seed", "view", "metric"])["value"]
    assert (of_input.nunique() == 1).all()
    assert (of_input.size() == 3).all()


@pytest.mark.parametrize(("layers", "named"), [("last", ["fc3"]), (["output", "input"], ["output", "input"])])
def test_layers_can_be_chosen_and_are_then_as_among_all(cell, digits_folder, rows, layers, named):
    found = block(cell, digits_folder, settings=SETTINGS | {"layers": layers, "simulated": None}).to_pandas()
    same = rows[rows["layer"].isin(named) & ~rows["metric"].str.startswith("simulated")]
    columns = [column for column in found.columns if column != "inputs"]
    index = ["data_seed", "epoch", "depth", "view", "metric"]
    found, same = (frame[columns].sort_values(index, ignore_index=True) for frame in (found, same))
    pd.testing.assert_frame_equal(found, same, rtol=1e-6)


def test_rows_that_are_known_are_kept(cell, digits_folder, rows, tmp_path, monkeypatch):
    kept = tmp_path / "kept.parquet"
    first = block(cell, digits_folder, kept=kept)
    monkeypatch.setattr(Analysis, "mean_field", lambda *_: pytest.fail("computed again"))
    monkeypatch.setattr(Analysis, "simulated", lambda *_: pytest.fail("computed again"))
    assert block(cell, digits_folder, kept=kept).equals(first)
    without = block(cell, digits_folder, settings=SETTINGS | {"simulated": None}, kept=kept).to_pandas()
    assert len(without) == len(rows) - 16


def computed(cell, digits_folder, kept, monkeypatch, settings=SETTINGS):
    """Calls of the two analyses that a block takes beside what is kept."""
    calls = {"mean_field": 0, "simulated": 0}

    def counting(name, method):
        def call(self, data_seed):
            calls[name] += 1
            return method(self, data_seed)

        return call

    with monkeypatch.context() as patch:
        for name in calls:
            patch.setattr(Analysis, name, counting(name, getattr(Analysis, name)))
        block(cell, digits_folder, settings=settings, kept=kept)
    return calls


OTHER = [
    ({"points": 6}, 6, 2),
    ({"directions": 20}, 6, 0),
    ({"kappa": 0.2}, 6, 0),
    ({"restarts": 1}, 6, 2),
    ({"features": 20}, 6, 2),
    ({"layers": "last"}, 6, 0),
    ({"simulated": SETTINGS["simulated"] | {"dichotomies": 12}}, 0, 2),
    ({"simulated": SETTINGS["simulated"] | {"layers": ["fc1"]}}, 0, 2),
    ({"simulated": SETTINGS["simulated"] | {"epochs": [1, "last"]}}, 0, 2),
]


@pytest.mark.parametrize(("settings", "mean_field", "simulated"), OTHER)
def test_what_depends_on_a_setting_is_computed_anew(
    cell, digits_folder, rows, tmp_path, monkeypatch, settings, mean_field, simulated
):
    kept = tmp_path / "kept.parquet"
    tables.write(pa.Table.from_pandas(rows, TABLES["geometry"].schema, preserve_index=False), kept)
    calls = computed(cell, digits_folder, kept, monkeypatch, SETTINGS | settings)
    assert calls == {"mean_field": mean_field, "simulated": simulated}


def test_other_labels_compute_anew(cell, digits_folder, rows, tmp_path, monkeypatch):
    changed = pq.read_table(cell / "labels.parquet").to_pandas()
    first = changed.index[changed["data_seed"] == 0][0]
    changed.loc[first, "given_label"] = (changed.loc[first, "given_label"] + 1) % 10
    other = tmp_path / "cell"
    shutil.copytree(cell, other)
    tables.write(pa.Table.from_pandas(changed, tables.LABELS, preserve_index=False), other / "labels.parquet")
    kept = tmp_path / "kept.parquet"
    tables.write(pa.Table.from_pandas(rows, TABLES["geometry"].schema, preserve_index=False), kept)
    assert computed(other, digits_folder, kept, monkeypatch) == {"mean_field": 3, "simulated": 1}  # those of seed 0


def test_a_block_past_the_end_is_empty(cell, digits_folder):
    found = block(cell, digits_folder, block="0100-0199")
    assert len(found) == 0 and found.schema.equals(TABLES["geometry"].schema)


def test_wide_layers_are_projected(cell, digits_folder, rows):
    settings = SETTINGS | {"features": 20, "simulated": None}
    projected = block(cell, digits_folder, settings=settings).to_pandas()
    index = ["data_seed", "epoch", "layer", "view", "metric"]
    both = projected.set_index(index)["value"].to_frame("projected").join(rows.set_index(index)["value"])
    capacity = both.xs("capacity", level="metric")
    assert (capacity.xs("output", level="layer")["projected"] == capacity.xs("output", level="layer")["value"]).all()
    wide = capacity.xs("input", level="layer")
    assert (wide["projected"] != wide["value"]).all()
    assert (np.abs(wide["projected"] / wide["value"] - 1) < 0.5).all()


def analysis(digits, network, labels, **settings):
    source = Stream(network, digits, torch.device("cpu"))
    return Analysis(source, {0: labels}, digits, SETTINGS | settings, threads=1)


def test_a_run_without_noise_has_two_empty_views(digits):
    labels = RunLabels(digits.y_train, digits.y_train, np.arange(1000), np.arange(0), np.zeros(1000, bool))
    network = models.build("mlp_small", digits.in_shape, 10, 0)
    found = analysis(digits, network, labels).mean_field(0) + analysis(digits, network, labels).simulated(0)
    for row in found:
        empty = row["view"] in ("permuted", "restored")
        assert (row["value"] is None) == empty and row["n"] == (0 if empty else 100)
        assert row["points"] == (0 if empty else 10) and (row["unstructured"] is None) == empty


@pytest.mark.parametrize("spoil", [torch.zeros_like, lambda weight: torch.full_like(weight, torch.nan)])
def test_layers_without_geometry_have_null_values(digits, spoil):
    labels = RunLabels(digits.y_train, digits.y_train, np.arange(1000), np.arange(0), np.zeros(1000, bool))
    network = models.build("mlp_small", digits.in_shape, 10, 0)
    with torch.no_grad():
        for parameter in network.get_submodule("fc2").parameters():
            parameter.copy_(spoil(parameter))
    found = analysis(digits, network, labels)
    rows = {(row["layer"], row["view"], row["metric"]): row for row in found.mean_field(0)}
    for metric in MEAN_FIELD:
        assert rows["fc1", "test", metric]["value"] is not None
        assert rows["fc2", "test", metric]["value"] is None and rows["fc2", "test", metric]["n"] == 100
    for row in found.simulated(0):  # on fc3, which has nothing to go on either
        assert (row["value"], row["error"]) == (None, None)


def test_an_unknown_layer_is_refused_by_name(digits):
    labels = RunLabels(digits.y_train, digits.y_train, np.arange(1000), np.arange(0), np.zeros(1000, bool))
    network = models.build("mlp_small", digits.in_shape, 10, 0)
    settings = {"simulated": {"epochs": ["last"], "layers": ["fc9"], "dichotomies": 10}}
    with pytest.raises(ValueError, match="geometry.simulated.layers: 'fc9'.*fc1"):
        analysis(digits, network, labels, **settings)  # before anything is computed
    with pytest.raises(ValueError, match="geometry.layers: 'fc9'.*fc1"):
        analysis(digits, network, labels, layers=["fc9"])
