"""Published values, as the files of this package state them."""

from importlib import resources
from typing import Any

import pandas as pd

#: Columns of the files, with their types. Null where a column says nothing.
TYPES = {
    "source": "string",
    "dataset": "string",
    "model": "string",
    "noise": "string",
    "data_seed": "Int64",
    "level": "float64",
    "quantity": "string",
    "probe": "string",
    "layer": "string",
    "epoch": "Int64",
    "stop_accuracy": "float64",
    "value": "float64",
    "unit": "string",
    "digits": "Int64",
    "spread": "float64",
    "n_runs": "Int64",
    "note": "string",
}

#: What the names of the files stand for.
SOURCES = {
    "ketha2026": "Ketha & Ramaswamy, TMLR 2026, arXiv 2603.19865",
}


def facts() -> pd.DataFrame:
    """Every published value that a grid can be compared with.

    Returns
    -------
    DataFrame
        ``source``; ``dataset, model`` (null: any, the value does not depend on it), ``noise, data_seed, level`` of the
        runs; ``quantity`` (a key of `latentgen.published.comparison.QUANTITIES`) with ``probe, layer, epoch``, as far
        as it needs or the source states them; ``stop_accuracy``, the running training accuracy that ended the
        published runs, where the value is of their end or of all their epochs; ``value`` in ``unit`` (percent or
        epochs), printed with ``digits`` decimals; ``spread``, the published uncertainty in the same unit (0: nothing is
        random; null: not published); ``n_runs`` behind the value; ``note``.
    """
    files = [resources.files(__package__) / f"{source}.csv" for source in SOURCES]
    return pd.concat([_read(file) for file in files], ignore_index=True)


def rows() -> list[tuple[str, str, Any]]:
    """Rows of the probes or the history that some published value is compared with, as `latentgen.tables.read` has it.

    Others may be among them.
    """
    published = facts()
    runs = published[["dataset", "noise", "data_seed", "level"]].dropna(axis=1)
    return [("metric", "==", "accuracy"), *((name, "in", column.unique().tolist()) for name, column in runs.items())]


def _read(file) -> pd.DataFrame:
    with file.open() as lines:
        return pd.read_csv(lines, dtype=TYPES)
