"""Published values beside those of a grid.

The published runs share one draw of labels, so a comparison is over the runs of that draw: the data seed is part of
each published value, and intervals are over model seeds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from latentgen import summary
from latentgen.published.values import facts
from latentgen.summary import RUN
from latentgen.summary.selection import at_end, best, best_layer

#: What a comparison can come to.
EXACT, NOT_EXACT = "agrees to the printed digit", "differs in the printed digits"
WITHIN, BEYOND = "within the published spread", "beyond the published spread"
OURS, NOT_OURS = "within our 95 % interval", "outside our 95 % interval"
ALONE, UNFINISHED, MISSING = "one run: difference only", "not reached by every run", "not in this grid"
SHORT = "ours ended too early"
VERDICTS = (EXACT, WITHIN, OURS, ALONE, NOT_EXACT, BEYOND, NOT_OURS, SHORT, UNFINISHED, MISSING)

#: Columns of the runs with which a published value is compared; a null says that any will do.
_WHERE = ["dataset", "model", "noise", "data_seed", "level"]


def scoreboard(probes: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Every published value beside what the grid gave.

    Compared are runs whose data set, model, noise kind, level and data seed have the names and values of the published
    ones; a data set under another name, such as re-encoded images, is another data set. Recipes are not compared:
    tables do not hold them.

    Parameters
    ----------
    probes, history : DataFrame
        Columns of the table of probes and the history.

    Returns
    -------
    DataFrame
        One row per published value: the columns of `latentgen.published.facts`; ``ours, ours_low, ours_high``, the mean
        over our ``ours_n`` runs and its 95 % Student t interval (null for one run), in the unit of the published
        value; ``ours_layer`` and ``ours_epoch`` (mean over runs); ``difference``, ours minus published, with
        ``difference_low, difference_high``, its 95 % interval if the published mean over ``n_runs`` has the spread of
        our runs; ``verdict``, one of `VERDICTS`.

        A value of the end of training is not judged where one of our runs ended before the training accuracy at which
        the published ones were stopped. A published spread (0 where nothing is random) decides alone. Where there is
        none, the interval of the difference decides; one run has no interval, so its difference is stated without a
        judgement. Half a unit of the last printed digit is allowed everywhere.
    """
    published = facts()
    own = [_compared(fact, probes, history) for fact in published.to_dict("records")]
    compared = pd.DataFrame(own, index=published.index).astype({"ours_n": "Int64", "ours_layer": "string"})
    return published.join(compared)


def _compared(fact: dict[str, Any], probes: pd.DataFrame, history: pd.DataFrame) -> dict[str, Any]:
    rows = QUANTITIES[fact["quantity"]](fact, _of(fact, probes), _of(fact, history))
    found = dict.fromkeys(["ours", "ours_low", "ours_high"], np.nan)
    found |= {"ours_n": len(rows), "ours_layer": None, "ours_epoch": np.nan}
    found |= dict.fromkeys(["difference", "difference_low", "difference_high"], np.nan)
    if rows.empty:
        return found | {"verdict": MISSING}
    if rows["value"].isna().any():
        return found | {"verdict": UNFINISHED}
    scale = {"percent": 100.0, "epochs": 1.0}[fact["unit"]]
    mean, low, high, n = summary.interval(scale * rows["value"])
    difference = mean - fact["value"]
    # Variances of the two means add up: s²/n of ours and, with the same s, s²/n_runs of the published one.
    half = (high - mean) * np.sqrt(1 + n / fact["n_runs"]) if pd.notna(fact["n_runs"]) else np.nan
    layers = rows["layer"].unique() if "layer" in rows else []
    return {
        **{"ours": mean, "ours_low": low, "ours_high": high, "ours_n": n},
        **{"ours_layer": ", ".join(layers) or None, "ours_epoch": rows["epoch"].mean()},
        **{"difference": difference, "difference_low": difference - half, "difference_high": difference + half},
        "verdict": SHORT if _ended_early(fact, _of(fact, history)) else _verdict(fact, difference, half),
    }


