"""Statistics over runs: intervals over data seeds, runs that stop early, and the headline table.

A *grid point* is one (dataset, model, noise, level); its runs differ in ``data_seed`` and ``model_seed``. The
data seed draws the corruption and the subsets, so it is the unit that is sampled: model seeds that share a
data seed are averaged first, and every interval is over data seeds. All values are fractions, as in the
tables they come from.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtrit

#: Columns that name a grid point, those that tell its runs apart, and both together.
GRID_POINT = ["dataset", "model", "noise", "level"]
SEEDS = ["data_seed", "model_seed"]
RUN = [*GRID_POINT, *SEEDS]

#: Two-sided confidence of every interval.
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean with its two-sided 95 % Student t interval; ``low`` and ``high`` are NaN where ``n`` is 1."""

    mean: float
    low: float
    high: float
    n: int


def interval(values: ArrayLike) -> Interval:
    """Mean and 95 % Student t interval of independent values, one per data seed.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        Model seeds of one data seed are to be averaged beforehand (`over_seeds` does so).

    Returns
    -------
    Interval
        ``mean -/+ t(0.975, n - 1) s / sqrt(n)`` with the sample standard deviation ``s`` (n - 1 in its
        denominator; Student 1908). One value has no spread: its bounds are NaN.

    Raises
    ------
    ValueError
        No values, not one-dimensional, or a value that is not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"an interval needs a list of one or more finite values, got {values!r}")
    mean, n = float(values.mean()), values.size
    half = float(_half_width(values.std(ddof=1), n)) if n > 1 else np.nan
    return Interval(mean, mean - half, mean + half, n)


def over_seeds(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean and 95 % Student t interval over data seeds, for every combination of ``by``.

    Parameters
    ----------
    frame : DataFrame
        Columns ``by``, ``data_seed``, ``model_seed``, ``value`` and, after `carry_forward`, ``carried``.
        One row per run and combination of ``by``.
    by : sequence of str
        Columns without nulls.

    Returns
    -------
    DataFrame
        Columns ``by``, ``mean``, ``low``, ``high`` (float64; bounds null where n = 1), ``n`` (data seeds) and
        ``n_runs`` (data seeds x model seeds); where ``frame`` has ``carried`` also ``n_measured`` (runs
        really measured there) and ``carried`` (any run carried forward). Sorted by ``by``.

    Raises
    ------
    ValueError
        A null value, or two rows for one run.
    """
    by = list(by)
    _check_values(frame, [*by, *SEEDS])
    per_seed = frame.groupby([*by, "data_seed"], as_index=False)["value"].mean()
    grouped = per_seed.groupby(by)["value"]
    table = grouped.agg(mean="mean", std="std", n="size")
    # One value has a null standard deviation, which makes its bounds null.
    half = _half_width(table["std"], table["n"])
    table = pd.DataFrame(
        {"mean": table["mean"], "low": table["mean"] - half, "high": table["mean"] + half, "n": table["n"]}
    )
    table["n_runs"] = frame.groupby(by).size()
    if "carried" in frame:
        carried = frame.groupby(by)["carried"].sum()
        table["n_measured"] = table["n_runs"] - carried
        table["carried"] = carried > 0
    return table.reset_index()


