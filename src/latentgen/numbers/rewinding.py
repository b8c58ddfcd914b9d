"""The tables behind figures 20 to 22: networks some layers of which are put back to an earlier epoch."""

from collections.abc import Iterator, Sequence

import pandas as pd

from latentgen import summary
from latentgen.numbers import averages
from latentgen.numbers.averages import PAIR
from latentgen.numbers.results import Results
from latentgen.numbers.tidy import in_order
from latentgen.summary import GRID_POINT, RUN, RUNS
from latentgen.summary.selection import (
    REWIND_BATCH_NORM,
    REWOUND,
    at_end,
    best,
    rewind_accuracy,
    rewinding_baselines,
    selections,
    transfer_accuracy,
    where,
    whole_sets,
)

#: Columns of the tables behind figures 20 and 21, after those of the grid point.
HEAT_MAP = [
    *["view", "series", "choice", "layer", "depth", "parameters", "weights", "batch_norm", "epoch", "mean", "low"],
    *["high", "n", "n_runs", "n_measured", "carried", "whole", "best", "first_best_epoch", "last_best_epoch", "metric"],
]

#: Columns of the table behind figure 22, after those of the grid point.
BEST = [
    *["series", "at", "choice", "layer", "depth", "parameters", "batch_norm", "bias", "epoch", "mean", "low", "high"],
    *["diff", "diff_low", "diff_high", "n", "n_runs", *RUNS, "view", "metric"],
]

#: Views of figure 21.
VIEWS = ("test", "unpermuted", "permuted", "restored")

_BY = ["view", "kind", "layer", "depth", "parameters", "batch_norm"]

_SET = ["kind", "layer", "depth", "parameters", "batch_norm"]

_SERIES = (*REWOUND, "model", "transfer")


def rows(results: Results) -> pd.DataFrame:
    """Accuracies of rewound networks, without views that have no examples.

    Raises ``ValueError`` where there are none on test examples.
    """
    found = where(results.rewind, (results.rewind["metric"] == "accuracy") & results.rewind["value"].notna())
    if not ((found["view"] == "test") & (found["weights"] == "saved")).any():
        raise ValueError(
            "the rewind table holds no test accuracy of a rewound network; give a grid entry the configuration key "
            "'interventions.rewind'"
        )
    return found


# --- figures 20 and 21 ----------------------------------------------------------------------------


