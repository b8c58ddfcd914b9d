"""Weight transfer: networks with an edited readout, evaluated at every saved epoch."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from latentgen import activations, blocks, datasets, interventions, models, probes, tables
from latentgen.activations import LAST
from latentgen.blocks import Piece
from latentgen.checkpoints import block_epochs, in_epochs
from latentgen.labels import RunLabels
from latentgen.progress import Rate, log


def transfer_block(
    folder: str | os.PathLike,
    runs: Sequence[Mapping[str, Any]],
    block: str,
    settings: Mapping[str, Any],
    data_folder: str | os.PathLike,
    labels_file: str | os.PathLike,
    model: Mapping[str, Any],
    device: str,
    threads: int,
    kept: str | os.PathLike | None,
) -> pa.Table:
    """Rows of `latentgen.tables.TRANSFER` for all checkpoints of a block, empty when training stopped before it.

    Parameters
    ----------
    folder : of the cell; runs : columns of each run; model : ``factory`` and ``options``
    settings : ``layers``, "last" or "all"
    kept : see `latentgen.blocks.complete`
    """
    data = datasets.load(data_folder)
    labels = {run["data_seed"]: RunLabels.read(labels_file, run["data_seed"]) for run in runs}
    versions = [interventions.VERSION, probes.VERSION, activations.VERSION, models.VERSION]
    pieces = {}
    for checkpoint in in_epochs(folder, runs, block_epochs(block)):
        digests = [model, data.digest, labels[checkpoint.run["data_seed"]].digest]
        key = blocks.inputs(checkpoint, *digests, settings, device, threads, versions)
        pieces[Piece(checkpoint, "transfer")] = key

    def compute(missing: Sequence[Piece]) -> Iterable[tuple[Piece, list[dict[str, Any]]]]:
        from latentgen.activations.dumps import stream
        from latentgen.interventions.evaluate import evaluate
        from latentgen.probes.evaluate import Task

        source = stream(data_folder, model, device, threads)
        everywhere = settings["layers"] != LAST
        layers = source.layers[1:] if everywhere else source.layers[-1:]
        of_input: dict[int, list[dict]] = {}
        rate = Rate(len(missing))
        for done, piece in enumerate(missing, start=1):
            run = piece.checkpoint.run
            source.load(piece.checkpoint.path)
            task = Task(labels[run["data_seed"]], data.y_test, data.n_classes, run["data_seed"])
            if everywhere and run["data_seed"] not in of_input:
                # The image is the same at every epoch and model seed, and so is a readout put on it.
                of_input[run["data_seed"]] = evaluate(source, [activations.INPUT], task)
            yield piece, of_input.get(run["data_seed"], []) + evaluate(source, layers, task)
            name = piece.checkpoint.path.parent.name
            log.info("%s epoch %d: %d of %d; %s", name, piece.checkpoint.epoch, done, len(missing), rate.left(done))

    return blocks.complete(kept, tables.TRANSFER, pieces, compute)
