"""What the network, its layers and the interventions know at the end, at their best, and at initialisation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from latentgen.summary.intervals import GRID_POINT, RUN, difference, over_seeds
from latentgen.summary.selection import (
    at_end,
    best,
    best_layer,
    last_layer,
    model_accuracy,
    probe_accuracy,
    transfer_accuracy,
)

#: Columns that tell the quantities of a grid point apart, null where they say nothing, with their types.
NAMES = {
    **{"probe": "string", "fit_labels": "string", "batch_norm": "string", "bias": "string", "edit_epoch": "Int64"},
    **{"quantity": "string", "choice": "string", "layer": "string"},
}
COLUMNS = [*GRID_POINT, *NAMES, "epoch", "mean", "low", "high", "n", "n_runs"]

#: Quantities that no accuracy of the network is compared with.
NOT_COMPARED = (
    "model_best_epoch",
    "probe_initial_best_layer",
    "probe_initial_last_layer",
    "edit_final_minus_control",
    "relabel_label_accuracy",
)

#: Quantities whose last epoch must be that of the run's history.
SAME_END = ("probe_final_last_layer", "transfer_final")


class _Measure(NamedTuple):
    """A quantity with one row per run: columns of the run, ``epoch``, ``value``, perhaps ``layer`` and ``depth``."""

    quantity: str
    choice: str
    rows: pd.DataFrame
    names: Mapping[str, Any]


def headline(
    probes: pd.DataFrame,
    history: pd.DataFrame,
    transfer: pd.DataFrame | None = None,
    edit: pd.DataFrame | None = None,
    relabel: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Test accuracies at the end, at their best and at initialisation, and their paired differences to the network.

    Every accuracy is that on test examples with true labels. The final epoch is each run's own last one. ``choice``
    says what was chosen on which data: nothing (``fixed``), something on test accuracy (``oracle``), or on the given
    labels of held-out examples (``validation``, found in each run for itself, where the tables have that split). Of
    equal epochs the earliest counts, of equal layers the shallowest. Quantities:

    ``model_final``
        the network itself; nothing is chosen.
    ``model_best_epoch``
        early stopping: the network at its best epoch, found in each run for itself (oracle, validation). It is measured
        after every epoch, probes and transferred readouts at the saved ones only.
    ``probe_final_best_layer``
        the probe on its best layer at the final epoch. Oracle: one layer per grid point, the best mean test
        accuracy over runs.
    ``probe_final_last_layer``
        the probe on the deepest layer that it was fitted on, at the final epoch; nothing is chosen.
    ``probe_best_epoch_best_layer``
        the probe on its best layer and at its best epoch. Oracle: the epoch is found in each run for itself, the
        layer once for each grid point, on the mean over runs of the accuracy at those epochs.
    ``probe_initial_best_layer``, ``probe_initial_last_layer``
        the probe at epoch 0, the untrained network, where it was probed; the best layer is found there anew.
    ``transfer_final``, ``transfer_best_epoch``
        the network whose readout has VeLPIC's unit axes as rows, its bias zero or kept (``bias``).
    ``edit_final``, ``edit_control_final``
        training continued after that edit at ``edit_epoch``; its control is continued from the same weights, unedited,
        with an optimiser started afresh too.
    ``edit_final_minus_control``
        paired difference of the two.
    ``relabel_final``
        a network trained from scratch on the labels that ``probe`` on ``layer`` gave the training examples.
    ``relabel_label_accuracy``
        the fraction of those labels that are the true ones.
    ``..._minus_model_final``, ``..._minus_model_best_epoch``
        paired difference within each run, in fractions (0.1 is ten percentage points), of every quantity of the final
        network, a probe or an intervention but those of the untrained network and of labels. What was chosen on
        held-out labels is compared with the network stopped on them, an oracle with the oracle, and what is fixed
        with both; ``choice`` is that of the pair.

    Parameters
    ----------
    probes, history : DataFrame
        Columns of ``latentgen.tables.PROBES`` and ``latentgen.tables.HISTORY``.
    transfer, edit, relabel : DataFrame, optional
        Columns of ``latentgen.tables.TRANSFER``, ``EDIT`` and ``RELABEL``; empty ones count as none.

    Returns
    -------
    DataFrame
        ``dataset, model, noise, level``; ``probe`` (null for the network, transfer and edit), ``fit_labels`` (the
        labels that a probe or readout was fitted on), ``batch_norm`` (of a probe's features), ``bias``,
        ``edit_epoch``; ``quantity, choice``; ``layer`` (null for the network; ``"fc1 x 3, fc2 x 2"`` where runs chose
        different ones), ``epoch`` (mean over runs), ``mean, low, high`` (95 % Student t over data seeds; bounds null
        where n = 1), ``n`` (data seeds), ``n_runs``. Sorted by level; datasets, models and noises in the order of
        ``probes``.

    Raises
    ------
    ValueError
        No rows to use, or a run whose last probed epoch is not the last one of its history.
    """
    if model_accuracy(history).empty or probe_accuracy(probes).empty:
        raise ValueError("a headline needs test accuracies of the models and of at least one probe")
    final, *stopped = _network(history)
    measures = []
    for measure in (final, *stopped, *_probes(probes), *_transfer(transfer), *_edit(edit), *_relabel(relabel)):
        if measure.quantity in SAME_END:
            _check_same_end(final.rows, measure)
        measures += [measure, *_differences(measure, final, stopped)]
    table = _summarised(measures).sort_values([*GRID_POINT, "measure"])
    return probes[GRID_POINT[:3]].drop_duplicates().merge(table[COLUMNS], on=GRID_POINT[:3])


