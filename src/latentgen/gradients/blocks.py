"""Gradient rows of a block of checkpoints. What computes waits until something has to be computed."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from latentgen import blocks, versions
from latentgen.blocks import Piece, Rows
from latentgen.checkpoints import Checkpoint
from latentgen.gradients.declaration import GRADIENTS
from latentgen.trained import TrainedCell


def _pieces(cell: TrainedCell, checkpoints: Sequence[Checkpoint], _settings: object) -> dict[Piece, str]:
    # The digest of a run's labels leaves out which were selected, for neither training nor probes depend on it.
    selected = {seed: hashlib.sha256(of_run.selected).hexdigest() for seed, of_run in cell.labels.items()}
    known_by = versions.of(GRADIENTS, {})
    return {
        Piece(checkpoint, "gradients"): cell.inputs(checkpoint, known_by, selected[checkpoint.run["data_seed"]])
        for checkpoint in checkpoints
    }


def _compute(cell: TrainedCell, _settings: object, missing: Sequence[Piece]) -> Iterable[Mapping[Piece, Rows]]:
    from latentgen.gradients.evaluate import evaluate

    source = cell.stream()
    for piece in missing:
        source.load(piece.checkpoint)
        yield {piece: evaluate(source, cell.labels[piece.checkpoint.run["data_seed"]])}


#: See `latentgen.blocks.rows`.
gradients_block = partial(blocks.rows, GRADIENTS, _pieces, _compute)
