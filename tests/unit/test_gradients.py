"""Gradients of groups of examples, against autograd over whole groups, closed forms and what chance must give."""

import copy

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from cells import MODEL, RUNS, train, trained_cell
from scipy import stats
from torch.nn import functional

from latentgen import checkpoints, datasets, models, noise, tables
from latentgen.activations.dumps import stream
from latentgen.activations.sources import Stream
from latentgen.analyses import TABLES
from latentgen.gradients import evaluate, layer_gradients, passes
from latentgen.gradients.blocks import gradients_block
from latentgen.gradients.passes import PARTS
from latentgen.labels import RunLabels
from latentgen.models.mlp import mlp
from latentgen.pixels import Pixels

# The loss of a whole group, and its parts, as they are defined.
LOSSES = {
    "total": functional.cross_entropy,
    "label": lambda z, y: -z[torch.arange(len(y)), y].mean(),
    "independent": lambda z, y: z.logsumexp(1).mean(),
    "label_centered": lambda z, y: (z.mean(1) - z[torch.arange(len(y)), y]).mean(),
    "independent_centered": lambda z, y: (z.logsumexp(1) - z.mean(1)).mean(),
}
GROUPS = ("unpermuted", "permuted", "selected", "all")
# Layers, in order, with the beginnings of the names of their weights.
LAYERS = {
    "mlp_small": {"fc1": "fc1", "fc2": "fc2", "fc3": "fc3", "output": "head"},
    "cnn_small": {"flat": "conv", "fc1": "fc1", "fc2": "fc2", "output": "head"},
    "resnet18": {name: name for name in ("stem", "layer1", "layer2", "layer3", "layer4")} | {"output": "head"},
}
EVERYTHING = {"network": ""}


def network(name, in_shape, options=None):
    """A network whose running statistics, if it has any, are neither its batch's nor the initial ones."""
    model = models.build(name, in_shape, 10, 0, options)
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.copy_(torch.rand(module.num_features, generator=generator) - 0.5)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return model.eval()


def noisy(true, level=0.6, n_classes=10, seed=0):
    """Given labels, and the groups of examples."""
    given, selected = noise.corrupt(true, level, "uniform", n_classes, seed)
    wrong = given != true
    return given, {"unpermuted": ~wrong, "permuted": wrong, "selected": selected}


def by_autograd(model, images, labels, prefixes):
    """{layer: (parts, weights) float64}: gradients of the mean losses of one group, in one batch."""
    named = dict(model.named_parameters())
    z = model(images)
    of_parts = [torch.autograd.grad(loss(z, labels), named.values(), retain_graph=True) for loss in LOSSES.values()]

    def flat(gradients, prefix):
        chosen = [part for name, part in zip(named, gradients, strict=True) if name.startswith(prefix)]
        return torch.cat([part.flatten() for part in chosen]).double().numpy()

    return {layer: np.stack([flat(part, prefix) for part in of_parts]) for layer, prefix in prefixes.items()}


def all_by_autograd(model, images, labels, groups, prefixes):
    """{layer: (groups, parts, weights)}, with the group of all examples last."""
    members = [torch.from_numpy(group) for group in groups.values()] + [torch.ones(len(labels), dtype=torch.bool)]
    found = [by_autograd(model, images[rows], labels[rows], prefixes) for rows in members]
    return {layer: np.stack([of[layer] for of in found]) for layer in prefixes}


ZOO = [("mlp_small", {}), ("cnn_small", {}), ("resnet18", {"width": 4})]


@pytest.fixture(scope="module", params=ZOO, ids=[name for name, _ in ZOO])
def both(request, digits):
    """A network with the gradients of autograd in float64, on labels of which some are wrong."""
    name, options = request.param
    model = network(name, digits.in_shape, options).double()
    images = Pixels(digits.x_train, digits, torch.device("cpu")).batch(slice(0, 300)).double()
    given, groups = noisy(digits.y_train[:300])
    expected = all_by_autograd(model, images, torch.from_numpy(given), groups, LAYERS[name] | EVERYTHING)
    return name, model, images, given, groups, expected


