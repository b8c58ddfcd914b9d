"""Figures 13 and 14: networks trained with dropout and without, and features read in two modes of batch norm."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from latentgen import summary
from latentgen.figures import averages, catalogue, panels, style
from latentgen.figures.averages import PAIR
from latentgen.figures.panels import Curve, Legend, Row
from latentgen.figures.results import Results, probe_label
from latentgen.probes import compared
from latentgen.summary import GRID_POINT, RUN, selection

_NETWORK = {"color": "black", "linewidth": 1.0, "zorder": 3, "marker": "o"}
_PROBE = {**style.series_style(0), "marker": "s", "linestyle": "-"}
_GREY = {"color": "0.35", "marker": "o"}


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 13 or 14, from the tables probes and history.

    Raises ``ValueError`` where the tables lack what is to be compared.
    """
    return _dropout(results) if name == "fig13" else _batch_norm(results)


def _dropout(results: Results) -> tuple[Figure, pd.DataFrame]:
    table = _dropout_table(results)
    rows = []
    for (dataset, pair, noise), block in table.groupby(["dataset", "pair", "noise"], sort=False):
        curves = []
        for dropped, points in block.groupby(block["dropout"] > 0):
            own = points["series"] == "model"
            looks = [style.hollow(look) if dropped else look for look in (_NETWORK, _PROBE)]
            stops = {"markerfacecolor": "white", "markeredgewidth": 0.5} if dropped else {}
            curves += [Curve(points[own], looks[0], stops=stops), Curve(points[~own], looks[1])]
        probe = block[block["series"] != "model"].iloc[0]
        label = f"{probe_label(probe['series'])}, {probe['layer']}"
        legend = Legend(f"dropout {block['dropout'].max():g}", [Curve(block, _PROBE, label)])
        names = [dataset, *pair.split(" / "), f"{noise} noise"]
        rows.append(Row(names, "test accuracy (%)", curves, legend, reference=results.chance.get(dataset)))
    below = [
        Curve(table, _NETWORK, "network"),
        Curve(table, _GREY, "without dropout"),
        Curve(table, style.hollow(_GREY), "with dropout"),
    ]
    return panels.draw(rows, _dropout_footer(table, bool(results.chance)), below=below), table


def _dropout_table(results: Results) -> pd.DataFrame:
    parts = []
    for pair in catalogue.dropout_pairs(results.models):
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


def _dropout_footer(table: pd.DataFrame, chance: bool) -> list[str]:
    text = [
        "Networks of one architecture with dropout and without: accuracy in % on test examples (true "
        "labels), of the networks and of a probe on their last layer, fitted on the given (noisy) training "
        "labels. Dropout is off while accuracies are measured and features are read.",
        "The probe is, of all of the grid, that with the highest mean accuracy at the end over the levels and both "
        "models of a row (an oracle choice, made on test data).",
        *panels.seeds(table),
    ]
    if chance:
        text.append("Grey line: chance.")
    return [*text, *panels.epochs(table)]


def _batch_norm(results: Results) -> tuple[Figure, pd.DataFrame]:
    pairs = compared.mode_pairs(results.settings)
    table = _batch_norm_table(results, pairs)
    rows = []
    for running, example in pairs:
        of_pair = table[table["series"].isin([running, example, _minus(example, running), "model"])]
        for (dataset, model, noise), block in of_pair.groupby(PAIR, sort=False):
            layers = averages.layers(block)
            looks = style.layer_styles(layers)
            series = {name: points for name, points in block.groupby("series")}
            network = Curve(series["model"], panels.NETWORK, "network", stops={}, band=False)
            solid = _by_layer(series[running], looks)
            dashed = _by_layer(series[example], {layer: style.hollow(look) for layer, look in looks.items()})
            lines = [curve._replace(band=False, marks=2) for curve in (*solid, *dashed)]
            names = [dataset, model, f"{noise} noise"]
            legend = Legend(probe_label(running), solid)
            chance = results.chance.get(dataset)
            rows.append(Row(names, "test accuracy (%)", [network, *lines], legend, reference=chance))
            gaps = _by_layer(series[_minus(example, running)], looks)
            rows.append(Row(names, "difference (points)", gaps, reference=0.0, signed=True))
    below = [
        network,
        Curve(table, _GREY, "running statistics"),
        Curve(table, style.hollow(_GREY), "each example's own statistics"),
    ]
    return panels.draw(rows, _batch_norm_footer(table, bool(results.chance)), below=below), table


def _by_layer(points: pd.DataFrame, looks: Mapping[str, dict]) -> list[Curve]:
    return [Curve(points[points["layer"] == layer], look, layer) for layer, look in looks.items()]


def _minus(example: str, running: str) -> str:
    return f"{example} - {running}"


def _batch_norm_table(results: Results, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    key = [*GRID_POINT, "layer", "depth"]
    found, gaps = {}, {}
    for running, example in pairs:
        both = [averages.probe_rows(results.probes, name) for name in (example, running)]
        gaps[example, running] = summary.difference(*both, [*RUN, "layer", "depth", "epoch"])
        found |= {example: both[0], running: both[1]}
    # Without batch normalisation the modes agree, which is drawn only where there is nothing else.
    differing = pd.concat([gap[gap["value"] != 0] for gap in gaps.values()])
    shown = (pd.concat(found.values()) if differing.empty else differing)[PAIR].drop_duplicates()
    parts = []
    for name, rows in found.items():
        probe = results.settings[name]
        part = averages.over_epochs(rows.merge(shown, on=PAIR), key)
        parts.append(part.assign(series=name, batch_norm=probe["batch_norm"], fit_labels=probe["fit_labels"]))
    for (example, running), gap in gaps.items():
        part = averages.over_epochs(gap.merge(shown, on=PAIR), key)
        fit_labels = results.settings[running]["fit_labels"]
        parts.append(part.assign(series=_minus(example, running), fit_labels=fit_labels))
    parts.append(averages.networks(results.history, shown, on=PAIR))
    parts = [part.assign(split="test", labels="true", metric="accuracy") for part in parts]
    return averages.tidy(parts, results.probes, ["batch_norm"])


def _batch_norm_footer(table: pd.DataFrame, chance: bool) -> list[str]:
    fitted = " and ".join(sorted(table["fit_labels"].unique()))
    text = [
        "Probes on features whose batch normalisation uses running statistics, as in evaluation, or those of each "
        "example alone, as in training mode at batch size 1: accuracy in % on test examples (true labels), by layer, "
        "and the difference (example minus running) in percentage points.",
        f"Probes are fitted in the same mode, on the {fitted} labels of the training examples.",
        *panels.seeds(table, paired=True),
    ]
    if table["n"].max() > 1:
        text.append("Bands or runs are drawn at the differences only.")
    text.append("Dotted: the network, with running statistics.")
    text.append("Grey line: chance; no difference." if chance else "Grey line: no difference.")
    return [*text, *panels.epochs(table)]
