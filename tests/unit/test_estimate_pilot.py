"""What a pilot measures, against the functions of real jobs."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from cells import MODEL, RECIPE, RUNS, train, trained_cell

from latentgen import compute, datasets, devices, labels
from latentgen.estimate import analyses, pilot, trainings, work
from latentgen.interventions import again, edit, swaps
from latentgen.interventions.declaration import EDIT
from latentgen.interventions.rewind import rewind_cell
from latentgen.probes import kinds

pytestmark = pytest.mark.slow

TRAINING = {"optimizer": "adam", "learning_rate": 0.005, "batch_size": 64, "epochs": 4}
FAMILY = {"velpic": kinds.complete({"kind": "velpic"})}
TASKS = {
    "dump_block:a": ("dump_block", True),
    "fit_probes:a": ("probes", FAMILY),
    "gradients:a": ("gradients", True),
    "embeddings:a": ("embeddings", {"methods": ["pca"], "layers": ["output"], "examples": 100}),
    "transfer:a": ("transfer", {"layers": "last"}),
    "rewind:a": ("rewind", {"batch_norm": ["reestimated"], "rerandomisations": 1, "examples": 100}),
}
PLAN = {"model": MODEL, "training": {**TRAINING, "stop_accuracy": 0.1}, "validation": 0.1, "tasks": TASKS}


@pytest.fixture(scope="module")
def cell(tmp_path_factory, digits_folder):
    """A cell of two runs that kept epochs 0, 1, 4."""
    folder = tmp_path_factory.mktemp("cell")
    train(folder, digits_folder)
    return folder


@pytest.fixture(scope="module")
def found(tmp_path_factory, digits_folder):
    """What the pilot of the same network found."""
    folder = tmp_path_factory.mktemp("pilot")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyses, "SPAN", 0.1)
        patch.setattr(trainings, "SPAN", 0.1)
        result = pilot.measure("digits", "mlp_small", PLAN, digits_folder, folder, "cpu", 1)
    assert not list(folder.iterdir())
    return result


def test_every_unit_is_measured(found):
    assert found["device"] == "cpu" and found["where"].startswith("a processor (")
    units = {f"{task}:{part}" for task in TASKS for part in ("cold", "fixed", "each")}
    units |= {"start:light", "start:training", "start:analysis", "labels", "training", "epoch", "saved"}
    assert set(found["seconds"]) == units
    assert all(np.isfinite(seconds) and seconds >= 0 for seconds in found["seconds"].values())
    positive = ["epoch", "saved", "labels", *(f"{task}:each" for task in TASKS)]
    assert all(found["seconds"][unit] > 0 for unit in positive)
    starts = [found["seconds"][f"start:{what}"] for what in ("light", "training", "analysis")]
    assert 0 < starts[0] <= starts[1] <= starts[2]
    assert all(size >= 0 for size in found["bytes"].values())


def test_a_start_counts_what_the_device_takes_to_start_and_not_the_wait_for_it(monkeypatch):
    """The clock stands still but for a device that takes 5 s, 2 of them waiting for its lease."""
    clock = [1000.0]
    monkeypatch.setattr(pilot.time, "time", lambda: clock[0])
    monkeypatch.setattr(pilot.psutil, "Process", lambda: SimpleNamespace(create_time=lambda: 999.0))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    # Other tests of this process may have waited.
    monkeypatch.setattr(devices, "_waited", 0.0)

    def chosen(device):
        clock[0] += 5
        monkeypatch.setattr(devices, "_waited", 2.0)
        return torch.device("cpu")

    monkeypatch.setattr(compute, "choose_device", chosen)
    assert pilot._starts("auto") == {"start:light": 1, "start:training": 4, "start:analysis": 4}


def test_weights_and_states_weigh_what_they_do_in_a_cell(found, cell):
    sizes = found["bytes"]
    weights = list(cell.glob("checkpoints/*/*.safetensors"))
    assert len(weights) == 6 and {path.stat().st_size for path in weights} == {sizes["checkpoint"]}
    for state in cell.glob("partial/data*/*/state.safetensors"):
        assert sizes["state"] + 4 * sizes["state:epoch"] == pytest.approx(state.stat().st_size, rel=0.01)
    for name, unit, tolerance in (("records-0004", "records", 0.05), ("records-0000", "records:first", 0.01)):
        for path in cell.glob(f"partial/data*/*/{name}.parquet"):
            assert sizes[unit] == pytest.approx(path.stat().st_size, rel=tolerance)


def test_dumps_weigh_what_arrays_of_all_layers_do(found, digits):
    """float32 of every example in four layers, each with the 128 bytes of an npy header; digests weigh little."""
    features = 64 + 128 + 256 + 256
    examples = len(digits.y_train) + len(digits.y_test)
    arrays = 4 * examples * features + 4 * 128
    # 64 digits for each of three chunks of each layer, and of the weights.
    assert arrays + 13 * 64 < found["bytes"]["dump_block:a:each"] < arrays + 13 * 128
    assert found["bytes"]["dump_block:a:file"] == 0


def test_a_long_epoch_is_cut_and_scaled_to_the_whole(found, digits_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "LONG", 1e-9)
    data = datasets.load(digits_folder)
    run = {**RUNS[0], "level": 0.5}
    drawn = labels.draw(data.y_train, data.n_classes, [run], 0.1)
    arguments = (run, PLAN, digits_folder, drawn, "cpu", 1)
    seconds, sizes, kept = trainings.measure_training(tmp_path, *arguments)
    trained = pq.read_table(next((tmp_path / "partial").glob("data0-model0/*/records-0003.parquet")))
    assert len(trained) == trainings.WARM * TRAINING["batch_size"] and kept[0] == 0 and kept[-1] >= 3
    assert all(seconds[unit] > 0 for unit in ("epoch", "saved"))
    assert sizes["checkpoint"] == found["bytes"]["checkpoint"]
    for unit, tolerance in (("state", 0.01), ("records", 0.1)):
        assert sizes[unit] == pytest.approx(found["bytes"][unit], rel=tolerance)


def test_only_so_many_examples_are_trained_on(digits_folder):
    data = datasets.load(digits_folder)
    drawn = labels.draw(data.y_train, data.n_classes, RUNS[:1], 0.2)
    for n in (1, 100):
        first = trainings._first_trained(drawn, n)
        assert first["split"].to_pylist().count("train") == n and first["split"][-1].as_py() == "train"
        assert first.equals(drawn.slice(0, len(first)))


def test_a_clock_changes_nothing_in_a_training(cell, digits_folder, tmp_path):
    data = datasets.load(digits_folder)
    drawn = labels.draw(data.y_train, data.n_classes, RUNS[:1], 0.1)
    trainings.measure_training(tmp_path, RUNS[0], {**PLAN, "training": TRAINING}, digits_folder, drawn, "cpu", 1)
    mine, its = (json.loads((folder / "checkpoints.json").read_text())["data0-model0"] for folder in (tmp_path, cell))
    assert mine["sha256"]["4"] == its["sha256"]["4"] and mine["sha256"]["0"] == its["sha256"]["0"]


def test_a_map_of_rewinding_scores_as_many_networks_as_a_pilot_says(cell, digits_folder, monkeypatch):
    settings = {"batch_norm": ["reestimated"], "rerandomisations": 1, "examples": 50}
    calls = []
    original = swaps.Swaps.evaluate
    monkeypatch.setattr(swaps.Swaps, "evaluate", lambda *arguments: calls.append(1) or original(*arguments))
    rewind_cell(trained_cell(cell, digits_folder), settings)
    networks = len(set(swaps.layer_sets(4).values()))  # three hidden layers and the readout
    # Maps of epochs 0 and 1 and of weights drawn anew; at the last epoch nothing is put back.
    assert len(calls) == len(RUNS) * (3 * networks + 1)


@pytest.mark.parametrize("bias", [["zero"], ["zero", "kept"]])
def test_an_edit_trains_as_often_and_as_long_as_is_counted(digits_folder, tmp_path, monkeypatch, bias):
    train(tmp_path, digits_folder)
    settings = EDIT.complete({"epochs": [1], "until": 3, "layers": ["last", "fc1"], "bias": bias})
    trained = []
    original = again.Training.train_epoch
    monkeypatch.setattr(again.Training, "train_epoch", lambda *given: trained.append(given[1]) or original(*given))
    edit.edit_cell(trained_cell(tmp_path, digits_folder), settings, epoch=1, training=asdict(RECIPE))
    follows = EDIT.cost.again({"interventions": {"edit": settings}}, len(RUNS), {"epoch": "0001"})
    job = work._again(None, "edit", follows)
    assert job.seconds["epoch"] == len(trained) and set(trained) == {2, 3}
    assert job.seconds["training"] == len(list((tmp_path / "partial/edit/epoch-0001").glob("data*")))


def test_a_repeated_measurement_tells_what_is_fixed_from_what_each_adds(tmp_path, monkeypatch):
    """A clock that says what it is told: ten seconds once, then two and three for each checkpoint."""
    now = [0.0]
    monkeypatch.setattr(analyses.time, "perf_counter", lambda: now[0])

    def call(n):
        now[0] += 2.0 + 3.0 * n + (10.0 if not calls else 0.0)
        calls.append(n)
        return 100 + 7 * n

    def measure(kept):
        calls.clear()
        plan = {"model": MODEL, "tasks": {}}
        return analyses.Analyses(tmp_path, RUNS[0], plan, tmp_path, "cpu", 1, kept).per_checkpoint(call)

    calls: list[int] = []
    seconds, sizes = measure([0, 2, 3, 4])
    assert seconds == {"cold": 10.0, "fixed": 2.0, "each": 3.0} and sizes == {"file": 100.0, "each": 7.0}
    assert calls == [1, 1, 2]
    monkeypatch.setattr(analyses, "LONG", 4.0)
    assert measure([0, 2, 3, 4]) == ({"cold": 10.0, "fixed": 0.0, "each": 5.0}, {"file": 0.0, "each": 107})
    assert calls == [1, 1]
    monkeypatch.setattr(analyses, "LONGEST", 14.0)
    assert measure([0, 2, 3, 4])[0] == {"cold": 0.0, "fixed": 0.0, "each": 15.0} and calls == [1]


@pytest.mark.parametrize("several", [1.0, 20.0])
def test_a_disturbed_clock_gives_no_impossible_split(tmp_path, monkeypatch, several):
    """Two checkpoints in less time than one, or in more than twice that of one."""
    now, taken = [0.0], iter([4.0, 4.0, several])
    monkeypatch.setattr(analyses.time, "perf_counter", lambda: now[0])

    def call(_n):
        now[0] += next(taken)
        return 1

    plan = {"model": MODEL, "tasks": {}}
    seconds, _ = analyses.Analyses(tmp_path, RUNS[0], plan, tmp_path, "cpu", 1, [0, 1, 2]).per_checkpoint(call)
    assert seconds["each"] == several / 2 and seconds["fixed"] == max(4.0 - several / 2, 0.0)