def test_parts_are_those_of_autograd_over_the_whole_group(both, monkeypatch):
    _, model, images, given, groups, expected = both
    monkeypatch.setattr(passes, "CHUNK", 70)
    sets = [np.flatnonzero(group) for group in groups.values()] + [np.arange(300)]
    sums = passes.summed(model, images.__getitem__, torch.from_numpy(given), sets, list(model.parameters())).numpy()
    means = sums / np.array([len(rows) for rows in sets])[:, None, None]
    found = {part: np.einsum("gcw,c->gw", means, np.array(weights)) for part, weights in PARTS.items()}
    scale = np.abs(expected["network"]).max()
    for part, gradients in found.items():
        np.testing.assert_allclose(
            gradients, expected["network"][:, list(LOSSES).index(part)], rtol=0, atol=1e-12 * scale
        )
    np.testing.assert_allclose(found["label"] + found["independent"], found["total"], rtol=0, atol=1e-12 * scale)
    centered = found["label_centered"] + found["independent_centered"]
    np.testing.assert_allclose(centered, found["total"], rtol=0, atol=1e-12 * scale)


def test_layers_groups_and_parts_have_the_inner_products_of_autograd(both):
    name, model, images, given, groups, expected = both
    found = layer_gradients(model, images.__getitem__, np.arange(300), given, groups)
    assert [part.layer for part in found] == [*LAYERS[name], "network"] and found[-1].depth is None
    assert list(PARTS) == list(LOSSES)
    for part in found:
        gradients = expected[part.layer]
        assert part.parameters == gradients.shape[-1]
        assert dict(part.sizes) == {group: int(rows.sum()) for group, rows in groups.items()} | {"all": 300}
        products = np.einsum("gpw,hqw->gphq", gradients, gradients)
        np.testing.assert_allclose(part.products, products, rtol=0, atol=1e-12 * products.max())


def test_float32_differs_by_its_rounding(both):
    _, model, images, given, groups, expected = both
    single = copy.deepcopy(model).float()
    found = layer_gradients(single, images.float().__getitem__, np.arange(300), given, groups)
    for part in found:
        for place, group in enumerate(GROUPS):
            norms = np.linalg.norm(expected[part.layer][place], axis=1)
            np.testing.assert_allclose([part.norm(group, kind) for kind in PARTS], norms, rtol=1e-3)


def test_the_readout_has_its_closed_form(digits):
    """Its gradient is the sum over examples of the derivative by the logits times the features that feed it."""
    model = network("mlp_small", digits.in_shape)
    source = Stream(model, digits, torch.device("cpu"))
    given, groups = noisy(digits.y_train)
    _, parts = next(source.chunks("train", ["fc3", "output"], examples=np.arange(900)))
    features, logits = (parts[layer].double().numpy() for layer in ("fc3", "output"))
    features = np.hstack([features, np.ones((900, 1))])  # the bias
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    true, uniform = np.eye(10)[given[:900]], np.full((900, 10), 0.1)
    cotangents = [softmax - true, -true, softmax, uniform - true, softmax - uniform]
    groups = {name: rows[:900] for name, rows in groups.items()}
    found = layer_gradients(model, source.pixels["train"].batch, np.arange(900), given[:900], groups)
    output = next(part for part in found if part.layer == "output")
    for group, rows in groups.items():
        for part, cotangent in zip(PARTS, cotangents, strict=True):
            gradient = cotangent[rows].T @ features[rows] / rows.sum()
            assert output.norm(group, part) == pytest.approx(np.linalg.norm(gradient), rel=1e-5), (group, part)


def test_a_chunk_of_another_size_gives_the_same(digits, monkeypatch):
    model = network("cnn_small", digits.in_shape)
    batch = Pixels(digits.x_train, digits, torch.device("cpu")).batch
    examples = np.arange(1, 1000, 2)
    given, groups = noisy(digits.y_train[examples])
    whole = layer_gradients(model, batch, examples, given, groups)
    monkeypatch.setattr(passes, "CHUNK", 37)
    for one, other in zip(whole, layer_gradients(model, batch, examples, given, groups), strict=True):
        np.testing.assert_allclose(other.products, one.products, rtol=0, atol=1e-6 * one.products.max())


def test_examples_that_are_fitted_closely_keep_their_digits(digits):
    """With logits a thousandth of whose residuals float32 could tell, the total is still that of float64."""
    model = network("mlp_small", digits.in_shape)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([20.0] + 9 * [0.0]))
    zeros = np.flatnonzero(digits.y_train == 0)
    batch = Pixels(digits.x_train, digits, torch.device("cpu")).batch
    found = layer_gradients(model, batch, zeros, digits.y_train[zeros], {})
    features = next(Stream(model, digits, torch.device("cpu")).chunks("train", ["fc3"], examples=zeros))[1]["fc3"]
    mean = np.append(features.double().mean(0).numpy(), 1.0)
    residual = np.exp(-20) / (1 + 9 * np.exp(-20)) * np.array([-9.0] + 9 * [1.0])
    expected = np.linalg.norm(np.outer(residual, mean))
    assert found[-2].layer == "output" and found[-2].norm("all", "total") == pytest.approx(expected, rel=1e-5)


