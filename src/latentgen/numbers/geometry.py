"""The tables behind figures 16 to 18: mean-field geometry of class manifolds."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from latentgen import summary
from latentgen.activations import INPUT
from latentgen.geometry.views import VIEWS
from latentgen.numbers import averages
from latentgen.numbers.averages import PAIR
from latentgen.numbers.epochs import BEST, best_and_last
from latentgen.numbers.results import Results
from latentgen.numbers.tidy import in_order, undefined_kept
from latentgen.summary import GRID_POINT, RUN, RUNS, SEEDS

#: Columns of the table behind figure 16, after those of the grid point.
BY_LAYER = [
    *["at", "choice", "first_epoch", "last_epoch", "layer", "depth", "view", "metric", "mean", "low", "high"],
    *["n", "n_runs", *RUNS, "error", "spread", "unstructured"],
]
#: The same of figure 17.
OVER_TRAINING = ["layer", "depth", "view", "metric", *averages.STATISTICS, "unstructured", *BEST]
#: The same of figure 18.
CAPACITY = [
    *["series", *SEEDS, "epoch", "layer", "depth", "view", "measured", "measured_error", "theory", "theory_error"],
    *["unstructured", "correlation", "deviation", "n", "n_points"],
]

#: Measures of figure 16 in the order of its rows of panels, and those of mean-field theory, which figure 17 shows too.
MEASURES = ("capacity", "radius", "dimension", "center_correlation")
THEORY = MEASURES[:3]
#: Measures on logarithmic axes, whose means are geometric.
LOGARITHMIC = ("capacity", "radius")

#: Metric of the measured capacity → name of its series.
SIMULATED = {"simulated_capacity": "axes removed", "simulated_capacity_raw": "axes kept"}


def rows(results: Results, metrics: Iterable[str], key: str = "geometry") -> pd.DataFrame:
    """Rows of the geometry of these metrics, empty views included.

    Raises ``ValueError`` where none has a value; ``key`` is the key of the configuration that asks for them.
    """
    found = results.geometry[results.geometry["metric"].isin(list(metrics))]
    if found["value"].notna().sum() == 0:
        raise ValueError(
            f"the geometry table holds no value of {', '.join(metrics)}; see the configuration key {key!r}"
        )
    return found


# --- figures 16 and 17 ----------------------------------------------------------------------------


def at_best_and_last(geometry: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Rows of each run's best and last epoch, named in the column ``at``; see `latentgen.numbers.epochs`."""
    return geometry.merge(best_and_last(geometry, results), on=[*RUN, "epoch"])


def by_layer(shown: pd.DataFrame, geometry: pd.DataFrame) -> pd.DataFrame:
    """The table behind figure 16; ``shown`` : rows of `at_best_and_last` of ``geometry``."""
    at = [*GRID_POINT, "at"]
    by = [*at, "layer", "depth", "view", "metric"]
    of_runs = shown.groupby(by, as_index=False)[["error", "spread", "unstructured"]].mean()
    ranges = shown.groupby(at, as_index=False).agg(first_epoch=("epoch", "min"), last_epoch=("epoch", "max"))
    means = _unlogged(summary.over_seeds(_logged(undefined_kept(shown)), by))
    table = means.merge(of_runs, on=by).merge(ranges, on=at)
    table["choice"] = table["at"].map({"best epoch": "oracle", "last epoch": "fixed"})
    return _defined(table, geometry, ["at", "metric", "view", "depth"], BY_LAYER)


def of_few_layers(geometry: pd.DataFrame) -> pd.DataFrame:
    """Rows of a few layers of each model, the input left out."""
    parts = []
    for _, of_pair in geometry.groupby(PAIR, sort=False):
        shown = averages.few(averages.layers(of_pair[of_pair["layer"] != INPUT]))
        parts.append(of_pair[of_pair["layer"].isin(shown)])
    return pd.concat(parts)


