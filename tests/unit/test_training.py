"""Training against a plain loop, resuming against an uninterrupted run, and what is kept."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from latentgen import models, noise, seeds
from latentgen.training import loop
from latentgen.training.loop import Diverged, Training
from latentgen.training.recipe import Recipe
from latentgen.training.records import Records

pytestmark = pytest.mark.slow

RUN = {
    "dataset": "digits",
    "model": "mlp_small",
    "noise": "uniform",
    "level": 0.4,
    "data_seed": 0,
    "model_seed": 3,
    "entry": "0" * 12,
}
ADAM = Recipe("adam", 0.002, 100, epochs=5)
SGD = Recipe("sgd", 0.05, 100, epochs=5, momentum=0.9, shuffle=False)
CPU = torch.device("cpu")


def make(digits, folder, recipe=ADAM, saved=(0, 2, 3), validation=(), model="mlp_small"):
    given = noise.corrupt(digits.y_train, 0.4, n_classes=10, seed=0).given
    train = np.setdiff1d(np.arange(len(given)), validation)
    network = models.build(model, digits.in_shape, 10, RUN["model_seed"])
    held = np.array(validation, dtype=int)
    return Training({**RUN, "model": model}, digits, network, given, train, held, recipe, saved, Path(folder), CPU)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def plain_loop(digits, recipe):
    """The oracle: the shortest honest training loop, with PyTorch's unfused optimisers."""
    given = torch.from_numpy(noise.corrupt(digits.y_train, 0.4, n_classes=10, seed=0).given)
    x = (torch.from_numpy(digits.x_train).float() / 16 - 0.5) / 0.5
    model = models.build("mlp_small", digits.in_shape, 10, RUN["model_seed"])
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), recipe.learning_rate, momentum=recipe.momentum)
    else:
        optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate)
    logits_of_epoch = []
    for epoch in range(1, recipe.epochs + 1):
        order = torch.arange(len(x))
        if recipe.shuffle:
            generator = torch.Generator().manual_seed(seeds.derive("order", RUN["model_seed"], epoch))
            order = torch.randperm(len(x), generator=generator)
        logits = torch.zeros(len(x), 10)
        for index in order.split(recipe.batch_size):
            output = model(x[index])
            logits[index] = output.detach()
            optimizer.zero_grad()
            functional.cross_entropy(output, given[index]).backward()
            optimizer.step()
        logits_of_epoch.append(logits)
    return model, given, logits_of_epoch


@pytest.mark.parametrize(("recipe", "tolerance"), [(ADAM, 0.1), (SGD, 1e-3)], ids=["adam", "sgd"])
def test_weights_agree_with_a_plain_loop(digits, tmp_path, recipe, tolerance):
    # Adam divides by the root of tiny squared gradients, so rounding grows; a wrong recipe differs by far more.
    training = make(digits, tmp_path, recipe)
    assert training.fit() == 5
    model, _, _ = plain_loop(digits, recipe)
    initial = models.build("mlp_small", digits.in_shape, 10, RUN["model_seed"]).state_dict()
    for name, tensor in model.state_dict().items():
        moved = (tensor - initial[name]).norm()
        assert (training.model.state_dict()[name] - tensor).norm() < tolerance * moved, name


def test_history_and_records_agree_with_a_plain_loop(digits, tmp_path):
    training = make(digits, tmp_path, SGD)
    training.fit()
    model, given, logits = plain_loop(digits, SGD)
    frame = training.history_table().to_pandas()
    running = frame[(frame["mode"] == "running") & (frame["labels"] == "given") & (frame["metric"] == "accuracy")]
    for epoch, value in zip(running["epoch"], running["value"], strict=True):
        assert abs(value - (logits[epoch - 1].argmax(1) == given).float().mean()) < 2 / len(given)
    x = (torch.from_numpy(digits.x_test).float() / 16 - 0.5) / 0.5
    test = frame[(frame["split"] == "test") & (frame["epoch"] == 5)].set_index("metric")["value"]
    expected = functional.cross_entropy(model(x), torch.from_numpy(digits.y_test))
    assert abs(test["loss"] - expected.item()) < 1e-4

    records = training.records_table(5).to_pandas()
    correct = torch.stack([(epoch_logits.argmax(1) == given) for epoch_logits in logits]).numpy()
    probability = torch.stack([epoch_logits.softmax(1) for epoch_logits in logits]).double()
    confidence = probability[:, torch.arange(len(given)), given].numpy()
    assert np.allclose(records["sum_confidence"], confidence.sum(0), atol=1e-3)
    assert np.allclose(records["sum_confidence_squared"], (confidence**2).sum(0), atol=1e-3)
    assert np.allclose(records["sum_loss"], -np.log(confidence).sum(0), atol=1e-2)
    assert (records["correct"] == correct.sum(0)).mean() > 0.999
    flips = (correct[:-1] & ~correct[1:]).sum(0)
    assert (records["forgotten"] == flips).mean() > 0.999


