"""Streamed activations against a plain forward pass, dumps against streams."""

import numpy as np
import pytest
import torch

from latentgen import models
from latentgen.activations import sources
from latentgen.activations.sources import Dump, Stream, dump

CPU = torch.device("cpu")


@pytest.fixture(params=["mlp_small", "cnn_small"])
def stream(request, digits):
    return Stream(models.build(request.param, digits.in_shape, 10, 0), digits, CPU)


def whole(source, split, layer):
    return torch.cat([parts[layer] for _, parts in source.chunks(split, [layer])])


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
    from latentgen import activations

    assert (sources.CHUNK, activations.VERSION) == (1000, 1)
