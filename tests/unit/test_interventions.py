"""Edited readouts against networks edited by hand; continued and relabelled trainings against the plain ones."""

import copy
from dataclasses import asdict

import pytest
import torch
from cells import MODEL, RUNS, train, trained_cell

from latentgen import checkpoints, datasets, labels, models, tables
from latentgen.activations.dumps import stream
from latentgen.activations.sources import Stream
from latentgen.analyses import TABLES
from latentgen.interventions.edit import edit_cell
from latentgen.interventions.evaluate import evaluate
from latentgen.interventions.heads import Truncated, Variant, class_rows, edited, readout_of, replacing
from latentgen.interventions.relabel import relabel_cell
from latentgen.interventions.transfer import transfer_block
from latentgen.probes import MASC, ClassMoments, VeLPIC, kinds
from latentgen.probes.evaluate import Task
from latentgen.training.loop import Training
from latentgen.training.recipe import Recipe

pytestmark = pytest.mark.slow

#: No momentum, so no optimiser state: what starts afresh is what went on.
PLAIN = Recipe("sgd", 0.1, 64, epochs=6)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cell(tmp_path_factory, digits_folder):
    folder = tmp_path_factory.mktemp("cell")
    train(folder, digits_folder, PLAIN, saved=(0, 2, 3, 6))
    return folder


@pytest.fixture(scope="module")
def source(cell, digits_folder):
    """The second run at its last epoch."""
    source = stream(digits_folder, MODEL, "cpu", 1)
    source.load(checkpoints.at_epoch(cell, RUNS[1], 6).path)
    return source


@pytest.fixture(scope="module")
def drawn(cell):
    return labels.RunLabels.read(cell / "labels.parquet", 1)


def features(source, split, layer):
    return torch.cat([part[layer] for _, part in source.chunks(split, [layer])])


def transferred(cell, digits_folder, layers="all", block="0000-0009", kept=None):
    settings = {"layers": layers}
    return transfer_block(trained_cell(cell, digits_folder), settings, block=block, kept=kept)


def test_zero_bias_transfer_is_velpic_on_every_layer(source, drawn):
    """Every prediction, outside pairs of logits that are equal to the rounding of float32."""
    decided = 0
    for layer in source.layers[1:]:
        x = features(source, "train", layer)[drawn.train]
        velpic = VeLPIC().fit(x, torch.from_numpy(drawn.given[drawn.train]))
        moments = ClassMoments(x.shape[1], range(10)).update(x, drawn.given[drawn.train])
        where = "last" if layer == source.layers[-1] else layer
        network = edited(
            copy.deepcopy(source.model), where, Variant("axis", "unit", 1.0, "zero"), class_rows(moments, "axis")
        )
        with torch.no_grad():
            logits = network.eval()(source.pixels["test"].batch(slice(None)))
        x_test = features(source, "test", layer)
        best = velpic.decision_function(x_test).topk(2).values
        clear = best[:, 0] - best[:, 1] > 1e-5 * x_test.norm(dim=1)
        assert torch.equal(logits.argmax(1)[clear], velpic.predict(x_test)[clear])
        decided += clear.double().mean().item() / 3
    assert decided > 0.99


