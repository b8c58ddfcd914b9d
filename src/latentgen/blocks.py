"""Rows of an analysis on checkpoints: those already known are kept, the others computed."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from latentgen import digests, tables
from latentgen.analysis import Analysis, Settings
from latentgen.checkpoints import Checkpoint, run_name
from latentgen.progress import Rate, log
from latentgen.trained import TrainedCell

#: Rows are kept when this many seconds have passed since they last were: a killed job goes on from there.
KEEP_SECONDS = 60.0

#: Rows without the columns of run, epoch and inputs.
Rows = list[dict[str, Any]]


class Piece(NamedTuple):
    """Rows that are computed or kept together: of one checkpoint, by one of perhaps several methods."""

    checkpoint: Checkpoint
    method: str


def rows(
    analysis: Analysis,
    pieces: Callable[[TrainedCell, list[Checkpoint], Settings], Mapping[Piece, str]],
    compute: Callable[..., Iterable[Mapping[Piece, Rows]]],
    cell: TrainedCell,
    settings: Settings,
    *,
    block: str | None = None,
    kept: str | os.PathLike | None = None,
    **more: Any,
) -> pa.Table:
    """Rows of an analysis for the checkpoints of a cell; what computes is imported where some are missing.

    Parameters
    ----------
    pieces : of (cell, checkpoints, settings): what there is to compute, and the hash of the inputs of each
    compute : of (cell, settings, missing pieces) and ``more`` by name: see `complete`
    block : epochs, such as ``0000-0099``; all where None. No rows where training stopped before it
    kept : see `complete`
    """
    wanted = pieces(cell, cell.checkpoints(block), settings)
    return complete(kept, analysis.table.schema, wanted, lambda missing: compute(cell, settings, missing, **more))


def complete(
    kept: str | os.PathLike | None,
    schema: pa.Schema,
    pieces: Mapping[Piece, str],
    compute: Callable[[list[Piece]], Iterable[Mapping[Piece, Rows]]],
) -> pa.Table:
    """Rows of all ``pieces``, in their order, as ``schema`` has them.

    Parameters
    ----------
    kept : table of an earlier call, if there is one; its rows are taken over where their inputs are the same. It is
        written now and then, and at the end; None keeps nothing
    pieces : hash of the inputs of each
    compute : rows of the pieces that are not known, those of a checkpoint together where they are found together
    """
    known = _known(kept, schema)
    kept_at = time.monotonic()
    missing = [piece for piece, key in pieces.items() if key not in known]
    log.info("%d of %d to compute, each method of a checkpoint counting as one", len(missing), len(pieces))
    rate, done = None, 0
    for found in compute(missing) if missing else ():
        for piece, rows in found.items():
            checkpoint, key = piece.checkpoint, pieces[piece]
            named = {**checkpoint.run, "epoch": checkpoint.epoch, "inputs": key}
            known[key] = tables.from_rows([{**named, **row} for row in rows], schema)
        done += len(found)
        name = f"{run_name(checkpoint.run)} epoch {checkpoint.epoch} ({', '.join(piece.method for piece in found)})"
        # What the first took includes imports.
        log.info("%s: %d of %d%s", name, done, len(missing), f"; {rate.left(done)}" if rate else "")
        rate = rate or Rate(len(missing), done)
        if kept is not None and time.monotonic() - kept_at > KEEP_SECONDS:
            tables.write(_together(known, pieces, schema), kept)
            kept_at = time.monotonic()
    whole = _together(known, pieces, schema)
    if kept is not None:
        tables.write(whole, kept)
    return whole


def _together(known: Mapping[str, pa.Table], pieces: Mapping[Piece, str], schema: pa.Schema) -> pa.Table:
    there = {piece: known[key] for piece, key in pieces.items() if key in known}
    parts = [_stamped(rows, piece.checkpoint.run["entry"]) for piece, rows in there.items()]
    return pa.concat_tables([schema.empty_table(), *parts])


def _known(kept: str | os.PathLike | None, schema: pa.Schema) -> dict[str, pa.Table]:
    """Rows of an earlier result by their inputs; none when there is none, or it is damaged or has other columns."""
    if kept is None or not Path(kept).exists():
        return {}
    try:
        table = tables.load(kept)
    except digests.Damaged as damage:
        digests.set_aside(kept, damage)
        return {}
    if not table.schema.equals(schema):
        return {}
    return {key: table.filter(pc.field("inputs") == key) for key in table["inputs"].unique().to_pylist()}


def _stamped(rows: pa.Table, entry: str) -> pa.Table:
    """Rows that were taken over, under the entry that they now belong to."""
    column = rows.schema.get_field_index("entry")
    return rows.set_column(column, rows.schema.field(column), pa.array([entry] * len(rows), pa.string()))
