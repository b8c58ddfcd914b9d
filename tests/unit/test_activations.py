"""Streamed activations against a plain forward pass, dumps against streams, batch norm against batches of one."""

import copy

import numpy as np
import pytest
import torch

from latentgen import activations, datasets, models
from latentgen.activations import sources
from latentgen.activations.sources import Dump, Stream, dump

CPU = torch.device("cpu")


@pytest.fixture(params=["mlp_small", "cnn_small"])
def stream(request, digits):
    return Stream(models.build(request.param, digits.in_shape, 10, 0), digits, CPU)


def whole(source, split, layer, **mode):
    return torch.cat([parts[layer] for _, parts in source.chunks(split, [layer], **mode)])


def test_layers_are_what_a_step_by_step_pass_gives(stream, digits):
    value = (torch.from_numpy(digits.x_test).float() / 16 - 0.5) / 0.5
    expected = {"input": value.flatten(1)}
    names = {module: layer for layer, module in stream.model.probed.items()}
    for module, step in stream.model.named_children():
        value = step(value)
        if module in names:
            expected[names[module]] = value.flatten(1).detach()
    assert list(expected) == stream.layers
    for layer in stream.layers:
        assert torch.allclose(whole(stream, "test", layer), expected[layer], atol=1e-5)


def test_chunks_cover_the_split_in_order(stream):
    rows = [rows for rows, _ in stream.chunks("train", ["fc1"])]
    assert [(part.start, part.stop) for part in rows] == [(0, 1000), (1000, 1347)]


def test_asking_for_one_layer_or_all_gives_the_same_bits(stream):
    together = {layer: [] for layer in stream.layers}
    for _, parts in stream.chunks("test", stream.layers):
        for layer, part in parts.items():
            together[layer].append(part)
    for layer in stream.layers:
        assert torch.equal(torch.cat(together[layer]), whole(stream, "test", layer))


def test_a_dump_gives_the_same_bits_and_holds_train_then_test(stream, tmp_path):
    for layer in stream.layers:
        dump(stream, layer, tmp_path / f"{layer}.npy")
    reader = Dump(tmp_path, stream)
    for layer in stream.layers:
        array = np.load(tmp_path / f"{layer}.npy", allow_pickle=False)
        assert array.dtype == np.float32 and len(array) == 1797
        for split, part in (("train", array[:1347]), ("test", array[1347:])):
            assert np.array_equal(part, whole(stream, split, layer).numpy())
            assert torch.equal(whole(reader, split, layer), whole(stream, split, layer))


def test_unknown_layer_lists_the_known(stream, tmp_path):
    with pytest.raises(ValueError, match="no layer 'fc9'; it has input"):
        dump(stream, "fc9", tmp_path / "fc9.npy")
    assert list(tmp_path.iterdir()) == []


def test_hooks_are_removed_even_when_the_reader_stops_early(stream):
    for _ in stream.chunks("train", ["fc1"]):
        break
    assert not any(module._forward_hooks for module in stream.model.modules())


def test_modules_that_work_in_place_do_not_change_a_layer(digits):
    model = torch.nn.Sequential(torch.nn.ReLU(inplace=True), torch.nn.Flatten(), torch.nn.Linear(64, 8))
    model.append(torch.nn.ReLU(inplace=True))
    model.probed = {"before": "2", "after": "3"}
    stream = Stream(model, digits, CPU)
    before, after = whole(stream, "test", "before"), whole(stream, "test", "after")
    assert before.min() < 0 and torch.equal(before.relu(), after)
    _, together = next(iter(stream.chunks("test", ["input", "before"])))
    assert together["input"].min() == -1


def test_extraction_is_in_eval_mode(digits):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5))
    model.probed = {"dropped": "1"}
    stream = Stream(model.train(), digits, CPU)
    assert torch.equal(whole(stream, "test", "dropped"), whole(stream, "test", "input"))


def test_chunk_length_is_part_of_the_result():
    # Convolutions and products differ in the last digit with the batch: whoever changes it must raise the version.
    assert (sources.CHUNK, activations.VERSION) == (1000, 1)


# ---- batch norm ----


@pytest.fixture(scope="module")
def coloured():
    """40 random images of 32 x 32 to train on and 20 for test, brightness depending on the class."""
    rng = np.random.default_rng(0)
    y = {"y_train": np.arange(40) % 4, "y_test": np.arange(20) % 4}
    x = {
        key.replace("y", "x"): (
            rng.integers(0, 160, (len(labels), 3, 32, 32)) + 30 * labels[:, None, None, None]
        ).astype(np.uint8)
        for key, labels in y.items()
    }
    return datasets.Dataset(**x, **y, n_classes=4, pixel_max=255, digest="random")


@pytest.fixture
def normalised(coloured, monkeypatch):
    """A narrow ResNet-18 after five training steps, read 16 images at a time."""
    monkeypatch.setattr(sources, "CHUNK", 16)
    model = models.build("resnet18", (3, 32, 32), 4, 0, {"width": 8})
    stream = Stream(model, coloured, CPU)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    x, y = stream.pixels["train"].batch(slice(None)), torch.from_numpy(coloured.y_train)
    model.train()
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.eval()
    return stream


