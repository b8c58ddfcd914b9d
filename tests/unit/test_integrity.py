"""Damaged files: refused where they are read, or set aside where they can be done without."""

import json
import os
import shutil
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from cells import MODEL, RECIPE, RUNS, train, trained_cell

from latentgen import checkpoints, datasets, digests, labels, models, tables
from latentgen.activations.dumps import dump_block, dump_layer, stream
from latentgen.activations.sources import Dump, dump_layers
from latentgen.datasets import base
from latentgen.digests import Damaged
from latentgen.embeddings.cell import embeddings_cell
from latentgen.geometry.blocks import geometry_block
from latentgen.geometry.declaration import GEOMETRY as DECLARED
from latentgen.gradients.blocks import gradients_block
from latentgen.interventions.edit import edit_cell
from latentgen.interventions.relabel import relabel_cell
from latentgen.interventions.rewind import rewind_cell
from latentgen.interventions.transfer import transfer_block
from latentgen.probes import kinds
from latentgen.probes.blocks import probe_block
from latentgen.training.loop import Training
from latentgen.training.state import read_state, save_state

pytestmark = pytest.mark.slow

BLOCK = "0000-0009"
MASC = kinds.complete({"kind": "masc"})
GEOMETRY = DECLARED.complete({"points": 10, "directions": 10, "restarts": 1})
REWIND = {"batch_norm": ["rewound"], "rerandomisations": 0, "examples": 50}
#: Every analysis of a cell, as its job calls it.
ANALYSES = {
    "probes": lambda cell, kept: probe_block(cell, {"masc": MASC}, block=BLOCK, kept=kept),
    "geometry": lambda cell, kept: geometry_block(cell, GEOMETRY, block=BLOCK, kept=kept),
    "gradients": lambda cell, kept: gradients_block(cell, True, block=BLOCK, kept=kept),
    "transfer": lambda cell, kept: transfer_block(cell, {"layers": "last"}, block=BLOCK, kept=kept),
    "rewind": lambda cell, kept: rewind_cell(cell, REWIND, kept=kept),
    "embeddings": lambda cell, kept: embeddings_cell(cell, {"methods": ["pca"], "layers": "last", "examples": 60}),
    "edit": lambda cell, kept: edit_cell(
        cell, {"layers": ["last"], "bias": ["zero"], "until": 2}, epoch=1, training=asdict(RECIPE)
    ),
    "relabel": lambda cell, kept: relabel_cell(
        cell, {"probe": "masc", "layer": "last"}, probe=MASC, training=asdict(RECIPE)
    ),
    "dump": lambda cell, kept: dump_block(cell.folder, cell.runs, BLOCK, cell.stream(), cell.folder / "dumps" / BLOCK),
    "one dump": lambda cell, kept: dump_layer(
        cell.folder, cell.runs[0], 1, "fc1", stream(cell.data_folder, MODEL, "cpu", 1), cell.folder / "fc1.npy"
    ),
}
#: Those that `latentgen.blocks` keeps rows of.
KEEPING = ("probes", "geometry", "gradients", "transfer", "rewind")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits_folder):
    folder = tmp_path_factory.mktemp("cell")
    train(folder, digits_folder, runs=RUNS[:1])
    return folder


@pytest.fixture
def cell(trained, tmp_path, digits_folder):
    """A copy of a trained cell and its data, to be damaged."""
    shutil.copytree(trained, tmp_path / "cell")
    shutil.copytree(digits_folder, tmp_path / "data")
    return trained_cell(tmp_path / "cell", tmp_path / "data", RUNS[:1])


