"""The tables behind figures 23 and 24: norms and directions of gradients, averaged over runs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from latentgen import summary
from latentgen.numbers import averages
from latentgen.numbers.averages import PAIR
from latentgen.numbers.epochs import BEST, best_and_last, best_ranges
from latentgen.numbers.results import Results
from latentgen.numbers.tidy import in_order, undefined_kept
from latentgen.summary import GRID_POINT, RUN, RUNS

#: The layer that stands for all weights of a network.
NETWORK = "network"

#: Groups of examples and parts of the loss, in the order in which they are drawn and listed.
UNPERMUTED, PERMUTED, SELECTED = GROUPS = ("unpermuted", "permuted", "selected")
LABEL, INDEPENDENT, TOTAL = PARTS = ("label_centered", "independent_centered", "total")

#: Metrics; the projection is that of the table gradients over the root of the number of parameters.
NORM, PROJECTION = "norm_per_root_parameter", "projection_per_root_parameter"
BETWEEN_GROUPS, BETWEEN_PARTS = "cosine_with_unpermuted", "cosine_with_independent"

#: Columns of the tables, after those of the grid point.
CURVE = ["layer", "depth", "parameters", "group", "part", "metric", *averages.STATISTICS]
RATIO = {name: f"{name}_ratio".removeprefix("mean_") for name in ("mean", "low", "high", *RUNS)}
LARGEST = {name: f"largest_{RATIO[name]}" for name in ("mean", "low", "high")}

#: What figure 24 shows: groups and parts of each metric of the table gradients.
DIRECTIONS = {
    BETWEEN_GROUPS: ((PERMUTED,), PARTS),
    "projection": ((UNPERMUTED, PERMUTED), (LABEL, INDEPENDENT)),
    BETWEEN_PARTS: ((UNPERMUTED, PERMUTED), (LABEL,)),
}
_ORDER = [BETWEEN_GROUPS, PROJECTION, BETWEEN_PARTS, NORM, *GROUPS, *PARTS]


class Averaged(NamedTuple):
    """``table`` : means over data seeds; ``rows`` : values of runs behind them; ``empty`` : rows without examples."""

    table: pd.DataFrame
    rows: pd.DataFrame
    empty: pd.DataFrame


def rows(results: Results, metrics: Iterable[str]) -> pd.DataFrame:
    """Rows of these metrics, groups without examples included.

    Raises ``ValueError`` where one of the metrics has no value.
    """
    metrics, table = set(metrics), results.gradients
    table = table[table["metric"].isin(metrics) & table["group"].isin(GROUPS) & table["part"].isin(PARTS)]
    lacking = metrics - set(table.dropna(subset="value")["metric"])
    if (table.loc[table["group"] == PERMUTED, "n"] == 0).all():
        # A grid without corruption has nothing to compare.
        lacking -= {BETWEEN_GROUPS}
    if lacking:
        raise ValueError(
            f"the gradients table holds no value of {', '.join(sorted(lacking))}; see the configuration key 'gradients'"
        )
    return table


def of_few_layers(found: pd.DataFrame) -> pd.DataFrame:
    """Rows of the whole network and of a few layers of each model."""
    parts = []
    for _, of_pair in found.groupby(PAIR, sort=False):
        shown = averages.few(averages.layers(of_pair[of_pair["layer"] != NETWORK]))
        parts.append(of_pair[of_pair["layer"].isin([NETWORK, *shown])])
    return pd.concat(parts)


def norms(found: pd.DataFrame, results: Results) -> Averaged:
    """Norms per root parameter, their geometric means, and ratios of the groups to the unpermuted examples.

    ``found`` : `rows` of the metric `NORM`, or some of them. Raises ``ValueError`` where the history lacks a run, as
    `directions` does.
    """
    found = found[(found["group"] != SELECTED) | (found["part"] == LABEL)]
    # Norms and ratios are compared over orders of magnitude and are never negative: so are means of their logarithms.
    measured = undefined_kept(found.assign(value=np.log10(found["value"].where(found["value"] > 0))))
    best = best_and_last(measured, results)
    table = _averaged(measured, best)
    if (measured["group"] != UNPERMUTED).any():
        table = _with_ratios(table, measured, best)
    else:
        table[[*RATIO.values(), *LARGEST.values()]] = np.nan
    logarithms = ["mean", "low", "high", *RUNS, *RATIO.values(), *LARGEST.values()]
    table[logarithms] = 10 ** table[logarithms].where(np.isfinite(table[logarithms]))
    table["expected_ratio"] = _expected(table, results.chance)
    columns = [*CURVE, *RATIO.values(), *LARGEST.values(), "expected_ratio", *BEST]
    return Averaged(_tidy(table, results.gradients, columns), measured, found[found["n"] == 0])


def directions(found: pd.DataFrame, results: Results) -> Averaged:
    """Cosines between groups and between parts, and projections per root parameter on the total gradient.

    ``found`` : `rows` of the metrics `DIRECTIONS`, or some of them
    """
    drawn = [
        (found["metric"] == metric) & found["group"].isin(groups) & found["part"].isin(parts)
        for metric, (groups, parts) in DIRECTIONS.items()
    ]
    found = found[np.logical_or.reduce(drawn)]
    projected = found["metric"] == "projection"
    scaled = found["value"].where(~projected, found["value"] / np.sqrt(found["parameters"]))
    found = found.assign(value=scaled, metric=found["metric"].where(~projected, PROJECTION))
    measured = undefined_kept(found)
    table = _averaged(measured, best_and_last(measured, results))
    return Averaged(_tidy(table, results.gradients, [*CURVE, *BEST]), measured, found[found["n"] == 0])


def _averaged(rows: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """Means over data seeds, with the range of the best epochs over runs; ``best`` : as `best_and_last` gives them."""
    table = averages.over_epochs(rows, [*GRID_POINT, "layer", "group", "part", "metric"])
    weights = rows[[*PAIR, "layer", "depth", "parameters"]].drop_duplicates()
    return table.merge(weights, on=[*PAIR, "layer"]).merge(best_ranges(best), on=GRID_POINT)


def _with_ratios(table: pd.DataFrame, rows: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """``table`` with logarithms of ratios to the unpermuted examples, paired in runs, and of the largest early ones.

    Early is after the initialisation and not after the network's best epoch.
    """
    clean = rows[rows["group"] == UNPERMUTED]
    ratios = pd.concat(
        summary.difference(of_group, clean, [*RUN, "layer", "part", "epoch"]).assign(group=group)
        for group, of_group in rows[rows["group"] != UNPERMUTED].groupby("group")
    )
    # Infinite minus infinite is no number.
    ratios["value"] = ratios["value"].where(np.isfinite(ratios["value"]), np.inf)
    key = [*GRID_POINT, "layer", "group", "part"]
    at_epochs = averages.over_epochs(ratios, key).rename(columns=RATIO)[[*key, "epoch", *RATIO.values()]]
    stops = best.loc[best["at"] == "best epoch", [*RUN, "epoch"]].rename(columns={"epoch": "stop"})
    early = ratios.merge(stops, on=RUN)
    early = early[(early["epoch"] > 0) & (early["epoch"] <= early["stop"])]
    early = early.groupby([*RUN, "layer", "group", "part"], as_index=False)["value"].max()
    largest = summary.over_seeds(early, key).rename(columns=LARGEST)[[*key, *LARGEST.values()]]
    return table.merge(at_epochs, on=[*key, "epoch"], how="left").merge(largest, on=key, how="left")


def _expected(table: pd.DataFrame, chance: Mapping[str, float]) -> pd.Series:
    """1/(C - 1) for the label-dependent part on permuted examples, null elsewhere.

    A wrong label is any of the C - 1 others. If the weights know nothing of it, the expected derivative by the logits,
    -(e_y - 1/C), is -1/(C - 1) times that of the true label k: the mean of e_y is (1 - e_k)/(C - 1).
    """
    guessing = table["dataset"].map(chance).astype(float)
    told = (table["group"] == PERMUTED) & (table["part"] == LABEL)
    return (guessing / (1 - guessing)).where(told)


def _tidy(table: pd.DataFrame, gradients: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Means that are defined, in order: the network before its layers, rows of panels as in ``gradients``."""
    table = table[np.isfinite(table["mean"])].astype({"depth": "Int64"})
    by, names = ["depth", "metric", "part", "group", "epoch"], ("metric", "part", "group")
    table = in_order(table, gradients, by, dict.fromkeys(names, _ORDER), na_position="first")
    return table[[*GRID_POINT, *columns]]