def carry_forward(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Put the runs of each curve on common epochs; a run that has stopped keeps its last value, marked.

    An epoch is kept if every run of the curve either has a value there or had stopped before. So an epoch
    that exists only because one run stopped there, between two saved epochs of the others, is not an epoch of
    the curve (keeping it would average over another set of runs than its neighbours do, and draw a zig-zag):
    that run's last value enters at the next common epoch. The last epoch of the longest run is always common,
    and there every run stands with its final value. One run alone keeps all its epochs.

    Parameters
    ----------
    frame : DataFrame
        Columns ``by``, ``data_seed``, ``model_seed``, ``epoch`` and ``value``; one row per run and epoch.
    by : sequence of str
        Columns that name one curve, without nulls: the grid point, and layer and probe where there are
        several.

    Returns
    -------
    DataFrame
        Columns ``by``, ``data_seed``, ``model_seed``, ``epoch``, ``value`` and ``carried`` (bool), sorted.

    Raises
    ------
    ValueError
        A null value, or two rows for one run and epoch.
    """
    by = list(by)
    _check_values(frame, [*by, *SEEDS, "epoch"])
    wide = frame.pivot(index=[*by, *SEEDS], columns="epoch", values="value").sort_index(axis=1)
    measured = wide.notna()
    last = measured.columns.to_numpy()[::-1][np.argmax(measured.to_numpy()[:, ::-1], axis=1)]
    skipped = ~measured & (wide.columns.to_numpy() <= last[:, None])
    common = measured.groupby(level=by).transform("any") & ~skipped.groupby(level=by).transform("any")
    table = pd.DataFrame(
        {
            "value": wide.ffill(axis=1).stack(future_stack=True),
            "carried": ~measured.stack(future_stack=True),
            "common": common.stack(future_stack=True),
        }
    )
    return table[table.pop("common")].reset_index()


def probe_accuracy(
    probes: pd.DataFrame,
    probe: str | None = None,
    *,
    split: str = "test",
    labels: str = "true",
) -> pd.DataFrame:
    """Accuracies of probes fitted on the given labels, of all or one: a row per run, epoch, layer, probe."""
    rows = probes[
        (probes["fit_labels"] == "given")
        & (probes["split"] == split)
        & (probes["labels"] == labels)
        & (probes["metric"] == "accuracy")
    ]
    return rows if probe is None else rows[rows["probe"] == probe]


def model_accuracy(history: pd.DataFrame, *, split: str = "test", labels: str = "true") -> pd.DataFrame:
    """The models' own accuracies in evaluation mode: one row per run and epoch."""
    return history[
        (history["mode"] == "evaluated")
        & (history["split"] == split)
        & (history["labels"] == labels)
        & (history["metric"] == "accuracy")
    ]


def difference(minuend: pd.DataFrame, subtrahend: pd.DataFrame, on: Sequence[str]) -> pd.DataFrame:
    """Paired differences of ``value``, minuend - subtrahend, of the rows that both frames have.

    ``on`` names the columns that identify a row in both (run, epoch, layer, ...) and that the result has,
    with ``value``. Raises ``ValueError`` (``pandas.errors.MergeError``) where they do not identify one row.
    """
    on = list(on)
    both = minuend.merge(subtrahend, on=on, suffixes=("", "_subtrahend"), validate="one_to_one")
    return both[on].assign(value=both["value"] - both["value_subtrahend"])


def headline(probes: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """What the model and its layers know at the end, at its best, and at initialisation.

    Every accuracy is that on test examples with true labels; probes are fitted on the given labels. The final
    epoch is each run's own last one. Quantities:

    ``model_final``
        the network itself; nothing is chosen.
    ``model_best_epoch``
        the network at its best epoch, found in each run for itself: on test accuracy (``choice`` oracle) and,
        where the history has a validation split, on the given labels held out there (``choice`` validation).
        The earliest of equal epochs counts.
    ``probe_final_best_layer``
        the probe on its best layer at the final epoch. Oracle: one layer per grid point, the best mean test
        accuracy over runs. Validation, where the probes were scored on held-out given labels: the best layer
        there, found in each run for itself. The shallowest of equal layers counts.
    ``probe_final_last_layer``
        the probe on the deepest layer at the final epoch; nothing is chosen.
    ``probe_initial_best_layer``, ``probe_initial_last_layer``
        the same two at epoch 0, the untrained network, where it was probed; the best layer is found there
        anew.
    ``probe_final_best_layer_minus_model_final``
        the paired difference within each run, in fractions (0.1 is ten percentage points).

    Parameters
    ----------
    probes, history : DataFrame
        Columns of ``latentgen.tables.PROBES`` and ``latentgen.tables.HISTORY``.

    Returns
    -------
    DataFrame
        ``dataset, model, noise, level, probe`` (null for the network itself), ``quantity, choice`` (fixed,
        oracle or validation), ``layer`` (null for the network; ``"fc1 x 3, fc2 x 2"`` where runs chose
        different ones), ``epoch`` (mean over runs), ``mean, low, high`` (95 % Student t over data seeds;
        bounds null where n = 1), ``n`` (data seeds), ``n_runs``. Sorted by level; datasets, models and noises
        in the order of ``probes``.

    Raises
    ------
    ValueError
        No rows to use, or a run whose last probed epoch is not the last one of its history.
    """
    model = model_accuracy(history)
    scored = probe_accuracy(probes)
    if model.empty or scored.empty:
        raise ValueError("a headline needs test accuracies of the models and of at least one probe")
    model_final = _at_end(model)
    _check_same_end(model_final, scored)
    parts = [_summarised(model_final, "model_final", "fixed")]
    parts.append(_summarised(_best(model, model, "epoch", RUN), "model_best_epoch", "oracle"))
    held_out = model_accuracy(history, split="validation", labels="given")
    if not held_out.empty:
        chosen = _best(held_out, model, "epoch", RUN)
        parts.append(_summarised(chosen, "model_best_epoch", "validation"))
    for probe in scored["probe"].unique():
        rows = probe_accuracy(probes, probe)
        final, initial = _at_end(rows), rows[rows["epoch"] == 0]
        held_out = _at_end(probe_accuracy(probes, probe, split="validation", labels="given"))
        best = {"oracle": _best_layer(final)}
        if not held_out.empty:
            best["validation"] = _best(held_out, final, "layer", RUN)
        of_probe = []
        for choice, chosen in best.items():
            gain = difference(chosen, model_final, RUN)
            gain = gain.merge(chosen[[*RUN, "epoch", "layer", "depth"]], on=RUN)
            of_probe.append(_summarised(chosen, "probe_final_best_layer", choice))
            of_probe.append(_summarised(gain, "probe_final_best_layer_minus_model_final", choice))
        of_probe.append(_summarised(_last_layer(final), "probe_final_last_layer", "fixed"))
        if not initial.empty:
            of_probe.append(_summarised(_best_layer(initial), "probe_initial_best_layer", "oracle"))
            of_probe.append(_summarised(_last_layer(initial), "probe_initial_last_layer", "fixed"))
        parts += [part.assign(probe=probe) for part in of_probe]
    table = pd.concat(parts, ignore_index=True).sort_values(GRID_POINT, kind="stable")
    table = probes[GRID_POINT[:3]].drop_duplicates().merge(table, on=GRID_POINT[:3])
    table = table.astype({"probe": "string", "layer": "string"})
    return table[[*GRID_POINT, "probe", "quantity", "choice", "layer", "epoch", "mean", "low", "high", "n", "n_runs"]]


def headline_text(frame: pd.DataFrame) -> str:
    """`headline` as plain ASCII text: a block per dataset, model and noise, a line per level and probe.

    Accuracies in percent with half the width of their interval; columns marked ``*`` hold oracle choices.
    """
    honest = (frame["choice"] == "validation").any()
    lines = []
    for (dataset, model, noise), block in frame.groupby(GRID_POINT[:3], sort=False):
        n = sorted(block["n"].unique())
        lines.append(f"{dataset} / {model}, {noise} noise, {_span(n)} data seed{'s' if n[-1] > 1 else ''}")
        header = ["level", "model", "best epoch*", "probe", "best layer*", "at init*", "layer - model*"]
        rows = [header + ["honest layer"] if honest else header]
        for level, point in block.groupby("level"):
            cell = _cells(point)
            start = [f"{level:g}", cell(None, "model_final"), cell(None, "model_best_epoch", "oracle")]
            for probe in point["probe"].dropna().unique():
                rows.append(
                    [
                        *start,
                        probe,
                        cell(probe, "probe_final_best_layer", "oracle", layer=True),
                        cell(probe, "probe_initial_best_layer", "oracle"),
                        cell(probe, "probe_final_best_layer_minus_model_final", "oracle", sign=True),
                    ]
                )
                if honest:
                    rows[-1].append(cell(probe, "probe_final_best_layer", "validation"))
                start = ["", "", ""]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            lines.append("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
        lines.append("")
    lines += [
        "Test accuracy in %, +/- 95 % Student t over data seeds; probes fitted on the given (noisy) labels.",
        "model, best layer: at the end of training; at init: best layer of the untrained network.",
        "* oracle: the epoch or layer was chosen on test data.",
    ]
    if honest:
        lines.append("honest layer: chosen in each run on held-out noisy labels.")
    return "\n".join(lines) + "\n"


def _half_width(std, n):
    return stdtrit(np.maximum(n - 1, 1), (1 + CONFIDENCE) / 2) * std / np.sqrt(n)


def _check_values(frame: pd.DataFrame, key: list[str]) -> None:
    if frame["value"].isna().any():
        first = frame.loc[frame["value"].isna(), key].iloc[0].to_dict()
        raise ValueError(f"no value at {first}: a mean over runs would silently leave it out")
    twice = frame.duplicated(key)
    if twice.any():
        raise ValueError(f"two rows for {frame.loc[twice, key].iloc[0].to_dict()}")


def _at_end(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["epoch"] == rows.groupby(RUN)["epoch"].transform("max")]


def _check_same_end(model_final: pd.DataFrame, scored: pd.DataFrame) -> None:
    ends = scored.groupby(RUN, as_index=False)["epoch"].max()
    both = ends.merge(model_final[[*RUN, "epoch"]], on=RUN, how="left", suffixes=("", "_history"))
    odd = both[both["epoch"] != both["epoch_history"]]
    if not odd.empty:
        first = odd.iloc[0]
        raise ValueError(
            f"run {first[RUN].to_dict()}: last probed epoch {first['epoch']}, "
            f"but its history ends at {first['epoch_history']}"
        )


def _best(selection: pd.DataFrame, scored: pd.DataFrame, column: str, within: list[str]) -> pd.DataFrame:
    """Rows of ``scored`` at the ``column`` where ``selection`` is highest; of equals the first."""
    order = "depth" if column == "layer" else "epoch"
    selection = selection.sort_values([*within, order], ignore_index=True)
    first = selection.loc[selection.groupby(within)["value"].idxmax(), [*within, column]]
    return scored.merge(first, on=[*within, column], validate="many_to_one")


def _best_layer(rows: pd.DataFrame) -> pd.DataFrame:
    means = over_seeds(rows, [*GRID_POINT, "layer", "depth"]).rename(columns={"mean": "value"})
    return _best(means, rows, "layer", GRID_POINT)


def _last_layer(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["depth"] == rows.groupby(GRID_POINT)["depth"].transform("max")]


def _summarised(rows: pd.DataFrame, quantity: str, choice: str) -> pd.DataFrame:
    """One row per grid point from one row per run."""
    table = over_seeds(rows, GRID_POINT).assign(quantity=quantity, choice=choice)
    epoch = rows.groupby(GRID_POINT, as_index=False)["epoch"].mean()
    table = table.merge(epoch, on=GRID_POINT)
    if "layer" not in rows:
        return table.assign(probe=None, layer=None)
    layers = rows.sort_values("depth").groupby(GRID_POINT)["layer"].agg(_layers).reset_index()
    return table.merge(layers, on=GRID_POINT)


def _layers(layers: pd.Series) -> str:
    counts = layers.value_counts(sort=False)
    return layers.iloc[0] if len(counts) == 1 else ", ".join(f"{name} x {k}" for name, k in counts.items())


def _cells(point: pd.DataFrame):
    """Function that prints one quantity of the grid point in percent, or ``-`` where it is not there."""

    def cell(probe, quantity, choice="fixed", *, sign=False, layer=False) -> str:
        rows = point[(point["quantity"] == quantity) & (point["choice"] == choice)]
        rows = rows[rows["probe"].isna() if probe is None else rows["probe"] == probe]
        if rows.empty:
            return "-"
        row = rows.iloc[0]
        text = f"{100 * row['mean']:+.1f}" if sign else f"{100 * row['mean']:.1f}"
        if pd.notna(row["low"]):
            text += f"+/-{100 * (row['high'] - row['mean']):.1f}"
        return f"{text} {row['layer']}" if layer else text

    return cell


def _span(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if numbers[0] == numbers[-1] else f"{numbers[0]}-{numbers[-1]}"
