"""Probe rows of a block of checkpoints. Torch waits until something has to be computed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from latentgen import activations, blocks, tables, versions
from latentgen.blocks import Piece, Rows
from latentgen.checkpoints import Checkpoint
from latentgen.trained import TrainedCell


def probe_block(
    cell: TrainedCell,
    block: str,
    family: Mapping[str, Mapping[str, Any]],
    kept: str | os.PathLike | None,
    dumps: str | os.PathLike | None = None,
    needed: bool = False,
) -> pa.Table:
    """Rows of `latentgen.tables.PROBES` for all checkpoints of a block, empty when training stopped before it.

    Parameters
    ----------
    family : settings of the probes, by name
    kept : see `latentgen.blocks.complete`
    dumps : folder that `latentgen.activations.dumps.dump_block` wrote, to read activations from instead of computing
    needed : raise ``ValueError`` when there are checkpoints and no probe fits any layer of them
    """
    pieces = {}
    for checkpoint in cell.checkpoints(block):
        for name, settings in family.items():
            known_by = versions.of_probes([settings["kind"]])
            pieces[Piece(checkpoint, name)] = cell.inputs(checkpoint, known_by, name, settings)

    def compute(missing: Sequence[Piece]) -> Iterable[Mapping[Piece, Rows]]:
        todo: dict[Checkpoint, list[str]] = {}
        for checkpoint, name in missing:
            todo.setdefault(checkpoint, []).append(name)
        wanted = {checkpoint: {name: family[name] for name in names} for checkpoint, names in todo.items()}
        for checkpoint, rows in _compute(wanted, cell, dumps):
            names = wanted[checkpoint]
            yield {Piece(checkpoint, name): [row for row in rows if row["probe"] == name] for name in names}

    table = blocks.complete(kept, tables.PROBES, pieces, compute)
    if needed and pieces and not len(table):
        widest = ", ".join(f"probes.{name}.max_features: {probe.get('max_features')}" for name, probe in family.items())
        raise ValueError(f"{widest}: every layer of the model is wider, and the grid has no other probe; raise it")
    return table


def _compute(
    todo: Mapping[Checkpoint, Mapping[str, Mapping]], cell: TrainedCell, dumps: str | os.PathLike | None
) -> Iterable[tuple[Checkpoint, Rows]]:
    """Rows of each checkpoint for the probes that it lacks, without the columns of run, epoch and inputs."""
    from latentgen.activations.sources import Dump
    from latentgen.probes.evaluate import Task, evaluate

    source = cell.stream()
    layers = [layer for layer in source.layers if layer != activations.INPUT]
    of_input: dict[tuple, Rows] = {}
    for checkpoint, wanted in todo.items():
        if dumps is None:
            source.load(checkpoint)
            reader = source
        else:
            reader = Dump(checkpoint.dump_folder(dumps), source, checkpoint.sha256)
        seed = checkpoint.run["data_seed"]
        task = Task(cell.labels[seed], cell.data.y_test, cell.data.n_classes, seed)
        if (seed, *wanted) not in of_input:
            # The image is the same at every epoch and model seed, and so are the probes fitted on it.
            of_input[seed, *wanted] = evaluate(reader, [activations.INPUT], wanted, task, source.device)
        yield checkpoint, of_input[seed, *wanted] + evaluate(reader, layers, wanted, task, source.device)
