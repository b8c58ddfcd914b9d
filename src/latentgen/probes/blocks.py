"""Probe rows of a block of checkpoints: rows already known are kept, the others computed. Torch waits until needed."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from latentgen import activations, datasets, models, probes, tables
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
    previous: str | os.PathLike,
    dumps: str | os.PathLike | None = None,
) -> pa.Table:
    """Rows of `latentgen.tables.PROBES` for all checkpoints of a block, empty when training stopped before it.

    Parameters
    ----------
    folder : of the cell; runs : columns of each run; model : ``factory`` and ``options``
    family : settings of the probes, by name
    previous : result of an earlier call, if there is one; its rows are taken over where their inputs are the same
    dumps : folder that `latentgen.activations.dumps.dump_block` wrote, to read activations from instead of computing
    """
    data = datasets.load(data_folder)
    labels = {run["data_seed"]: RunLabels.read(labels_file, run["data_seed"]) for run in runs}
    checkpoints = in_epochs(folder, runs, block_epochs(block))
    versions = [probes.VERSION, activations.VERSION, models.VERSION]
    keys = {}
    for checkpoint in checkpoints:
        seed = checkpoint.run["data_seed"]
        # Not the hash of the recipe's text: rows stay good where the weights are the same, say with more epochs.
        named = {column: value for column, value in checkpoint.run.items() if column != "entry"}
        origin = [
            named,
            checkpoint.epoch,
            checkpoint.sha256,
            model,
            data.digest,
            labels[seed].digest,
        ]
        for name, settings in family.items():
            keys[checkpoint, name] = _hash([*origin, name, settings, device, threads, versions])
    known = _known(previous)
    todo = {
        checkpoint: wanted
        for checkpoint in checkpoints
        if (wanted := {name: family[name] for name in family if keys[checkpoint, name] not in known})
    }
    log.info("block %s: %d checkpoints, %d to compute", block, len(checkpoints), len(todo))
    if todo:
        computed = _compute(todo, data_folder, labels, data, model, device, threads, dumps)
        for checkpoint, rows in computed.items():
            for name in todo[checkpoint]:
                key = keys[checkpoint, name]
                named = {**checkpoint.run, "epoch": checkpoint.epoch, "inputs": key}
                mine = [{**named, **row} for row in rows if row["probe"] == name]
                known[key] = tables.from_rows(mine, tables.PROBES)
    parts = [_stamped(known[key], checkpoint.run["entry"]) for (checkpoint, _), key in keys.items()]
    return pa.concat_tables([tables.PROBES.empty_table(), *parts])


def _stamped(rows: pa.Table, entry: str) -> pa.Table:
    """Rows that were taken over, under the entry that they now belong to."""
    column = tables.PROBES.get_field_index("entry")
    return rows.set_column(column, tables.PROBES.field(column), pa.array([entry] * len(rows), pa.string()))


def _hash(parts: list) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _known(previous: str | os.PathLike) -> dict[str, pa.Table]:
    """Rows of an earlier result by their inputs; none when there is no result or it has other columns."""
    if not Path(previous).exists() or not pq.read_schema(previous).equals(tables.PROBES):
        return {}
    table = pq.read_table(previous)
    return {key: table.filter(pc.field("inputs") == key) for key in table["inputs"].unique().to_pylist()}


def _compute(
    todo: Mapping[Checkpoint, Mapping[str, Mapping]], data_folder, labels, data, model, device, threads, dumps
) -> dict[Checkpoint, list[dict[str, Any]]]:
    """Rows of each checkpoint for the probes that it lacks, without the columns of run, epoch and inputs."""
    from latentgen.activations.dumps import stream
    from latentgen.activations.sources import Dump
    from latentgen.probes.evaluate import evaluate

    source = stream(data_folder, model, device, threads)
    layers = [layer for layer in source.layers if layer != activations.INPUT]
    of_input: dict[tuple, list[dict]] = {}
    rate, found = Rate(len(todo)), {}
    for done, (checkpoint, wanted) in enumerate(todo.items(), start=1):
        if dumps is None:
            source.load(checkpoint.path)
            reader = source
        else:
            reader = Dump(checkpoint.dump_folder(dumps), source)
        seed = checkpoint.run["data_seed"]
        common = (wanted, labels[seed], data.y_test, data.n_classes, source.device)
        if (seed, *wanted) not in of_input:
            # The image is the same at every epoch and model seed, and so are the probes fitted on it.
            of_input[seed, *wanted] = evaluate(reader, [activations.INPUT], *common)
        found[checkpoint] = of_input[seed, *wanted] + evaluate(reader, layers, *common)
        name = checkpoint.path.parent.name
        log.info("%s epoch %d: %d of %d; %s", name, checkpoint.epoch, done, len(todo), rate.left(done))
    return found
