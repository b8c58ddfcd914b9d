"""Rewinding: networks some of whose layers go back to an earlier epoch, or to a fresh initialisation.

Rewinding layers of a network that memorised: Stephenson et al. (ICLR 2021). Re-initialising layers one by one, which is
rewinding to epoch 0, and re-randomising them: Zhang, Bengio & Singer (JMLR 2022, arXiv 1902.01996).
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from latentgen import blocks, models, seeds, tables, versions
from latentgen.blocks import Piece, Rows
from latentgen.checkpoints import at_epoch, in_epochs, last_epoch, run_name
from latentgen.trained import TrainedCell


def rewind_cell(
    cell: TrainedCell,
    settings: Mapping[str, Any],
    kept: str | os.PathLike | None,
) -> pa.Table:
    """Rows of `latentgen.tables.REWIND` for all runs of a cell.

    For every saved epoch, the last one included as a control, and every redrawn initialisation: each layer alone, each
    prefix and each suffix of layers.

    Parameters
    ----------
    settings : ``batch_norm``, a list out of "rewound" and "reestimated"; ``redraws``, how many fresh initialisations;
        ``examples``, the most of each split that are read, None for all
    kept : see `latentgen.blocks.complete`
    """
    known_by = versions.of_rewind()
    last = {run_name(run): at_epoch(cell.folder, run, last_epoch(cell.folder, run)) for run in cell.runs}
    modes, most = sorted(settings["batch_norm"], reverse=True), settings["examples"]
    pieces, draws = {}, {}
    for run in cell.runs:
        final = last[run_name(run)]
        common = [final.epoch, final.sha256, modes, most]
        for checkpoint in in_epochs(cell.folder, [run], range(final.epoch + 1)):
            pieces[Piece(checkpoint, "saved")] = cell.inputs(checkpoint, known_by, *common)
        # What is drawn anew does not depend on the weights of epoch 0, only where they stand does.
        anew = replace(final, epoch=0)
        for draw in range(settings["redraws"]):
            piece = Piece(anew, f"redraw {draw}")
            pieces[piece], draws[piece] = cell.inputs(anew, known_by, "redrawn", draw, *common), draw

    def compute(missing: Sequence[Piece]) -> Iterable[Mapping[Piece, Rows]]:
        from latentgen.interventions.swaps import Swaps, scored
        from latentgen.training.state import tensors_of

        source, data, model = cell.stream(), cell.data, cell.model
        swaps = Swaps(source, modes)
        on = {seed: scored(labels, data.y_test, most, seed, source.device) for seed, labels in cell.labels.items()}
        current = None
        for piece in missing:
            run, epoch, draw = piece.checkpoint.run, piece.checkpoint.epoch, draws.get(piece)
            final = last[run_name(run)]
            if current != final:
                source.load(final)
                current = final
            if draw is not None:
                seed = seeds.derive("redraw", run["model_seed"], draw)
                network = models.initialised(model, data.in_shape, data.n_classes, seed)
                weights = {name: tensor.to(source.device) for name, tensor in network.state_dict().items()}
            elif epoch == final.epoch:
                weights = source.model.state_dict()
            else:
                loaded = tensors_of(piece.checkpoint.read(), piece.checkpoint.path)
                weights = {name: tensor.to(source.device) for name, tensor in loaded.items()}
            kind = {"last_epoch": final.epoch, "weights": "saved" if draw is None else "redrawn", "draw": draw}
            yield {piece: [{**kind, **row} for row in swaps.rows(weights, on[run["data_seed"]])]}

    return blocks.complete(kept, tables.REWIND, pieces, compute)
