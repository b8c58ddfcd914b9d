"""What the network, its layers and the interventions know at the end, at their best, and at initialisation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from latentgen.summary import interventions
from latentgen.summary.intervals import GRID_POINT, RUN, RUNS, over_seeds
from latentgen.summary.interventions import Measure, minus
from latentgen.summary.portions import portions
from latentgen.summary.selection import (
    MEASURED,
    at_end,
    best,
    best_layer,
    last_layer,
    model_accuracy,
    probe_accuracy,
    selections,
)

#: Columns that tell the quantities of a grid point apart, null where they say nothing, with their types.
NAMES = {
    **{"probe": "string", "fit_labels": "string", "batch_norm": "string", "bias": "string", "edit_epoch": "Int64"},
    **{"quantity": "string", "choice": "string", "layer": "string"},
}
COLUMNS = [*GRID_POINT, *NAMES, "epoch", "mean", "low", "high", "n", "n_runs", *RUNS]

#: Tables that a headline is made of: the first two always, the others where they are there.
TABLES = ("probes", "history", "transfer", "edit", "relabel", "rewind")

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


def headline(
    probes: pd.DataFrame,
    history: pd.DataFrame,
    transfer: pd.DataFrame | None = None,
    edit: pd.DataFrame | None = None,
    relabel: pd.DataFrame | None = None,
    rewind: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Test accuracies at the end, at their best and at initialisation, and their paired differences to the network.

    Every accuracy is that on test examples with true labels. The final epoch is each run's own last one. ``choice``
    says what was chosen on which data: nothing (``fixed``), something on test accuracy (``oracle``), or on the given
    labels of held-out examples (``validation``, found in each run for itself, where the tables have that split). Of
    equal epochs the earliest counts, of equal layers the shallowest. Quantities:

    ``model_final``
        the network; nothing is chosen.
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
    ``rewind_none``, ``rewind_all_best``
        what rewinding is compared with: the final network with nothing put back, and with all layers put back to the
        best saved epoch (oracle, validation), which is early stopping. They differ from ``model_final`` and
        ``model_best_epoch`` where rewound networks are scored on fewer examples, have fewer epochs to choose from, or
        have statistics of batch normalisation estimated anew. One row for each way with batch normalisation.
    ``rewind_alone_best``, ``rewind_prefix_best``, ``rewind_suffix_best``
        the final network with one layer, its first or its last layers (never all) put back to their weights of a saved
        epoch, at the best layer and epoch, found in each run for itself (oracle, validation). The last epoch, where
        nothing is put back, counts too; ``layer`` is then "none". Their differences are to the two above.
    ``..._minus_model_final``, ``..._minus_model_best_epoch``
        paired difference within each run, in fractions (0.1 is ten percentage points), of every quantity of the final
        network, a probe or an intervention but those of the untrained network and of labels. What was chosen on
        held-out labels is compared with the network stopped on them, an oracle with the oracle, and what is fixed
        with both; ``choice`` is that of the pair.

    Parameters
    ----------
    probes, history : DataFrame
        Columns of the table of probes and the history.
    transfer, edit, relabel, rewind : DataFrame, optional
        Columns of the tables of these analyses; empty ones count as none.

    Returns
    -------
    DataFrame
        ``dataset, model, noise, level``; ``probe`` (null for the network, transfer, edit and rewind), ``fit_labels``
        (the labels that a probe or readout was fitted on), ``batch_norm`` (of a probe's features: running or example;
        of a rewound network: rewound, reestimated or none), ``bias``, ``edit_epoch``; ``quantity, choice``; ``layer``
        (null for networks with no layer or all layers put back; ``"fc1 x 3, fc2 x 2"`` where runs chose different
        ones; of a rewound prefix the last layer, of a suffix the first), ``epoch`` (mean over runs), ``mean, low,
        high`` (95 % Student t over data seeds; bounds null where n = 1), ``n`` (data seeds), ``n_runs``, `RUNS` (where
        n is 2 or 3, the values of the data seeds in their order). Sorted by level; datasets, models and noises in the
        order of ``probes``.

    Raises
    ------
    ValueError
        No rows to use, or a run whose last epoch in another table is not the last one of its history.
    """
    frames = zip(TABLES, (probes, history, transfer, edit, relabel, rewind), strict=True)
    given = {name: frame for name, frame in frames if frame is not None}
    names = probe_accuracy(probes[MEASURED])["probe"].unique()
    return headline_of((dict(zip(given, frames, strict=True)) for frames in portions(*given.values())), names)


