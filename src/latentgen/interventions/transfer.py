"""Weight transfer: networks with an edited readout, evaluated at every saved epoch."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from latentgen import activations, blocks, tables, versions
from latentgen.activations import LAST
from latentgen.blocks import Piece, Rows
from latentgen.trained import TrainedCell


def transfer_block(
    cell: TrainedCell,
    block: str,
    settings: Mapping[str, Any],
    kept: str | os.PathLike | None,
) -> pa.Table:
    """Rows of `latentgen.tables.TRANSFER` for all checkpoints of a block, empty when training stopped before it.

    Parameters
    ----------
    settings : ``layers``, "last" or "all"
    kept : see `latentgen.blocks.complete`
    """
    pieces = {}
    for checkpoint in cell.checkpoints(block):
        pieces[Piece(checkpoint, "transfer")] = cell.inputs(checkpoint, versions.of_transfer(), settings)

    def compute(missing: Sequence[Piece]) -> Iterable[Mapping[Piece, Rows]]:
        from latentgen.interventions.evaluate import evaluate
        from latentgen.probes.evaluate import Task

        source = cell.stream()
        everywhere = settings["layers"] != LAST
        layers = source.layers[1:] if everywhere else source.layers[-1:]
        of_input: dict[int, list[dict]] = {}
        for piece in missing:
            seed = piece.checkpoint.run["data_seed"]
            source.load(piece.checkpoint)
            task = Task(cell.labels[seed], cell.data.y_test, cell.data.n_classes, seed)
            if everywhere and seed not in of_input:
                # The image is the same at every epoch and model seed, and so is a readout put on it.
                of_input[seed] = evaluate(source, [activations.INPUT], task)
            yield {piece: of_input.get(seed, []) + evaluate(source, layers, task)}

    return blocks.complete(kept, tables.TRANSFER, pieces, compute)