def heat_maps(results: Results, *, of_views: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table behind figure 20, or behind figure 21, ``of_views``, and the rows of `rows` that it is of.

    Raises ``ValueError`` as `rows` does.
    """
    rewind = rows(results)
    first = rewind["batch_norm"].groupby([rewind[column] for column in PAIR]).transform(_first)
    rewind = where(rewind, rewind["batch_norm"] == first)
    chosen = rewind["view"] == "test"
    if of_views:
        chosen = rewind["view"].isin(VIEWS) & (rewind["kind"] == "suffix")
    return _maps(results, rewind[chosen], _networks(rewind)), rewind[chosen]


def _first(batch_norm: pd.Series) -> str:
    """The way with batch normalisation that heat maps show."""
    return next(way for way in REWIND_BATCH_NORM if (batch_norm == way).any())


def _maps(results: Results, rewind: pd.DataFrame, own: dict[str, pd.DataFrame]) -> pd.DataFrame:
    by = [*GRID_POINT, *_BY]
    saved = averages.over_epochs(rewind[rewind["weights"] == "saved"], by).assign(weights="saved")
    redrawn = summary.over_seeds(_redrawn(rewind), by)
    redrawn = redrawn.assign(weights="redrawn", epoch=0, n_measured=redrawn["n_runs"], carried=False)
    maps = pd.concat([saved, redrawn], ignore_index=True) if len(redrawn) else saved
    maps["whole"] = whole_sets(maps)
    # The ring of every view is where the test view is best.
    there = maps[(maps["view"] == "test") & (maps["weights"] == "saved") & ~maps["whole"]]
    there = there.rename(columns={"mean": "value"})
    place = [*GRID_POINT, "kind", "layer", "epoch"]
    chosen = best(there, there, ["epoch", "layer"], [*GRID_POINT, "kind"])
    # At the last epoch nothing is put back, whatever layer is named.
    last = there.groupby(GRID_POINT, as_index=False)["epoch"].max().rename(columns={"epoch": "last"})
    chosen = chosen.merge(last, on=GRID_POINT).query("epoch < last")[place].assign(weights="saved", best=True)
    maps = maps.merge(chosen, on=[*place, "weights"], how="left").rename(columns={"kind": "series"})
    maps["best"] = maps["best"].eq(True)
    parts = [maps.assign(choice="fixed"), *_own(own)]
    return _tidy(pd.concat(parts, ignore_index=True).assign(metric="accuracy"), results, HEAT_MAP, VIEWS)


def _own(own: dict[str, pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Rows of the networks with none and all layers put back, at their ends and their best epochs."""
    for choice in ("fixed", "oracle"):
        said = {"epoch": ("epoch", "mean")}
        if choice == "oracle":
            said |= {"first_best_epoch": ("epoch", "min"), "last_best_epoch": ("epoch", "max")}
        epochs = own[choice].groupby(GRID_POINT, as_index=False).agg(**said)
        part = summary.over_seeds(own[choice], GRID_POINT).merge(epochs, on=GRID_POINT)
        yield part.assign(choice=choice, series="model", view="test")


# --- figure 22 ------------------------------------------------------------------------------------


def best_rewinding(results: Results, rewind: pd.DataFrame) -> pd.DataFrame:
    """The table behind figure 22: the best rewinding of each layer, the networks themselves, and weight transfer.

    ``rewind`` : `rows` of ``results``
    """
    own = _networks(rewind)
    parts = [
        _summarised(runs, ["batch_norm"], own).assign(
            series="model", at="end" if choice == "fixed" else "best epoch", choice=choice
        )
        for choice, runs in own.items()
    ]
    parts.append(_transferred(results, rewind))
    proper = rewind[~whole_sets(rewind)]
    saved, held_out = rewind_accuracy(proper), rewind_accuracy(proper, view="validation")
    for choice, selection in selections(saved, held_out):
        chosen = best(selection, saved, ["epoch"], [*RUN, *_SET])
        parts.append(_summarised(chosen, _SET, own, choice).assign(at="best epoch", choice=choice))
    alone = proper[(proper["view"] == "test") & (proper["kind"] == "alone")]
    initial = saved[(saved["epoch"] == 0) & (saved["kind"] == "alone")]
    for at, found in (("initialisation", initial), ("redrawn", _redrawn(alone).assign(epoch=0))):
        if len(found):
            parts.append(_summarised(found, _SET, own).assign(at=at, choice="fixed"))
    table = pd.concat(parts, ignore_index=True)
    table["series"] = table["series"].fillna(table["kind"])
    return _tidy(table.assign(view="test", metric="accuracy"), results, BEST, _SERIES)


def _transferred(results: Results, rewind: pd.DataFrame) -> pd.DataFrame:
    """Weight transfer, on all test examples and with the network's own statistics; so it has no paired difference."""
    rows = transfer_accuracy(results.transfer[results.transfer["bias"] == "zero"])
    rows = at_end(rows.merge(rewind[RUN].drop_duplicates(), on=RUN))
    return _summarised(rows, [], {}).assign(series="transfer", at="end", choice="fixed", bias="zero")


def _summarised(rows: pd.DataFrame, by: Sequence[str], own: dict[str, pd.DataFrame], choice: str = "oracle"):
    """Means over data seeds, mean epochs, and paired differences to early stopping by ``choice``, if there is one.

    ``own`` : networks by choice, of the same ways with batch normalisation
    """
    by = [*GRID_POINT, *by]
    table = summary.over_seeds(rows, by).merge(rows.groupby(by, as_index=False)["epoch"].mean(), on=by)
    if choice not in own:
        return table
    alike = [*RUN, "batch_norm"]
    early = own[choice][[*alike, "value"]].rename(columns={"value": "early"})
    gaps = rows.merge(early, on=alike, validate="many_to_one")
    gaps = summary.over_seeds(gaps.assign(value=gaps["value"] - gaps["early"]), by)
    columns = {"mean": "diff", "low": "diff_low", "high": "diff_high"}
    return table.merge(gaps.rename(columns=columns)[[*by, *columns.values()]], on=by)


# --- all ------------------------------------------------------------------------------------------


def _redrawn(rewind: pd.DataFrame) -> pd.DataFrame:
    """Rows of redrawn weights, one for each run and set of layers, the mean over draws."""
    names = [*RUN, "view", "kind", "layer", "depth", "parameters", "batch_norm"]
    return rewind[rewind["weights"] == "redrawn"].groupby(names, as_index=False)["value"].mean()


def _networks(rewind: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Test accuracies of the same networks with none and all layers put back, a row for each run and way, by choice.

    See `latentgen.summary.selection.rewinding_baselines`.
    """
    names = rewind["batch_norm"].unique()
    ways = [rewinding_baselines(where(rewind, rewind["batch_norm"] == name)) for name in names]
    choices = [choice for choice in ("fixed", "oracle", "validation") if any(choice in way for way in ways)]
    return {choice: pd.concat([way[choice] for way in ways if choice in way]) for choice in choices}


def _tidy(table: pd.DataFrame, results: Results, columns: Sequence[str], firsts: Sequence[str]) -> pd.DataFrame:
    """The table behind a figure, in order; rows of panels come in that of the configuration."""
    by = [name for name in ("view", "series", "at", "batch_norm", "choice", "depth", "weights") if name in columns]
    order = {"view": firsts, "series": [*firsts, *REWOUND], "weights": ["saved", "redrawn"]}
    table = in_order(table, results.rewind, [*by, "epoch"], order)[[*GRID_POINT, *columns]]
    # Columns that may be null in part or throughout keep their type so.
    types = {
        **dict.fromkeys(["view", "at", "series", "choice", "layer", "batch_norm", "bias", "weights"], "string"),
        **dict.fromkeys(["depth", "parameters", "n_measured"], "Int64"),
        **dict.fromkeys(["carried", "whole", "best"], "boolean"),
    }
    return table.astype({name: kind for name, kind in types.items() if name in columns})