def test_equal_images_with_balanced_labels_have_no_centred_label_part(digits):
    model = network("mlp_small", digits.in_shape)
    image = Pixels(digits.x_train, digits, torch.device("cpu")).batch(slice(0, 1))
    found = layer_gradients(
        model, lambda index: image.repeat(len(index), 1, 1, 1), np.arange(50), np.arange(50) % 10, {}
    )
    for part in found:
        assert part.norm("all", "label_centered") < 1e-5 * part.norm("all", "label")


def test_a_model_in_training_mode_and_no_examples_are_refused(digits):
    model = network("mlp_small", digits.in_shape)
    batch = Pixels(digits.x_train, digits, torch.device("cpu")).batch
    with pytest.raises(ValueError, match="examples is empty"):
        layer_gradients(model, batch, np.arange(0), np.arange(0), {})
    with pytest.raises(ValueError, match="eval()"):
        layer_gradients(model.train(), batch, np.arange(5), digits.y_train[:5], {})


# Near initialisation. Let J_i (C, weights) be the derivative of example i's logits; its centred label part is
# -(e_y - 1/C) J_i. The network does not depend on the given labels yet, so conditional on the images only labels are
# random.
#
# Uniform noise draws a selected example's label from all C classes, independently of its image: E[e_y] = 1/C, so the
# mean over n selected examples is one of n independent vectors of mean zero, and its norm falls as n^(-1/2).
#
# A wrong one's label is uniform over the C - 1 classes that are not its true class t: E[e_y] = (1 - e_t) / (C - 1), and
# so E[e_y - 1/C] = -(e_t - 1/C) / (C - 1). Its gradient is in the mean -1/(C - 1) times what the same images would have
# with their true labels; and as images are selected whatever they show, those are distributed as the clean ones are.
#
# With p ~ 1/C the total gradient is the centred label part, so projections on it have that ratio too, as n grows: the
# permuted examples' own chance part belongs to the total, and adds its squared length times their share of all examples
# to their inner product with it, which falls as 1/n.


