"""Rewinding: networks some of whose layers go back to an earlier epoch, or to a fresh initialisation.

Rewinding layers of a network that memorised: Stephenson et al. (ICLR 2021). Re-initialising layers one by one, which is
rewinding to epoch 0, and re-randomising them: Zhang, Bengio & Singer (JMLR 2022, arXiv 1902.01996).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from latentgen import blocks, models, seeds, versions
from latentgen.blocks import Piece, Rows
from latentgen.checkpoints import Checkpoint, at_epoch, last_epoch, run_name
from latentgen.interventions.declaration import REWIND
from latentgen.trained import TrainedCell

_REDRAW = "redraw "


def _pieces(cell: TrainedCell, checkpoints: Sequence[Checkpoint], settings: Mapping[str, Any]) -> dict[Piece, str]:
    """For every saved epoch, the last one included as a control, and every redrawn initialisation."""
    known_by, last = versions.of_job(REWIND, settings, {}), _last(cell)
    common = {name: [final.epoch, final.sha256, _modes(settings), settings["examples"]] for name, final in last.items()}
    pieces = {}
    for run in cell.runs:
        name = run_name(run)
        for checkpoint in checkpoints:
            if checkpoint.run == run:
                pieces[Piece(checkpoint, "saved")] = cell.inputs(checkpoint, known_by, *common[name])
        # What is drawn anew does not depend on the weights of epoch 0, only where they stand does.
        anew = replace(last[name], epoch=0)
        for draw in range(settings["rerandomisations"]):
            inputs = cell.inputs(anew, known_by, "redrawn", draw, *common[name])
            pieces[Piece(anew, f"{_REDRAW}{draw}")] = inputs
    return pieces


def _last(cell: TrainedCell) -> dict[str, Checkpoint]:
    """The last checkpoint of each run, by name."""
    return {run_name(run): at_epoch(cell.folder, run, last_epoch(cell.folder, run)) for run in cell.runs}


def _modes(settings: Mapping[str, Any]) -> list[str]:
    return sorted(settings["batch_norm"], reverse=True)


def _compute(
    cell: TrainedCell, settings: Mapping[str, Any], missing: Sequence[Piece]
) -> Iterable[Mapping[Piece, Rows]]:
    """Each layer alone, each prefix and each suffix of layers put back to what a piece names."""
    from latentgen.interventions.swaps import Swaps, scored
    from latentgen.training.state import tensors_of

    source, data, last, most = cell.stream(), cell.data, _last(cell), settings["examples"]
    swaps = Swaps(source, _modes(settings))
    on = {seed: scored(labels, data.y_test, most, seed, source.device) for seed, labels in cell.labels.items()}
    current = None
    for piece in missing:
        run, epoch = piece.checkpoint.run, piece.checkpoint.epoch
        draw = int(piece.method.removeprefix(_REDRAW)) if piece.method.startswith(_REDRAW) else None
        final = last[run_name(run)]
        if current != final:
            source.load(final)
            current = final
        if draw is not None:
            seed = seeds.derive("redraw", run["model_seed"], draw)
            network = models.initialised(cell.model, data.in_shape, data.n_classes, seed)
            weights = {name: tensor.to(source.device) for name, tensor in network.state_dict().items()}
        elif epoch == final.epoch:
            weights = source.model.state_dict()
        else:
            loaded = tensors_of(piece.checkpoint.read(), piece.checkpoint.path)
            weights = {name: tensor.to(source.device) for name, tensor in loaded.items()}
        kind = {"last_epoch": final.epoch, "weights": "saved" if draw is None else "redrawn", "draw": draw}
        yield {piece: [{**kind, **row} for row in swaps.rows(weights, on[run["data_seed"]])]}


#: See `latentgen.blocks.rows`.
rewind_cell = partial(blocks.rows, REWIND, _pieces, _compute)
