"""Geometry rows of a block of checkpoints. What computes waits until something has to be computed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from latentgen import activations, blocks, datasets, geometry, models, tables
from latentgen.blocks import Piece
from latentgen.checkpoints import Checkpoint, block_epochs, in_epochs, last_epoch
from latentgen.geometry.settings import LAST
from latentgen.labels import RunLabels
from latentgen.progress import Rate, log


def geometry_block(
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
    """Rows of `latentgen.tables.GEOMETRY` for all checkpoints of a block, empty when training stopped before it.

    Parameters
    ----------
    folder : of the cell; runs : columns of each run; model : ``factory`` and ``options``
    settings : complete settings of the geometry, see `latentgen.geometry.settings`
    kept : see `latentgen.blocks.complete`
    """
    data = datasets.load(data_folder)
    labels = {run["data_seed"]: RunLabels.read(labels_file, run["data_seed"]) for run in runs}
    versions = [geometry.VERSION, activations.VERSION, models.VERSION]
    mean_field = {key: value for key, value in settings.items() if key != "simulated"}
    if mean_field["layers"] == "all":
        del mean_field["layers"]  # so that rows from before layers could be chosen stay good
    pieces = {}
    for checkpoint in in_epochs(folder, runs, block_epochs(block)):
        digests = [model, data.digest, labels[checkpoint.run["data_seed"]].digest]
        key = blocks.inputs(checkpoint, *digests, mean_field, device, threads, versions)
        pieces[Piece(checkpoint, "mean field")] = key
        if _simulated(settings, checkpoint, folder):
            wanted = settings["simulated"] | {key: settings[key] for key in ("points", "restarts", "features")}
            del wanted["epochs"]  # which are measured is no part of what is measured
            key = blocks.inputs(checkpoint, *digests, "simulated", wanted, device, threads, versions)
            pieces[Piece(checkpoint, "simulated")] = key

    def compute(missing: Sequence[Piece]) -> Iterable[tuple[Piece, list[dict[str, Any]]]]:
        from latentgen.activations.dumps import stream
        from latentgen.geometry.evaluate import Analysis

        log.info("block %s: %d pieces to compute", block, len(missing))
        source = stream(data_folder, model, device, threads)
        analysis = Analysis(source, labels, data, settings, threads)
        rate = Rate(len(missing))
        for done, piece in enumerate(missing, start=1):
            source.load(piece.checkpoint.path)
            simulate = piece.method == "simulated"
            yield piece, (analysis.simulated if simulate else analysis.mean_field)(piece.checkpoint.run["data_seed"])
            name = piece.checkpoint.path.parent.name
            log.info("%s epoch %d: %d of %d; %s", name, piece.checkpoint.epoch, done, len(missing), rate.left(done))

    return blocks.complete(kept, tables.GEOMETRY, pieces, compute)


def _simulated(settings: Mapping[str, Any], checkpoint: Checkpoint, folder: str | os.PathLike) -> bool:
    """Whether capacity is also measured at this checkpoint."""
    if settings["simulated"] is None:
        return False
    wanted = settings["simulated"]["epochs"]
    return checkpoint.epoch in wanted or (LAST in wanted and checkpoint.epoch == last_epoch(folder, checkpoint.run))