def at_the_start(n, n_classes, seed):
    """Gradients of a network with tiny logits, on images that differ by class, with 60 % of the labels redrawn."""
    rng = np.random.default_rng([n, n_classes, seed])
    means = np.random.default_rng([n_classes, seed]).normal(size=(n_classes, 64))
    true = rng.integers(0, n_classes, n)
    images = torch.from_numpy(means[true] + rng.normal(size=(n, 64))).float().reshape(n, 1, 8, 8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = mlp((1, 8, 8), n_classes, widths=(32, 32)).eval()
    with torch.no_grad():
        model.head.weight.mul_(0.01)
        model.head.bias.zero_()
    given, groups = noisy(true, 0.6, n_classes, seed=1000 * seed + n)
    return {part.layer: part for part in layer_gradients(model, images.__getitem__, np.arange(n), given, groups)}


def interval(values, level):
    """Student t interval of the mean of independent values."""
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return np.mean(values) - half, np.mean(values) + half


@pytest.fixture(scope="module")
def slopes():
    """Exponents of the number of examples with which norms grow, (layer, group, part) → one for each of 10 seeds."""
    sizes = (250, 500, 1000, 2000, 4000)
    found = {}
    for seed in range(10):
        gradients = [at_the_start(n, 10, seed) for n in sizes]
        for layer in ("fc1", "fc2", "output", "network"):
            for group in ("unpermuted", "selected"):
                for part in ("label", "label_centered"):
                    norms = [of[layer].norm(group, part) for of in gradients]
                    counts = [of[layer].sizes[group] for of in gradients]
                    slope = stats.linregress(np.log(counts), np.log(norms)).slope
                    found.setdefault((layer, group, part), []).append(slope)
    return found


@pytest.mark.parametrize("layer", ["fc1", "fc2", "output", "network"])
def test_the_centred_label_part_of_selected_examples_averages_out(slopes, layer):
    low, high = interval(slopes[layer, "selected", "label_centered"], 0.95)
    assert -0.6 < low < -0.5 < high < -0.4
    # That of the others does not, nor does the uncentred part of the readout, whose features are never negative.
    assert np.abs(slopes[layer, "unpermuted", "label_centered"]).max() < 0.2
    if layer == "output":
        assert np.abs(slopes[layer, "selected", "label"]).max() < 0.1


@pytest.mark.parametrize("n_classes", [4, 10])
def test_wrong_examples_pull_back_by_one_over_the_other_classes(n_classes):
    expected = -1 / (n_classes - 1)
    permuted, unpermuted = (("permuted", "label_centered"), ("unpermuted", "label_centered"))
    on_clean, on_total = {}, {}
    for n in (1000, 16000):
        for seed in range(10):
            for layer, part in at_the_start(n, n_classes, seed).items():
                ratio = part.cosine(permuted, unpermuted) * part.norm(*permuted) / part.norm(*unpermuted)
                on_clean.setdefault((layer, n), []).append(ratio)
                ratio = part.projection(*permuted) / part.projection(*unpermuted)
                on_total.setdefault((layer, n), []).append(ratio)
    for layer in ("fc1", "fc2", "output", "network"):
        low, high = interval(on_clean[layer, 16000], 0.99)
        assert low < expected < high and high - low < 0.2 * abs(expected), layer
        few, many = (np.mean(on_total[layer, n]) - expected for n in (1000, 16000))
        assert 0 < many < few / 3 and many < 0.2 * abs(expected), layer


@pytest.fixture(scope="module")
def cell(tmp_path_factory, digits_folder):
    folder = tmp_path_factory.mktemp("cell")
    train(folder, digits_folder)
    return folder


def block(cell, digits_folder, block="0000-0099", kept=None, labels=None):
    return gradients_block(trained_cell(cell, digits_folder, labels_file=labels), True, block=block, kept=kept)


@pytest.fixture(scope="module")
def rows(cell, digits_folder):
    return block(cell, digits_folder).to_pandas()


def test_there_is_a_row_for_every_layer_group_part_and_metric(rows):
    assert list(rows.columns) == TABLES["gradients"].schema.names
    keys = ["data_seed", "epoch", "layer", "group", "part", "metric"]
    assert not rows.duplicated(keys).any()
    # Three metrics for all parts; cosines for two groups, and for the two label parts.
    assert len(rows) == 2 * 3 * 5 * (4 * 5 * 3 + 2 * 5 + 4 * 2)
    assert rows["value"].notna().all()
    assert rows.drop_duplicates("layer")["layer"].tolist() == ["fc1", "fc2", "fc3", "output", "network"]
    assert rows.drop_duplicates("layer")["depth"].fillna(-1).tolist() == [1, 2, 3, 4, -1]
    of_network = rows.loc[rows["layer"] == "network", "parameters"].unique()
    assert of_network == rows.drop_duplicates("layer")["parameters"][:-1].sum()


@pytest.mark.parametrize("seed, epoch", [(0, 4), (1, 0)])
def test_metrics_are_those_of_autograd_on_the_training_split(cell, digits_folder, rows, seed, epoch):
    data, labels = datasets.load(digits_folder), RunLabels.read(cell / "labels.parquet", seed)
    source = stream(digits_folder, MODEL, "cpu", 1)
    source.load(checkpoints.at_epoch(cell, RUNS[seed], epoch).path)
    given, wrong = labels.given[labels.train], labels.given[labels.train] != data.y_train[labels.train]
    groups = {"unpermuted": ~wrong, "permuted": wrong, "selected": labels.selected[labels.train]}
    images = source.pixels["train"].batch(torch.from_numpy(labels.train)).double()
    model = source.model.double()
    gradients = all_by_autograd(model, images, torch.from_numpy(given), groups, LAYERS["mlp_small"] | EVERYTHING)
    expected = {}
    for layer, vectors in gradients.items():
        vectors = {name: dict(zip(LOSSES, of, strict=True)) for name, of in zip(GROUPS, vectors, strict=True)}
        total = vectors["all"]["total"]
        for group, of in vectors.items():
            for part, vector in of.items():
                norm = np.linalg.norm(vector)
                expected[layer, group, part, "norm"] = norm
                expected[layer, group, part, "norm_per_root_parameter"] = norm / len(vector) ** 0.5
                expected[layer, group, part, "projection"] = vector @ total / np.linalg.norm(total)
                others = {}
                if group in ("permuted", "selected"):
                    others["cosine_with_unpermuted"] = vectors["unpermuted"][part]
                if part.startswith("label"):
                    others["cosine_with_independent"] = of[part.replace("label", "independent")]
                for metric, other in others.items():
                    cosine = vector @ other / norm / np.linalg.norm(other)
                    expected[layer, group, part, metric] = cosine
    here = rows[(rows["data_seed"] == seed) & (rows["epoch"] == epoch)]
    found = here.set_index(["layer", "group", "part", "metric"])["value"].to_dict()
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        close = {"abs": 1e-4} if key[-1].startswith("cosine") else {"rel": 1e-4, "abs": 1e-6}
        assert found[key] == pytest.approx(value, **close), key
    sizes = {name: int(group.sum()) for name, group in groups.items()} | {"all": len(labels.train)}
    assert here.groupby("group")["n"].unique().str[0].to_dict() == sizes


def test_projections_weighted_by_size_add_to_the_norm_of_the_total(rows):
    keys = ["data_seed", "epoch", "layer"]
    projections = rows[(rows["metric"] == "projection") & rows["group"].isin(["unpermuted", "permuted"])]
    total = rows[(rows["metric"] == "norm") & (rows["group"] == "all") & (rows["part"] == "total")]
    total = total.set_index(keys)
    for pair in (["label", "independent"], ["label_centered", "independent_centered"]):
        parts = projections[projections["part"].isin(pair)]
        weighted = (parts["value"] * parts["n"]).groupby([parts[key] for key in keys]).sum() / total["n"]
        np.testing.assert_allclose(weighted.loc[total.index], total["value"], rtol=1e-6)


def test_equal_runs_give_equal_bytes(cell, digits_folder, rows, tmp_path):
    for name in ("one", "other"):
        tables.write(block(cell, digits_folder, block="0000-0001"), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    assert len(pq.read_table(tmp_path / "one")) == len(rows) * 2 // 3


def computed(cell, digits_folder, kept, monkeypatch, labels=None):
    """How many checkpoints a block computes beside what is kept."""
    calls = []

    def counting(*arguments):
        calls.append(arguments)
        return original(*arguments)

    original = evaluate.evaluate
    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "evaluate", counting)
        block(cell, digits_folder, kept=kept, labels=labels)
    return len(calls)


def test_rows_that_are_known_are_kept(cell, digits_folder, tmp_path, monkeypatch):
    kept = tmp_path / "kept.parquet"
    assert computed(cell, digits_folder, kept, monkeypatch) == 6
    assert computed(cell, digits_folder, kept, monkeypatch) == 0


CHANGES = {
    "given_label": lambda label: (label + 1) % 10,
    "selected": lambda selected: not selected,
    "split": lambda _: "validation",
}


@pytest.mark.parametrize("column", CHANGES)
def test_other_labels_or_selections_compute_anew(cell, digits_folder, rows, tmp_path, monkeypatch, column):
    changed = pq.read_table(cell / "labels.parquet").to_pandas()
    first = changed.index[(changed["data_seed"] == 0) & (changed["split"] == "train")][0]
    changed.loc[first, column] = CHANGES[column](changed.loc[first, column])
    labels, kept = tmp_path / "labels.parquet", tmp_path / "kept.parquet"
    tables.write(pa.Table.from_pandas(changed, tables.LABELS, preserve_index=False), labels)
    tables.write(pa.Table.from_pandas(rows, TABLES["gradients"].schema, preserve_index=False), kept)
    assert computed(cell, digits_folder, kept, monkeypatch, labels) == 3  # those of seed 0


def test_a_block_past_the_end_is_empty(cell, digits_folder):
    found = block(cell, digits_folder, block="0100-0199")
    assert len(found) == 0 and found.schema.equals(TABLES["gradients"].schema)


def test_empty_groups_have_no_values(digits):
    labels = RunLabels(
        digits.y_train, digits.y_train, np.arange(1000), np.arange(0), np.zeros(len(digits.y_train), bool)
    )
    source = Stream(network("mlp_small", digits.in_shape), digits, torch.device("cpu"))
    for row in evaluate.evaluate(source, labels):
        empty = row["group"] in ("permuted", "selected")
        assert row["n"] == (0 if empty else 1000) and (row["value"] is None) == empty


def test_vanishing_gradients_have_a_norm_and_no_direction(digits):
    model = network("mlp_small", digits.in_shape)
    with torch.no_grad():
        model.head.weight.zero_()  # so nothing reaches the layers before
        model.head.bias.zero_()
    true = digits.y_train
    labels = RunLabels(noisy(true)[0], true, np.arange(500), np.arange(500, len(true)), np.ones(len(true), bool))
    for row in evaluate.evaluate(Stream(model, digits, torch.device("cpu")), labels):
        if row["layer"] in ("fc1", "fc2", "fc3"):
            assert row["value"] == (0 if row["metric"].startswith("norm") else None)
        elif row["part"] == "independent_centered" and row["metric"] == "norm":
            assert row["value"] == pytest.approx(0, abs=1e-12)