def over_training(geometry: pd.DataFrame, best: pd.DataFrame) -> pd.DataFrame:
    """The table behind figure 17; ``best`` : as `latentgen.numbers.epochs.best_ranges` gives them."""
    there = undefined_kept(geometry)
    unstructured = there.groupby(GRID_POINT, as_index=False)["unstructured"].mean()
    table = _unlogged(averages.over_epochs(_logged(there), [*GRID_POINT, "layer", "depth", "view", "metric"]))
    table = table.merge(unstructured, on=GRID_POINT).merge(best, on=GRID_POINT)
    return _defined(table, geometry, ["metric", "depth", "view", "epoch"], OVER_TRAINING)


def _logged(rows: pd.DataFrame) -> pd.DataFrame:
    """Values of logarithmic measures as logarithms; zero and what is undefined stay infinite."""
    logarithms = np.log10(rows["value"].where(rows["value"] > 0, np.inf))
    return rows.assign(value=rows["value"].mask(rows["metric"].isin(LOGARITHMIC), logarithms))


def _unlogged(table: pd.DataFrame) -> pd.DataFrame:
    of = table["metric"].isin(LOGARITHMIC) & np.isfinite(table["mean"])
    columns = ["mean", "low", "high", *RUNS]
    table = table.copy()
    table.loc[of, columns] = 10 ** table.loc[of, columns].astype(float)
    return table


def _defined(table: pd.DataFrame, geometry: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Means that are defined, in order."""
    table = table[np.isfinite(table["mean"])]
    return in_order(table, geometry, by, {"metric": MEASURES, "view": VIEWS})[[*GRID_POINT, *columns]]


# --- figure 18 ------------------------------------------------------------------------------------

#: What a mark of figure 18 is.
_MARK = [*RUN, "epoch", "layer", "depth", "view"]


def theory(results: Results, simulated: pd.DataFrame) -> pd.DataFrame:
    """Rows of the mean-field capacity where there is a ``simulated`` one."""
    found = results.geometry[results.geometry["metric"] == "capacity"]
    return found.merge(simulated[_MARK].drop_duplicates(), on=_MARK)


def capacity(simulated: pd.DataFrame, theory: pd.DataFrame) -> pd.DataFrame:
    """The table behind figure 18, of rows of the measured capacity and of the mean-field one.

    Raises ``ValueError`` where no mark has both.
    """
    columns = {"value": "measured", "error": "measured_error"}
    measured = simulated.dropna(subset="value").rename(columns=columns).drop(columns=["kappa", "n"])
    columns = {"value": "theory", "error": "theory_error"}
    of_theory = theory.dropna(subset="value").rename(columns=columns)[[*_MARK, *columns.values()]]
    table = measured.merge(of_theory, on=_MARK)
    if table.empty:
        raise ValueError(
            "the geometry table holds no mean-field capacity where capacity was measured; both are of one grid entry"
        )
    table["series"] = table["metric"].map(SIMULATED)
    by = [*GRID_POINT, "series"]
    agreement = [dict(zip(by, names, strict=True)) | _agreement(points) for names, points in table.groupby(by)]
    return of_marks(table.merge(pd.DataFrame(agreement), on=by), simulated, CAPACITY, SIMULATED.values())


def _agreement(points: pd.DataFrame) -> dict[str, float]:
    """How theory and measurement agree; no correlation of fewer than three marks, or of constants."""
    x, y = np.log(points["measured"]), np.log(points["theory"])
    told = len(points) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
    return {
        "correlation": stats.pearsonr(x, y).statistic if told else np.nan,
        "deviation": (points["theory"] / points["measured"] - 1).mean(),
        "n": points["data_seed"].nunique(),
        "n_points": len(points),
    }


# --- figures 18 and 19 ----------------------------------------------------------------------------


def of_marks(
    table: pd.DataFrame, geometry: pd.DataFrame, columns: Sequence[str], *firsts: Iterable[str]
) -> pd.DataFrame:
    """The table behind a figure that has a row for each mark: those of ``table`` in order, with ``columns``.

    Rows of panels come in the order of ``geometry``, which is that of the configuration; ``firsts`` are names of
    panels and series, each in the order that they come in.
    """
    names = [name for name in ("panel", "series", "view") if name in columns]
    order = [*(name for of_column in firsts for name in of_column), *VIEWS]
    table = in_order(table, geometry, [*names, *SEEDS, "epoch", "depth"], dict.fromkeys(names, order))
    return table[[*GRID_POINT, *columns]]
