"""Rewound networks against networks put together by hand from the files, histories, and PyTorch's own re-estimation."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from cells import MODEL, RUNS, put_weights, train, trained_cell
from safetensors.torch import load_file
from torch import nn
from torch.optim.swa_utils import update_bn

from latentgen import checkpoints, labels, models, seeds, tables
from latentgen.activations.dumps import stream
from latentgen.analyses import TABLES
from latentgen.interventions.declaration import EDIT, REWIND
from latentgen.interventions.rewind import rewind_cell
from latentgen.interventions.swaps import Swaps, reestimated, scored
from latentgen.training.recipe import Recipe

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
BOTH = {"batch_norm": ["rewound", "reestimated"], "rerandomisations": 1, "examples": None}


class Tied(nn.Module):
    """Applies the weights of its second layer twice; before that there are dropout and batch norm."""

    probed = {"first": "norm", "second": "relu", "again": "relu2"}

    def __init__(self, dropout):
        super().__init__()
        self.a, self.norm, self.drop = nn.Linear(64, 20), nn.BatchNorm1d(20), nn.Dropout(dropout)
        self.b, self.relu, self.relu2, self.c = nn.Linear(20, 20), nn.ReLU(), nn.ReLU(), nn.Linear(20, 10)

    def forward(self, x):
        x = self.norm(self.drop(self.a(x.flatten(1))))
        return self.c(self.relu2(self.b(self.relu(self.b(x)))))


def tied(in_shape, n_classes, dropout=0.5):
    return Tied(dropout)


#: Model → its declaration, and the prefixes in the state dict of the weights of each layer that has any.
NETWORKS = {
    "mlp": (MODEL, {"fc1": ["fc1."], "fc2": ["fc2."], "fc3": ["fc3."], "output": ["head."]}),
    "resnet": (
        {"factory": "resnet18", "options": {"width": 2}},
        {name: [f"{name}."] for name in ("stem", "layer1", "layer2", "layer3", "layer4")} | {"output": ["head."]},
    ),
    "tied": (
        {"factory": f"{__name__}:tied", "options": {}},
        {"first": ["a.", "norm."], "second": ["b."], "output": ["c."]},
    ),
}
RECIPE = Recipe("adam", 0.005, 64, epochs=4)
#: Runs of each, and epochs whose weights are kept.
KEPT = {"mlp": (RUNS, (0, 1, 4)), "resnet": (RUNS[1:], (0, 4)), "tied": (RUNS, (0, 1, 4))}


@pytest.fixture(scope="module")
def cells(tmp_path_factory, digits_folder):
    """Folders of trained cells by name of the network."""
    folders = {}
    for name, (model, _) in NETWORKS.items():
        folders[name] = tmp_path_factory.mktemp(name)
        runs, epochs = KEPT[name]
        train(folders[name], digits_folder, RECIPE, epochs, runs, model)
    return folders


def rewound(folder, digits_folder, name="mlp", runs=RUNS, kept=None, **settings):
    return rewind_cell(trained_cell(folder, digits_folder, runs, NETWORKS[name][0]), BOTH | settings, kept=kept)


@pytest.fixture(scope="module")
def maps(cells, digits_folder):
    return {name: rewound(folder, digits_folder, name, KEPT[name][0]) for name, folder in cells.items()}


def weights_at(folder, run, epoch):
    return load_file(checkpoints.at_epoch(folder, run, epoch).path)


def predictions(network, images, digits):
    with torch.no_grad():
        return network.eval()(normalised(images, digits)).argmax(1).numpy()


def normalised(images, digits):
    return torch.from_numpy(((images / digits.pixel_max - digits.mean) / digits.std).astype(np.float32))


def by_hand(network, digits, drawn):
    """Accuracy and number of examples of each view, plainly counted."""
    trained, test = predictions(network, digits.x_train, digits), predictions(network, digits.x_test, digits)
    training = np.isin(np.arange(len(trained)), drawn.train)
    views = {
        "test": (test == digits.y_test, np.full(len(test), True)),
        "unpermuted": (trained == drawn.given, training & (drawn.given == drawn.true)),
        "permuted": (trained == drawn.given, training & (drawn.given != drawn.true)),
        "restored": (trained == drawn.true, training & (drawn.given != drawn.true)),
        "validation": (trained == drawn.given, ~training),
    }
    return {view: (right[members].mean(), members.sum()) for view, (right, members) in views.items()}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_map_is_that_of_networks_put_together_by_hand(name, cells, maps, digits):
    """Each kind, layer, epoch, draw and view, with statistics rewound, or re-estimated as PyTorch does after SWA."""
    model, prefixes = NETWORKS[name]
    layers, options, (runs, epochs) = list(prefixes), model["options"], KEPT[name]
    calm = options | {"dropout": 0.0} if name == "tied" else options  # update_bn leaves dropout at work
    norms = ["none"] if name == "mlp" else ["rewound", "reestimated"]
    frame = maps[name].to_pandas()
    assert frame["draw"].isna().equals(frame["weights"] == "saved")
    keys = ["data_seed", "weights", "epoch", "kind", "layer", "batch_norm", "view"]
    assert (
        not frame.duplicated(keys).any()
        and len(frame) == len(runs) * (len(epochs) + 1) * 3 * len(layers) * len(norms) * 5
    )
    found, expected = frame.set_index(keys), 0
    for run in runs:
        drawn = labels.RunLabels.read(cells[name] / "labels.parquet", run["data_seed"])
        final = weights_at(cells[name], run, 4)
        redraw = models.build(model["factory"], digits.in_shape, 10, seeds.derive("redraw", 0, 0), options)
        others = {("saved", epoch): weights_at(cells[name], run, epoch) for epoch in epochs}
        others["redrawn", 0] = redraw.state_dict()
        for (kind_of_weights, epoch), other in others.items():
            for place, layer in enumerate(layers):
                chosen = {"alone": [layer], "prefix": layers[: place + 1], "suffix": layers[place:]}
                for kind, members in chosen.items():
                    of = tuple(prefix for member in members for prefix in prefixes[member])
                    mixed = {key: other[key] if key.startswith(of) else tensor for key, tensor in final.items()}
                    for norm in norms:
                        network = models.build(model["factory"], digits.in_shape, 10, 7, calm)
                        network.load_state_dict(mixed)
                        if norm == "reestimated":
                            update_bn(normalised(digits.x_train[drawn.train], digits).tensor_split(2), network)
                        for view, (value, n) in by_hand(network, digits, drawn).items():
                            row = found.loc[(run["data_seed"], kind_of_weights, epoch, kind, layer, norm, view)]
                            # One example may lie on a boundary to the rounding of float32.
                            assert row["value"] == pytest.approx(value, abs=1.01 / n), (kind, layer, norm, view)
                            assert row["n"] == n and row["last_epoch"] == 4
                            expected += 1
                        trained = [key for key, _ in network.named_parameters() if key.startswith(of)]
                        assert row["parameters"] == sum(final[key].numel() for key in trained)
    assert expected == len(frame)


def test_the_table_is_in_order(maps):
    table = maps["tied"]
    assert table.schema.equals(TABLES["rewind"].schema)
    frame = table.to_pandas()
    for columns, wanted in (
        (["data_seed"], [(0,), (1,)]),
        (["layer", "depth"], [("first", 1), ("second", 2), ("output", 4)]),
        (["kind"], [("alone",), ("prefix",), ("suffix",)]),
        (["batch_norm"], [("rewound",), ("reestimated",)]),
        (["view"], [(view,) for view in ("test", "unpermuted", "permuted", "restored", "validation")]),
        (["weights", "epoch"], [("saved", 0), ("saved", 1), ("saved", 4), ("redrawn", 0)]),
    ):
        assert list(frame[columns].drop_duplicates().itertuples(index=False, name=None)) == wanted
    assert set(frame["metric"]) == {"accuracy"} and set(frame.loc[frame["weights"] == "redrawn", "draw"]) == {0}


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks_and_controls_are_those_of_the_history(name, cells, maps):
    """To the last digit: all layers at an epoch are that epoch's network, any at the last epoch the unedited one."""
    history = tables.read(cells[name] / "history.parquet")
    history = history[(history["mode"] == "evaluated") & (history["metric"] == "accuracy")]
    history = history.set_index(["data_seed", "epoch", "split", "labels"])["value"]
    frame = maps[name].to_pandas()
    frame = frame[(frame["weights"] == "saved") & (frame["batch_norm"] != "reestimated")]
    last = list(NETWORKS[name][1])[-1]
    whole = (frame["kind"] == "prefix") & (frame["layer"] == last)
    compared = 0
    for (seed, epoch, *_), rows in frame[whole | (frame["epoch"] == 4)].groupby(
        ["data_seed", "epoch", "kind", "layer"]
    ):
        value, n = rows.set_index("view")["value"], rows.set_index("view")["n"]
        right = (value * n).round()
        members = n["unpermuted"] + n["permuted"]
        assert value["test"] == history[seed, epoch, "test", "true"]
        assert value["validation"] == history[seed, epoch, "validation", "given"]
        assert (right["unpermuted"] + right["permuted"]) / members == history[seed, epoch, "train", "given"]
        assert (right["unpermuted"] + right["restored"]) / members == history[seed, epoch, "train", "true"]
        compared += 1
    runs, epochs = KEPT[name]
    assert compared == len(runs) * (len(epochs) - 1 + 3 * len(NETWORKS[name][1]))


