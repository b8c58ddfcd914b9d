"""Figure 13: networks trained with dropout and without."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from latentgen import summary
from latentgen.figures.models import dropout_pairs
from latentgen.figures.numbers import averages
from latentgen.figures.numbers.results import Results, kept, probe_label
from latentgen.figures.page import Curve, Drawing, Legend, Reader, Strip, compose_strips, facets, lines, style
from latentgen.summary import GRID_POINT, selection

_LOOKS = {
    "network": {"color": "black", "linewidth": 1.0, "zorder": 3, "marker": "o"},
    "probe": {**style.series_style(0), "marker": "s", "linestyle": "-"},
}
_GREY = {"color": "0.35", "marker": "o"}


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 13, from the tables probes and history.

    Raises ``ValueError`` where the tables lack what is to be compared.
    """
    table = reader.rows(_table(results))
    looks = reader.looks(_LOOKS)
    blocks = []
    for (dataset, pair, noise), block in table.groupby(["dataset", "pair", "noise"], sort=False):
        curves = []
        for dropped, points in block.groupby(block["dropout"] > 0):
            own = points["series"] == "model"
            of_both = {name: style.hollow(look) if dropped else look for name, look in looks.items()}
            stops = {"markerfacecolor": "white", "markeredgewidth": 0.5} if dropped else {}
            curves += [Curve(points[own], of_both["network"], stops=stops), Curve(points[~own], of_both["probe"])]
        probe = block[block["series"] != "model"].iloc[0]
        settings = results.settings[probe["series"]]
        name = f"MASC, {kept(settings)}" if settings["kind"] == "masc" else probe_label(probe["series"])
        label = f"{name}, {probe['layer']}"
        legend = Legend(f"dropout {block['dropout'].max():g}", [lines.handle(label, looks["probe"])])
        strip = Strip("test accuracy (%)", curves, results.chance.get(dataset), legend=legend)
        blocks.append((facets.heading((dataset, pair, noise)), [strip]))
    handles = [
        lines.handle("network", looks["network"]),
        lines.handle("without dropout", _GREY),
        lines.handle("with dropout", style.hollow(_GREY)),
        *([lines.CHANCE] if results.chance else []),
    ]
    return Drawing(compose_strips(table, blocks, handles), table)


def _table(results: Results) -> pd.DataFrame:
    parts = []
    for pair in dropout_pairs(results.models):
        both = results.probes[results.probes["model"].isin(pair)]
        for _, probes in both.groupby(["dataset", "noise"], sort=False):
            if probes["model"].nunique() < 2:
                continue
            rows = _best_on_last_layer(probes, results.settings)
            key = [*GRID_POINT, "layer", "depth"]
            found = [averages.over_epochs(rows, key).assign(series=rows["probe"].iloc[0], fit_labels="given")]
            found.append(averages.networks(results.history, rows))
            parts += [part.assign(pair=" / ".join(pair)) for part in found]
    if not parts:
        raise ValueError(
            "the probes table holds no data set and noise kind with both models of a pair that differs in dropout "
            "alone; list both models in the same entry of the configuration key 'grid'"
        )
    rates = {name: declared["options"].get("dropout", 0.0) for name, declared in results.models.items()}
    parts = [part.assign(dropout=part["model"].map(rates)) for part in parts]
    parts = [part.assign(split="test", labels="true", metric="accuracy") for part in parts]
    return averages.tidy(parts, results.probes, ["pair", "dropout"])


def _best_on_last_layer(probes: pd.DataFrame, settings: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Test accuracies on the last layer of the probe that is best there at the end, on the mean over grid points.

    Candidates are fitted on the given labels, with running statistics in batch normalisation.
    """
    plain = [
        name for name, probe in settings.items() if (probe["fit_labels"], probe["batch_norm"]) == ("given", "running")
    ]
    rows = summary.probe_accuracy(probes[probes["probe"].isin(plain)])
    rows = rows[rows.groupby("probe")["model"].transform("nunique") == 2]
    if rows.empty:
        raise ValueError(
            f"of the models {', '.join(probes['model'].unique())} the probes table holds no test accuracy of a common "
            "probe that is fitted on given labels; add one to both under the configuration key 'probes'"
        )
    rows = selection.last_layer(rows)
    final = selection.at_end(rows).groupby(["probe", *GRID_POINT])["value"].mean().groupby("probe").mean()
    return rows[rows["probe"] == final.idxmax()]
