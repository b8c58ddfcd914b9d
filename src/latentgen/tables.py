"""The only functions that read and write tidy tables; `latentgen.columns` says what their columns mean.

One row states one measured value. Every table starts with the columns that name the run, so that tables of different
runs and analyses can be concatenated and joined without looking at paths.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from latentgen import columns
from latentgen.digests import Damaged
from latentgen.files import atomic
from latentgen.rowgroups import MOST, row_groups

if TYPE_CHECKING:
    import pandas as pd

#: How every table is written. Checksums of the pages cost little, and a changed byte would else give other numbers.
WRITING = {"compression": "zstd", "store_schema": False, "write_page_checksum": True}
#: What to do about a damaged table.
REMEDY = "Delete it and call Snakemake again, which makes it anew"

#: Conditions on rows, (column, operator, value): a list holds where all do, a list of lists where one of them does.
Filters = Sequence[tuple[str, str, Any]] | Sequence[Sequence[tuple[str, str, Any]]]

#: Schemas of columns that name a run, and of the tables that are no analysis's own.
RUN = pa.schema([columns.LABELS.schema.field(column.name) for column in columns.RUN])
LABELS, HISTORY, RECORDS, LAYERS = (
    table.schema for table in (columns.LABELS, columns.HISTORY, columns.RECORDS, columns.LAYERS)
)


def from_rows(rows: Iterable[Mapping], schema: pa.Schema) -> pa.Table:
    """Table of ``rows`` (mappings with every column of ``schema``); a missing or spare column raises ``ValueError``."""
    rows = list(rows)
    for row in rows:
        if set(row) != set(schema.names):
            raise ValueError(f"row has columns {sorted(row)}, the table has {sorted(schema.names)}")
    return pa.Table.from_pylist(rows, schema=schema)


def with_columns(table: pa.Table, constants: Mapping[str, object], schema: pa.Schema) -> pa.Table:
    """Rows of ``table`` with columns of one value each added, as ``schema`` has them."""
    columns = {name: pa.array([value] * len(table), schema.field(name).type) for name, value in constants.items()}
    columns |= {name: table[name] for name in table.column_names}
    return pa.table([columns[name] for name in schema.names], schema=schema)


def write(table: pa.Table, path: str | os.PathLike) -> None:
    """Write ``table`` as Parquet, whole or not at all; equal tables give equal bytes."""
    with atomic(path) as temporary:
        pq.write_table(table, temporary, **WRITING)


def load(path: str | os.PathLike, schema: pa.Schema | None = None) -> pa.Table:
    """Table at ``path``; raises `latentgen.digests.Damaged` when it is not whole or, if given, not of ``schema``."""
    with opened(path) as file:
        table = file.read()
    if schema is not None and not table.schema.equals(schema):
        raise Damaged(f"{path} has columns {table.schema.names}, expected {schema.names}. {REMEDY}")
    return table


@contextlib.contextmanager
def opened(path: str | os.PathLike, **options: Any) -> Iterator[pq.ParquetFile]:
    """The Parquet file ``path``; raises `latentgen.digests.Damaged` where what is read of it turns out to be damaged.

    Pages carry checksums, which a file of an earlier version lacks; numbers of rows, which stand outside of pages, are
    compared with each other.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, **options) as file:
            footer = file.metadata
            if sum(footer.row_group(number).num_rows for number in range(footer.num_row_groups)) != footer.num_rows:
                raise OSError("its numbers of rows contradict each other")
            yield file
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Damaged(f"{path} is damaged: {error}. {REMEDY}") from error


def concatenate(
    paths: Iterable[str | os.PathLike],
    schema: pa.Schema,
    path: str | os.PathLike,
    metadata: Mapping[bytes, bytes] | None = None,
) -> None:
    """Write the rows of all ``paths`` into one table, in their order; raises ``ValueError`` on another schema.

    Row groups keep cells apart, as `latentgen.rowgroups` says. Memory holds about one of them. ``metadata`` goes into
    the file's own.
    """
    names = [name for name in RUN.names if name in schema.names and name != "entry"]
    point = [name for name in names if not name.endswith("_seed")]
    with (
        atomic(path) as temporary,
        pq.ParquetWriter(temporary, schema, **WRITING) as writer,
    ):
        for table in row_groups(_parts(paths, schema), point, names[len(point) :]):
            writer.write_table(table, row_group_size=MOST)
        if metadata:
            writer.add_key_value_metadata(metadata)


def _parts(paths: Iterable[str | os.PathLike], schema: pa.Schema) -> Iterator[pa.Table]:
    for path in paths:
        with opened(path) as file:
            if not file.schema_arrow.equals(schema):
                raise ValueError(f"{path} has columns {file.schema_arrow.names}, expected {schema.names}")
            yield file.read()


def read(
    path: str | os.PathLike,
    columns: Sequence[str] | None = None,
    filters: Filters | None = None,
    *,
    row_groups: Sequence[int] | None = None,
) -> "pd.DataFrame":
    """Table at ``path`` as a pandas data frame; row groups without rows that ``filters`` want are not read.

    Parameters
    ----------
    columns : those to read, all by default
    filters : rows to keep, ``[("dataset", "==", "digits"), ("level", ">", 0.2)]``; of a list of such lists, those that
        any of them keeps
    row_groups : numbers of those to read, all by default; then ``columns`` include those of ``filters``
    """
    # A text that repeats takes four bytes a row as an index into its values.
    with opened(path) as file:
        texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        if row_groups is None:
            reading = {"read_dictionary": texts, "page_checksum_verification": True, "partitioning": None}
            return to_frame(pq.read_table(path, columns=columns, filters=filters, **reading))
    with opened(path, read_dictionary=texts) as file:
        table = file.read_row_groups(row_groups, columns)
    return to_frame(table if filters is None else table.filter(pq.filters_to_expression(filters)))


def to_frame(table: pa.Table) -> "pd.DataFrame":
    """``table`` as a data frame, dictionaries as text; a column at a time, so that memory holds no two of the table."""
    import pandas as pd

    names, columns, frame = table.column_names, table.columns, {}
    del table
    for name in names:
        column = columns.pop(0)
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.large_string()).combine_chunks()
        frame[name] = column.to_pandas()
    # What was freed meanwhile would stay with the process.
    pa.default_memory_pool().release_unused()
    return pd.DataFrame(frame, copy=False)
