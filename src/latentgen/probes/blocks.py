"""Probe rows of a block of checkpoints. Torch waits until something has to be computed."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from latentgen import activations, blocks, datasets, models, noise, probes, tables
from latentgen.blocks import Piece
from latentgen.checkpoints import Checkpoint, block_epochs, in_epochs
from latentgen.labels import RunLabels
from latentgen.progress import Rate, log


def probe_block(
    folder: str | os.PathLike,
    runs: Sequence[Mapping[str, Any]],
    block: str,
    family: Mapping[str, Mapping[str, Any]],
    data_folder: str | os.PathLike,
    labels_file: str | os.PathLike,
    model: Mapping[str, Any],
    device: str,
    threads: int,
    kept: str | os.PathLike | None,
    dumps: str | os.PathLike | None = None,
) -> pa.Table:
    """Rows of `latentgen.tables.PROBES` for all checkpoints of a block, empty when training stopped before it.

    Parameters
    ----------
    folder : of the cell; runs : columns of each run; model : ``factory`` and ``options``
    family : settings of the probes, by name
    kept : see `latentgen.blocks.complete`
    dumps : folder that `latentgen.activations.dumps.dump_block` wrote, to read activations from instead of computing
    """
    data = datasets.load(data_folder)
    labels = {run["data_seed"]: RunLabels.read(labels_file, run["data_seed"]) for run in runs}
    versions = [probes.VERSION, activations.VERSION, models.VERSION, noise.VERSION]
    pieces = {}
    for checkpoint in in_epochs(folder, runs, block_epochs(block)):
        digests = [model, data.digest, labels[checkpoint.run["data_seed"]].digest]
        for name, settings in family.items():
            key = blocks.inputs(checkpoint, *digests, name, settings, device, threads, versions)
            pieces[Piece(checkpoint, name)] = key

    def compute(missing: Sequence[Piece]) -> Iterable[tuple[Piece, list[dict[str, Any]]]]:
        todo: dict[Checkpoint, list[str]] = {}
        for checkpoint, name in missing:
            todo.setdefault(checkpoint, []).append(name)
        log.info("block %s: %d checkpoints to compute", block, len(todo))
        wanted = {checkpoint: {name: family[name] for name in names} for checkpoint, names in todo.items()}
        for checkpoint, rows in _compute(wanted, data_folder, labels, data, model, device, threads, dumps):
            for name in wanted[checkpoint]:
                yield Piece(checkpoint, name), [row for row in rows if row["probe"] == name]

    return blocks.complete(kept, tables.PROBES, pieces, compute)


def _compute(
    todo: Mapping[Checkpoint, Mapping[str, Mapping]], data_folder, labels, data, model, device, threads, dumps
) -> Iterable[tuple[Checkpoint, list[dict[str, Any]]]]:
    """Rows of each checkpoint for the probes that it lacks, without the columns of run, epoch and inputs."""
    from latentgen.activations.dumps import stream
    from latentgen.activations.sources import Dump
    from latentgen.probes.evaluate import Task, evaluate

    source = stream(data_folder, model, device, threads)
    layers = [layer for layer in source.layers if layer != activations.INPUT]
    of_input: dict[tuple, list[dict]] = {}
    rate = Rate(len(todo))
    for done, (checkpoint, wanted) in enumerate(todo.items(), start=1):
        if dumps is None:
            source.load(checkpoint.path)
            reader = source
        else:
            reader = Dump(checkpoint.dump_folder(dumps), source)
        seed = checkpoint.run["data_seed"]
        task = Task(labels[seed], data.y_test, data.n_classes, seed)
        if (seed, *wanted) not in of_input:
            # The image is the same at every epoch and model seed, and so are the probes fitted on it.
            of_input[seed, *wanted] = evaluate(reader, [activations.INPUT], wanted, task, source.device)
        yield checkpoint, of_input[seed, *wanted] + evaluate(reader, layers, wanted, task, source.device)
        name = checkpoint.path.parent.name
        log.info("%s epoch %d: %d of %d; %s", name, checkpoint.epoch, done, len(todo), rate.left(done))
