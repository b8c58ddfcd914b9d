"""What the headline measures of networks after interventions: one row per run for each quantity."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from latentgen.summary.intervals import RUN, difference
from latentgen.summary.selection import (
    REWIND_BATCH_NORM,
    REWOUND,
    at_end,
    best,
    model_accuracy,
    rewind_accuracy,
    rewinding_baselines,
    selections,
    transfer_accuracy,
    whole_sets,
)


class Measure(NamedTuple):
    """A quantity with one row per run: columns of the run, ``epoch``, ``value``, perhaps ``layer`` and ``depth``.

    ``beside`` : rows by choice (fixed is the end) that it is compared with, where not with the history's own
    """

    quantity: str
    choice: str
    rows: pd.DataFrame
    names: Mapping[str, Any]
    beside: Mapping[str, pd.DataFrame] | None = None


def measures(tables: Mapping[str, pd.DataFrame]) -> Iterator[Measure]:
    """Quantities of the interventions that have a table; `latentgen.summary.headline` says what they are."""
    for name, quantities in (("transfer", _transfer), ("edit", _edit), ("relabel", _relabel), ("rewind", _rewind)):
        if name in tables:
            yield from quantities(tables[name])


def minus(rows: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with the paired difference to the baseline's row of the same run as their value."""
    return rows.drop(columns="value").merge(difference(rows, baseline, RUN), on=RUN)


def _transfer(transfer: pd.DataFrame) -> Iterator[Measure]:
    for bias in ("zero", "kept"):
        edited = transfer[transfer["bias"] == bias]
        rows = transfer_accuracy(edited)
        if rows.empty:
            continue
        names = {"fit_labels": "given", "bias": bias}
        yield Measure("transfer_final", "fixed", at_end(rows), names)
        for choice, epochs in selections(rows, transfer_accuracy(edited, split="validation", labels="given")):
            yield Measure("transfer_best_epoch", choice, best(epochs, rows, ["epoch"]), names)


def _edit(edit: pd.DataFrame) -> Iterator[Measure]:
    rows = at_end(model_accuracy(edit), [*RUN, "edit_epoch", "layer", "rows", "bias"])
    for edit_epoch, continued in rows.groupby("edit_epoch"):
        control = continued[continued["rows"] == "none"]
        for (_, bias), edited in continued[continued["rows"] == "axis"].groupby(["layer", "bias"], sort=False):
            names = {"fit_labels": "given", "bias": bias, "edit_epoch": edit_epoch}
            yield Measure("edit_final", "fixed", edited, names)
            yield Measure("edit_final_minus_control", "fixed", minus(edited, control), names)
        yield Measure("edit_control_final", "fixed", control, {"edit_epoch": edit_epoch})


def _relabel(relabel: pd.DataFrame) -> Iterator[Measure]:
    new_labels = relabel[(relabel["metric"] == "label_accuracy") & (relabel["split"] == "train")]
    right = new_labels[new_labels["labels"] == "true"]
    final = at_end(model_accuracy(relabel), [*RUN, "probe", "layer"])
    for quantity, rows in (("relabel_label_accuracy", right), ("relabel_final", final)):
        for (probe, _), of_probe in rows.groupby(["probe", "layer"], sort=False):
            yield Measure(quantity, "fixed", of_probe, {"probe": probe, "fit_labels": "given"})


def _rewind(rewind: pd.DataFrame) -> Iterator[Measure]:
    for way in REWIND_BATCH_NORM:
        of_way = rewind[rewind["batch_norm"] == way]
        if rewind_accuracy(of_way).empty:
            continue
        names, beside = {"batch_norm": way}, rewinding_baselines(of_way)
        for choice, rows in beside.items():
            quantity = "rewind_none" if choice == "fixed" else "rewind_all_best"
            yield Measure(quantity, choice, rows.drop(columns=["layer", "depth"]), names)
        parts = of_way[~whole_sets(of_way)]
        rows, held_out = rewind_accuracy(parts), rewind_accuracy(parts, view="validation")
        for kind in REWOUND:
            scored, given = (frame[frame["kind"] == kind] for frame in (rows, held_out))
            for choice, selection in selections(scored, given) if len(scored) else ():
                chosen = best(selection, scored, ["epoch", "layer"])
                # At the last epoch nothing is put back, whatever layer is named.
                nothing = chosen["epoch"] == chosen["last_epoch"]
                chosen = chosen.assign(
                    layer=chosen["layer"].mask(nothing, "none"), depth=chosen["depth"].mask(nothing, -1)
                )
                yield Measure(f"rewind_{kind}_best", choice, chosen, names, beside)
