"""The training loop of one run, interruptible at any point."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional

from latentgen import digests, seeds, tables
from latentgen.datasets import Dataset
from latentgen.models.trial import expect_batches
from latentgen.pixels import Pixels
from latentgen.progress import Rate, log
from latentgen.training.recipe import Recipe
from latentgen.training.records import Records
from latentgen.training.state import read_state, restore, save_state, save_weights, tensors_of

#: Rows of one forward pass in evaluation. Fixed, because sums depend on it in the last digit.
EVALUATION_ROWS = 1000

#: Between saved epochs, a resume state is written when this many seconds have passed since the last.
STATE_SECONDS = 120.0


class Diverged(RuntimeError):
    """Weights or outputs are no longer finite; the message names run, epoch and recipe."""


class Training:
    """One run: model, data, labels and seeds, trained into ``folder``.

    ``folder`` receives ``epoch-NNNN.safetensors`` and ``records-NNNN.parquet`` at every saved epoch and
    ``state.safetensors``. An interrupted run continues from the state and ends with the same bytes as an
    uninterrupted one (on a CPU with the same number of threads): the order of each epoch and its dropout masks are
    drawn from (model seed, epoch), never from a generator that lives across epochs.

    `fit` is made of `train_epoch`, `after_epoch` and `keep_state`, which `latentgen.estimate` clocks one by one.

    Parameters
    ----------
    run : columns that name the run (see `latentgen.tables.RUN`)
    data, model : as built; the model is moved to ``device``
    given : (n,) int64 labels to train on; ``train`` and ``validation`` : indices of the training set
    first_epoch : epoch after which ``model`` is as it comes, 0 for the initialisation; the optimiser is new there
    """

    def __init__(
        self,
        run: dict[str, Any],
        data: Dataset,
        model: torch.nn.Module,
        given: np.ndarray,
        train: np.ndarray,
        validation: np.ndarray,
        recipe: Recipe,
        saved_epochs: Sequence[int],
        folder: Path,
        device: torch.device,
        first_epoch: int = 0,
    ):
        self.first_epoch = first_epoch
        self.run, self.recipe, self.folder, self.device = run, recipe, Path(folder), device
        self.saved_epochs = set(saved_epochs)
        self.indices = train
        self.model = model.to(device)
        parameters = model.parameters()
        if recipe.optimizer == "sgd":
            self.optimizer = torch.optim.SGD(parameters, recipe.learning_rate, momentum=recipe.momentum, fused=True)
        else:
            self.optimizer = torch.optim.Adam(parameters, recipe.learning_rate, fused=True)

        def to(labels: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.array(labels)).to(device)

        self.pixels = Pixels(data.x_train[train], data, device)
        self.labels, self.true = to(given[train]), to(data.y_train[train])
        self.held_out = [("test", Pixels(data.x_test, data, device), {"true": to(data.y_test)})]
        if len(validation):
            both = {"given": to(given[validation]), "true": to(data.y_train[validation])}
            self.held_out.append(("validation", Pixels(data.x_train[validation], data, device), both))
        self.records = Records(self.labels)
        self.history: list[list] = []
        #: SHA-256 of each file of `weights` and `records_file`, by its name.
        self.digests: dict[str, str] = {}
        self.epoch = -1
        self.stopped = False

    def fit(self) -> int:
        """Train until the stop rule or the last epoch; returns the last epoch.

        Raises `Diverged`, and ``ValueError`` when the last batch is a single example that the network cannot train on.
        """
        if not self._resume():
            self.epoch = self.first_epoch
            self.after_epoch()
        if not self.stopped:
            expect_batches(lambda: self.model, self.pixels.images.shape[1:], len(self.labels), self.recipe.batch_size)
            log.info("%s: training from epoch %d on %s", self._name(), self.epoch, self.device)
        rate = Rate(self.recipe.epochs, self.epoch)
        saved_at = time.monotonic()
        while not self.stopped:
            epoch = self.epoch + 1
            correct = self.train_epoch(epoch)
            self.epoch = epoch
            self.stopped = epoch >= self.recipe.epochs or self._rule_met()
            self.after_epoch()
            if epoch in self.saved_epochs or self.stopped or time.monotonic() - saved_at > STATE_SECONDS:
                self.keep_state()
                saved_at = time.monotonic()
            test = next(row[4] for row in reversed(self.history) if row[1:4] == ["test", "true", "accuracy"])
            right = correct / len(self.labels)
            log.info(
                "%s: epoch %d of at most %d, running training accuracy %.4f, test %.4f; %s",
                *(self._name(), epoch, self.recipe.epochs, right, test, rate.left(epoch)),
            )
        return self.epoch

    def train_epoch(self, epoch: int) -> int:
        """One pass over the training set; returns how many examples were right when they were trained on."""
        n, size = len(self.labels), self.recipe.batch_size
        torch.manual_seed(seeds.derive("training", self.run["model_seed"], epoch))
        if self.recipe.shuffle:
            generator = torch.Generator().manual_seed(seeds.derive("order", self.run["model_seed"], epoch))
            order = torch.randperm(n, generator=generator).to(self.device)
        else:
            order = torch.arange(n, device=self.device)
        self.model.train()
        seen = []
        for start in range(0, n, size):
            index = order[start : start + size]
            logits = self.model(self.pixels.batch(index))
            loss = functional.cross_entropy(logits, self.labels[index])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            seen.append(logits.detach())
        logits = torch.empty(n, seen[0].shape[1], device=self.device)
        logits[order] = torch.cat(seen)
        self._measure(epoch, "train", "running", logits, {"given": self.labels, "true": self.true})
        self.records.update(epoch, logits)
        return int((logits.argmax(1) == self.labels).sum())

    def after_epoch(self) -> None:
        """Measure, and at a saved epoch (the first and the last always are) keep weights and records."""
        epoch = self.epoch
        for split, pixels, labels in self.held_out:
            self._measure(epoch, split, "evaluated", self._logits(pixels), labels)
        if epoch in self.kept_epochs():
            labels = {"given": self.labels, "true": self.true}
            self._measure(epoch, "train", "evaluated", self._logits(self.pixels), labels)
            if not all(torch.isfinite(tensor).all() for tensor in self.model.state_dict().values()):
                raise self._diverged("a weight", epoch)
            weights, records = self.weights(epoch), self.records_file(epoch)
            self.digests[weights.name] = save_weights(self.model, weights)
            tables.write(self._records_now(), records)
            self.digests[records.name] = digests.of_file(records)

    def keep_state(self) -> None:
        """Write what an interrupted training goes on from."""
        progress = {"epoch": self.epoch, "history": self.history, "digests": self.digests}
        path = self.folder / "state.safetensors"
        save_state(path, self.model, self.optimizer, self.records.tensors(), progress)

    def release(self) -> None:
        """Let go of everything that only training needs: a cell's later runs want the memory."""
        del self.model, self.optimizer, self.pixels, self.held_out, self.records

    def kept_epochs(self) -> list[int]:
        """Epochs so far whose weights and records are kept: the saved ones, the first, and the last if reached."""
        kept = {self.first_epoch, *(epoch for epoch in self.saved_epochs if epoch <= self.epoch)}
        return sorted(kept | {self.epoch} if self.stopped else kept)

    def weights(self, epoch: int) -> Path:
        """File of the weights after ``epoch``, one of `kept_epochs`."""
        return self.folder / f"epoch-{epoch:04d}.safetensors"

    def records_file(self, epoch: int) -> Path:
        """File of the records after ``epoch``, one of `kept_epochs`."""
        return self.folder / f"records-{epoch:04d}.parquet"

    def records_table(self, epoch: int) -> pa.Table:
        """Rows of `latentgen.tables.RECORDS` as they stood after ``epoch``, one of `kept_epochs`."""
        return tables.with_columns(tables.load(self.records_file(epoch)), self.run, tables.RECORDS)

    def history_table(self) -> pa.Table:
        """Rows of `latentgen.tables.HISTORY`, in order of epochs.

        A run that was continued past its former end has measured that epoch's training set too; it is left out, so
        that the table is the one of an uninterrupted run.
        """
        keys = ("epoch", "split", "labels", "metric", "value", "n", "mode")
        rows = [{**self.run, **dict(zip(keys, row, strict=True))} for row in self.history]
        kept = set(self.kept_epochs())
        rows = [row for row in rows if row["epoch"] in kept or (row["split"], row["mode"]) != ("train", "evaluated")]
        return tables.from_rows(rows, tables.HISTORY)

    def _name(self) -> str:
        run = self.run
        return "{dataset} {model} {noise}-{level} data{data_seed}-model{model_seed}".format(**run)

    def _diverged(self, what: str, epoch: int) -> Diverged:
        return Diverged(f"{self._name()}: {what} is not finite in epoch {epoch} with {self.recipe}")

    @torch.no_grad()
    def _logits(self, pixels: Pixels) -> torch.Tensor:
        self.model.eval()
        starts = range(0, len(pixels), EVALUATION_ROWS)
        return torch.cat([self.model(pixels.batch(slice(start, start + EVALUATION_ROWS))) for start in starts])

    def _measure(
        self, epoch: int, split: str, mode: str, logits: torch.Tensor, labels: dict[str, torch.Tensor]
    ) -> None:
        if not torch.isfinite(logits).all():
            raise self._diverged("the network's output", epoch)
        for kind, target in labels.items():
            accuracy = int((logits.argmax(1) == target).sum()) / len(target)
            loss = float(functional.cross_entropy(logits.double(), target))
            for metric, value in (("accuracy", accuracy), ("loss", loss)):
                self.history.append([epoch, split, kind, metric, value, len(target), mode])

    def _records_now(self) -> pa.Table:
        measured = {name: column.cpu().numpy() for name, column in self.records.columns.items()}
        return pa.table({"epoch": np.full(len(self.indices), self.epoch), "index": self.indices, **measured})

    def _resume(self) -> bool:
        """Take up a saved state if it is sound and can still give every saved epoch.

        One past a newly added epoch cannot, nor one whose earlier weights or records are damaged.
        """
        path = self.folder / "state.safetensors"
        if not path.exists():
            return False
        initial = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        try:
            parts, progress = read_state(path)
            restore(parts, self.model, self.optimizer)
        except digests.Damaged as damage:
            digests.set_aside(path, damage)
            log.warning("%s: starting again", self._name())
            self._start_again(initial)
            return False
        self.epoch, self.history = progress["epoch"], progress["history"]
        self.digests = progress.get("digests", {})
        self.stopped = self.epoch >= self.recipe.epochs or self._rule_met()
        if self.epoch > self.recipe.epochs or not self._keeps_all():
            log.info(
                "%s: the state of epoch %d lacks an earlier saved epoch; starting again",
                self._name(),
                self.epoch,
            )
            # The state goes first: what is left of the other files can then never be taken for this run's.
            path.unlink()
            self._start_again(initial)
            return False
        self.records.restore(parts["records"])
        log.info("%s: resuming after epoch %d", self._name(), self.epoch)
        return True

    def _keeps_all(self) -> bool:
        """Whether weights and records of all kept epochs are there as they were written; what is not is set aside."""
        for epoch in self.kept_epochs():
            for path in (self.weights(epoch), self.records_file(epoch)):
                if not path.exists():
                    return False
                try:
                    self._check(path)
                except digests.Damaged as damage:
                    digests.set_aside(path, damage)
                    return False
        return True

    def _check(self, path: Path) -> None:
        found = digests.of_file(path)
        if path.name in self.digests:
            digests.expect(path, found, self.digests[path.name], "the state of the training", "")
            return
        log.info("%s was written without a digest and is taken as it is", path)
        if path.suffix == ".parquet":
            tables.load(path)
        else:
            tensors_of(path.read_bytes(), path)
        self.digests[path.name] = found

    def _start_again(self, initial: dict[str, torch.Tensor]) -> None:
        for stale in (*self.folder.glob("epoch-*.safetensors"), *self.folder.glob("records-*.parquet")):
            stale.unlink()
        self.model.load_state_dict(initial)
        self.optimizer.state.clear()
        self.digests, self.epoch, self.history, self.stopped = {}, -1, [], False

    def _rule_met(self) -> bool:
        wanted = self.recipe.stop_count(len(self.labels))
        last = [row for row in self.history if row[0] == self.epoch and row[6] == "running"]
        correct = [
            round(value * n) for _, _, labels, metric, value, n, _ in last if (labels, metric) == ("given", "accuracy")
        ]
        return wanted is not None and any(count >= wanted for count in correct)
