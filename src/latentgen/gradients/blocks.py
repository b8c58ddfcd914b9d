"""Gradient rows of a block of checkpoints. What computes waits until something has to be computed."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from latentgen import blocks, tables, versions
from latentgen.blocks import Piece, Rows
from latentgen.trained import TrainedCell


def gradients_block(
    cell: TrainedCell,
    block: str,
    kept: str | os.PathLike | None,
) -> pa.Table:
    """Rows of `latentgen.tables.GRADIENTS` for all checkpoints of a block, empty when training stopped before it.

    Parameters
    ----------
    kept : see `latentgen.blocks.complete`
    """
    # The digest of a run's labels leaves out which were selected, for neither training nor probes depend on it.
    selected = {seed: hashlib.sha256(of_run.selected).hexdigest() for seed, of_run in cell.labels.items()}
    pieces = {}
    for checkpoint in cell.checkpoints(block):
        which = selected[checkpoint.run["data_seed"]]
        pieces[Piece(checkpoint, "gradients")] = cell.inputs(checkpoint, versions.of_gradients(), which)

    def compute(missing: Sequence[Piece]) -> Iterable[Mapping[Piece, Rows]]:
        from latentgen.gradients.evaluate import evaluate

        source = cell.stream()
        for piece in missing:
            source.load(piece.checkpoint)
            yield {piece: evaluate(source, cell.labels[piece.checkpoint.run["data_seed"]])}

    return blocks.complete(kept, tables.GRADIENTS, pieces, compute)
