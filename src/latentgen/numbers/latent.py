"""The table behind figure 19: latent generalization against capacity."""

from collections.abc import Sequence

import pandas as pd
from scipy import stats

from latentgen import summary
from latentgen.activations import INPUT
from latentgen.numbers import averages
from latentgen.numbers.geometry import of_marks
from latentgen.numbers.results import Results
from latentgen.summary import FEWEST, GRID_POINT, RUN, SEEDS
from latentgen.summary.selection import best, last_layer

#: Columns of the table behind the figure, after those of the grid point.
COLUMNS = [
    *["panel", "series", *SEEDS, "epoch", "layer", "depth", "view", "capacity", "best_layer", "value"],
    *["unstructured", "later", "spearman", "low", "high", "later_spearman", "later_low", "later_high", "n", "n_points"],
    *["fit_labels", "split", "labels", "metric"],
]

#: Columns of half the length of the interval of ρ, null where it is left out: of few data seeds it soon leaves [-1, 1],
#: where every correlation lies. They are not of the table that is saved.
HALVES = ["half", "later_half"]

#: Panel → the view whose capacity it shows.
PANELS = {
    "each layer": "test",
    "best layer": "test",
    "gap, permuted": "permuted",
    "gap, restored": "restored",
}


def against_capacity(results: Results, geometry: pd.DataFrame) -> pd.DataFrame:
    """The table behind figure 19, and `HALVES`; ``geometry`` : rows of the capacity.

    Raises ``ValueError`` where nothing was measured at the same checkpoints.
    """
    table = _table(results, geometry)
    if table.empty:
        raise ValueError(
            "the tables geometry, probes and history hold no checkpoint with capacity, the probe 'masc' and the "
            "network's test accuracy; give the same grid entry the keys 'geometry' and 'probes'"
        )
    table = table.assign(fit_labels="given", split="test", labels="true", metric="accuracy")
    table.loc[table["series"] == "model", "fit_labels"] = None
    return of_marks(table, geometry, [*COLUMNS, *HALVES], PANELS, ["masc", "model", "masc - model"])


def _table(results: Results, geometry: pd.DataFrame) -> pd.DataFrame:
    at = [*RUN, "epoch"]
    capacity = geometry.dropna(subset="value").rename(columns={"value": "capacity"})
    capacity = capacity[[*at, "layer", "view", "capacity", "unstructured"]]
    # Only what all three tables measured, so that all panels are of the same checkpoints.
    own = summary.model_accuracy(results.history)[[*at, "value"]].merge(capacity[at].drop_duplicates(), on=at)
    masc = averages.probe_rows(results.probes, "masc")
    masc = masc[masc["layer"] != INPUT][[*at, "layer", "depth", "value"]].merge(own[at], on=at)
    own = own.merge(masc[at].drop_duplicates(), on=at)
    if masc.empty:
        return masc
    highest = masc.sort_values([*at, "depth"]).groupby(at)["value"].idxmax()
    highest = masc.loc[highest].rename(columns={"layer": "best_layer"}).drop(columns="depth")
    gap = summary.difference(highest, own, at).merge(highest[[*at, "best_layer"]], on=at)
    last = (
        last_layer(masc)[[*GRID_POINT, "layer", "depth"]].drop_duplicates().merge(capacity, on=[*GRID_POINT, "layer"])
    )
    of_view = dict(list(last.groupby("view")))
    parts = [(masc.merge(capacity[capacity["view"] == "test"], on=[*at, "layer"]), "each layer", "masc")]
    for panel, series, values in (
        ("best layer", "masc", highest),
        ("best layer", "model", own),
        ("gap, permuted", "masc - model", gap),
        ("gap, restored", "masc - model", gap),
    ):
        if (view := PANELS[panel]) in of_view:
            parts.append((values.merge(of_view[view], on=at), panel, series))
    table = pd.concat([part.assign(panel=panel, series=series) for part, panel, series in parts], ignore_index=True)
    stopped = best(own, own, ["epoch"])[[*RUN, "epoch"]].rename(columns={"epoch": "best_epoch"})
    table = table.merge(stopped, on=RUN)
    table["later"] = table["epoch"] >= table["best_epoch"]
    by = [*GRID_POINT, "panel", "series"]
    counts = table.groupby(by, as_index=False).agg(n=("data_seed", "nunique"), n_points=("value", "size"))
    later = _rank_correlations(table[table["later"]], by)
    later = later.rename(columns={name: f"later_{name}" for name in ("spearman", "low", "high", "half")})
    for columns in (counts, _rank_correlations(table, by), later):
        table = table.merge(columns, on=by, how="left")
    return table


def _rank_correlations(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Spearman's correlation within each run, its mean and interval over data seeds; no row where none is defined."""
    rows = []
    for names, points in table.groupby([*by, *SEEDS]):
        # Of two epochs, or of constants, a rank correlation says nothing.
        if len(points) > 2 and points["capacity"].nunique() > 1 and points["value"].nunique() > 1:
            value = stats.spearmanr(points["capacity"], points["value"]).statistic
            rows.append(dict(zip([*by, *SEEDS], names, strict=True)) | {"value": value})
    empty = table[[*by, *SEEDS]].head(0).assign(value=0.0)
    found = summary.over_seeds(pd.DataFrame(rows) if rows else empty, by).rename(columns={"mean": "spearman"})
    found["half"] = (found["high"] - found["spearman"]).where(found["n"] >= FEWEST)
    return found[[*by, "spearman", "low", "high", "half"]]
