"""The table behind figure 6: networks whose readout is replaced."""

import pandas as pd

from latentgen.numbers import averages
from latentgen.numbers.averages import PAIR
from latentgen.numbers.results import Results
from latentgen.summary import GRID_POINT

#: Split and labels that networks are scored on, in the order of rows of panels.
SCORED = (("test", "true"), ("train", "given"), ("train", "true"))

#: Columns that tell replaced readouts apart.
VARIANT = ["rows", "norm", "mix", "bias"]

#: Replaced readouts that are shown, by the columns `VARIANT`.
REPLACED = (
    ("axis", "unit", 1.0, "zero"),
    ("axis", "unit", 1.0, "kept"),
    ("axis", "original", 1.0, "kept"),
    ("axis", "original", 0.5, "kept"),
    ("mean", "own", 1.0, "zero"),
)

#: What a new readout has; on the last layer, the network's own with these is what a new one would be.
NEW = ("axis", "unit", 1.0, "zero")


def replaced_readouts(results: Results) -> pd.DataFrame:
    """Accuracies of networks with each replaced readout, and of the networks themselves, over the epochs.

    Raises ``ValueError`` where the tables hold no such networks.
    """
    parts = [_scored(results, *scored) for scored in SCORED]
    if not any(len(part) for part in parts):
        raise ValueError(
            "the transfer table holds no accuracy of edited networks; ask for it with the configuration key "
            "'interventions: transfer'"
        )
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _scored(results: Results, split: str, labels: str) -> pd.DataFrame:
    """The table of these examples and labels; empty where they were not scored."""
    transfer = results.transfer
    rows = transfer[
        (transfer["split"] == split)
        & (transfer["labels"] == labels)
        & (transfer["metric"] == "accuracy")
        & (transfer["rows"] != "none")
    ]
    # A readout that has no bias has none to keep: with zero bias it stands for what it would be with its own.
    unbiased = (rows["bias"] == "zero").groupby([rows[name] for name in PAIR]).transform("all")
    variants = rows[VARIANT].assign(bias=rows["bias"].mask(unbiased & (rows["norm"] == "original"), "kept"))
    rows = rows[pd.MultiIndex.from_frame(variants).isin(list(REPLACED))]
    if rows.empty:
        return rows
    key = [*GRID_POINT, "layer", "depth", "head", *VARIANT]
    network = averages.networks(results.history, rows, split=split, labels=labels)
    parts = [averages.over_epochs(rows, key).assign(series="transfer", fit_labels="given"), network]
    parts = [part.assign(split=split, labels=labels, metric="accuracy") for part in parts]
    return averages.tidy(parts, transfer, ["head", *VARIANT])


def of_variant(edited: pd.DataFrame, variant: tuple[str, str, float, str]) -> pd.DataFrame:
    """Rows with the readout ``variant``, one of `REPLACED`."""
    rows, norm, mix, bias = variant
    like = (edited["rows"] == rows) & (edited["norm"] == norm) & (edited["mix"] == mix)
    # Readouts as long as the old ones are there with one bias only, the one they have.
    return edited[like & ((edited["bias"] == bias) | (norm == "original"))]
