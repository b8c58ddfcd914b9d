"""Probe rows of a block of checkpoints. Torch waits until something has to be computed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from latentgen import activations, blocks, versions
from latentgen.blocks import Piece, Rows
from latentgen.checkpoints import Checkpoint
from latentgen.probes.declaration import PROBES
from latentgen.trained import TrainedCell


def probe_block(
    cell: TrainedCell,
    family: Mapping[str, Mapping[str, Any]],
    *,
    block: str | None = None,
    kept: str | os.PathLike | None = None,
    dumps: str | os.PathLike | None = None,
    needed: bool = False,
) -> pa.Table:
    """Rows of a family of probes for the checkpoints of a block, see `latentgen.blocks.rows`.

    Parameters
    ----------
    family : settings of the probes, by name
    dumps : folder that `latentgen.activations.dumps.dump_block` wrote, to read activations from instead of computing
    needed : raise ``ValueError`` when there are checkpoints and no probe fits any layer of them
    """
    table = blocks.rows(PROBES, _pieces, _compute, cell, family, block=block, kept=kept, dumps=dumps)
    if needed and not len(table) and cell.checkpoints(block):
        widest = ", ".join(f"probes.{name}.max_features: {probe.get('max_features')}" for name, probe in family.items())
        raise ValueError(f"{widest}: every layer of the model is wider, and the grid has no other probe; raise it")
    return table


def _pieces(cell: TrainedCell, checkpoints: Sequence[Checkpoint], family: Mapping[str, Mapping]) -> dict[Piece, str]:
    known_by = {name: versions.of(PROBES, {"probes": [settings["kind"]]}) for name, settings in family.items()}
    return {
        Piece(checkpoint, name): cell.inputs(checkpoint, known_by[name], name, settings)
        for checkpoint in checkpoints
        for name, settings in family.items()
    }


def _compute(
    cell: TrainedCell,
    family: Mapping[str, Mapping],
    missing: Sequence[Piece],
    dumps: str | os.PathLike | None,
) -> Iterable[Mapping[Piece, Rows]]:
    from latentgen.activations.sources import Dump
    from latentgen.probes.evaluate import Task, evaluate

    todo: dict[Checkpoint, list[str]] = {}
    for checkpoint, name in missing:
        todo.setdefault(checkpoint, []).append(name)
    source = cell.stream()
    layers = [layer for layer in source.layers if layer != activations.INPUT]
    of_input: dict[tuple, Rows] = {}
    for checkpoint, names in todo.items():
        wanted = {name: family[name] for name in names}
        if dumps is None:
            source.load(checkpoint)
            reader = source
        else:
            reader = Dump(checkpoint.dump_folder(dumps), source, checkpoint.sha256)
        seed = checkpoint.run["data_seed"]
        task = Task(cell.labels[seed], cell.data.y_test, cell.data.n_classes, seed)
        if (seed, *names) not in of_input:
            # The image is the same at every epoch and model seed, and so are the probes fitted on it.
            of_input[seed, *names] = evaluate(reader, [activations.INPUT], wanted, task, source.device)
        rows = of_input[seed, *names] + evaluate(reader, layers, wanted, task, source.device)
        yield {Piece(checkpoint, name): [row for row in rows if row["probe"] == name] for name in names}
