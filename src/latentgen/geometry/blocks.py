"""Geometry rows of a block of checkpoints. What computes waits until something has to be computed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from latentgen import blocks, tables, versions
from latentgen.blocks import Piece, Rows
from latentgen.checkpoints import Checkpoint, last_epoch
from latentgen.geometry.settings import LAST
from latentgen.trained import TrainedCell


def geometry_block(
    cell: TrainedCell,
    block: str,
    settings: Mapping[str, Any],
    kept: str | os.PathLike | None,
) -> pa.Table:
    """Rows of `latentgen.tables.GEOMETRY` for all checkpoints of a block, empty when training stopped before it.

    Parameters
    ----------
    settings : complete settings of the geometry, see `latentgen.geometry.settings`
    kept : see `latentgen.blocks.complete`
    """
    mean_field = {key: value for key, value in settings.items() if key != "simulated"}
    if mean_field["layers"] == "all":
        del mean_field["layers"]  # so that rows from before layers could be chosen stay good
    pieces = {}
    for checkpoint in cell.checkpoints(block):
        pieces[Piece(checkpoint, "mean field")] = cell.inputs(
            checkpoint, versions.of_geometry(["mean field"]), mean_field
        )
        if _simulated(settings, checkpoint, cell.folder):
            wanted = settings["simulated"] | {key: settings[key] for key in ("points", "restarts", "features")}
            del wanted["epochs"]  # which are measured is no part of what is measured
            known_by = versions.of_geometry(["simulated"])
            pieces[Piece(checkpoint, "simulated")] = cell.inputs(checkpoint, known_by, "simulated", wanted)

    def compute(missing: Sequence[Piece]) -> Iterable[Mapping[Piece, Rows]]:
        from latentgen.geometry.evaluate import Analysis

        source = cell.stream()
        analysis = Analysis(source, cell.labels, cell.data, settings, cell.threads)
        for piece in missing:
            source.load(piece.checkpoint)
            measure = analysis.simulated if piece.method == "simulated" else analysis.mean_field
            yield {piece: measure(piece.checkpoint.run["data_seed"])}

    return blocks.complete(kept, tables.GEOMETRY, pieces, compute)


def _simulated(settings: Mapping[str, Any], checkpoint: Checkpoint, folder: str | os.PathLike) -> bool:
    """Whether capacity is also measured at this checkpoint."""
    if settings["simulated"] is None:
        return False
    wanted = settings["simulated"]["epochs"]
    return checkpoint.epoch in wanted or (LAST in wanted and checkpoint.epoch == last_epoch(folder, checkpoint.run))
