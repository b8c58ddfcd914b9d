"""Figure 12: accuracy of the networks on training and test examples, over the epochs of training."""

import pandas as pd
from matplotlib.figure import Figure

from latentgen.figures import averages, panels, style
from latentgen.figures.averages import PAIR
from latentgen.figures.panels import Curve, Row
from latentgen.figures.results import Results

_GIVEN = style.series_style(1)["color"]

#: Split, labels and mode of each line, in order of drawing: label and look.
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
    ("test", "true", "evaluated"): ("test, true labels, after the epoch", panels.NETWORK),
}


def draw(name: str, results: Results) -> tuple[Figure, pd.DataFrame]:
    """Figure 12, from the table history.

    Raises ``ValueError`` where one of its accuracies is missing.
    """
    history = results.history
    parts = [
        averages.networks(history, history, split=split, labels=labels, mode=mode).assign(
            fit_labels=None, split=split, labels=labels, mode=mode, metric="accuracy"
        )
        for split, labels, mode in _LINES
    ]
    table = averages.tidy(parts, history, ["mode"])
    rows = []
    for (dataset, model, noise), block in table.groupby(PAIR, sort=False):
        curves = [
            # The test set is measured at every epoch, the last included.
            Curve(block[(block[["split", "labels", "mode"]] == list(line)).all(axis=1)], look, label, stops)
            for (line, (label, look)), stops in zip(_LINES.items(), [None, None, None, {}], strict=True)
        ]
        rows.append(
            Row([dataset, model, f"{noise} noise"], "accuracy (%)", curves, reference=results.chance.get(dataset))
        )
    return panels.draw(rows, _footer(table, bool(results.chance)), below=curves), table


def _footer(table: pd.DataFrame, chance: bool) -> list[str]:
    text = [
        "Accuracy of the networks in %: on training examples against the given (noisy) labels, which they "
        "are trained on, and against the true ones; on test examples against true labels.",
        "While training: counted as each epoch meets its examples, before each update; after the epoch: in evaluation "
        "mode, on the training set at saved epochs only.",
        *panels.seeds(table),
    ]
    if chance:
        text.append("Grey line: chance.")
    return [*text, *panels.epochs(table)]
