"""Figure 12: accuracy of the networks on training and test examples, over the epochs of training."""

from latentgen.figures.page import Curve, Drawing, Reader, Strip, compose_strips, facets, lines, style
from latentgen.numbers.networks import TRAINING, training
from latentgen.numbers.results import Results

_GIVEN = style.series_style(1)["color"]
#: Markers at every epoch that the training set was measured at.
_ALL = 1000

#: Split, labels and mode of each line: label and look.
_LINES = {
    ("train", "given", "running"): ("training, given labels, while training", {"color": _GIVEN}),
    ("train", "given", "evaluated"): (
        "training, given labels, after the epoch",
        {"color": _GIVEN, "linestyle": "", "marker": "o"},
    ),
    ("train", "true", "evaluated"): (
        "training, true labels, after the epoch",
        {"color": style.series_style(0)["color"], "linestyle": style.DASHED, "marker": "s"},
    ),
    ("test", "true", "evaluated"): ("test, true labels, after the epoch", style.NETWORK),
}


def draw(results: Results, reader: Reader) -> Drawing:
    """Figure 12, from the table history."""
    table = reader.rows(training(results))
    looks = reader.looks(dict(_LINES[line] for line in TRAINING))
    blocks = []
    for pair, block in facets.pairs(table):
        curves = [
            # The test set is measured at every epoch, the last included.
            Curve(block, looks[_LINES[line][0]], stops={} if line[0] == "test" else None, marks=_ALL).of(
                **dict(zip(("split", "labels", "mode"), line, strict=True))
            )
            for line in TRAINING
        ]
        blocks.append((facets.heading(pair), [Strip("accuracy (%)", curves, results.chance.get(pair[0]))]))
    handles = [lines.handle(label, look) for label, look in looks.items()]
    handles += [lines.CHANCE] if results.chance else []
    return Drawing(compose_strips(table, blocks, handles), table)
