"""Weight transfer: networks with an edited readout, evaluated at every saved epoch."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from latentgen import activations, blocks, versions
from latentgen.activations import LAST
from latentgen.blocks import Piece, Rows
from latentgen.checkpoints import Checkpoint
from latentgen.interventions.declaration import TRANSFER
from latentgen.trained import TrainedCell


def _pieces(cell: TrainedCell, checkpoints: Sequence[Checkpoint], settings: Mapping[str, Any]) -> dict[Piece, str]:
    known_by = versions.of_job(TRANSFER, settings, {})
    return {Piece(checkpoint, "transfer"): cell.inputs(checkpoint, known_by, settings) for checkpoint in checkpoints}


def _compute(
    cell: TrainedCell, settings: Mapping[str, Any], missing: Sequence[Piece]
) -> Iterable[Mapping[Piece, Rows]]:
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


#: See `latentgen.blocks.rows`.
transfer_block = partial(blocks.rows, TRANSFER, _pieces, _compute)