@pytest.fixture
def calls(monkeypatch):
    """Files that were read, and networks that were scored, from now on."""
    made = {"files": [], "scored": 0}
    read, evaluate = checkpoints.Checkpoint.read, Swaps.evaluate

    def counted(self, mode, on):
        made["scored"] += 1
        return evaluate(self, mode, on)

    monkeypatch.setattr(checkpoints.Checkpoint, "read", lambda self: made["files"].append(self.path) or read(self))
    monkeypatch.setattr(Swaps, "evaluate", counted)
    return made


def test_each_file_is_read_once_and_each_network_scored_once(cells, maps, digits_folder, calls):
    assert rewound(cells["mlp"], digits_folder).equals(maps["mlp"])
    assert len(calls["files"]) == len(set(calls["files"])) == 2 * 3
    # Of 12 names of sets of 4 layers three coincide with others; at the last epoch nothing differs from the run itself.
    assert calls["scored"] == 2 * (2 * 9 + 1 + 9)


def test_layers_that_do_not_differ_are_not_swapped(cells, digits, digits_folder, calls):
    source = stream(digits_folder, MODEL, "cpu", 1)
    on = scored(labels.RunLabels.read(cells["mlp"] / "labels.parquet", 0), digits.y_test, None, 0, CPU)
    weights = {name: tensor.clone() for name, tensor in source.model.state_dict().items()}
    weights["fc2.weight"] += 1
    rows = Swaps(source, ["rewound"]).rows(weights, on)
    assert calls["scored"] == 2
    changed = {("alone", "fc2"), *(("prefix", f"fc{i}") for i in (2, 3)), ("prefix", "output")}
    changed |= {("suffix", "fc1"), ("suffix", "fc2")}
    values = {(row["kind"], row["layer"]): row["value"] for row in rows if row["view"] == "test"}
    assert {key for key, value in values.items() if value == values["alone", "fc2"]} == changed


