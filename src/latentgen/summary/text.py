"""The headline table in words."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from latentgen.summary.intervals import FEWEST, GRID_POINT, RUNS

#: Quantities of interventions that have a line of their own.
_INTERVENTIONS = ("transfer_final", "edit_final", "edit_control_final", "relabel_final")

#: Names of the sets of layers that are rewound, by their quantity. The first stands beside what nothing is put back in.
_REWOUND = {
    **{"rewind_all_best": "none, all layers", "rewind_alone_best": "single layer"},
    **{"rewind_prefix_best": "first layers", "rewind_suffix_best": "last layers"},
}

_NONE = "-"


def headline_text(frame: pd.DataFrame) -> str:
    """`headline` as plain ASCII text, two or three blocks per dataset, model and noise.

    The first has a line per level and probe: the ends of training, and initialisation. The second sets every probe
    and intervention beside early stopping, the third does so where both chose on held-out labels.
    Accuracies in percent with half the width of their interval or, of two or three data seeds, that of each; columns
    marked ``*`` hold oracle choices. Lines have up to 120 columns, with three data seeds up to 132.
    """
    honest = bool((frame["choice"] == "validation").any())
    lines = []
    for (dataset, model, noise), block in frame.groupby(GRID_POINT[:3], sort=False):
        n = sorted(block["n"].unique())
        lines.append(f"{dataset} / {model}, {noise} noise, {_span(n)} data seed{'s' if n[-1] > 1 else ''}")
        lines += _aligned(_ends(block, honest))
        lines.append("")
        lines += _aligned(_beside_early_stopping(block))
        lines.append("")
        held_out = _honest(block)
        if len(held_out) > 1:
            lines += _aligned(held_out)
            lines.append("")
    few = frame.loc[(frame["n"] > 1) & (frame["n"] < FEWEST), "n"]
    notes = []
    if len(few):
        notes.append(
            f"a/b: the data seeds one by one where n is {' or '.join(map(str, sorted(few.unique())))}, "
            "too few for an interval."
        )
    if frame["quantity"].isin(_REWOUND).any():
        notes += [
            "rewound: the network at its end with no layer put back (end), or with all of them, or its best layers*,",
            "put back to their best saved epoch*; differences of these to none and all, on the same examples.",
        ]
    if (frame["batch_norm"] == "reestimated").any():
        notes.append("re-estimated: statistics of batch normalisation computed anew on training images after that.")
    lines += [
        "Test accuracy in %, +/- 95 % Student t over data seeds; probes fitted on the given (noisy) labels, those in",
        "brackets on others. model, best layer, end: at the end of training, probes on their best layer*; at init:",
        "the best layer of the untrained network; early stop: the network at its best epoch; own best: best epoch and",
        "layer.",
        *notes,
        "* oracle: the epoch or layer was chosen on test data.",
    ]
    if honest:
        lines.append("honest: chosen in each run on held-out noisy labels, on both sides of a difference.")
    return "\n".join(lines) + "\n"


def _ends(block: pd.DataFrame, honest: bool) -> list[list[str]]:
    header = ["level", "model", "best epoch*", "probe", "best layer*", "at init*", "layer - model*"]
    rows = [header + ["honest layer"] if honest else header]
    for level, point in block.groupby("level"):
        cell = _cells(point)
        start = [f"{level:g}", cell("model_final"), cell("model_best_epoch", "oracle")]
        for probe, label in _probes(point):
            own = {"probe": probe}
            row = [
                *start,
                label,
                cell("probe_final_best_layer", "oracle", with_layer=True, **own),
                cell("probe_initial_best_layer", "oracle", **own),
                cell("probe_final_best_layer_minus_model_final", "oracle", sign=True, **own),
            ]
            if honest:
                row.append(cell("probe_final_best_layer", "validation", **own))
            rows.append(row)
            start = ["", "", ""]
    return rows


def _beside_early_stopping(block: pd.DataFrame) -> list[list[str]]:
    rows = [["level", "early stop*", "beside it", "end", "end - early*", "own best*", "best - early*"]]
    minus = "_minus_model_best_epoch"
    for level, point in block.groupby("level"):
        cell = _cells(point)
        start = [f"{level:g}", cell("model_best_epoch", "oracle")]
        for label, final, choice, own_best, names in _lines(point):
            row = [
                *start,
                label,
                cell(final, choice, **names),
                cell(f"{final}{minus}", "oracle", sign=True, **names),
                cell(own_best, "oracle", **names),
                cell(f"{own_best}{minus}", "oracle", sign=True, **names),
            ]
            rows.append(row)
            start = ["", ""]
    return rows


def _honest(block: pd.DataFrame) -> list[list[str]]:
    rows = [["level", "honest early", "beside it", "honest best", "best - early"]]
    for level, point in block.groupby("level"):
        cell = _cells(point)
        start = [f"{level:g}", cell("model_best_epoch", "validation")]
        for label, _, _, own_best, names in _lines(point):
            best = cell(own_best, "validation", **names)
            if best != _NONE:
                gain = cell(f"{own_best}_minus_model_best_epoch", "validation", sign=True, **names)
                rows.append([*start, label, best, gain])
                start = ["", ""]
    return rows


def _probes(point: pd.DataFrame) -> list[tuple[str, str]]:
    """(name, label) of each probe; the label says what it was fitted on, if not the given labels."""
    fitted = point[point["quantity"] == "probe_final_last_layer"]
    return [
        (probe, probe if labels == "given" else f"{probe} [{labels}]")
        for probe, labels in zip(fitted["probe"], fitted["fit_labels"], strict=True)
    ]


def _lines(point: pd.DataFrame) -> list[tuple[str, str, str, str, dict]]:
    """Label, quantity at the end, its choice, quantity at the best epoch, and names that tell the rows apart."""
    lines = [
        (label, "probe_final_best_layer", "oracle", "probe_best_epoch_best_layer", {"probe": probe})
        for probe, label in _probes(point)
    ]
    right = point[point["quantity"] == "relabel_label_accuracy"].set_index(["probe", "layer"])["mean"]
    for row in point[point["quantity"].isin(_INTERVENTIONS)].itertuples():
        names = {"bias": row.bias, "edit_epoch": row.edit_epoch, "probe": row.probe, "layer": row.layer}
        names = {name: value for name, value in names.items() if pd.notna(value)}
        label = intervention_label(row)
        if row.quantity == "relabel_final":
            label += f" ({100 * right[row.probe, row.layer]:.1f} % right)"
        own_best = "transfer_best_epoch" if row.quantity == "transfer_final" else ""
        lines.append((label, row.quantity, "fixed", own_best, names))
    for row in point[point["quantity"].isin(_REWOUND) & (point["choice"] == "oracle")].itertuples():
        end = "rewind_none" if row.quantity == "rewind_all_best" else ""
        lines.append((intervention_label(row), end, "fixed", row.quantity, {"batch_norm": row.batch_norm}))
    return lines


def intervention_label(row: Any) -> str:
    """What texts and figures call a row of the headline that an intervention gave.

    ``row`` : attributes ``quantity, bias, edit_epoch, probe, layer, batch_norm``
    """
    if row.quantity.startswith("rewind"):
        what = _REWOUND.get(row.quantity, _REWOUND["rewind_all_best"])
        return f"rewound: {what}" + ", re-estimated" * (row.batch_norm == "reestimated")
    if row.quantity.startswith("transfer"):
        return f"transfer, {row.bias} bias"
    if row.quantity.startswith("edit_control"):
        return f"continued from {row.edit_epoch}"
    if row.quantity.startswith("edit"):
        return f"edited at {row.edit_epoch}, {row.layer}, {row.bias} bias"
    return f"relabelled by {row.probe}, {row.layer}"


def _cells(point: pd.DataFrame) -> Callable[..., str]:
    """Function that prints one quantity of the grid point in percent, or `_NONE` where it is not there."""

    def cell(quantity: str, choice: str = "fixed", *, sign: bool = False, with_layer: bool = False, **names) -> str:
        rows = point[(point["quantity"] == quantity) & (point["choice"] == choice)]
        for name, value in names.items():
            rows = rows[rows[name] == value]
        if rows.empty:
            return _NONE
        row = rows.iloc[0]
        form = "+.1f" if sign else ".1f"
        if 1 < row["n"] < FEWEST:
            text = "/".join(f"{100 * value:{form}}" for value in row[RUNS].dropna())
        else:
            text = f"{100 * row['mean']:{form}}"
            if pd.notna(row["low"]):
                text += f"+/-{100 * (row['high'] - row['mean']):.1f}"
        return f"{text} {row['layer']}" if with_layer else text

    return cell


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _span(numbers: Sequence[int]) -> str:
    return f"{numbers[0]}" if numbers[0] == numbers[-1] else f"{numbers[0]}-{numbers[-1]}"
