"""Axes along the layers of a network, in order of depth."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from latentgen.figures.page import spread, style

#: Names of layers that are written, at most.
_NAMED = 12


def axis(ax: Axes, names: Sequence[str]) -> None:
    """Layers along the x axis; the last is always named, of the others as many as can be read."""
    count = len(names)
    ax.set_xlim(-0.5, count - 0.5)
    step = -(-count // _NAMED)
    places = range(count - 1, -1, -step)
    ax.set_xticks(places, [names[place] for place in places], rotation=90)


def line(ax: Axes, points: pd.DataFrame, names: Sequence[str], look: Mapping[str, Any], *, scale: float = 1.0) -> None:
    """Means over the layers ``names``, with band or runs; ``points`` : a row for each, gaps where there is none."""
    points = points.set_index("layer").reindex(names)
    spread.along(ax, range(len(names)), points, dict(look), scale=scale)
    ax.plot(range(len(names)), scale * points["mean"], **{**style.LINE, **look})