def in_batches_of_one(stream, split, training):
    """{layer: (n, features)} of passes of single examples, with the modules ``training`` names in training mode."""
    model = copy.deepcopy(stream.model)
    for module in model.modules():
        module.train(isinstance(module, training) if not list(module.children()) else False)
    rows = {layer: [] for layer in model.probed}
    for layer, name in model.probed.items():
        model.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: rows[layer].append(output.detach().flatten(1).clone())
        )
    pixels = stream.pixels[split]
    for index in range(len(pixels)):
        model(pixels.batch(slice(index, index + 1)))
    return {layer: torch.cat(parts) for layer, parts in rows.items()}


# A channel that is nearly constant over an example's few positions magnifies float32's rounding; float64 shows that
# nothing else differs.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
def test_batch_norm_by_example_is_training_mode_at_batch_size_one(normalised, dtype, tolerance):
    normalised.model.to(dtype).register_forward_pre_hook(lambda _module, inputs: (inputs[0].to(dtype),))
    before = {name: tensor.clone() for name, tensor in normalised.model.state_dict().items()}
    expected = in_batches_of_one(normalised, "train", torch.nn.BatchNorm2d)
    running = {layer: whole(normalised, "train", layer) for layer in expected}
    for layer, rows in expected.items():
        found = whole(normalised, "train", layer, batch_norm="example")
        assert found.shape == rows.shape
        assert (found - rows).abs().max() < tolerance * rows.abs().max(), layer
        assert (running[layer] - rows).abs().max() > 0.1 * rows.abs().max(), layer
        assert torch.equal(whole(normalised, "train", layer, batch_norm="running"), running[layer])
    after = normalised.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not any(module.training for module in normalised.model.modules())


def test_batch_norm_modes_do_not_mix_when_read_in_turn(normalised):
    alone = {mode: whole(normalised, "train", "layer2", batch_norm=mode) for mode in activations.BATCH_NORM}
    streams = [normalised.chunks("train", ["layer2"], batch_norm=mode) for mode in activations.BATCH_NORM]
    for (rows, running), (_, example) in zip(*streams, strict=True):
        assert torch.equal(running["layer2"], alone["running"][rows])
        assert torch.equal(example["layer2"], alone["example"][rows])


def mixed(**norm):
    """Batch norm over sequences and dropout, flattened from 64 pixels as 4 channels of 16 positions."""
    layers = [
        torch.nn.Flatten(),
        torch.nn.Unflatten(1, (4, 16)),
        torch.nn.BatchNorm1d(4, **norm),
        torch.nn.Dropout(0.5),
    ]
    model = torch.nn.Sequential(*layers)
    model.probed = {"norm": "2", "dropped": "3"}
    return model


@pytest.mark.parametrize("norm", [{}, {"affine": False}, {"eps": 0.5}, {"track_running_stats": False}])
def test_everything_but_batch_norm_stays_in_eval_mode(digits, norm):
    stream = Stream(mixed(**norm), digits, CPU)
    expected = in_batches_of_one(stream, "test", torch.nn.BatchNorm1d)
    for layer in ("norm", "dropped"):
        found = whole(stream, "test", layer, batch_norm="example")
        assert torch.allclose(found, expected[layer], rtol=1e-5, atol=1e-5)
        rows = whole(stream, "test", "input").double().reshape(-1, 4, 16)
        variance = rows.var(2, correction=0, keepdim=True) + norm.get("eps", 1e-5)
        closed = ((rows - rows.mean(2, keepdim=True)) / variance.sqrt()).flatten(1)
        assert torch.allclose(found.double(), closed, atol=1e-4)


def test_without_batch_norm_both_modes_give_the_same_bits(stream):
    for layer in stream.layers:
        example = whole(stream, "test", layer, batch_norm="example")
        assert torch.equal(example, whole(stream, "test", layer, batch_norm="running"))


def test_one_position_cannot_be_normalised_by_itself_and_leaves_the_model_as_it_was(digits):
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8))
    flat.probed = {"norm": "2"}
    maps = models.build("resnet18", digits.in_shape, 10, 0, {"width": 4})  # 8 px: 4 after the stem, 2, 1
    for model, layer, name in ((flat, "norm", "'2'"), (maps, "layer4", "'layer3.0.bn1'")):
        stream = Stream(model, digits, CPU)
        before = whole(stream, "test", layer)
        with pytest.raises(ValueError, match=f"submodule {name}: .* more than one position"):
            whole(stream, "test", layer, batch_norm="example")
        assert torch.equal(whole(stream, "test", layer), before)
        assert not any(module._forward_hooks or "forward" in vars(module) for module in model.modules())


class NormAndReLU(torch.nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).relu()


def test_batch_norm_with_a_forward_of_its_own_is_refused_by_name(digits):
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(1), NormAndReLU(1))
    model.probed = {"norm": "1"}
    stream = Stream(model, digits, CPU)
    before = whole(stream, "test", "norm")
    with pytest.raises(ValueError, match="submodule '1' .NormAndReLU. has a forward pass of its own"):
        whole(stream, "test", "norm", batch_norm="example")
    assert torch.equal(whole(stream, "test", "norm"), before)


def test_unknown_modes_are_refused_and_dumps_hold_eval_mode_alone(stream, tmp_path):
    with pytest.raises(ValueError, match="unknown batch_norm 'batch'; known: running, example"):
        whole(stream, "test", "fc1", batch_norm="batch")
    dump(stream, "fc1", tmp_path / "fc1.npy")
    reader = Dump(tmp_path, stream)
    assert torch.equal(whole(reader, "test", "fc1", batch_norm="running"), whole(stream, "test", "fc1"))
    with pytest.raises(ValueError, match="for 'example' set `activations: stream`"):
        whole(reader, "test", "fc1", batch_norm="example")
