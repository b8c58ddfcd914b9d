"""Which rows of the tables are meant, and which of them are last or best."""

from collections.abc import Iterator, Sequence

import pandas as pd

from latentgen.summary.intervals import GRID_POINT, RUN, over_seeds

#: Sets of layers that are rewound together, and ways with batch normalisation, in the order of tables and figures.
REWOUND = ("alone", "prefix", "suffix")
REWIND_BATCH_NORM = ("reestimated", "rewound", "none")

#: What `probe_accuracy` tells rows by.
MEASURED = ["probe", "split", "labels", "metric"]


def probe_accuracy(
    probes: pd.DataFrame,
    probe: str | None = None,
    *,
    split: str = "test",
    labels: str = "true",
) -> pd.DataFrame:
    """Accuracies of all probes or of one: a row per run, epoch, layer and probe.

    A probe's name stands for one setting, so it also says which labels the probe was fitted on.
    """
    return _accuracy(probes, split, labels, True if probe is None else probes["probe"] == probe)


def model_accuracy(history: pd.DataFrame, *, split: str = "test", labels: str = "true") -> pd.DataFrame:
    """The models' own accuracies in evaluation mode: one row per run and epoch.

    ``history`` may also be a table of continued or repeated trainings (of edits, of relabelled ones), which
    has a row for each of them.
    """
    return _accuracy(history, split, labels, history["mode"] == "evaluated")


def transfer_accuracy(transfer: pd.DataFrame, *, split: str = "test", labels: str = "true") -> pd.DataFrame:
    """Accuracies of the networks whose own readout has VeLPIC's unit axes as rows: one per run, epoch and bias."""
    axes = (transfer["head"] == "replaced") & (transfer["rows"] == "axis")
    whole = (transfer["norm"] == "unit") & (transfer["mix"] == 1.0)
    return _accuracy(transfer, split, labels, axes & whole)


def rewind_accuracy(rewind: pd.DataFrame, *, view: str = "test", weights: str = "saved") -> pd.DataFrame:
    """Accuracies of the rewound networks in one view: one row per run, epoch, kind, layer, batch norm and draw.

    A view that has no examples has no rows.
    """
    rows = rewind[(rewind["view"] == view) & (rewind["weights"] == weights) & (rewind["metric"] == "accuracy")]
    return rows.dropna(subset="value")


def whole_sets(rewind: pd.DataFrame) -> pd.Series:
    """Which rows of a rewind table, with all its layers, put back all layers at once, which is early stopping."""
    depth = rewind.groupby(GRID_POINT)["depth"]
    first, last = rewind["depth"] == depth.transform("min"), rewind["depth"] == depth.transform("max")
    kind = rewind["kind"]
    return (first | (kind == "prefix")) & (last | (kind == "suffix"))


def rewinding_baselines(rewind: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What rewinding is compared with: the same networks with none or all layers put back, one row per run, by choice.

    ``fixed`` is the end, where nothing is put back; ``oracle`` and, where labels are held out, ``validation`` are early
    stopping: all layers put back to the saved epoch that is best. So both sides are scored on the same examples, have
    the same saved epochs to choose from and treat running statistics alike.

    ``rewind`` : of one way with batch normalisation
    """
    whole = rewind[whole_sets(rewind) & (rewind["kind"] == "prefix")]
    rows, held_out = rewind_accuracy(whole), rewind_accuracy(whole, view="validation")
    return {"fixed": at_end(rows)} | {
        choice: best(epochs, rows, ["epoch"]) for choice, epochs in selections(rows, held_out)
    }


def at_end(rows: pd.DataFrame, within: Sequence[str] = RUN) -> pd.DataFrame:
    """Rows of the last epoch that each ``within`` has."""
    return rows[rows["epoch"] == rows.groupby(list(within))["epoch"].transform("max")]


def best(
    selection: pd.DataFrame, scored: pd.DataFrame, columns: Sequence[str], within: Sequence[str] = RUN
) -> pd.DataFrame:
    """Rows of ``scored`` where ``selection`` has its highest value within ``within``.

    ``columns`` say what is chosen: ``epoch``, ``layer`` or both. Of equals the earliest epoch counts, then the
    shallowest layer.
    """
    order = [{"layer": "depth"}.get(column, column) for column in columns]
    selection = selection.sort_values([*within, *order], ignore_index=True)
    first = selection.loc[selection.groupby(list(within))["value"].idxmax(), [*within, *columns]]
    return scored.merge(first, on=[*within, *columns], validate="many_to_one")


def selections(rows: pd.DataFrame, held_out: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(choice, the rows that it looks at)."""
    yield "oracle", rows
    if not held_out.empty:
        yield "validation", held_out


def best_layer(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the layer that has the best mean over runs at each grid point; of equals the shallowest."""
    means = over_seeds(rows, [*GRID_POINT, "layer", "depth"]).rename(columns={"mean": "value"})
    return best(means, rows, ["layer"], GRID_POINT)


def last_layer(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the deepest layer of each grid point."""
    return rows[rows["depth"] == rows.groupby(GRID_POINT)["depth"].transform("max")]


def where(rows: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """The ``chosen`` of ``rows``; if those are all, no copy, which of a large table would take as much memory again."""
    return rows if chosen.all() else rows[chosen]


def _accuracy(rows: pd.DataFrame, split: str, labels: str, chosen: pd.Series | bool) -> pd.DataFrame:
    scored = (rows["split"] == split) & (rows["labels"] == labels) & (rows["metric"] == "accuracy")
    return where(rows, scored & chosen)
