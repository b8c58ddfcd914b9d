"""The table behind Figure 26: which embeddings of a grid are drawn, and at which epochs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from latentgen import summary
from latentgen.embeddings.declaration import METHODS
from latentgen.numbers.averages import PAIR
from latentgen.numbers.results import Results
from latentgen.summary import GRID_POINT, RUN, SEEDS
from latentgen.summary.selection import best

#: Columns of the table behind the figure, after those of the grid point.
COLUMNS = [
    *[*SEEDS, "layer", "depth", "method", "epoch", "at", "index", "true_label", "given_label", "x", "y"],
    *["trustworthiness", "n", "n_mislabelled"],
]

#: What is one block of panels.
BLOCK = [*GRID_POINT, *SEEDS, "layer", "depth", "method"]

#: Most blocks, and epochs in each where there are so many blocks: what fits a page.
_MOST = 4
_EPOCHS = {1: 5, 2: 5, 3: 3, 4: 3}


def points(results: Results) -> tuple[pd.DataFrame, int]:
    """Rows of the points that are drawn, in the order of the page, and how many blocks would not fit.

    Raises ``ValueError`` where the tables lack what the figure shows.
    """
    if results.embeddings["x"].notna().sum() == 0:
        raise ValueError("the embeddings table holds no embedding; give a grid entry the key 'embeddings'")
    chosen, left_out = _choose(results.embeddings)
    parts = [_at_epochs(block, results.history, _EPOCHS[len(chosen)]) for block in chosen]
    return pd.concat(parts, ignore_index=True)[[*GRID_POINT, *COLUMNS]], left_out


def _choose(embeddings: pd.DataFrame) -> tuple[list[pd.DataFrame], int]:
    """Points of each block that is drawn, in the order of the page, and how many blocks do not fit.

    Of each data set, model and noise kind one level: the highest below 1 with mislabelled examples, else the highest;
    of its runs the first. If those are too many, all pairs come before a second layer, deep ones first, and all
    layers before a second method.
    """
    picked = []
    for _, of_pair in embeddings.groupby(PAIR, sort=False):
        wrong = of_pair["given_label"] != of_pair["true_label"]
        noisy = of_pair.loc[wrong & (of_pair["level"] < 1), "level"]
        of_level = of_pair[of_pair["level"] == (of_pair["level"] if noisy.empty else noisy).max()]
        of_run = of_level[(of_level[SEEDS] == of_level[SEEDS].sort_values(SEEDS).iloc[0]).all(axis=1)]
        picked += [block for _, block in of_run.groupby(BLOCK)]
    pairs = embeddings[PAIR].drop_duplicates().apply(tuple, axis=1).tolist()

    def place(block: pd.DataFrame) -> tuple[int, int, int]:
        first = block.iloc[0]
        return pairs.index(tuple(first[PAIR])), int(first["depth"]), METHODS.index(first["method"])

    picked.sort(key=lambda block: (place(block)[2], -place(block)[1], place(block)[0]))
    return sorted(picked[:_MOST], key=place), len(picked[_MOST:])


def _at_epochs(block: pd.DataFrame, history: pd.DataFrame, most: int) -> pd.DataFrame:
    """Points of a block at the epochs that are drawn."""
    measured = block[[*RUN, "epoch"]].drop_duplicates()
    own = summary.model_accuracy(history).merge(measured, on=[*RUN, "epoch"])
    if own.empty:
        raise ValueError(
            "the history table holds no test accuracy of the network at any epoch with embeddings; make both tables of "
            "the same grid"
        )
    epochs = sorted(measured["epoch"])
    names = {epochs[0]: "first", epochs[-1]: "last"}
    highest = int(best(own, own, ["epoch"])["epoch"].iloc[0])
    names[highest] = f"best, {names[highest]}" if highest in names else "best"
    points = block[block["epoch"].isin(_spread(epochs, names, most))]
    wrong = points["given_label"] != points["true_label"]
    return points.assign(
        at=points["epoch"].map(names).fillna("between"),
        n=points["index"].nunique(),
        n_mislabelled=points.loc[wrong, "index"].nunique(),
    ).sort_values(["epoch", "index"])


def _spread(epochs: Sequence[int], names: Sequence[int], most: int) -> set[int]:
    """The epochs ``names``, and of ``epochs`` those that then lie farthest from others along a logarithmic axis."""
    chosen = set(names)
    while len(chosen) < min(most, len(epochs)):
        gaps = np.abs(np.subtract.outer(np.log1p(epochs), np.log1p(sorted(chosen)))).min(axis=1)
        chosen.add(epochs[int(gaps.argmax())])
    return chosen
