"""Sentences that captions of several figures share."""

import pandas as pd

from latentgen.caption import Caption
from latentgen.figures.page import spread
from latentgen.figures.page.facets import spanned

#: What the level in titles of panels is.
LEVELS = (
    "Level: the corruption level, the probability that a training example was selected for a new label. Where new "
    "labels are drawn from all classes, some of those selected keep theirs."
)
#: The axis of epochs.
EPOCHS = (
    "Epoch 0 is the initialisation; the axis of epochs is linear to 1, then logarithmic. Markers along lines are "
    "thinned; lines bend at every measured epoch."
)
#: Runs that have stopped.
STOPPED = "Triangles: a run stopped; from there on its last value counts in the mean, and lines are thinner."


def signed(value: float, form: str = "+.0f") -> str:
    """``value`` in this form, with a true minus sign."""
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")


def common(table: pd.DataFrame, marks: tuple[str, str] | None, *, paired: bool = False) -> Caption:
    """What most captions say of the table behind the figure; the rest as `latentgen.figure.Figure` has it."""
    over_epochs = "carried" in table and marks is not None
    return Caption(
        shown=(*([EPOCHS] if over_epochs else []), *([LEVELS] if "level" in table else [])),
        seeds=() if marks is None else _seeds(table, *marks, paired=paired),
        caveats=(STOPPED,) if over_epochs and table["carried"].any() else (),
    )


def _seeds(table: pd.DataFrame, marks: str, runs: str, *, paired: bool) -> tuple[str, ...]:
    """Numbers of data seeds, and intervals, drawn as ``marks``, or as ``runs`` where there are few."""
    intervals = f"{marks}: 95\xa0% Student t interval over data seeds"
    about = spread.sentence(table["n"], intervals, runs)
    return over_seeds(table, f"differences are paired within runs; {about}" if paired else about)


def over_seeds(table: pd.DataFrame, about: str) -> tuple[str, ...]:
    """Numbers of data seeds, and ``about`` their means where there is more than one."""
    if table["n"].max() == 1:
        text = ["One data seed (n\xa0=\xa01): no interval."]
    else:
        n = spanned(table["n"]).replace(" ", "\xa0")
        text = [f"Mean over n\xa0=\xa0{n} data seeds; {about}."]
    if (table["n_runs"] > table["n"]).any():
        text.append("Model seeds of a data seed are averaged first.")
    return tuple(text)
