"""Schemas of the tidy tables, and the only functions that read and write them.

One row states one measured value. Every table starts with the columns that name the run, so that tables of different
runs and analyses can be concatenated and joined without looking at paths.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from latentgen.files import atomic

if TYPE_CHECKING:
    import pandas as pd

#: Columns that name a run; ``entry`` is the hash of the run's own configuration (recipe, probes excluded).
RUN = pa.schema(
    [
        ("dataset", pa.string()),
        ("model", pa.string()),
        ("noise", pa.string()),
        ("level", pa.float64()),
        ("data_seed", pa.int64()),
        ("model_seed", pa.int64()),
        ("entry", pa.string()),
    ]
)

#: ``split`` is train or validation; ``selected`` means drawn for corruption, perhaps keeping its label by luck.
LABELS = pa.schema(
    [
        *RUN,
        ("index", pa.int64()),
        ("true_label", pa.int64()),
        ("given_label", pa.int64()),
        ("selected", pa.bool_()),
        ("split", pa.string()),
    ]
)

#: ``mode`` is running (counted during the epoch's own training passes) or evaluated (after the epoch, eval mode).
HISTORY = pa.schema(
    [
        *RUN,
        ("epoch", pa.int64()),
        ("split", pa.string()),
        ("labels", pa.string()),
        ("mode", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
    ]
)

#: Sums over the epochs seen so far, from the training forward passes themselves (before each update), towards
#: the given label. ``forgotten`` counts flips from right to wrong between consecutive epochs.
RECORDS = pa.schema(
    [
        *RUN,
        ("epoch", pa.int64()),
        ("index", pa.int64()),
        ("sum_margin", pa.float64()),
        ("sum_loss", pa.float64()),
        ("sum_confidence", pa.float64()),
        ("sum_confidence_squared", pa.float64()),
        ("correct", pa.int64()),
        ("learned", pa.int64()),
        ("forgotten", pa.int64()),
        ("first_correct", pa.int64()),
    ]
)

#: ``rank`` is the mean number of axes over classes (null where the probe has none); ``margin`` the mean over scored
#: examples of the score of the scored label minus the best other score. ``inputs`` is the hash of all that the row was
#: computed from: weights, data, labels, the probe's settings and the version of its code.
PROBES = pa.schema(
    [
        *RUN,
        ("epoch", pa.int64()),
        ("layer", pa.string()),
        ("depth", pa.int64()),
        ("probe", pa.string()),
        ("fit_labels", pa.string()),
        ("split", pa.string()),
        ("labels", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("rank", pa.float64()),
        ("margin", pa.float64()),
        ("inputs", pa.string()),
    ]
)


def from_rows(rows: Iterable[Mapping], schema: pa.Schema) -> pa.Table:
    """Table of ``rows`` (mappings with every column of ``schema``); a missing or spare column raises ``ValueError``."""
    rows = list(rows)
    for row in rows:
        if set(row) != set(schema.names):
            raise ValueError(f"row has columns {sorted(row)}, the table has {sorted(schema.names)}")
    return pa.Table.from_pylist(rows, schema=schema)


def write(table: pa.Table, path: str | os.PathLike) -> None:
    """Write ``table`` as Parquet, whole or not at all; equal tables give equal bytes."""
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", store_schema=False)


def concatenate(paths: Iterable[str | os.PathLike], schema: pa.Schema, path: str | os.PathLike) -> None:
    """Write the rows of all ``paths`` into one table, a file at a time; raises ``ValueError`` on another schema."""
    with (
        atomic(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", store_schema=False) as writer,
    ):
        for source in paths:
            table = pq.read_table(source)
            if not table.schema.equals(schema):
                raise ValueError(f"{source} has columns {table.schema.names}, expected {schema.names}")
            writer.write_table(table)


def read(path: str | os.PathLike, **kwargs) -> "pd.DataFrame":
    """Table at ``path`` as a pandas data frame; ``kwargs`` go to ``pyarrow.parquet.read_table``."""
    return pq.read_table(Path(path), **kwargs).to_pandas()