def _ended_early(fact: dict[str, Any], history: pd.DataFrame) -> bool:
    """Whether some run never had the running training accuracy at which the published ones were stopped."""
    if pd.isna(fact["stop_accuracy"]):
        return False
    reached = _running(history).groupby(RUN)["value"].max()
    return reached.empty or bool((reached < fact["stop_accuracy"]).any())


def _verdict(fact: dict[str, Any], difference: float, half: float) -> str:
    # A little more than half a unit, because the difference of two decimal numbers is not exact.
    rounding = 0.5 * 10.0 ** -fact["digits"] + 1e-9
    if pd.notna(fact["spread"]):
        agrees, differs = (EXACT, NOT_EXACT) if fact["spread"] == 0 else (WITHIN, BEYOND)
        return agrees if abs(difference) <= fact["spread"] + rounding else differs
    if np.isnan(half):
        return ALONE
    return OURS if abs(difference) <= half + rounding else NOT_OURS


def _of(fact: dict[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    for column in _WHERE:
        if pd.notna(fact[column]):
            table = table[table[column] == fact[column]]
    return table


def _running(history: pd.DataFrame) -> pd.DataFrame:
    """Accuracies on the given labels, counted while training on them."""
    rows = history[(history["mode"] == "running") & (history["split"] == "train") & (history["labels"] == "given")]
    return rows[rows["metric"] == "accuracy"]


def _model_final(fact, probes, history) -> pd.DataFrame:
    return at_end(summary.model_accuracy(history))


def _model_best_epoch(fact, probes, history) -> pd.DataFrame:
    rows = summary.model_accuracy(history)
    return best(rows, rows, ["epoch"])


def _epochs_to_fit(fact, probes, history) -> pd.DataFrame:
    """Epoch in which every given training label was first predicted when it was trained on; null if never."""
    running = _running(history)
    fitted = running[running["value"] == 1.0].groupby(RUN, as_index=False)["epoch"].min()
    rows = running[RUN].drop_duplicates().merge(fitted, on=RUN, how="left")
    return rows.assign(value=rows["epoch"])


def _probe_final_best_layer(fact, probes, history) -> pd.DataFrame:
    return best_layer(at_end(summary.probe_accuracy(probes, fact["probe"])))


def _probe_initial_best_layer(fact, probes, history) -> pd.DataFrame:
    rows = summary.probe_accuracy(probes, fact["probe"])
    return best_layer(rows[rows["epoch"] == 0])


def _on_layer(fact, probes) -> pd.DataFrame:
    rows = summary.probe_accuracy(probes, fact["probe"])
    return rows[rows["layer"] == fact["layer"]]


def _probe_final(fact, probes, history) -> pd.DataFrame:
    return at_end(_on_layer(fact, probes))


def _probe_best_epoch(fact, probes, history) -> pd.DataFrame:
    rows = _on_layer(fact, probes)
    return best(rows, rows, ["epoch"])


def _probe_at_epoch(fact, probes, history) -> pd.DataFrame:
    rows = _on_layer(fact, probes)
    return rows[rows["epoch"] == fact["epoch"]]


#: Quantity → our value of each run: a frame with columns ``value``, ``epoch`` and, of a probe, ``layer``. ``final`` is
#: each run's own last epoch; a best layer has the best mean over runs, a best epoch is found in each run for
#: itself, both on test accuracy, as published.
QUANTITIES: dict[str, Callable[[dict[str, Any], pd.DataFrame, pd.DataFrame], pd.DataFrame]] = {
    "model_final": _model_final,
    "model_best_epoch": _model_best_epoch,
    "epochs_to_fit": _epochs_to_fit,
    "probe_final": _probe_final,
    "probe_final_best_layer": _probe_final_best_layer,
    "probe_initial_best_layer": _probe_initial_best_layer,
    "probe_best_epoch": _probe_best_epoch,
    "probe_at_epoch": _probe_at_epoch,
}