def test_known_rows_are_taken_over(cells, maps, digits_folder, tmp_path, monkeypatch):
    tables.write(maps["mlp"], tmp_path / "kept.parquet")
    monkeypatch.setattr("latentgen.activations.dumps.stream", lambda *a: pytest.fail("computed again"))
    kept = rewound(cells["mlp"], digits_folder, kept=tmp_path / "kept.parquet", batch_norm=["reestimated", "rewound"])
    assert kept.equals(maps["mlp"])


def test_more_redraws_compute_these_alone(cells, maps, digits_folder, tmp_path, calls):
    tables.write(maps["mlp"], tmp_path / "kept.parquet")
    more = rewound(cells["mlp"], digits_folder, kept=tmp_path / "kept.parquet", rerandomisations=3)
    assert calls["scored"] == 2 * 2 * 9 and len(calls["files"]) == 2
    frame = more.to_pandas()
    assert frame[frame["draw"].isna() | (frame["draw"] == 0)].reset_index(drop=True).equals(maps["mlp"].to_pandas())
    assert frame[~frame["draw"].isna()].groupby("draw")["value"].agg(tuple).nunique() == 3
    assert len(rewound(cells["mlp"], digits_folder, rerandomisations=0)) == 3 * len(maps["mlp"]) / 4


def test_rows_depend_on_their_own_epoch_and_the_last(cells, maps, digits_folder, tmp_path, calls):
    """Re-randomised ones on the last alone."""
    for epoch, missing in ((1, 9), (0, 9), (4, 2 * 9 + 1 + 9)):
        folder, kept = tmp_path / f"cell{epoch}", tmp_path / f"kept{epoch}.parquet"
        shutil.copytree(cells["mlp"], folder)
        tables.write(maps["mlp"], kept)
        put_weights(folder, epoch, None, "data1-model0")
        before = calls["scored"]
        assert rewound(folder, digits_folder, kept=kept).drop(["inputs"]).equals(maps["mlp"].drop(["inputs"]))
        assert calls["scored"] - before == missing


def test_runs_do_not_depend_on_each_other(cells, maps, digits_folder):
    swapped = rewound(cells["tied"], digits_folder, "tied", RUNS[::-1])
    parts = [maps["tied"].filter(np.array(maps["tied"]["data_seed"]) == seed) for seed in (1, 0)]
    assert swapped.equals(tables.pa.concat_tables(parts))