def test_records_follow_their_definitions_exactly():
    labels = torch.tensor([0, 1])
    records = Records(labels)
    for epoch, logits in enumerate(([[2.0, 1.0], [3.0, 1.0]], [[0.0, 1.0], [0.0, 4.0]], [[5.0, 1.0], [0.0, 1.0]]), 1):
        records.update(epoch, torch.tensor(logits))
    columns = {name: column.tolist() for name, column in records.columns.items()}
    assert columns["sum_margin"] == [1 - 1 + 4, -2 + 4 + 1]
    assert columns["correct"] == [2, 2]
    assert columns["learned"] == [2, 1]
    assert columns["forgotten"] == [1, 0]
    assert columns["first_correct"] == [1, 2]
    sigmoid = [[1 / (1 + math.exp(-m)) for m in margins] for margins in ([1, -1, 4], [-2, 4, 1])]
    assert columns["sum_confidence"] == pytest.approx([sum(p) for p in sigmoid])
    assert columns["sum_loss"] == pytest.approx([-sum(math.log(q) for q in p) for p in sigmoid])


def files(folder):
    """Bytes of what is published, and the columns of the records."""
    kept = {path.name: path.read_bytes() for path in sorted(Path(folder).glob("epoch-*.safetensors"))}
    return kept | {path.name: pq.read_table(path) for path in sorted(Path(folder).glob("records-*.parquet"))}


class Killed(Exception):
    pass


@pytest.mark.parametrize("recipe", [ADAM, SGD], ids=["adam", "sgd"])
@pytest.mark.parametrize("kill_in", [1, 3, 4, 5])
def test_a_killed_run_ends_with_the_same_bytes(digits, tmp_path, monkeypatch, recipe, kill_in):
    whole = make(digits, tmp_path / "whole", recipe, validation=range(0, 100))
    whole.fit()
    killed = make(digits, tmp_path / "killed", recipe, validation=range(0, 100))
    train_epoch = Training.train_epoch

    def dying(self, epoch):
        correct = train_epoch(self, epoch)
        if epoch == kill_in:
            raise Killed
        return correct

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Training, "train_epoch", dying)
        killed.fit()
    resumed = make(digits, tmp_path / "killed", recipe, validation=range(0, 100))
    assert resumed.fit() == 5
    assert files(tmp_path / "whole") == files(tmp_path / "killed")
    assert whole.history_table().equals(resumed.history_table())


def test_resuming_does_not_train_again(digits, tmp_path, monkeypatch):
    make(digits, tmp_path).fit()
    monkeypatch.setattr(Training, "train_epoch", lambda self, epoch: pytest.fail("trained again"))
    assert make(digits, tmp_path).fit() == 5


def test_more_epochs_continue_the_run_and_equal_a_long_one(digits, tmp_path, monkeypatch):
    make(digits, tmp_path / "grown").fit()
    longer = Recipe("adam", 0.002, 100, epochs=8)
    epochs = []
    train_epoch = Training.train_epoch
    with monkeypatch.context() as patch:
        patch.setattr(Training, "train_epoch", lambda self, epoch: epochs.append(epoch) or train_epoch(self, epoch))
        grown = make(digits, tmp_path / "grown", longer)
        grown.fit()
    assert epochs == [6, 7, 8]
    straight = make(digits, tmp_path / "straight", longer)
    straight.fit()
    assert grown.kept_epochs() == straight.kept_epochs() == [0, 2, 3, 8]
    assert grown.history_table().equals(straight.history_table())
    assert grown.weights(8).read_bytes() == straight.weights(8).read_bytes()


def test_an_added_earlier_epoch_is_trained_for_again_to_the_same_bytes(digits, tmp_path):
    make(digits, tmp_path).fit()
    before = files(tmp_path)
    added = make(digits, tmp_path, saved=(0, 1, 2, 3))
    added.fit()
    after = files(tmp_path)
    assert added.kept_epochs() == [0, 1, 2, 3, 5]
    assert {name: after[name] for name in before} == before


def test_changing_saved_epochs_back_and_forth_leaves_no_trace(digits, tmp_path):
    for saved in ((0, 2), (0, 3), (0, 2, 3)):
        last = make(digits, tmp_path / "changed", saved=saved)
        last.fit()
    fresh = make(digits, tmp_path / "fresh", saved=(0, 2, 3))
    fresh.fit()
    assert last.history_table().equals(fresh.history_table())
    assert files(tmp_path / "changed") == files(tmp_path / "fresh")