def _network(history: pd.DataFrame) -> Iterator[_Measure]:
    own = model_accuracy(history)
    yield _Measure("model_final", "fixed", at_end(own), {})
    for choice, epochs in _selections(own, model_accuracy(history, split="validation", labels="given")):
        yield _Measure("model_best_epoch", choice, best(epochs, own, ["epoch"]), {})


def _probes(probes: pd.DataFrame) -> Iterator[_Measure]:
    for probe in probe_accuracy(probes)["probe"].unique():
        rows = probe_accuracy(probes, probe)
        held_out = probe_accuracy(probes, probe, split="validation", labels="given")
        final, initial = at_end(rows), rows[rows["epoch"] == 0]
        settings = rows.iloc[0]
        names = {"probe": probe, "fit_labels": settings["fit_labels"], "batch_norm": settings["batch_norm"]}
        found = [("probe_final_best_layer", "oracle", best_layer(final))]
        at_best = best(rows, rows, ["epoch"], [*RUN, "layer"])
        found.append(("probe_best_epoch_best_layer", "oracle", best_layer(at_best)))
        if not held_out.empty:
            found.append(("probe_final_best_layer", "validation", best(at_end(held_out), final, ["layer"])))
            chosen = best(held_out, rows, ["epoch", "layer"])
            found.append(("probe_best_epoch_best_layer", "validation", chosen))
        found.append(("probe_final_last_layer", "fixed", last_layer(final)))
        if not initial.empty:
            found.append(("probe_initial_best_layer", "oracle", best_layer(initial)))
            found.append(("probe_initial_last_layer", "fixed", last_layer(initial)))
        yield from (_Measure(*measure, names) for measure in found)


def _transfer(transfer: pd.DataFrame | None) -> Iterator[_Measure]:
    for bias in ("zero", "kept") if transfer is not None else ():
        edited = transfer[transfer["bias"] == bias]
        rows = transfer_accuracy(edited)
        if rows.empty:
            continue
        names = {"fit_labels": "given", "bias": bias}
        yield _Measure("transfer_final", "fixed", at_end(rows), names)
        for choice, epochs in _selections(rows, transfer_accuracy(edited, split="validation", labels="given")):
            yield _Measure("transfer_best_epoch", choice, best(epochs, rows, ["epoch"]), names)


