"""Figure 13: networks trained with dropout and without."""

from latentgen.figures.page import Curve, Drawing, Legend, Reader, Strip, compose_strips, facets, lines, style
from latentgen.numbers.networks import dropout
from latentgen.numbers.results import Results, kept, probe_label

_LOOKS = {
    "network": {"color": "black", "linewidth": 1.0, "zorder": 3, "marker": "o"},
    "probe": {**style.series_style(0), "marker": "s", "linestyle": "-"},
}
_GREY = {"color": "0.35", "marker": "o"}


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 13, from the tables probes and history."""
    table = reader.rows(dropout(results))
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
