"""Schemas of the tidy tables, and the only functions that read and write them.

One row states one measured value. Every table starts with the columns that name the run, so that tables of different
runs and analyses can be concatenated and joined without looking at paths.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

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

#: ``fit_labels`` is given, true, or a noise kind and level such as ``uniform-0.6``, drawn anew for the run's data seed.
#: ``labels`` is given or true, or fit for those redrawn labels. ``batch_norm`` is running or example
#: (`latentgen.activations.BATCH_NORM`). ``rank`` is the mean number of axes over classes (null where the probe has
#: none); ``margin`` the mean over scored examples of the score of the scored label minus the best other score.
#: ``inputs`` is the hash of all that the row was computed from: weights, data, labels, the probe's settings and the
#: version of its code.
PROBES = pa.schema(
    [
        *RUN,
        ("epoch", pa.int64()),
        ("layer", pa.string()),
        ("depth", pa.int64()),
        ("probe", pa.string()),
        ("batch_norm", pa.string()),
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

#: Geometry of class manifolds of one layer at one checkpoint. ``view`` says which examples are grouped by which of
#: their labels: unpermuted, permuted, restored, test. Metrics are capacity, radius, dimension (mean-field theory at
#: margin ``kappa``), center_correlation, center_axes, simulated_capacity (centre axes removed, as in theory) and
#: simulated_capacity_raw (not), participation_ratio, axes_90, class_participation_ratio, within_distance,
#: center_distance, separability, intrinsic_dimension. ``error`` is the standard error over random directions or
#: dichotomies, ``spread`` the range over restarts of the search for centre axes; null where there is none. ``classes``
#: manifolds of ``points`` examples each, ``n`` in all; ``unstructured`` is 2 / points, the capacity of points without
#: structure. A view that has no examples has n 0 and a null value; null with n above 0 is undefined, as where classes
#: have one centre.
GEOMETRY = pa.schema(
    [
        *RUN,
        ("epoch", pa.int64()),
        ("layer", pa.string()),
        ("depth", pa.int64()),
        ("view", pa.string()),
        ("kappa", pa.float64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("error", pa.float64()),
        ("spread", pa.float64()),
        ("n", pa.int64()),
        ("classes", pa.int64()),
        ("points", pa.int64()),
        ("unstructured", pa.float64()),
        ("inputs", pa.string()),
    ]
)

#: Networks with an edited linear readout. ``head`` is replaced (the network's own readout; ``layer`` feeds it) or new
#: (put on ``layer``, with no bias). ``rows`` is axis (VeLPIC's signed unit axes), mean (class means) or none (the
#: network as it is); ``norm`` is own, unit, or original (that of the row it replaces); ``mix`` the weight of the
#: new row against the old one; ``bias`` is kept or zero. All are fitted on the given labels.
TRANSFER = pa.schema(
    [
        *RUN,
        ("epoch", pa.int64()),
        ("layer", pa.string()),
        ("depth", pa.int64()),
        ("head", pa.string()),
        ("rows", pa.string()),
        ("norm", pa.string()),
        ("mix", pa.float64()),
        ("bias", pa.string()),
        ("split", pa.string()),
        ("labels", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("inputs", pa.string()),
    ]
)

_MEASURED = [field for field in HISTORY if field.name not in RUN.names]

#: Histories of trainings that went on after an edit at ``edit_epoch``, with fresh optimiser state; the first epoch is
#: that of the edit itself. ``rows`` none is the control: nothing edited, the optimiser started afresh all the same.
EDIT = pa.schema(
    [
        *RUN,
        ("edit_epoch", pa.int64()),
        ("layer", pa.string()),
        ("rows", pa.string()),
        ("bias", pa.string()),
        *_MEASURED,
    ]
)

#: Histories of trainings from scratch on labels that ``probe`` on ``layer`` gave the training set after
#: ``from_epoch``. On the train split ``labels`` is relabelled or true, and metric ``label_accuracy`` (mode relabelling,
#: epoch 0) is the fraction of new labels that equal the true ones (the given ones for ``labels`` given).
RELABEL = pa.schema(
    [
        *RUN,
        ("from_epoch", pa.int64()),
        ("probe", pa.string()),
        ("layer", pa.string()),
        *_MEASURED,
    ]
)

#: Networks some of whose layers have the weights of an earlier ``epoch``, everything else those of the run's
#: ``last_epoch``. ``kind`` says which layers: alone (``layer``), prefix (all up to ``layer``) or suffix (all from it
#: on); ``parameters`` counts their weights. ``weights`` is saved, those of the run at ``epoch``, or redrawn, a fresh
#: initialisation (epoch 0; ``draw`` tells draws apart, null for saved). ``batch_norm`` is rewound (running statistics
#: go with their layer), reestimated (after the swap, on the training images that are scored) or none (the network has
#: none). ``view`` is test, unpermuted, permuted, restored as for `GEOMETRY`, or validation (held-out examples by their
#: given labels).
REWIND = pa.schema(
    [
        *RUN,
        ("epoch", pa.int64()),
        ("last_epoch", pa.int64()),
        ("kind", pa.string()),
        ("layer", pa.string()),
        ("depth", pa.int64()),
        ("parameters", pa.int64()),
        ("weights", pa.string()),
        ("draw", pa.int64()),
        ("batch_norm", pa.string()),
        ("view", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("inputs", pa.string()),
    ]
)

#: Gradients of the mean loss of a group of training examples with respect to the weights of one layer, or of all
#: (``layer`` "network", depth null). ``group`` is unpermuted, permuted, selected or all; ``part`` is total, its
#: label-dependent part -z_y (label) and its label-independent part logsumexp(z) (independent), and both with the mean
#: logit moved from one to the other (label_centered, independent_centered). Metrics are norm, norm_per_root_parameter,
#: projection (on the direction of the total gradient of all training examples), cosine_with_unpermuted (same part, of
#: the unpermuted group) and cosine_with_independent (of a label part with its counterpart, same group). ``n`` counts
#: the group's examples; null where a gradient vanishes or a group is empty.
GRADIENTS = pa.schema(
    [
        *RUN,
        ("epoch", pa.int64()),
        ("layer", pa.string()),
        ("depth", pa.int64()),
        ("parameters", pa.int64()),
        ("group", pa.string()),
        ("part", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("n", pa.int64()),
        ("inputs", pa.string()),
    ]
)

#: Two-dimensional maps of training examples as one layer has them. Axes have no unit; an epoch's map is rotated,
#: reflected and shifted onto the one before. ``trustworthiness`` is that of the whole map, repeated.
MAPS = pa.schema(
    [
        *RUN,
        ("epoch", pa.int64()),
        ("layer", pa.string()),
        ("depth", pa.int64()),
        ("method", pa.string()),
        ("index", pa.int64()),
        ("true_label", pa.int64()),
        ("given_label", pa.int64()),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("trustworthiness", pa.float64()),
    ]
)

#: Trained weights of each model's layers; no run, for they are equal for all runs of a model on a data set.
LAYERS = pa.schema(
    [
        ("dataset", pa.string()),
        ("model", pa.string()),
        ("layer", pa.string()),
        ("depth", pa.int64()),
        ("parameters", pa.int64()),
    ]
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