def flip(path, *places):
    """Change bytes of a file in place, its length and times kept; places are fractions of its length."""
    times, content = path.stat(), bytearray(path.read_bytes())
    for place in places:
        content[int(place * len(content))] ^= 0x10
    with open(path, "r+b") as file:
        file.write(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("analysis", ANALYSES)
def test_no_analysis_reads_weights_that_training_did_not_write(cell, analysis):
    # The last checkpoint and the one after epoch 1 are what each of them needs.
    for epoch in (1, 4):
        path = checkpoints.at_epoch(cell.folder, RUNS[0], epoch).path
        flip(path, 0.5, 0.6, 0.7)
    with pytest.raises(Damaged) as caught:
        ANALYSES[analysis](cell, None)
    words = str(caught.value)
    found = {epoch: checkpoints.at_epoch(cell.folder, RUNS[0], epoch) for epoch in (1, 4)}
    (epoch,) = [epoch for epoch, checkpoint in found.items() if str(checkpoint.path) in words]
    assert found[epoch].sha256 in words and digests.of_file(found[epoch].path) in words
    assert f"rm -r {cell.folder}/partial/data0-model0 {cell.folder}/checkpoints.json" in words


@pytest.mark.parametrize("analysis", ANALYSES)
def test_no_analysis_reads_data_that_were_not_prepared(cell, analysis):
    path = cell.data_folder / "x_test.npy"
    before, kept = path.stat(), digests.of_file(path)
    np.load(path, mmap_mode="r+")[:] = 0
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(Damaged) as caught:
        ANALYSES[analysis](cell, None)
    for said in (str(path), kept, digests.of_file(path), f"rm -r {cell.data_folder}"):
        assert said in str(caught.value)


def test_the_remedy_for_weights_gives_the_same_bytes(cell):
    index = json.loads((cell.folder / "checkpoints.json").read_text())
    path = checkpoints.at_epoch(cell.folder, RUNS[0], 1).path
    flip(path, 0.5)
    shutil.rmtree(cell.folder / "partial" / "data0-model0")
    (cell.folder / "checkpoints.json").unlink()
    train(cell.folder, cell.data_folder, runs=RUNS[:1])
    assert json.loads((cell.folder / "checkpoints.json").read_text()) == index
    assert digests.of_file(path) == index["data0-model0"]["sha256"]["1"]


def test_weights_that_are_missing_or_cut_are_refused(cell):
    checkpoint = checkpoints.at_epoch(cell.folder, RUNS[0], 1)
    content = checkpoint.path.read_bytes()
    checkpoint.path.unlink()
    with pytest.raises(Damaged, match=r"epoch-0001.safetensors, which .*checkpoints.json names, is missing"):
        checkpoint.read()
    for length in (0, 4, 100, len(content) - 1):
        checkpoint.path.write_bytes(content[:length])
        with pytest.raises(Damaged, match="epoch-0001.safetensors is damaged"):
            checkpoint.read()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: text.replace('"last_epoch": 4', '"last_epoch": 5'),
        lambda text: text.replace('"last_epoch"', '"last_epocH"'),
        lambda text: "[]",
    ],
)
def test_a_damaged_index_is_refused(cell, change):
    path = cell.folder / "checkpoints.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(Damaged, match=r"checkpoints.json is damaged.*rm -r"):
        cell.checkpoints(BLOCK)


# ---- prepared data ----


@pytest.mark.parametrize("name", base.ARRAYS)
def test_a_changed_array_is_named(cell, name):
    flip(cell.data_folder / f"{name}.npy", 0.9)
    with pytest.raises(Damaged, match=rf"{name}\.npy is damaged: its SHA-256 is \w+, in .*meta.json it is"):
        datasets.load(cell.data_folder)


@pytest.mark.parametrize("length", [0, 50, 1000])
def test_a_cut_array_is_refused_without_advice_to_unpickle(cell, length):
    os.truncate(cell.data_folder / "x_train.npy", length)
    for verify in (True, False):
        with pytest.raises(Damaged, match=r"x_train.npy is missing or no whole .npy file. Call 'rm -r ") as caught:
            datasets.load(cell.data_folder, verify=verify)
        assert "pickle" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"), [('"n_classes": 10', '"n_classes": 90'), ("0.5", "0.6"), ("}", ""), ("1", "7")]
)
def test_changed_facts_of_the_data_are_refused(cell, old, new):
    path = cell.data_folder / "meta.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(Damaged, match="meta.json"):
        datasets.load(cell.data_folder, verify=False)


def test_data_prepared_before_files_had_digests_are_verified_as_a_whole(cell):
    path = cell.data_folder / "meta.json"
    names = ("n_classes", "pixel_max", "digest", "mean", "std")
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name in names}))
    assert datasets.load(cell.data_folder).digest == trained_cell(cell.folder, cell.data_folder).data.digest
    flip(cell.data_folder / "y_train.npy", 0.9)
    with pytest.raises(Damaged, match=r"one of x_train.npy, .* is damaged: its SHA-256 is \w+, in .*meta.json it is"):
        datasets.load(cell.data_folder)


# ---- tables ----


def test_no_changed_byte_of_a_table_gives_other_rows(tmp_path):
    """Each byte in turn: an error, or the rows that were written."""
    runs = [{**RUNS[0], "data_seed": seed} for seed in (0, 1)]
    drawn = labels.draw(np.arange(60) % 3, 3, runs, 0.1)
    path = tmp_path / "labels.parquet"
    tables.write(drawn, path)
    content, refused = path.read_bytes(), 0
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert tables.load(path, tables.LABELS).equals(drawn), place
        except Damaged as damage:
            assert str(path) in str(damage)
            refused += 1
    assert refused > len(content) / 2


