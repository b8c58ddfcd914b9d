"""Geometry rows of a block of checkpoints. What computes waits until something has to be computed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from latentgen import blocks, versions
from latentgen.blocks import Piece, Rows
from latentgen.checkpoints import Checkpoint, last_epoch
from latentgen.geometry.declaration import GEOMETRY, LAST
from latentgen.trained import TrainedCell


def _pieces(cell: TrainedCell, checkpoints: Sequence[Checkpoint], settings: Mapping[str, Any]) -> dict[Piece, str]:
    mean_field = {key: value for key, value in settings.items() if key != "simulated"}
    if mean_field["layers"] == "all":
        del mean_field["layers"]  # so that rows from before layers could be chosen stay good
    of_theory, of_simulated = (versions.of(GEOMETRY, {"geometry": [name]}) for name in ("mean field", "simulated"))
    pieces = {}
    for checkpoint in checkpoints:
        pieces[Piece(checkpoint, "mean field")] = cell.inputs(checkpoint, of_theory, mean_field)
        if _simulated(settings, checkpoint, cell.folder):
            wanted = settings["simulated"] | {key: settings[key] for key in ("points", "restarts", "features")}
            del wanted["epochs"]  # which are measured is no part of what is measured
            pieces[Piece(checkpoint, "simulated")] = cell.inputs(checkpoint, of_simulated, "simulated", wanted)
    return pieces


def _simulated(settings: Mapping[str, Any], checkpoint: Checkpoint, folder: str | os.PathLike) -> bool:
    """Whether capacity is also measured at this checkpoint."""
    if settings["simulated"] is None:
        return False
    wanted = settings["simulated"]["epochs"]
    return checkpoint.epoch in wanted or (LAST in wanted and checkpoint.epoch == last_epoch(folder, checkpoint.run))


def _compute(
    cell: TrainedCell, settings: Mapping[str, Any], missing: Sequence[Piece]
) -> Iterable[Mapping[Piece, Rows]]:
    from latentgen.geometry.evaluate import Analysis

    source = cell.stream()
    analysis = Analysis(source, cell.labels, cell.data, settings, cell.threads)
    for piece in missing:
        source.load(piece.checkpoint)
        measure = analysis.simulated if piece.method == "simulated" else analysis.mean_field
        yield {piece: measure(piece.checkpoint.run["data_seed"])}


#: See `latentgen.blocks.rows`.
geometry_block = partial(blocks.rows, GEOMETRY, _pieces, _compute)