def test_transfer_rows_are_what_networks_edited_by_hand_give(cell, digits_folder, digits, source, drawn):
    frame = transferred(cell, digits_folder).to_pandas()
    mine = frame[(frame.data_seed == 1) & (frame.epoch == 6)]
    for layer in source.layers:
        x = features(source, "train", layer).double()[drawn.train]
        given = torch.from_numpy(drawn.given[drawn.train])
        rows = {
            "mean": torch.stack([x[given == k].mean(0) for k in range(10)]),
            "axis": torch.stack([_leading_axis(x[given == k], x) for k in range(10)]),
        }
        variants = [Variant("mean", "own", 1.0, "zero"), Variant("axis", "unit", 1.0, "zero")]
        if layer == "fc3":
            variants += [
                Variant("axis", "unit", 1.0, "kept"),
                Variant("axis", "original", 0.25, "kept"),
                Variant("mean", "original", 1.0, "zero"),
                Variant("none", "own", 0.0, "kept"),
            ]
        for variant in variants:
            old = source.model.head.weight.detach().double()
            new = rows.get(variant.rows, old)
            if variant.norm == "unit":
                new = new / new.norm(dim=1, keepdim=True)
            if variant.norm == "original":
                new = new / new.norm(dim=1, keepdim=True) * old.norm(dim=1, keepdim=True)
            new = variant.mix * new + (1 - variant.mix) * old if layer == "fc3" else new
            bias = source.model.head.bias.detach() if variant.bias == "kept" else 0.0
            chosen = mine[(mine.layer == layer) & (mine[list(variant._fields)] == list(variant)).all(axis=1)]
            found = chosen.set_index(["split", "labels"])["value"]
            assert len(found) == 5 and set(chosen["head"]) == {"replaced" if layer == "fc3" else "new"}
            for split, kind, rows_of, target in (
                ("test", "true", slice(None), digits.y_test),
                ("train", "given", drawn.train, drawn.given[drawn.train]),
                ("train", "true", drawn.train, drawn.true[drawn.train]),
                ("validation", "given", drawn.validation, drawn.given[drawn.validation]),
            ):
                part = "test" if split == "test" else "train"
                logits = features(source, part, layer)[rows_of].double() @ new.T + bias
                right = (logits.argmax(1).numpy() == target).mean()
                assert found[split, kind] == pytest.approx(right, abs=1.5 / len(target)), (layer, variant)
    assert set(mine["n"]) == {450, len(drawn.train), len(drawn.validation)}


def _leading_axis(rows, everything):
    axis = torch.linalg.svd(rows, full_matrices=False).Vh[0]
    return axis if axis @ everything.mean(0) > 0 else -axis


def test_the_unedited_readout_is_the_network(cell, digits_folder):
    frame = transferred(cell, digits_folder, "last").to_pandas()
    own = frame[frame["rows"] == "none"].set_index(["data_seed", "epoch", "split", "labels"])["value"]
    history = tables.read(cell / "history.parquet")
    history = history[(history["mode"] == "evaluated") & (history["metric"] == "accuracy")]
    measured = history.set_index(["data_seed", "epoch", "split", "labels"])["value"]
    assert len(own) == 2 * 4 * 5 and own.equals(measured[own.index])


def test_every_variant_once_and_no_bias_to_keep_without_one():
    assert len(set(replacing(True))) == len(replacing(True)) == 1 + 2 * 11
    assert {variant.bias for variant in replacing(False)[1:]} == {"zero"}
    rows, weight = torch.ones(3, 4, dtype=torch.float64), torch.full((3, 4), 2.0)
    made, bias = readout_of(Variant("mean", "own", 0.25, "kept"), rows, weight, None)
    assert torch.equal(made, torch.full((3, 4), 1.75)) and torch.equal(bias, torch.zeros(3))