def test_labels_from_before_pages_had_checksums_are_read(tmp_path):
    drawn = labels.draw(np.arange(60) % 3, 3, RUNS[:1], 0.1)
    pq.write_table(drawn, tmp_path / "labels.parquet", compression="zstd", store_schema=False)
    assert tables.load(tmp_path / "labels.parquet", tables.LABELS).equals(drawn)


@pytest.mark.parametrize("read", [tables.read, tables.load, lambda path: tables.concatenate([path], SCHEMA, "never")])
def test_every_reader_of_a_table_names_a_damaged_one(tmp_path, monkeypatch, read):
    monkeypatch.chdir(tmp_path)
    tables.write(pa.table({"a": np.arange(1000)}, SCHEMA), tmp_path / "table.parquet")
    flip(tmp_path / "table.parquet", 0.3)
    with pytest.raises(Damaged, match=r"table.parquet is damaged: .*Delete it and call Snakemake again"):
        read(tmp_path / "table.parquet")
    assert not (tmp_path / "never").exists()


SCHEMA = pa.schema([("a", pa.int64())])


@pytest.mark.parametrize("analysis", KEEPING)
@pytest.mark.parametrize("damage", ["cut", "empty", "changed"])
def test_damaged_rows_are_computed_again(cell, tmp_path, caplog, analysis, damage):
    kept = tmp_path / "kept.parquet"
    whole = ANALYSES[analysis](cell, kept)
    if damage == "changed":
        flip(kept, 0.2)
    else:
        os.truncate(kept, 0 if damage == "empty" else kept.stat().st_size // 2)
    caplog.clear()
    assert ANALYSES[analysis](cell, kept).equals(whole)
    assert "kept.parquet is set aside as kept.parquet.damaged" in caplog.text
    assert tables.load(kept).equals(whole)


# ---- dumps ----


@pytest.fixture
def dumped(cell):
    """A dump of one checkpoint, and the stream that it is from."""
    source = cell.stream()
    checkpoint = checkpoints.at_epoch(cell.folder, RUNS[0], 1)
    source.load(checkpoint)
    dump_layers(source, cell.folder / "dump", checkpoint.sha256)
    return cell.folder / "dump", source, checkpoint.sha256


def read_all(reader):
    return [
        part for split in ("train", "test") for _, parts in reader.chunks(split, ["fc1"]) for part in parts.values()
    ]


def test_a_dump_is_verified_as_it_is_read(dumped):
    folder, source, sha256 = dumped
    whole = read_all(source)
    assert all(map(torch.equal, whole, read_all(Dump(folder, source, sha256))))
    flip(folder / "fc1.npy", 0.9)
    reader = Dump(folder, source, sha256)
    next(reader.chunks("train", ["fc1"]))  # sound up to there
    with pytest.raises(Damaged, match=r"chunk 0 of test in .*fc1.npy is damaged: its SHA-256 is .*Call 'rm -r "):
        read_all(reader)
    os.truncate(folder / "fc1.npy", 1000)
    with pytest.raises(Damaged, match="fc1.npy is missing or no whole"):
        read_all(Dump(folder, source, sha256))


def test_a_dump_of_other_weights_is_refused_and_one_without_digests_is_not(dumped):
    folder, source, sha256 = dumped
    with pytest.raises(Damaged, match=f"weights with the SHA-256 {sha256}, not 0123"):
        Dump(folder, source, "0123")
    (folder / "digests.json").write_text("{")
    with pytest.raises(Damaged, match="digests.json is damaged"):
        Dump(folder, source, sha256)
    (folder / "digests.json").unlink()
    assert all(map(torch.equal, read_all(source), read_all(Dump(folder, source, sha256))))


# ---- resume states ----


def cut(part):
    return lambda path: os.truncate(path, int(part * path.stat().st_size))


#: What may have become of a file.
DAMAGES = {
    "empty": cut(0),
    "seven bytes": lambda path: os.truncate(path, 7),
    "cut in the header": cut(0.02),
    "cut in half": cut(0.5),
    "cut at the end": lambda path: os.truncate(path, path.stat().st_size - 1),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "another length of the header": lambda path: path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:]),
    "text": lambda path: path.write_text("no such thing"),
    "header changed": lambda path: flip(path, 0.003),
    "progress changed": lambda path: path.write_bytes(path.read_bytes().replace(b"evaluated", b"evaluateD", 1)),
    "changed": lambda path: flip(path, 0.6),
    "changed at the end": lambda path: flip(path, 0.9999),
}


