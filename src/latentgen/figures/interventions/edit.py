"""Figure 9: trainings that go on after the readout was replaced."""

from collections.abc import Mapping

import pandas as pd

from latentgen.caption import Caption
from latentgen.figures.page import Curve, Drawing, Reader, Strip, compose_strips, facets, lines, style
from latentgen.numbers.averages import PAIR
from latentgen.numbers.edits import continued
from latentgen.numbers.results import Results

#: Trainings that went on, by the columns rows and bias of the table of edits, with their line styles.
_CONTINUED = {
    ("axis", "zero"): ("axes, zero bias", "-"),
    ("axis", "kept"): ("axes, bias kept", style.DASH_DOT),
    ("none", "kept"): ("control: fresh optimiser only", style.DASHED),
}


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 9, from the tables edit and history."""
    table = continued(results)
    starts = sorted(table["edit_epoch"].dropna().unique())
    looks = reader.looks({f"epoch {start}": style.series_style(turn) for turn, start in enumerate(starts)})
    # The control is no edit of a layer: it stays whatever layers are chosen.
    table = table.assign(edited=table["layer"].where(table["rows"] == "axis"))
    several = table.groupby(PAIR)["edited"].nunique() > 1
    table = reader.rows(table, "edited")
    blocks = []
    for pair, block in facets.pairs(table):
        for layer in block["edited"].dropna().unique():
            # The control, whose readout is the network's own, is compared with the edits of every layer.
            shown = block[(block["layer"] == layer) | (block["rows"] != "axis")]
            heading = facets.heading(pair) + (f", readout on {layer}" if several[pair] else "")
            test, train = (shown[shown["split"] == split] for split in ("test", "train"))
            strips = [
                Strip("test\naccuracy (%)", _curves(test, looks, rings=True), results.chance.get(pair[0])),
                Strip("training\naccuracy (%)", _curves(train, looks, rings=False)),
            ]
            blocks.append((heading, strips))
    kinds = [kind for kind in _CONTINUED if (table[["rows", "bias"]] == list(kind)).all(axis=1).any()]
    handles = [
        lines.handle("network as trained", style.NETWORK),
        *(lines.handle(f"continued from {epoch}", {**look, "linestyle": "-"}) for epoch, look in looks.items()),
        *(lines.handle(_CONTINUED[kind][0], {"color": "0.35", "linestyle": _CONTINUED[kind][1]}) for kind in kinds),
        *([lines.CHANCE] if results.chance else []),
    ]
    stopped = "A run that stopped before an edit has no part in it."
    caption = Caption(caveats=(stopped,) if table["n"].nunique() > 1 else ())
    return Drawing(compose_strips(table, blocks, handles), table.drop(columns="edited"), caption)


def _curves(shown: pd.DataFrame, looks: Mapping[str, dict], *, rings: bool) -> list[Curve]:
    curves = [Curve(shown[shown["series"] == "model"], style.NETWORK, stops={})]
    for epoch, look in looks.items():
        for (rows, bias), (_, line) in _CONTINUED.items():
            start = int(epoch.split()[1])
            chosen = (shown["edit_epoch"] == start) & (shown["rows"] == rows) & (shown["bias"] == bias)
            points = shown[chosen.fillna(False)]
            if rows == "none":
                curves.append(Curve(points, {"color": look["color"], "linestyle": line}))
            else:
                curves.append(Curve(points, {**look, "linestyle": line}, begins=rings, marks=2))
    return curves