def test_a_kill_between_weights_and_records_is_repaired(digits, tmp_path):
    whole = make(digits, tmp_path)
    whole.fit()
    before = files(tmp_path)
    (tmp_path / "records-0003.parquet").unlink()
    make(digits, tmp_path).fit()
    assert files(tmp_path) == before


def test_a_state_is_written_between_saved_epochs_when_time_has_passed(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "STATE_SECONDS", 0.0)
    train_epoch = Training.train_epoch

    def dying(self, epoch):
        if epoch == 5:
            raise Killed
        return train_epoch(self, epoch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Training, "train_epoch", dying)
        make(digits, tmp_path).fit()
    resumed = make(digits, tmp_path)
    assert resumed._resume() and resumed.epoch == 4


def test_stop_rule_counts_integers():
    assert Recipe("sgd", 1, 1, 1, stop_accuracy=0.999).stop_count(60_000) == 59_940
    assert Recipe("sgd", 1, 1, 1, stop_accuracy=0.991).stop_count(1000) == 991
    assert Recipe("sgd", 1, 1, 1, stop_accuracy=1.0).stop_count(7) == 7
    assert Recipe("sgd", 1, 1, 1).stop_count(7) is None


def test_training_stops_at_the_first_epoch_that_meets_its_rule(digits, tmp_path):
    free = make(digits, tmp_path / "free", Recipe("adam", 0.005, 50, epochs=6))
    free.fit()
    frame = free.history_table().to_pandas()
    running = frame[(frame["mode"] == "running") & (frame["labels"] == "given") & (frame["metric"] == "accuracy")]
    counts = (running["value"] * running["n"]).round().astype(int).tolist()
    target = counts[2]  # what epoch 3 reached
    rule = Recipe("adam", 0.005, 50, epochs=6, stop_accuracy=target / len(digits.y_train))
    assert rule.stop_count(len(digits.y_train)) in (target, target + 1)
    stopped = make(digits, tmp_path / "stopped", rule, saved=(0, 1, 6))
    expected = 1 + next(index for index, count in enumerate(counts) if count >= rule.stop_count(len(digits.y_train)))
    assert stopped.fit() == expected < 6
    assert stopped.kept_epochs() == sorted({0, 1, expected})
    assert stopped.weights(expected).read_bytes() != stopped.weights(0).read_bytes()


def test_a_diverged_run_says_so(digits, tmp_path):
    with pytest.raises(Diverged, match="epoch 1.*learning_rate=1e\\+30|not finite"):
        make(digits, tmp_path, Recipe("sgd", 1e30, 100, epochs=2)).fit()


@pytest.mark.parametrize("rate", [1e18, 1e38])
def test_a_run_that_diverges_in_its_very_last_update_says_so_and_keeps_no_weights(digits, tmp_path, rate):
    """One batch, one epoch: the only pass that training sees is the one before the update."""
    training = make(digits, tmp_path, Recipe("sgd", rate, len(digits.y_train), epochs=1), saved=(0, 1))
    with pytest.raises(Diverged, match="not finite in epoch 1 .*learning_rate=1e\\+"):
        training.fit()
    assert training.weights(0).exists() and not training.weights(1).exists()


def test_a_weight_that_no_output_shows_is_found(digits, tmp_path):
    """A dead unit multiplies it by zero on every image."""
    training = make(digits, tmp_path)
    with torch.no_grad():
        training.model.fc1.bias[0] = -torch.inf
    with pytest.raises(Diverged, match="a weight is not finite in epoch 0"):
        training.fit()


def test_validation_examples_are_never_trained_on(digits, tmp_path):
    validation = np.arange(0, 1347, 5)
    training = make(digits, tmp_path, validation=validation)
    training.fit()
    records = training.records_table(5).to_pandas()
    assert not set(records["index"]) & set(validation)
    frame = training.history_table().to_pandas()
    held = frame[frame["split"] == "validation"]
    assert set(held["labels"]) == {"given", "true"} and set(held["n"]) == {len(validation)}
    assert set(held["epoch"]) == set(range(6))


def test_convolutional_runs_resume_too(digits, tmp_path, monkeypatch):
    recipe = Recipe("adam", 0.002, 200, epochs=2)
    whole = make(digits, tmp_path / "whole", recipe, saved=(0, 1), model="cnn_small")
    whole.fit()
    make(digits, tmp_path / "parts", Recipe("adam", 0.002, 200, epochs=1), saved=(0, 1), model="cnn_small").fit()
    resumed = make(digits, tmp_path / "parts", recipe, saved=(0, 1), model="cnn_small")
    resumed.fit()
    assert whole.weights(2).read_bytes() == resumed.weights(2).read_bytes()