def test_a_class_never_seen_has_a_row_of_zeros():
    moments = ClassMoments(3, range(3)).update(torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]]), [0, 2])
    expected = torch.tensor([[0.6, 0.8, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.float64)
    assert torch.allclose(class_rows(moments, "axis"), expected)
    assert torch.equal(class_rows(moments, "mean"), expected * torch.tensor([[5.0], [1], [2]]).double())


def test_known_transfer_rows_are_taken_over(cell, digits_folder, tmp_path, monkeypatch):
    table = transferred(cell, digits_folder)
    assert table.schema.equals(TABLES["transfer"].schema)
    tables.write(table, tmp_path / "kept.parquet")
    monkeypatch.setattr("latentgen.interventions.evaluate.evaluate", lambda *a: pytest.fail("computed again"))
    assert transferred(cell, digits_folder, kept=tmp_path / "kept.parquet").equals(table)
    assert transferred(cell, digits_folder, block="0010-0019").num_rows == 0


@pytest.fixture(scope="module")
def odd_cells(tmp_path_factory, digits_folder):
    """Folders of cells of other models, by name, trained for two epochs with momentum."""

    def trained(model):
        folder = tmp_path_factory.mktemp("odd")
        runs = [{**RUNS[0], "model": "odd"}]
        recipe = Recipe("sgd", 0.02, 64, epochs=2, momentum=0.9)
        train(folder, digits_folder, recipe, (0, 1, 2), runs, model)
        return folder, runs, recipe, model

    return trained


def edit_odd(cell, digits_folder, **settings):
    folder, runs, recipe, model = cell
    chosen = {"layers": ["last"], "bias": ["zero"], "until": 3, **settings}
    return edit_cell(trained_cell(folder, digits_folder, runs, model), chosen, epoch=1, training=asdict(recipe))


def test_a_readout_without_bias_has_one_edit(odd_cells, digits_folder):
    cell = odd_cells({"factory": "cnn_small", "options": {}})
    frame = edit_odd(cell, digits_folder, layers=["last", "fc2"], bias=["zero", "kept"]).to_pandas()
    # fc2 is the last layer: the same edit, not a new readout.
    assert list(frame.groupby(["layer", "rows", "bias"], sort=False).groups) == [
        ("fc2", "none", "kept"),
        ("fc2", "axis", "zero"),
    ]
    control = frame[frame["rows"] == "none"].set_index(MEASURES)["value"]
    history = tables.read(cell[0] / "history.parquet").set_index(MEASURES)["value"]
    second = ("test", "true", "evaluated", "loss")
    # Momentum starts afresh at the edit, so the control is not the run itself from the next epoch on.
    assert control[0, 1, *second] == history[0, 1, *second] and control[0, 2, *second] != history[0, 2, *second]


def test_layers_with_weights_of_their_own_can_be_edited_and_resumed(odd_cells, digits_folder, monkeypatch):
    cell = odd_cells({"factory": "resnet18", "options": {"width": 2}})
    whole = edit_odd(cell, digits_folder, layers=["layer1", "avgpool"])
    assert set(whole["layer"].to_pylist()) == {"avgpool", "layer1"}
    resumed = []
    train_epoch = Training.train_epoch
    monkeypatch.setattr(Training, "train_epoch", lambda self, epoch: resumed.append(epoch) or train_epoch(self, epoch))
    longer = edit_odd(cell, digits_folder, layers=["layer1", "avgpool"], until=4)
    assert resumed == [4] * 3
    assert set(zip(longer["layer"].to_pylist(), longer["epoch"].to_pylist(), strict=True)) >= {("layer1", 4)}


class Reused(torch.nn.Module):
    """One ReLU for two layers."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.relu = torch.nn.Linear(64, 10), torch.nn.Linear(10, 10), torch.nn.ReLU()
        self.probed = {"fc": "relu"}

    def forward(self, x):
        return self.relu(self.fc2(self.relu(self.fc1(x.flatten(1)))))


def test_a_layer_that_is_computed_twice_is_refused(digits):
    with pytest.raises(ValueError, match="layer 'fc' names a submodule that is called twice"):
        next(Stream(Reused(), digits, CPU).chunks("test", ["fc"]))


def before_relu(in_shape, n_classes):
    """An MLP whose last probed layer is not what its readout reads, though as wide."""
    model = models.build("mlp", in_shape, n_classes, 0, {"widths": [16]})
    model.probed = {"fc1": "fc1"}
    return model


def test_an_edit_in_the_wrong_space_is_refused(odd_cells, digits_folder):
    wrong = {"factory": f"{__name__}:before_relu", "options": {}}
    with pytest.raises(ValueError, match="last layer 'fc1', 16 features, is not what feeds the readout 'head'"):
        odd_cells(wrong)
    folder, runs, recipe, _ = odd_cells({"factory": "mlp", "options": {"widths": [16]}})
    with pytest.raises(ValueError, match="last probed layer 'fc1' is not what feeds the readout 'head'"):
        edit_odd((folder, runs, recipe, wrong), digits_folder)


class Unreadable(torch.nn.Sequential):
    """A network whose readout is fed by something that is not probed."""

    def __init__(self):
        super().__init__()
        self.flatten, self.fc, self.relu = torch.nn.Flatten(), torch.nn.Linear(64, 10), torch.nn.ReLU()
        self.head = torch.nn.Linear(10, 10)
        self.probed = {"fc": "fc"}


def test_models_that_cannot_be_edited_are_refused(digits, drawn):
    task = Task(drawn, digits.y_test, 10, 1)
    with pytest.raises(ValueError, match="needs an attribute 'readout'"):
        evaluate(Stream(Unreadable(), digits, CPU), ["fc"], task)
    network = Unreadable()
    network.readout = "head"
    with pytest.raises(ValueError, match="last probed layer 'fc' is not what feeds the readout 'head'"):
        evaluate(Stream(network, digits, CPU), ["fc"], task)


def test_a_truncated_network_trains_the_layers_in_front_alone(source):
    network = Truncated(copy.deepcopy(source.model), "fc2", (torch.zeros(10, 256), torch.zeros(10)))
    torch.nn.init.normal_(network.readout.weight)
    batch = source.pixels["test"].batch(slice(0, 8))
    logits = network(batch)
    hidden = torch.relu(source.model.fc2(torch.relu(source.model.fc1(batch.flatten(1)))))
    assert torch.equal(logits, network.readout(hidden))
    logits.square().sum().backward()
    reached = {name for name, parameter in network.named_parameters() if parameter.grad is not None}
    layers = ("model.fc1", "model.fc2", "readout")
    assert reached == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def edit(cell, digits_folder, settings, epoch=3, recipe=PLAIN):
    chosen = {"layers": ["last"], "bias": ["zero"], **settings}
    return edit_cell(trained_cell(cell, digits_folder), chosen, epoch=epoch, training=asdict(recipe))


MEASURES = ["data_seed", "epoch", "split", "labels", "mode", "metric"]


def test_the_control_without_optimiser_state_is_the_run_itself(cell, digits_folder):
    """Plain gradient descent has no state that could start afresh, so nothing may differ to the last digit."""
    table = edit(cell, digits_folder, {"until": 6, "layers": ["last", "fc1"], "bias": ["zero", "kept"]})
    assert table.schema.equals(TABLES["edit"].schema)
    frame = table.to_pandas()
    edits = frame[["layer", "rows", "bias"]].drop_duplicates().itertuples(index=False, name=None)
    assert list(edits) == [
        ("fc3", "none", "kept"),
        ("fc3", "axis", "zero"),
        ("fc3", "axis", "kept"),
        ("fc1", "axis", "zero"),
    ]
    control = frame[frame["rows"] == "none"].set_index(MEASURES)["value"]
    history = tables.read(cell / "history.parquet").set_index(MEASURES)["value"]
    assert {index[1] for index in control.index} == {3, 4, 5, 6}
    assert control.equals(history[control.index])


def test_an_edited_training_starts_at_the_transfer_and_learns(cell, digits_folder):
    frame = edit(cell, digits_folder, {"until": 6, "layers": ["last", "fc1"], "bias": ["zero", "kept"]}).to_pandas()
    accuracy = frame[(frame["metric"] == "accuracy") & (frame["split"] == "test") & (frame["rows"] == "axis")]
    transfer_rows = transferred(cell, digits_folder).to_pandas()
    published = (transfer_rows["rows"] == "axis") & (transfer_rows["norm"] == "unit") & (transfer_rows["mix"] == 1)
    start = transfer_rows[published & (transfer_rows["epoch"] == 3) & (transfer_rows["split"] == "test")]
    keys = ["data_seed", "layer", "bias"]
    edited_now = accuracy[accuracy["epoch"] == 3].set_index(keys)["value"]
    assert len(edited_now) == 2 * 3
    assert edited_now.sort_index().equals(start.set_index(keys)["value"][edited_now.index].sort_index())
    loss = frame[(frame["metric"] == "loss") & (frame["mode"] == "running") & (frame["labels"] == "given")]
    falls = loss[loss["rows"] == "axis"].sort_values("epoch").groupby(keys)["value"].agg(["first", "last"])
    assert len(falls) == 2 * 3 and (falls["last"] < falls["first"]).all()


def test_an_interrupted_edit_goes_on_to_the_same_rows(digits_folder, tmp_path, monkeypatch):
    recipe = Recipe("adam", 0.002, 64, epochs=4)
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
        train(tmp_path / name, digits_folder, recipe, saved=(0, 2, 4))
    whole = edit(tmp_path / "whole", digits_folder, {"until": 6}, epoch=2, recipe=recipe)
    # Every epoch leaves a state, and the second epoch of the second training is where the power fails.
    monkeypatch.setattr("latentgen.training.loop.STATE_SECONDS", -1.0)
    train_epoch, epochs = Training.train_epoch, []

    def failing(self, epoch):
        epochs.append(epoch)
        if len(epochs) == 6:
            raise KeyboardInterrupt
        return train_epoch(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "train_epoch", failing)
        with pytest.raises(KeyboardInterrupt):
            edit(tmp_path / "cut", digits_folder, {"until": 6}, epoch=2, recipe=recipe)
    resumed = []
    monkeypatch.setattr(Training, "train_epoch", lambda self, epoch: resumed.append(epoch) or train_epoch(self, epoch))
    assert edit(tmp_path / "cut", digits_folder, {"until": 6}, epoch=2, recipe=recipe).equals(whole)
    assert epochs == [3, 4, 5, 6, 3, 4] and resumed == [4, 5, 6] + 2 * [3, 4, 5, 6]


def test_runs_that_stopped_before_the_edit_have_no_rows(cell, digits_folder):
    assert edit(cell, digits_folder, {"until": 12}, epoch=10).num_rows == 0


def test_unknown_layers_are_named(cell, digits_folder):
    with pytest.raises(ValueError, match="layer 'fc9'; the model has input, fc1, fc2, fc3"):
        edit(cell, digits_folder, {"until": 6, "layers": ["fc9"]})


def test_relabelling_is_a_training_on_what_the_probe_predicts(cell, digits_folder, digits, source, drawn, tmp_path):
    masc = kinds.complete({"kind": "masc", "variance": 0.9})
    settings = {"probe": "masc90", "layer": "fc1"}
    table = relabel_cell(trained_cell(cell, digits_folder), settings, probe=masc, training=asdict(PLAIN))
    assert table.schema.equals(TABLES["relabel"].schema)
    frame = table.to_pandas()
    assert set(frame["probe"]) == {"masc90"} and set(frame["layer"]) == {"fc1"} and set(frame["from_epoch"]) == {6}
    frame = frame[frame["data_seed"] == 1]

    x = features(source, "train", "fc1").numpy()
    predicted = MASC(variance=0.9).fit(x[drawn.train], drawn.given[drawn.train]).predict(x)
    quality = frame[frame["metric"] == "label_accuracy"].set_index("labels")["value"]
    assert quality["true"] == (predicted == drawn.true)[drawn.train].mean()
    assert quality["given"] == (predicted == drawn.given)[drawn.train].mean()
    assert quality["true"] > (drawn.given == drawn.true)[drawn.train].mean()

    predicted[drawn.validation] = drawn.given[drawn.validation]
    network = models.build("mlp_small", digits.in_shape, 10, 0)
    seen = (predicted, drawn.train, drawn.validation)
    plain = Training(RUNS[1], datasets.load(digits_folder), network, *seen, PLAIN, [], tmp_path, CPU)
    plain.fit()
    history = plain.history_table().to_pandas()
    history.loc[(history["split"] == "train") & (history["labels"] == "given"), "labels"] = "relabelled"
    expected = history.set_index(MEASURES)["value"]
    found = frame[frame["mode"] != "relabelling"].set_index(MEASURES)["value"]
    assert found.equals(expected) and len(found) == len(expected)


def test_relabelling_names_a_probe_that_is_too_narrow(cell, digits_folder):
    qda = kinds.complete({"kind": "qda", "max_features": 100})
    with pytest.raises(ValueError, match="not meant for layers as wide as 'fc1'"):
        relabel_cell(
            trained_cell(cell, digits_folder), {"probe": "qda", "layer": "fc1"}, probe=qda, training=asdict(PLAIN)
        )