@pytest.mark.parametrize("name", ["resnet", "tied"])
def test_the_network_is_put_back_exactly(name, cells, digits, digits_folder, monkeypatch):
    source = stream(digits_folder, NETWORKS[name][0], "cpu", 1)
    source.load(checkpoints.at_epoch(cells[name], RUNS[1], 4).path)
    on = scored(labels.RunLabels.read(cells[name] / "labels.parquet", 1), digits.y_test, None, 1, CPU)
    weights = weights_at(cells[name], RUNS[1], 0)
    before = {key: tensor.clone() for key, tensor in source.model.state_dict().items()}

    def expect_as_before():
        state = source.model.state_dict()
        assert all(torch.equal(state[key], before[key]) for key in before)
        assert not any(module.training for module in source.model.modules())
        assert {m.momentum for m in source.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)} == {0.1}

    swaps = Swaps(source, ["rewound", "reestimated"])
    swaps.rows(weights, on)
    expect_as_before()
    again = weights_at(cells[name], RUNS[1], 0)
    assert all(torch.equal(weights[key], again[key]) for key in again)

    def fail(*_args):
        assert not all(torch.equal(source.model.state_dict()[key], before[key]) for key in before)
        raise KeyboardInterrupt

    monkeypatch.setattr(swaps, "_predicted", fail)
    for swaps.batch_norm in (["rewound"], ["reestimated"]):
        with pytest.raises(KeyboardInterrupt):
            swaps.rows(weights, on)
        expect_as_before()


def test_a_last_chunk_of_one_example_counts_as_the_others_do(digits, digits_folder):
    """Of 1,001 examples a chunk of its own would have no variance."""
    source = stream(digits_folder, NETWORKS["resnet"][0], "cpu", 1)
    network = models.build("resnet18", digits.in_shape, 10, 0, {"width": 2})
    first, second = normalised(digits.x_train[:1001], digits).split([501, 500])
    update_bn([first, second], network)
    with reestimated(source, np.arange(1001)):
        for key, tensor in source.model.state_dict().items():
            assert torch.allclose(tensor.double(), network.state_dict()[key].double(), rtol=1e-4, atol=1e-6), key


def test_no_more_examples_than_asked_for(cells, maps, digits, digits_folder):
    drawn = {seed: labels.RunLabels.read(cells["mlp"] / "labels.parquet", seed) for seed in (0, 1)}
    frame = rewound(cells["mlp"], digits_folder, rerandomisations=0, examples=140).to_pandas()
    chosen = {seed: scored(drawn[seed], digits.y_test, 140, seed, CPU).examples for seed in (0, 1)}
    for seed, parts in chosen.items():
        assert {split: len(rows) for split, rows in parts.items()} == {"test": 140, "train": 140, "validation": 135}
        for split, whole in (("train", drawn[seed].train), ("validation", drawn[seed].validation)):
            assert np.isin(parts[split], whole).all() and (np.diff(parts[split]) > 0).all()
        fewer = scored(drawn[seed], digits.y_test, 50, seed, CPU).examples
        assert all(len(rows) == 50 and np.isin(rows, parts[split]).all() for split, rows in fewer.items())
        # What was not drawn looks as if it were held out, but then a different set is.
        only = replace(drawn[seed], train=parts["train"])
        network = models.build("mlp_small", digits.in_shape, 10, 0)
        network.load_state_dict(weights_at(cells["mlp"], RUNS[seed], 1))
        right = predictions(network, digits.x_test[parts["test"]], digits) == digits.y_test[parts["test"]]
        expected = by_hand(network, digits, only) | {"test": (right.mean(), 140)}
        whole = (frame["data_seed"] == seed) & (frame["epoch"] == 1) & (frame["kind"] == "suffix")
        rows = frame[whole & (frame["layer"] == "fc1")].set_index("view")
        for view in ("test", "unpermuted", "permuted", "restored"):
            value, n = expected[view]
            assert rows.loc[view, "value"] == pytest.approx(value, abs=1.01 / n) and rows.loc[view, "n"] == n
    assert not np.array_equal(chosen[0]["test"], chosen[1]["test"])


def test_without_noise_or_held_out_examples(digits, digits_folder):
    """Views of mislabelled examples are there, and empty."""
    n = len(digits.y_train)
    clean = labels.RunLabels(digits.y_train, digits.y_train, np.arange(n), np.arange(0), np.zeros(n, bool))
    source = stream(digits_folder, MODEL, "cpu", 1)
    rows = Swaps(source, ["rewound"]).rows(source.model.state_dict(), scored(clean, digits.y_test, None, 0, CPU))
    empty = {row["view"]: row["n"] for row in rows if row["value"] is None}
    assert empty == {"permuted": 0, "restored": 0}
    assert {row["view"]: row["n"] for row in rows} == {"test": 450, "unpermuted": n, **empty}


def test_settings():
    entry = {"interventions": {"rewind": {"rerandomisations": 0}}, "probes": {}}
    assert REWIND.complete(entry["interventions"]["rewind"]) == {
        "batch_norm": ["reestimated"],
        "rerandomisations": 0,
        "examples": None,
    }
    assert list(REWIND.wrong(entry, {0})) == list(EDIT.wrong(entry, {0})) == []
    lacking = entry | {"interventions": {"edit": {"epochs": [0]}}}
    assert list(EDIT.wrong(lacking, {0})) == [".interventions.edit: needs until"]