def headline_of(frames: Iterable[Mapping[str, pd.DataFrame]], probes: Sequence[str]) -> pd.DataFrame:
    """`headline` of tables that come in portions of whole grid points (`latentgen.summary.portions`).

    Parameters
    ----------
    frames : for each portion the tables that `headline` takes, by name, with the columns that it looks at
    probes : names of all probes that have test accuracies, in the order of the configuration
    """
    if not len(probes):
        raise ValueError(
            "probes: none has a test accuracy on any layer, of which a headline is made; add test to the score of one, "
            "or raise its max_features"
        )
    parts, order = [], []
    for tables in frames:
        if unknown := set(tables) - set(TABLES):
            raise ValueError(f"no headline is made of a table {min(unknown)!r}; there are {', '.join(TABLES)}")
        if model_accuracy(tables["history"]).empty:
            raise ValueError("a headline needs test accuracies of the models")
        parts.append(_of_grid_points(probes, tables))
        order.append(tables["probes"][GRID_POINT[:3]].drop_duplicates())
    table = pd.concat(parts, ignore_index=True).sort_values([*GRID_POINT, "measure"])
    return pd.concat(order).drop_duplicates().merge(table[COLUMNS], on=GRID_POINT[:3])


def _of_grid_points(names: Sequence[str], tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Quantities of the grid points of these tables, ``measure`` being their order; ``names`` : probes, in theirs."""
    final, *stopped = _network(tables["history"])
    if "rewind" in tables:
        ends = tables["rewind"][[*RUN, "last_epoch"]].drop_duplicates().rename(columns={"last_epoch": "epoch"})
        _check_same_end(final.rows, ends, "rewind")
    measures = []
    for measure in (final, *stopped, *_probes(tables["probes"], names), *interventions.measures(tables)):
        if measure.quantity in SAME_END:
            what = f"probe {measure.names['probe']!r}" if "probe" in measure.names else "transfer"
            _check_same_end(final.rows, measure.rows, what)
        measures += [measure, *_differences(measure, final, stopped)]
    return _summarised(measures)


def _network(history: pd.DataFrame) -> Iterator[Measure]:
    own = model_accuracy(history)
    yield Measure("model_final", "fixed", at_end(own), {})
    for choice, epochs in selections(own, model_accuracy(history, split="validation", labels="given")):
        yield Measure("model_best_epoch", choice, best(epochs, own, ["epoch"]), {})


def _probes(probes: pd.DataFrame, names: Sequence[str]) -> Iterator[Measure]:
    for probe in names:
        rows = probe_accuracy(probes, probe)
        if rows.empty:
            continue
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
        yield from (Measure(*measure, names) for measure in found)


def _differences(measure: Measure, final: Measure, stopped: list[Measure]) -> Iterator[Measure]:
    quantity, choice, rows, names, beside = measure
    if quantity in NOT_COMPARED:
        return
    if beside is None:
        beside = {early.choice: early.rows for early in stopped} | {"fixed": final.rows}
    if measure is not final:
        yield Measure(f"{quantity}_minus_model_final", choice, minus(rows, beside["fixed"]), names)
    for how, early in beside.items():
        if how != "fixed" and choice in ("fixed", how):
            yield Measure(f"{quantity}_minus_model_best_epoch", how, minus(rows, early), names)


def _check_same_end(final: pd.DataFrame, ends: pd.DataFrame, what: str) -> None:
    both = ends.merge(final[[*RUN, "epoch"]], on=RUN, how="left", suffixes=("", "_history"))
    odd = both[both["epoch"] != both["epoch_history"]]
    if not odd.empty:
        first = odd.iloc[0]
        raise ValueError(
            f"run {first[RUN].to_dict()}: {what} has its last rows at epoch {first['epoch']}, "
            f"but the history ends at {first['epoch_history']}; gather both tables anew"
        )


def _summarised(measures: Sequence[Measure]) -> pd.DataFrame:
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
