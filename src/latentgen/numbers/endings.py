"""The tables behind figures 10 and 11: what probes find at the end of training."""

from collections.abc import Sequence

import pandas as pd

from latentgen import summary
from latentgen.numbers.averages import PAIR
from latentgen.numbers.results import Results
from latentgen.probes import compared
from latentgen.summary import GRID_POINT, RUN, RUNS
from latentgen.summary.selection import at_end, best, where

#: Columns of the table behind the figures, after those of the grid point.
COLUMNS = [
    *["series", "layer", "depth", "at", "choice", "epoch", "mean", "low", "high", "n", "n_runs", *RUNS, "rank"],
    *["fit_labels", "batch_norm", "split", "labels", "metric"],
]


def all_probes(results: Results) -> tuple[pd.DataFrame, list[str]]:
    """The table behind figure 10, and the probes that it is of."""
    # Fewer axes are the subject of figure 11, other modes of batch norm that of figure 14.
    ablated = compared.thresholds(results.settings)[:-1]
    names = [
        name for name, probe in results.settings.items() if probe["batch_norm"] == "running" and name not in ablated
    ]
    return _at_the_end(results, names), names


def by_variance(results: Results) -> tuple[pd.DataFrame, list[str]]:
    """The table behind figure 11, and the probes in it: MASC by the variance, or the axes, that it keeps.

    Raises ``ValueError`` where there are fewer than two.
    """
    names = compared.thresholds(results.settings)
    # A network with one of them has nothing to compare.
    rows = results.probes[results.probes["probe"].isin(names)]
    several = rows.groupby(GRID_POINT)["probe"].transform("nunique") > 1
    table = _at_the_end(results.replaced(probes=rows[several] if several.any() else rows), names, initial=False)
    shown = [name for name in names if (table["series"] == name).any()]
    if len(shown) < 2:
        raise ValueError(
            "the probes table holds fewer than two probes of kind masc that differ in the axes they keep; add some "
            "with another variance or n_axes under the configuration key 'probes'"
        )
    return table, shown


def _at_the_end(results: Results, names: Sequence[str], *, initial: bool = True) -> pd.DataFrame:
    """Means over data seeds of each of these probes on each layer, and of the networks at the end and at their best.

    ``initial`` : whether untrained networks have rows. Raises ``ValueError`` where there is nothing of either.
    """
    rows = summary.probe_accuracy(where(results.probes, results.probes["probe"].isin(names)))
    own = summary.model_accuracy(results.history).merge(rows[RUN].drop_duplicates(), on=RUN)
    if rows.empty or own.empty:
        raise ValueError(
            "the tables hold no test accuracies of the models or of any of the probes "
            f"{', '.join(names) or 'fitted with running statistics'}; see the configuration key 'probes'"
        )
    by = [*GRID_POINT, "probe", "layer", "depth", "fit_labels", "batch_norm"]
    parts = [_means(at_end(rows, [*RUN, "probe"]), by).assign(at="end", choice="fixed")]
    if initial:
        parts.append(_means(rows[rows["epoch"] == 0], by).assign(at="initialisation", choice="fixed"))
    parts.append(_means(at_end(own), GRID_POINT).assign(probe="model", at="end", choice="fixed"))
    stopped = _means(best(own, own, ["epoch"]), GRID_POINT)
    parts.append(stopped.assign(probe="model", at="best epoch", choice="oracle"))
    table = pd.concat(parts, ignore_index=True).rename(columns={"probe": "series"})
    table = table.assign(split="test", labels="true", metric="accuracy").astype({"depth": "Int64", "layer": "string"})
    # Probes come in the order of the configuration, the network last; so do rows of panels.
    order = {name: place for place, name in enumerate([*names, "model"])}
    table = table.assign(order=table["series"].map(order)).sort_values([*GRID_POINT, "order", "at", "depth"])
    table = results.probes[PAIR].drop_duplicates().merge(table, on=PAIR)
    return table.reindex(columns=[*GRID_POINT, *COLUMNS])


def _means(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Means and intervals over data seeds, with the mean epoch and rank over runs."""
    by = list(by)
    table = summary.over_seeds(rows, by)
    measured = [column for column in ("epoch", "rank") if column in rows]
    return table.merge(rows.groupby(by, as_index=False)[measured].mean(), on=by)
