"""Gradient rows of a block of checkpoints. What computes waits until something has to be computed."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from latentgen import activations, blocks, datasets, gradients, models, tables
from latentgen.blocks import Piece
from latentgen.checkpoints import block_epochs, in_epochs
from latentgen.labels import RunLabels
from latentgen.progress import Rate, log


def gradients_block(
    folder: str | os.PathLike,
    runs: Sequence[Mapping[str, Any]],
    block: str,
    data_folder: str | os.PathLike,
    labels_file: str | os.PathLike,
    model: Mapping[str, Any],
    device: str,
    threads: int,
    kept: str | os.PathLike | None,
) -> pa.Table:
    """Rows of `latentgen.tables.GRADIENTS` for all checkpoints of a block, empty when training stopped before it.

    Parameters
    ----------
    folder : of the cell; runs : columns of each run; model : ``factory`` and ``options``
    kept : see `latentgen.blocks.complete`
    """
    data = datasets.load(data_folder)
    labels = {run["data_seed"]: RunLabels.read(labels_file, run["data_seed"]) for run in runs}
    # The digest of a run's labels leaves out which were selected, for neither training nor probes depend on it.
    selected = {seed: hashlib.sha256(of_run.selected).hexdigest() for seed, of_run in labels.items()}
    versions = [gradients.VERSION, activations.VERSION, models.VERSION]
    pieces = {}
    for checkpoint in in_epochs(folder, runs, block_epochs(block)):
        seed = checkpoint.run["data_seed"]
        digests = [model, data.digest, labels[seed].digest, selected[seed]]
        pieces[Piece(checkpoint, "gradients")] = blocks.inputs(checkpoint, *digests, device, threads, versions)

    def compute(missing: Sequence[Piece]) -> Iterable[tuple[Piece, list[dict[str, Any]]]]:
        from latentgen.activations.dumps import stream
        from latentgen.gradients.evaluate import evaluate

        log.info("block %s: %d checkpoints to compute", block, len(missing))
        source = stream(data_folder, model, device, threads)
        rate = Rate(len(missing))
        for done, piece in enumerate(missing, start=1):
            checkpoint = piece.checkpoint
            source.load(checkpoint.path)
            yield piece, evaluate(source, labels[checkpoint.run["data_seed"]])
            name = checkpoint.path.parent.name
            log.info("%s epoch %d: %d of %d; %s", name, checkpoint.epoch, done, len(missing), rate.left(done))

    return blocks.complete(kept, tables.GRADIENTS, pieces, compute)
