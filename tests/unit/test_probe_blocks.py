"""From a trained cell to probe rows: what is fitted on what, what is kept, where training stopped."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from cells import MODEL, RUNS, train, trained_cell

from latentgen import checkpoints, labels, noise, tables
from latentgen.activations.dumps import dump_block, dump_layer, stream
from latentgen.activations.sources import Stream
from latentgen.analyses import TABLES
from latentgen.probes import MASC, LogisticProbe, VeLPIC, blocks, kinds, passes
from latentgen.probes.blocks import probe_block
from latentgen.training.recipe import Recipe

pytestmark = pytest.mark.slow

DECLARED = {
    "masc": {"kind": "masc", "variance": 0.9},
    "velpic": {"kind": "velpic"},
    "logistic": {"kind": "logistic", "epochs": 2},
}
PROBES = {name: kinds.complete(probe) for name, probe in DECLARED.items()}


@pytest.fixture(scope="module")
def cell(tmp_path_factory, digits_folder):
    folder = tmp_path_factory.mktemp("cell")
    train(folder, digits_folder)
    return folder


def probe(cell, digits_folder, block="0000-0009", family=PROBES, kept=None, dumps=None):
    return probe_block(trained_cell(cell, digits_folder), family, block=block, kept=kept, dumps=dumps)


def test_published_files_of_a_cell(cell):
    index = json.loads((cell / "checkpoints.json").read_text())
    assert set(index) == {"data0-model0", "data1-model0"}
    assert list(index["data0-model0"]["sha256"]) == ["0", "1", "4"] and index["data0-model0"]["last_epoch"] == 4
    assert sorted(path.name for path in (cell / "checkpoints" / "data1-model0").iterdir()) == [
        "epoch-0000.safetensors",
        "epoch-0001.safetensors",
        "epoch-0004.safetensors",
    ]
    assert pq.read_schema(cell / "history.parquet").equals(tables.HISTORY)
    records = tables.read(cell / "records.parquet")
    assert set(zip(records["data_seed"], records["epoch"], strict=True)) == {(s, e) for s in (0, 1) for e in (0, 1, 4)}


def test_labels_of_a_cell(cell, digits):
    drawn = labels.RunLabels.read(cell / "labels.parquet", 1)
    assert len(drawn.validation) == 135 and len(drawn.train) == 1212
    assert np.array_equal(drawn.true, digits.y_train)
    assert drawn.digest != labels.RunLabels.read(cell / "labels.parquet", 0).digest
    with pytest.raises(ValueError, match="no labels of data seed 9"):
        labels.RunLabels.read(cell / "labels.parquet", 9)


def test_a_held_out_part_that_is_empty_or_takes_a_whole_class_is_refused(digits):
    true = np.repeat(np.arange(4), 25)
    runs = [{**RUNS[0], "data_seed": seed} for seed in range(3)]
    with pytest.raises(ValueError, match="validation: 0.004 holds out none of 100 training examples"):
        labels.draw(true, 4, runs, 0.004)
    with pytest.raises(ValueError, match="validation: 0.99 leaves 1 of 100 training examples, and of 3 classes none"):
        labels.draw(true, 4, runs, 0.99)
    assert len(labels.draw(true, 4, runs, 0.0)) == len(labels.draw(true, 4, runs, 0.5)) == 300
    # A class that has no example to begin with loses none.
    assert len(labels.draw(true, 5, runs, 0.5)) == 300


def test_rows_are_what_the_estimators_give_by_hand(cell, digits_folder, digits):
    frame = probe(cell, digits_folder).to_pandas()
    drawn = labels.RunLabels.read(cell / "labels.parquet", 1)
    source = stream(digits_folder, MODEL, "cpu", 1)
    source.load(checkpoints.at_epoch(cell, RUNS[1], 4).path)
    parts = {split: [part["fc2"] for _, part in source.chunks(split, ["fc2"])] for split in ("train", "test")}
    x, x_test = (torch.cat(parts[split]).numpy() for split in ("train", "test"))
    for name, estimator in (
        ("masc", MASC(variance=0.9)),
        ("velpic", VeLPIC()),
        ("logistic", LogisticProbe(epochs=2)),
    ):
        estimator.fit(x[drawn.train], drawn.given[drawn.train])
        mine = frame[(frame.probe == name) & (frame.layer == "fc2") & (frame.epoch == 4) & (frame.data_seed == 1)]
        found = mine.set_index(["split", "labels"])["value"]
        assert len(found) == 3
        assert found["test", "true"] == pytest.approx(estimator.score(x_test, digits.y_test), abs=1e-12)
        for kind in ("given", "true"):
            expected = estimator.score(x[drawn.validation], getattr(drawn, kind)[drawn.validation])
            assert found["validation", kind] == pytest.approx(expected, abs=1e-12)
        decision = estimator.decision_function(x_test)
        own = decision[np.arange(450), digits.y_test]
        decision[np.arange(450), digits.y_test] = -np.inf
        margin = mine[mine.split == "test"]["margin"].item()
        assert margin == pytest.approx((own - decision.max(1)).mean(), rel=1e-9)
    masc = MASC(variance=0.9).fit(x[drawn.train], drawn.given[drawn.train])
    mine = frame[(frame.probe == "masc") & (frame.layer == "fc2") & (frame.epoch == 4) & (frame.data_seed == 1)]
    assert mine["rank"].unique().tolist() == [masc.ranks_.mean()]


def test_label_settings_are_the_estimators_own_by_hand(cell, digits_folder, digits):
    """True labels, resampled labels, and scores on training examples, against each label of theirs."""
    declared = {
        "true": {"kind": "masc", "variance": 0.9, "fit_labels": "true"},
        "redrawn": {"kind": "masc", "variance": 0.9, "fit_labels": "exclude_true-0.3", "score": ["test", "train"]},
        "trained": {"kind": "velpic", "score": ["train"]},
    }
    family = {name: kinds.complete(probe) for name, probe in declared.items()}
    frame = probe(cell, digits_folder, family=family).to_pandas()
    drawn = labels.RunLabels.read(cell / "labels.parquet", 1)
    source = stream(digits_folder, MODEL, "cpu", 1)
    source.load(checkpoints.at_epoch(cell, RUNS[1], 4).path)
    parts = {split: [part["fc2"] for _, part in source.chunks(split, ["fc2"])] for split in ("train", "test")}
    x, x_test = (torch.cat(parts[split]).numpy() for split in ("train", "test"))
    mine = frame[(frame.layer == "fc2") & (frame.epoch == 4) & (frame.data_seed == 1)]
    found = mine.set_index(["probe", "split", "labels"])["value"]
    train = drawn.train

    of_true = MASC(variance=0.9).fit(x[train], drawn.true[train])
    assert found["true", "test", "true"] == pytest.approx(of_true.score(x_test, digits.y_test), abs=1e-12)
    assert ("true", "train", "true") not in found

    redrawn = noise.corrupt(digits.y_train, 0.3, "exclude_true", 10, seed=1).given
    of_redrawn = MASC(variance=0.9).fit(x[train], redrawn[train])
    expected = {"true": drawn.true, "given": drawn.given, "fit": redrawn}
    for kind, target in expected.items():
        assert found["redrawn", "train", kind] == pytest.approx(of_redrawn.score(x[train], target[train]), abs=1e-12)
    assert found["redrawn", "test", "true"] == pytest.approx(of_redrawn.score(x_test, digits.y_test), abs=1e-12)

    velpic = VeLPIC().fit(x[train], drawn.given[train])
    for kind in ("given", "true"):
        assert found["trained", "train", kind] == velpic.score(x[train], getattr(drawn, kind)[train])
    assert ("trained", "test", "true") not in found
    assert set(mine.fit_labels[mine.probe == "redrawn"]) == {"exclude_true-0.3"}


def test_a_probe_for_narrow_layers_leaves_wide_ones_out(cell, digits_folder):
    family = {"qda": kinds.complete({"kind": "qda", "max_features": 200})}
    assert set(probe(cell, digits_folder, family=family)["layer"].to_pylist()) == {"input", "fc1"}


def test_a_grid_s_only_probes_must_fit_some_layer(cell, digits_folder):
    family = {name: kinds.complete({"kind": "qda", "max_features": width}) for name, width in (("q", 1), ("r", 2))}
    trained = trained_cell(cell, digits_folder)
    assert len(probe_block(trained, family, block="0000-0009")) == 0
    with pytest.raises(
        ValueError, match=r"^probes.q.max_features: 1, probes.r.max_features: 2: every layer .* is wider"
    ):
        probe_block(trained, family, block="0000-0009", needed=True)
    # Past the end there is nothing to fit.
    assert len(probe_block(trained, family, block="0010-0019", needed=True)) == 0


LIMITED = {
    "masc": kinds.complete({"kind": "masc", "variance": 0.9, "max_features": 128}),
    "velpic": kinds.complete({"kind": "velpic", "max_features": 255}),
}


def test_the_widest_layers_have_no_rows_and_the_others_the_same_ones(cell, digits_folder):
    """The limit itself is not too wide: fc1 has 128 features, fc2 and fc3 have 256."""
    limited = probe(cell, digits_folder, family=LIMITED).to_pandas().drop(columns="inputs")
    unlimited = probe(cell, digits_folder, family={name: PROBES[name] for name in LIMITED}).to_pandas()
    narrow = unlimited[unlimited.layer.isin(["input", "fc1"])].drop(columns="inputs").reset_index(drop=True)
    assert set(unlimited.layer) == {"input", "fc1", "fc2", "fc3"} and set(limited.probe) == set(LIMITED)
    assert limited.equals(narrow)


@pytest.mark.parametrize(
    ("others", "of_wide"),
    [({}, None), ({"nearest_mean": {"kind": "nearest_mean"}}, set()), ({"lda": {"kind": "lda"}}, {"scatter"})],
    ids=["none", "nearest_mean", "lda"],
)
def test_moments_of_layers_that_are_too_wide_are_not_collected(cell, digits_folder, monkeypatch, others, of_wide):
    """Beside probes that are meant for wide layers, only what those read is."""
    collected = {}

    class Noting(passes.ClassMoments):
        def __init__(self, n_features, *rest, second, **named):
            collected.setdefault(n_features, set()).add(frozenset(second))
            super().__init__(n_features, *rest, second=second, **named)

    monkeypatch.setattr(passes, "ClassMoments", Noting)
    others = {name: kinds.complete(settings) for name, settings in others.items()}
    frame = probe(cell, digits_folder, family={**LIMITED, **others}).to_pandas()
    wide = {} if of_wide is None else {256: {frozenset(of_wide)}}
    assert collected == {width: {frozenset({"gram"} | (of_wide or set()))} for width in (64, 128)} | wide
    assert set(frame[frame.layer == "fc2"].probe) == set(others)


def test_depth_follows_the_model_and_every_layer_is_there(cell, digits_folder):
    frame = probe(cell, digits_folder).to_pandas()
    assert dict(zip(frame.layer, frame.depth, strict=True)) == {"input": 0, "fc1": 1, "fc2": 2, "fc3": 3}
    counts = frame.groupby(["data_seed", "epoch", "layer", "probe"]).size()
    assert len(counts) == 2 * 3 * 4 * 3 and set(counts) == {3}


def test_a_block_past_the_end_is_empty_with_the_right_columns(cell, digits_folder):
    table = probe(cell, digits_folder, block="0010-0019")
    assert table.num_rows == 0 and table.schema.equals(TABLES["probes"].schema)


def test_blocks_partition_the_epochs(cell, digits_folder):
    first, second = (probe(cell, digits_folder, block) for block in ("0000-0003", "0004-0007"))
    assert set(first["epoch"].to_pylist()) == {0, 1} and set(second["epoch"].to_pylist()) == {4}


def test_dumps_give_the_same_table_to_the_last_digit(cell, digits_folder, tmp_path):
    dump_block(cell, RUNS, "0000-0009", stream(digits_folder, MODEL, "cpu", 1), tmp_path)
    assert probe(cell, digits_folder, dumps=tmp_path).equals(probe(cell, digits_folder))


def noted(into, compute):
    """``compute``, which first notes the pieces that it is to compute."""
    return lambda cell, family, missing, **more: into.extend(missing) or compute(cell, family, missing, **more)


def places(pieces):
    """Data seed and epoch of each checkpoint, once."""
    return list(dict.fromkeys((piece.checkpoint.run["data_seed"], piece.checkpoint.epoch) for piece in pieces))


def test_known_rows_are_taken_over_and_others_computed(cell, digits_folder, tmp_path, monkeypatch):
    table = probe(cell, digits_folder)
    tables.write(table, tmp_path / "kept.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(blocks, "_compute", lambda *_, **__: pytest.fail("computed again"))
        assert probe(cell, digits_folder, kept=tmp_path / "kept.parquet").equals(table)

    computed = []
    compute = blocks._compute
    with monkeypatch.context() as patch:
        patch.setattr(blocks, "_compute", noted(computed, compute))
        more = {**PROBES, "masc50": kinds.complete({"kind": "masc", "variance": 0.5})}
        wider = probe(cell, digits_folder, family=more, kept=tmp_path / "kept.parquet")
    assert [piece.method for piece in computed] == ["masc50"] * 6
    assert wider.equals(probe(cell, digits_folder, family=more))


def test_a_killed_job_keeps_the_checkpoints_it_was_through_with(cell, digits_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("latentgen.blocks.KEEP_SECONDS", -1.0)
    kept, compute, done = tmp_path / "kept.parquet", blocks._compute, []

    def killed(*job, **more):
        for number, found in enumerate(compute(*job, **more)):
            if number == 4:
                raise KeyboardInterrupt
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "_compute", killed)
        with pytest.raises(KeyboardInterrupt):
            probe(cell, digits_folder, kept=kept)
    monkeypatch.setattr(blocks, "_compute", noted(done, compute))
    table = probe(cell, digits_folder, kept=kept)
    assert places(done) == [(1, 1), (1, 4)]
    assert table.equals(probe(cell, digits_folder)) and pq.read_table(kept).equals(table)


def test_labels_drawn_anew_are_part_of_a_row_s_inputs(cell, digits_folder, monkeypatch):
    family = {"redrawn": kinds.complete({"kind": "velpic", "fit_labels": "uniform-0.3"})}
    before = probe(cell, digits_folder, family=family)["inputs"].to_pylist()
    monkeypatch.setattr(noise, "VERSION", noise.VERSION + 1)
    assert not set(before) & set(probe(cell, digits_folder, family=family)["inputs"].to_pylist())


def test_an_added_epoch_computes_only_its_own_rows(cell, digits_folder, tmp_path, monkeypatch):
    train(tmp_path, digits_folder)
    table = probe(tmp_path, digits_folder)
    assert table.equals(probe(cell, digits_folder))
    tables.write(table, tmp_path / "kept.parquet")
    train(tmp_path, digits_folder, saved=(0, 1, 3, 4))
    computed = []
    compute = blocks._compute
    monkeypatch.setattr(blocks, "_compute", noted(computed, compute))
    probe(tmp_path, digits_folder, kept=tmp_path / "kept.parquet")
    assert places(computed) == [(0, 3), (1, 3)]


def test_rows_of_equal_weights_are_kept_under_another_recipe(cell, digits_folder, tmp_path, monkeypatch):
    tables.write(probe(cell, digits_folder), tmp_path / "kept.parquet")
    monkeypatch.setattr(blocks, "_compute", lambda *_, **__: pytest.fail("computed again"))
    for run in RUNS:
        monkeypatch.setitem(run, "entry", "def")  # what more epochs make of it
    taken = probe(cell, digits_folder, kept=tmp_path / "kept.parquet")
    assert set(taken["entry"].to_pylist()) == {"def"} and taken.schema.equals(TABLES["probes"].schema)


def test_a_dump_past_the_stop_names_the_stop(cell, digits_folder, tmp_path):
    source = stream(digits_folder, MODEL, "cpu", 1)
    with pytest.raises(LookupError, match="stopped after epoch 4; there is no epoch 7"):
        dump_layer(cell, RUNS[0], 7, "fc1", source, tmp_path / "fc1.npy")
    with pytest.raises(LookupError, match="kept no weights of epoch 2; add it to saved_epochs"):
        dump_layer(cell, RUNS[0], 2, "fc1", source, tmp_path / "fc1.npy")
    assert isinstance(source, Stream)


def test_weights_of_another_recipe_are_not_taken_up(digits_folder, tmp_path):
    train(tmp_path, digits_folder)
    first = (tmp_path / "checkpoints.json").read_text()
    train(tmp_path, digits_folder, Recipe("adam", 0.001, 64, epochs=4))
    assert (tmp_path / "checkpoints.json").read_text() != first
    train(tmp_path, digits_folder)
    assert (tmp_path / "checkpoints.json").read_text() == first


def test_a_second_training_waits_for_the_first(digits_folder, tmp_path):
    import fcntl
    import threading

    (tmp_path / "partial").mkdir()
    with open(tmp_path / "partial" / "lock", "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        waiting = threading.Thread(target=train, args=(tmp_path, digits_folder))
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive() and not (tmp_path / "checkpoints.json").exists()
    waiting.join(60)
    assert (tmp_path / "checkpoints.json").exists()
