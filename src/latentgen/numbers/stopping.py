"""The table behind figure 15: every probe and every intervention compared with early stopping."""

from typing import Any

import pandas as pd

from latentgen import analyses, summary
from latentgen.numbers.averages import PAIR
from latentgen.numbers.results import Results, probe_label
from latentgen.probes import compared
from latentgen.summary import GRID_POINT, RUNS
from latentgen.summary.selection import REWOUND
from latentgen.summary.text import intervention_label

#: Columns of the table behind the figure, after those of the grid point.
COLUMNS = [
    *["series", "quantity", "choice", "probe", "layer", "bias", "edit_epoch", "epoch", "mean", "low", "high"],
    *["diff", "diff_low", "diff_high", "validation_diff", "validation_diff_low", "validation_diff_high"],
    *["n", "n_runs", *RUNS, "fit_labels", "batch_norm", "split", "labels", "metric"],
]

#: What of the headline is shown, quantity and choice, in the order of legends.
SHOWN = (
    ("model_final", "fixed"),
    ("model_best_epoch", "oracle"),
    ("model_best_epoch", "validation"),
    ("probe_final_last_layer", "fixed"),
    ("probe_final_best_layer", "oracle"),
    ("probe_best_epoch_best_layer", "oracle"),
    ("probe_best_epoch_best_layer", "validation"),
    ("transfer_final", "fixed"),
    ("transfer_best_epoch", "oracle"),
    ("transfer_best_epoch", "validation"),
    ("edit_final", "fixed"),
    ("edit_control_final", "fixed"),
    ("relabel_final", "fixed"),
    ("rewind_none", "fixed"),
    *((f"rewind_{kind}_best", "oracle") for kind in ("all", *REWOUND)),
    *((f"rewind_{kind}_best", "validation") for kind in ("all", *REWOUND)),
)

#: Tables that the headline is made of.
_TABLES = ("probes", "history", *analyses.INTERVENING)


def compared_with_stopping(results: Results) -> tuple[pd.DataFrame, bool]:
    """The table behind figure 15, and whether MASC with fewer axes is left out of it.

    Raises ``ValueError`` where the tables lack test accuracies of the models or of probes.
    """
    headline = results.headline
    if headline is None:
        headline = summary.headline(**{name: getattr(results, name) for name in _TABLES})
    # MASC with fewer axes is the subject of figure 11, with networks that have no other probe.
    ablated = headline["probe"].isin(compared.thresholds(results.settings)[:-1])
    others = headline.loc[headline["probe"].notna() & ~ablated, PAIR].drop_duplicates()
    return _table(headline[~ablated].merge(others, on=PAIR)), bool(ablated.any())


def _table(headline: pd.DataFrame) -> pd.DataFrame:
    kinds = pd.MultiIndex.from_frame(headline[["quantity", "choice"]])
    shown = headline[kinds.isin(list(SHOWN))].copy()
    shown["series"] = [_series(row) for row in shown.itertuples()]
    # A difference has the names of its quantity; edits of several layers differ by layer.
    key = [*GRID_POINT, "probe", "batch_norm", "bias", "edit_epoch", "layer", "quantity"]
    for choice, column in (("oracle", "diff"), ("validation", "validation_diff")):
        gaps = headline[headline["quantity"].str.endswith("_minus_model_best_epoch") & (headline["choice"] == choice)]
        gaps = gaps.assign(quantity=gaps["quantity"].str.removesuffix("_minus_model_best_epoch"))
        gaps = gaps.rename(columns={"mean": column, "low": f"{column}_low", "high": f"{column}_high"})
        values = [column, f"{column}_low", f"{column}_high"]
        # What is fixed was compared with both ways of stopping, what was chosen with its own.
        fitting = shown["choice"].isin(["fixed", choice])
        found = shown.loc[fitting, key].merge(gaps[[*key, *values]], on=key, how="left", validate="one_to_one")
        shown.loc[fitting, values] = found[values].to_numpy()
    shown = shown.assign(split="test", labels="true", metric="accuracy")
    return shown.reindex(columns=[*GRID_POINT, *COLUMNS]).reset_index(drop=True)


def _series(row: Any) -> str:
    """Name of the line on which a row of the headline stands."""
    if row.quantity.startswith("model"):
        return "network"
    if row.quantity.startswith("relabel"):
        return f"relabelled by {probe_label(row.probe)}, {row.layer}"
    if not row.quantity.startswith("probe"):
        return intervention_label(row)
    label = probe_label(row.probe)
    return label if row.fit_labels == "given" else f"{label} [{row.fit_labels}]"


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table with ``mean, low, high`` of the difference to early stopping by the same choice.

    What is fixed is compared with the oracle. Runs of a few data seeds have no difference of their own in the table.
    """
    held_out = table["choice"] == "validation"
    found = table.assign(**dict.fromkeys(RUNS, float("nan")))
    for column in ("", "_low", "_high"):
        gap = table[f"diff{column}"].mask(held_out, table[f"validation_diff{column}"])
        found[column.removeprefix("_") or "mean"] = gap.astype(float)
    # Those of rewound layers are to all layers put back, which is not where the others have their zero.
    own = found["quantity"].isin([f"rewind_{kind}_best" for kind in REWOUND])
    stopped = table[table["quantity"] == "model_best_epoch"].set_index([*GRID_POINT, "choice"])["mean"]
    at = pd.MultiIndex.from_frame(table[[*GRID_POINT, "choice"]])
    found.loc[own, "mean"] = (table["mean"] - stopped.reindex(at).to_numpy())[own]
    found.loc[own, ["low", "high"]] = float("nan")
    return found
