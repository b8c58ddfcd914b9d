"""Columns of the tidy tables, each with its type and meaning: schemas and `docs/tables.md` are made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

TEXT, INTEGER, FLOAT, BOOLEAN = "text", "integer", "float", "boolean"

_TYPES = {TEXT: pa.string(), INTEGER: pa.int64(), FLOAT: pa.float64(), BOOLEAN: pa.bool_()}


@dataclass(frozen=True)
class Column:
    """``type`` is text, integer (64 bits), float (64 bits) or boolean; ``meaning`` says what null means, if any."""

    name: str
    type: str
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """A tidy table. ``columns`` leaves out those that name a run, with which every table of runs starts.

    Parameters
    ----------
    about : what one row is of
    values : for a column, its values and their meanings, where they need more room than the column's own
    of_runs : whether rows belong to runs
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    of_runs: bool = True

    @cached_property
    def schema(self) -> pa.Schema:
        """As Parquet has it."""
        columns = (*RUN, *self.columns) if self.of_runs else self.columns
        return pa.schema([(column.name, _TYPES[column.type]) for column in columns])


#: Columns that name a run. ``entry`` is the hash of the run's own configuration (recipe; probes excluded).
RUN = (
    Column("dataset", TEXT, "name of the data set in the configuration"),
    Column("model", TEXT, "name of the model in the configuration"),
    Column("noise", TEXT, "kind of label noise"),
    Column("level", FLOAT, "corruption level: probability that a training example is selected for a new label"),
    Column("data_seed", INTEGER, "seed of the corruption and the subsets"),
    Column("model_seed", INTEGER, "seed of the initialisation and the order of the examples"),
    Column("entry", TEXT, "hash of the run's own configuration (recipe; probes excluded)"),
)

#: Columns that several analyses have.
EPOCH = Column("epoch", INTEGER, "checkpoint; 0 is the initialisation")
LAYER = Column("layer", TEXT, "layer whose activations were used")
DEPTH = Column("depth", INTEGER, "its place in the model, 0 is the first")
VALUE = Column("value", FLOAT)
INPUTS = Column("inputs", TEXT, "hash of all that the row was computed from")

LABELS = Table(
    "labels",
    "One row for each training example and data seed.",
    (
        Column("index", INTEGER, "position of the example in the data set's training set"),
        Column("true_label", INTEGER, "what is right"),
        Column("given_label", INTEGER, "what training saw"),
        Column("selected", BOOLEAN, "drawn for corruption; a selected example may keep its label by luck"),
        Column("split", TEXT, "`train`, or `validation`: held out, with labels as noisy"),
    ),
)

#: What was measured of a network while it was trained.
MEASURED = (
    Column("epoch", INTEGER, "epochs completed; 0 is the initialisation"),
    Column("split", TEXT, "`train`, `validation` or `test`"),
    Column("labels", TEXT, "scored against the `given` or the `true` labels"),
    Column(
        "mode",
        TEXT,
        "`running`: counted during the epoch's own training passes; `evaluated`: after the epoch, in evaluation mode",
    ),
    Column("metric", TEXT, "`accuracy`, `loss`"),
    VALUE,
    Column("n", INTEGER, "examples"),
)

HISTORY = Table("history", "Accuracies and losses of the network after every epoch.", MEASURED)

RECORDS = Table(
    "records",
    "Sums over the epochs so far, from the training's own forward passes before each update, towards the given label.",
    (
        Column("epoch", INTEGER, "saved epoch up to which the sums go"),
        Column("index", INTEGER, "position of the example in the data set's training set"),
        Column("sum_margin", FLOAT, "logit of the given label minus the largest other logit, summed"),
        Column("sum_loss", FLOAT, "cross-entropy in nats, summed"),
        Column("sum_confidence", FLOAT, "softmax probability of the given label, summed"),
        Column("sum_confidence_squared", FLOAT, "its square, summed"),
        Column("correct", INTEGER, "epochs in which the given label was predicted"),
        Column("learned", INTEGER, "flips from wrong to right between consecutive epochs"),
        Column("forgotten", INTEGER, "flips from right to wrong between consecutive epochs"),
        Column("first_correct", INTEGER, "first epoch in which the given label was predicted; -1 before that"),
    ),
)

LAYERS = Table(
    "layers",
    "Trained weights of each model's layers; layers without weights are left out.",
    (
        Column("dataset", TEXT, "name of the data set in the configuration"),
        Column("model", TEXT, "name of the model in the configuration"),
        Column("layer", TEXT, "layer, `output` included"),
        DEPTH,
        Column("parameters", INTEGER, "trained weights of the layer"),
    ),
    of_runs=False,
)
