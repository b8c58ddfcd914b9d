"""Rewinding: networks some of whose layers go back to an earlier epoch, or to a fresh initialisation.

Rewinding layers of a network that memorised: Stephenson et al. (ICLR 2021). Re-initialising layers one by one, which is
rewinding to epoch 0, and re-randomising them: Zhang, Bengio & Singer (JMLR 2022, arXiv 1902.01996).
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from latentgen import activations, blocks, datasets, interventions, models, seeds, tables
from latentgen.blocks import Piece
from latentgen.checkpoints import at_epoch, in_epochs, last_epoch, run_name
from latentgen.labels import RunLabels
from latentgen.progress import Rate, log


def rewind_cell(
    folder: str | os.PathLike,
    runs: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    data_folder: str | os.PathLike,
    labels_file: str | os.PathLike,
    model: Mapping[str, Any],
    device: str,
    threads: int,
    kept: str | os.PathLike | None,
) -> pa.Table:
    """Rows of `latentgen.tables.REWIND` for all runs of a cell.

    For every saved epoch, the last one included as a control, and every redrawn initialisation: each layer alone, each
    prefix and each suffix of layers.

    Parameters
    ----------
    folder : of the cell; runs : columns of each run; model : ``factory`` and ``options``
    settings : ``batch_norm``, a list out of "rewound" and "reestimated"; ``redraws``, how many fresh initialisations;
        ``examples``, the most of each split that are read, None for all
    kept : see `latentgen.blocks.complete`
    """
    data = datasets.load(data_folder)
    labels = {run["data_seed"]: RunLabels.read(labels_file, run["data_seed"]) for run in runs}
    versions = [interventions.VERSION, activations.VERSION, models.VERSION]
    last = {run_name(run): at_epoch(folder, run, last_epoch(folder, run)) for run in runs}
    modes, most = sorted(settings["batch_norm"], reverse=True), settings["examples"]
    pieces = {}
    for run in runs:
        final = last[run_name(run)]
        digests = [model, data.digest, labels[run["data_seed"]].digest]
        common = [final.epoch, final.sha256, *digests, modes, most, device, threads, versions]
        for checkpoint in in_epochs(folder, [run], range(final.epoch + 1)):
            pieces[Piece(checkpoint, None)] = blocks.inputs(checkpoint, *common)
        # What is drawn anew does not depend on the weights of epoch 0, only where they stand does.
        anew = replace(final, epoch=0)
        for draw in range(settings["redraws"]):
            pieces[Piece(anew, draw)] = blocks.inputs(anew, "redrawn", draw, *common)

    def compute(missing: Sequence[Piece]) -> Iterable[tuple[Piece, list[dict[str, Any]]]]:
        from safetensors.torch import load_file

        from latentgen.activations.dumps import stream
        from latentgen.interventions.swaps import Swaps, scored

        source = stream(data_folder, model, device, threads)
        swaps = Swaps(source, modes)
        on = {seed: scored(labels[seed], data.y_test, most, seed, source.device) for seed in labels}
        log.info("%d layers with weights, %d maps to compute", len(swaps.layers), len(missing))
        loaded = None
        rate = Rate(len(missing))
        for done, piece in enumerate(missing, start=1):
            run, epoch, draw = piece.checkpoint.run, piece.checkpoint.epoch, piece.method
            final = last[run_name(run)]
            if loaded != final:
                source.load(final.path)
                loaded = final
            if draw is not None:
                seed = seeds.derive("redraw", run["model_seed"], draw)
                network = models.build(model["factory"], data.in_shape, data.n_classes, seed, model["options"])
                weights = {name: tensor.to(source.device) for name, tensor in network.state_dict().items()}
            elif epoch == final.epoch:
                weights = source.model.state_dict()
            else:
                weights = load_file(piece.checkpoint.path, device=str(source.device))
            kind = {"last_epoch": final.epoch, "weights": "saved" if draw is None else "redrawn", "draw": draw}
            yield piece, [{**kind, **row} for row in swaps.rows(weights, on[run["data_seed"]])]
            name = f"epoch {epoch}" if draw is None else f"redraw {draw}"
            log.info("%s %s: %d of %d; %s", run_name(run), name, done, len(missing), rate.left(done))

    return blocks.complete(kept, tables.REWIND, pieces, compute)
