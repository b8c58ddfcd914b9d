"""Tables as figures and the headline need them: without what none of them uses, large ones fit in memory."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from latentgen import summary, tables
from latentgen.figures.catalogue import FIGURES
from latentgen.numbers.results import UNUSED, Results
from latentgen.summary import RUN, distinct
from latentgen.summary.portions import read_portions
from latentgen.summary.selection import at_end

_ACCURACY = ("metric", "==", "accuracy")
_AFTER = ("mode", "==", "evaluated")
_TEST = [("split", "==", "test"), ("labels", "==", "true"), _ACCURACY]
_GIVEN = [("split", "==", "train"), ("labels", "==", "given"), _ACCURACY]
_HELD_OUT = [("split", "==", "validation"), ("labels", "==", "given"), _ACCURACY]
#: Of networks: only early stopping looks at held-out examples.
_EVALUATED = [_ACCURACY, _AFTER, ("split", "in", ["train", "test"])]

#: Figures of accuracies counted while training; of probes at the ends of training alone.
_WHILE_TRAINING, _ENDS = ("fig9", "fig12"), ("fig10", "fig11")


def results(name: str, paths: Iterable[str | os.PathLike], **declared) -> Results:
    """What the figure ``name`` is drawn from, as far as it looks at it.

    Parameters
    ----------
    paths : files of the tables, whose names they carry
    **declared : what else `latentgen.figures.Results.of` takes
    """
    if name == "fig15":
        return Results.of({}, headline=headline(paths), **declared)
    files = {path.stem: path for path in map(Path, paths)}
    copied = _copies(files)
    return Results.of(
        {table: distinct.without(_frame(name, path), copied) for table, path in files.items()}, **declared
    )


def headline(paths: Iterable[str | os.PathLike]) -> pd.DataFrame:
    """`latentgen.summary.headline` of the tables at ``paths``, probes first, a few grid points at a time."""
    files = {path.stem: path for path in map(Path, paths)}
    rows = {"probes": [_TEST, _HELD_OUT], "history": [[*_TEST, _AFTER], [*_HELD_OUT, _AFTER]]}
    wanted = {name: (_columns(path), rows.get(name)) for name, path in files.items()}
    probes = tables.read(files["probes"], ["probe"], [_TEST])["probe"].unique()
    copied = _copies(files)
    portions = read_portions(files, wanted)
    return summary.headline_of(
        ({name: distinct.without(frame, copied) for name, frame in portion.items()} for portion in portions), probes
    )


def _copies(files: Mapping[str, Path]) -> pd.DataFrame:
    """Runs that are copies of others, by the history where that is among the tables."""
    if "history" not in files:
        return pd.DataFrame(columns=RUN)
    copied = distinct.copies(tables.read(files["history"], distinct.COLUMNS, distinct.TOLD_BY))
    distinct.tell(copied)
    return copied


def _frame(name: str, path: Path) -> pd.DataFrame:
    columns = _columns(path)
    if path.stem == "history":
        return tables.read(
            path,
            columns,
            [_EVALUATED, [*_GIVEN, ("mode", "==", "running")]] if name in _WHILE_TRAINING else [_EVALUATED],
        )
    if path.stem != "probes":
        return tables.read(path, columns, FIGURES[name].rows.get(path.stem))
    if name in _ENDS:
        portions = read_portions({"probes": path}, {"probes": (columns, [_TEST])})
        return pd.concat([_ends(portion["probes"]) for portion in portions], ignore_index=True)
    shown = sorted(FIGURES[name].probes)
    found = tables.read(path, columns, [*_TEST, ("probe", "in", shown)] if shown else [_TEST])
    # Where a probe is missing, the figure says which there are.
    return found if len(found) else tables.read(path, columns, [_TEST])


def _ends(probes: pd.DataFrame) -> pd.DataFrame:
    last = at_end(probes, [*RUN, "probe"]).index
    return probes[(probes["epoch"] == 0) | probes.index.isin(last)]


def _columns(path: Path) -> list[str]:
    return [column for column in pq.read_schema(path).names if column not in UNUSED]
