"""What figures of rewinding share: names, colours, and sentences of captions."""

import pandas as pd

from latentgen import summary
from latentgen.figures.page import facets, style
from latentgen.numbers.results import Results
from latentgen.summary import RUN
from latentgen.summary.selection import REWIND_BATCH_NORM

#: What each set of layers is called in titles.
KINDS = {"alone": "single layer", "prefix": "first layers", "suffix": "last layers"}

#: Colour of each way with batch normalisation, the one that heat maps show first.
LOOKS = {way: style.series_style(turn % 2)["color"] for turn, way in enumerate(REWIND_BATCH_NORM)}

NAMES = {"rewound": "statistics rewound", "reestimated": "statistics re-estimated", "none": "no batch normalisation"}

_WAYS = {
    "reestimated": (
        "Running statistics of batch normalisation are estimated anew on training images once weights are put back."
    ),
    "rewound": (
        "Running statistics of batch normalisation that go with their layer (rewound) leave the layers behind with "
        "those of other inputs: accuracy may fall for that reason alone."
    ),
}


def draws(rewind: pd.DataFrame) -> str:
    """``1 draw``, ``2 to 3 draws``."""
    n = rewind[rewind["weights"] == "redrawn"].groupby(RUN)["draw"].nunique()
    return f"{facets.spanned(n)} draw{'s' if n.max() > 1 else ''}"


def sizes(results: Results, rewind: pd.DataFrame) -> list[str]:
    """Sentence on numbers of examples where rewound networks are scored on fewer than there are."""
    counts = []
    for name, views, (split, labels) in (
        ("test", ["test"], ("test", "true")),
        ("training", ["unpermuted", "permuted"], ("train", "given")),
    ):
        of_views = rewind[rewind["view"].isin(views)].groupby([*RUN, "view"])["n"].max().groupby(RUN).sum()
        own = summary.model_accuracy(results.history, split=split, labels=labels).groupby(RUN)["n"].max()
        of_views, own = of_views.align(own, join="inner")
        if (of_views < own).any():
            counts.append(f"{facets.spanned(of_views)} of {facets.spanned(own)} {name}")
    return [f"Scored on {' and '.join(counts)} examples, drawn once for a data seed."] if counts else []


def batch_norms(shown: pd.DataFrame, every: pd.DataFrame) -> list[str]:
    """Sentences on batch normalisation; ``every`` may have ways that are not ``shown``."""
    ways = set(shown["batch_norm"])
    text = [_WAYS[way] for way in _WAYS if way in ways]
    if text and "none" in ways:
        text = ["Where a network has batch normalisation: " + text[0][0].lower() + text[0][1:], *text[1:]]
    if set(every["batch_norm"]) - ways:
        text.append("Statistics that go with their layer are left to Figure 22.")
    return text


def missing(rewind: pd.DataFrame) -> list[str]:
    """Sentence on levels at which some runs have no mislabelled examples."""
    levels = sorted(rewind.loc[rewind["n"] == 0, "level"].unique())
    shown = ", ".join(f"{level:g}" for level in levels)
    return [f"Runs without mislabelled examples, at level {shown}, are left out of those views."] if levels else []