def _edit(edit: pd.DataFrame | None) -> Iterator[_Measure]:
    if edit is None:
        return
    rows = at_end(model_accuracy(edit), [*RUN, "edit_epoch", "layer", "rows", "bias"])
    for edit_epoch, continued in rows.groupby("edit_epoch"):
        control = continued[continued["rows"] == "none"]
        for (_, bias), edited in continued[continued["rows"] == "axis"].groupby(["layer", "bias"], sort=False):
            names = {"fit_labels": "given", "bias": bias, "edit_epoch": edit_epoch}
            yield _Measure("edit_final", "fixed", edited, names)
            yield _Measure("edit_final_minus_control", "fixed", _minus(edited, control), names)
        yield _Measure("edit_control_final", "fixed", control, {"edit_epoch": edit_epoch})


def _relabel(relabel: pd.DataFrame | None) -> Iterator[_Measure]:
    if relabel is None:
        return
    new_labels = relabel[(relabel["metric"] == "label_accuracy") & (relabel["split"] == "train")]
    right = new_labels[new_labels["labels"] == "true"]
    final = at_end(model_accuracy(relabel), [*RUN, "probe", "layer"])
    for quantity, rows in (("relabel_label_accuracy", right), ("relabel_final", final)):
        for (probe, _), of_probe in rows.groupby(["probe", "layer"], sort=False):
            yield _Measure(quantity, "fixed", of_probe, {"probe": probe, "fit_labels": "given"})


def _selections(rows: pd.DataFrame, held_out: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(choice, the rows that it looks at)."""
    yield "oracle", rows
    if not held_out.empty:
        yield "validation", held_out


def _differences(measure: _Measure, final: _Measure, stopped: list[_Measure]) -> Iterator[_Measure]:
    quantity, choice, rows, names = measure
    if quantity in NOT_COMPARED:
        return
    if measure is not final:
        yield _Measure(f"{quantity}_minus_model_final", choice, _minus(rows, final.rows), names)
    for early in stopped:
        if choice in ("fixed", early.choice):
            compared = _minus(rows, early.rows)
            yield _Measure(f"{quantity}_minus_model_best_epoch", early.choice, compared, names)


def _minus(rows: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with the paired difference to the baseline's row of the same run as their value."""
    return rows.drop(columns="value").merge(difference(rows, baseline, RUN), on=RUN)


def _check_same_end(final: pd.DataFrame, measure: _Measure) -> None:
    both = measure.rows.merge(final[[*RUN, "epoch"]], on=RUN, how="left", suffixes=("", "_history"))
    odd = both[both["epoch"] != both["epoch_history"]]
    if not odd.empty:
        first = odd.iloc[0]
        what = f"probe {measure.names['probe']!r}" if "probe" in measure.names else "transfer"
        raise ValueError(
            f"run {first[RUN].to_dict()}: {what} has its last rows at epoch {first['epoch']}, "
            f"but the history ends at {first['epoch_history']}; gather both tables anew"
        )


def _summarised(measures: Sequence[_Measure]) -> pd.DataFrame:
    """One row per grid point and measure from one row per run; ``measure`` is its place in ``measures``."""
    columns = [*RUN, "epoch", "value", "layer", "depth"]
    rows = pd.concat({place: measure.rows for place, measure in enumerate(measures)}, names=["measure"])
    rows = rows.reindex(columns=columns).reset_index("measure")
    by = [*GRID_POINT, "measure"]
    table = over_seeds(rows, by).merge(rows.groupby(by, as_index=False)["epoch"].mean(), on=by)
    on_layers = rows.dropna(subset="layer").sort_values("depth").groupby(by)["layer"]
    table = table.merge(on_layers.agg(_layers).reset_index(), on=by, how="left")
    names = [{"quantity": measure.quantity, "choice": measure.choice, **measure.names} for measure in measures]
    named = pd.DataFrame(names, columns=[name for name in NAMES if name != "layer"])
    return table.join(named, on="measure").astype(NAMES)


def _layers(layers: pd.Series) -> str:
    counts = layers.value_counts(sort=False)
    return layers.iloc[0] if len(counts) == 1 else ", ".join(f"{name} x {k}" for name, k in counts.items())
