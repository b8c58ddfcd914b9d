"""Figures 1-5: accuracy of layer-wise probes over the epochs of training, and differences between probes.

They are the counterparts of Figures 1-5 of Ketha & Ramaswamy, "On the Dynamics & Transferability of Latent
Generalization during Memorization" (TMLR 2026, arXiv 2603.19865).
"""

from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from latentgen import summary
from latentgen.figures import averages, panels, style
from latentgen.figures.averages import PAIR
from latentgen.figures.panels import Curve, Legend, Row
from latentgen.figures.results import Results, probe_label
from latentgen.summary import GRID_POINT, RUN
from latentgen.summary.portions import portions
from latentgen.summary.selection import MEASURED


class Shown(NamedTuple):
    """The accuracy of one probe, or of one probe minus another."""

    probe: str
    minus: str | None = None


_FIGURES = {
    "fig1": Shown("masc"),
    "fig2": Shown("velpic"),
    "fig3": Shown("velpic", "masc"),
    "fig4": Shown("logistic"),
    "fig5": Shown("masc", "logistic"),
}


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """One of the figures 1-5, from the tables probes and history.

    A line per layer shows the mean over data seeds, a band its 95 % Student t interval; the network's own test accuracy
    is dotted (accuracies only). Raises ``ValueError`` where a probe or the models' test accuracy is missing.
    """
    shown = _FIGURES[name]
    table = _table(results, shown)
    rows = []
    styles = {model: style.layer_styles(averages.layers(block)) for model, block in table.groupby("model", sort=False)}
    for (dataset, model, noise), block in table.groupby(PAIR, sort=False):
        lines = layer_curves(block, styles[model])
        own = block[block["layer"].isna()]
        network = [Curve(own, panels.NETWORK, "network")] if shown.minus is None else []
        # Figures of one grid have panels of one size, with the network's own line or without.
        room = [*(line.label for line in lines), "network"]
        rows.append(
            Row(
                names=[dataset, model],
                measure=_measure(shown),
                curves=[*network, *lines],
                legend=Legend(f"{noise} noise", [*lines, *network], room),
                reference=results.chance.get(dataset) if shown.minus is None else 0.0,
                signed=shown.minus is not None,
            )
        )
    return panels.draw(rows, _footer(table, shown, bool(results.chance))), table


def layer_curves(block: pd.DataFrame, styles: dict[str, dict]) -> list[Curve]:
    """A curve for each layer in order of depth; the deepest marks where runs stopped."""
    # Every layer of a run is measured at the same epochs, so one stands for all.
    names = averages.layers(block)
    return [
        Curve(block[block["layer"] == name], styles[name], name, {} if name == names[-1] else None) for name in names
    ]


def _table(results: Results, shown: Shown) -> pd.DataFrame:
    probes = results.probes
    if shown.minus is None:
        rows, series = averages.probe_rows(probes, shown.probe), shown.probe
    else:
        for name in shown:
            averages.probe_rows(probes[MEASURED], name)
        rows = pd.concat([_differences(part, shown) for (part,) in portions(probes)], ignore_index=True)
        series = f"{shown.probe} - {shown.minus}"
    parts = [averages.over_epochs(rows, [*GRID_POINT, "layer", "depth"]).assign(series=series, fit_labels="given")]
    if shown.minus is None:
        # Only of what was probed: a panel without layers says nothing.
        parts.append(averages.networks(results.history, rows, on=GRID_POINT))
    parts = [part.assign(split="test", labels="true", metric="accuracy") for part in parts]
    return averages.tidy(parts, probes)


def _differences(probes: pd.DataFrame, shown: Shown) -> pd.DataFrame:
    both = [summary.probe_accuracy(probes, name) for name in shown]
    return summary.difference(*both, [*RUN, "layer", "depth", "epoch"])


def _measure(shown: Shown) -> str:
    if shown.minus is None:
        return "test accuracy (%)"
    first, second = (probe_label(name).split()[0] for name in shown)
    return f"{first} \N{MINUS SIGN} {second} (points)"


def _footer(table: pd.DataFrame, shown: Shown, chance: bool) -> list[str]:
    scored = "on test examples (true labels), by layer; probes fitted on the given (noisy) training labels."
    first = probe_label(shown.probe)
    if shown.minus is None:
        text = [f"{first[0].upper()}{first[1:]}: accuracy in % {scored}"]
    else:
        text = [f"{first} minus {probe_label(shown.minus)}: accuracy in percentage points {scored}"]
    text += panels.seeds(table, paired=shown.minus is not None)
    if shown.minus is None:
        text.append("Dotted: the network's own test accuracy.")
        if chance:
            text.append("Grey line: chance.")
    return text + panels.epochs(table)