def state_of(folder, run="data0-model0"):
    (found,) = (folder / "partial" / run).glob("*/state.safetensors")
    return found


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_training_goes_on_without_a_damaged_state(cell, caplog, damage):
    """To the same bytes: it starts again."""
    index, history = ((cell.folder / name).read_bytes() for name in ("checkpoints.json", "history.parquet"))
    state = state_of(cell.folder)
    DAMAGES[damage](state)
    train(cell.folder, cell.data_folder, runs=RUNS[:1])
    assert f"{state} is set aside as state.safetensors.damaged" in caplog.text
    assert [(cell.folder / name).read_bytes() for name in ("checkpoints.json", "history.parquet")] == [index, history]
    read_state(state)


@pytest.mark.parametrize("name", ["epoch-0001.safetensors", "epoch-0004.safetensors", "records-0001.parquet"])
@pytest.mark.parametrize("damage", ["empty", "cut at the end", "changed"])
def test_damaged_files_of_saved_epochs_are_never_published(cell, caplog, name, damage):
    names = ("checkpoints.json", "history.parquet", "records.parquet")
    before = [(cell.folder / name).read_bytes() for name in names]
    DAMAGES[damage](state_of(cell.folder).parent / name)
    train(cell.folder, cell.data_folder, runs=RUNS[:1])
    assert f"{name} is set aside" in caplog.text
    assert [(cell.folder / name).read_bytes() for name in names] == before
    for epoch in (0, 1, 4):
        checkpoints.at_epoch(cell.folder, RUNS[0], epoch).read()


def test_a_sound_training_is_not_repeated(cell, monkeypatch):
    monkeypatch.setattr(Training, "train_epoch", lambda *given: pytest.fail("trained again"))
    train(cell.folder, cell.data_folder, runs=RUNS[:1])


def test_a_state_of_an_earlier_version_is_taken_up(cell, monkeypatch, caplog):
    """One without digests: such states were good enough, unless they are not whole."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    state, index = state_of(cell.folder), (cell.folder / "checkpoints.json").read_bytes()

    def without_digests():
        with safe_open(state, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            progress = json.loads(file.metadata()["progress"])
        save_file(tensors, state, {"progress": json.dumps({name: progress[name] for name in ("epoch", "history")})})

    without_digests()
    with monkeypatch.context() as patch, caplog.at_level("INFO"):
        patch.setattr(Training, "train_epoch", lambda *given: pytest.fail("trained again"))
        train(cell.folder, cell.data_folder, runs=RUNS[:1])
    assert "epoch-0001.safetensors was written without a digest" in caplog.text
    assert (cell.folder / "checkpoints.json").read_bytes() == index
    os.truncate(state.parent / "epoch-0001.safetensors", 1000)
    train(cell.folder, cell.data_folder, runs=RUNS[:1])
    assert "epoch-0001.safetensors is set aside" in caplog.text
    assert (cell.folder / "checkpoints.json").read_bytes() == index


@pytest.mark.parametrize("analysis", ["edit", "relabel"])
def test_later_trainings_go_on_without_damaged_states(cell, caplog, analysis):
    whole = ANALYSES[analysis](cell, None)
    states = list((cell.folder / "partial" / analysis).rglob("state.safetensors"))
    assert states
    flip(states[0], 0.6)
    assert ANALYSES[analysis](cell, None).equals(whole)
    assert f"{states[0]} is set aside" in caplog.text


def test_no_changed_byte_of_a_state_gives_another(tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "state.safetensors"
    records = {"was_correct": torch.tensor([True, False]), "sum_loss": torch.tensor([1.5, 2.5], dtype=torch.float64)}
    progress = {"epoch": 3, "history": [[1, "test", "true", "loss", 0.1, 5, "running"]], "digests": {}}
    save_state(path, model, optimizer, records, progress)
    parts, found = read_state(path)
    assert found == progress and torch.equal(parts["model"]["weight"], model.weight)
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            again, told = read_state(path)
        except Damaged:
            continue
        assert told == progress, place
        assert {name: list(part) for name, part in again.items()} == {name: list(part) for name, part in parts.items()}
        assert all(torch.equal(again[part][name], parts[part][name]) for part in parts for name in parts[part]), place


def test_a_state_of_another_network_is_set_aside(cell, caplog):
    state = state_of(cell.folder)
    other = models.build("mlp_small", (1, 8, 8), 7, 0)
    save_state(state, other, torch.optim.Adam(other.parameters()), {}, {"epoch": 4, "history": [], "digests": {}})
    index = (cell.folder / "checkpoints.json").read_bytes()
    train(cell.folder, cell.data_folder, runs=RUNS[:1])
    assert "set aside" in caplog.text and (cell.folder / "checkpoints.json").read_bytes() == index
