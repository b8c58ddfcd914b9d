"""Pages of panels: rows of them, cut into pages, laid out by Matplotlib.

A figure is a list of rows. A row is a list of panels, each with a function that fills its axes. Rows that are
``joined`` to the one above share its x axes, and stay on its page where that has room.
"""

import itertools
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.markers import TICKDOWN
from matplotlib.ticker import NullLocator

from latentgen.figures.page import style

#: Most inches of a page.
WIDTH, HEIGHT = 7.0, 9.0

# Inches: a line of text, the labels of an x axis with the room around a row, the handle of a legend with its room, and
# the labels to the left of a page, or its legends to the right.
_LINE, _AXIS, _HANDLE, _LEFT = 0.12, 0.4, 0.55, 0.9


class Panel(NamedTuple):
    """Axes and what fills them.

    Parameters
    ----------
    fill : draws everything in the panel, and sets its scales and limits
    title : beside the panel's letter, over it
    x_label : of the x axis
    heading : over the title, the names of what this panel and those to its right show; as wide as it takes
    """

    fill: Callable[[Axes], Any]
    title: str = ""
    x_label: str = ""
    heading: str = ""


class Legend(NamedTuple):
    """To the right of a row: a title over ``handles``."""

    title: str
    handles: Sequence[Line2D]


class Row(NamedTuple):
    """Panels beside one another.

    Parameters
    ----------
    panels : None leaves a place empty
    height : of the panels, in inches
    y_label : of the first panel
    heading : over the row, the names of what it shows
    legend : to its right
    joined : to the row above: no heading, one x axis
    together : so many panels beside one another share a y axis; None: all of them
    finish : called with the figure and the axes of the row once they are filled, for a colour bar
    """

    panels: Sequence[Panel | None]
    height: float
    y_label: str = ""
    heading: str = ""
    legend: Legend | None = None
    joined: bool = False
    together: int | None = None
    finish: Callable[[Figure, Sequence[Axes]], None] | None = None


def compose(
    rows: Sequence[Row],
    legend: Sequence[Line2D] = (),
    *,
    widths: Sequence[float] | None = None,
    panel_width: float = 2.5,
) -> list[Figure]:
    """Figures, one for each page, at most `WIDTH` x `HEIGHT` inches; panels have letters in the order of reading.

    Parameters
    ----------
    rows : from the top down
    legend : handles of the legend under the panels of each page
    widths : of the columns, relative to one another
    panel_width : inches of a panel beside which another has room
    """
    rows = [_headed(row) for row in rows]
    columns = max(len(row.panels) for row in rows)
    beside = sum(widths or [1.0] * columns)
    width = min(WIDTH, _LEFT + panel_width * beside + _LEFT * any(row.legend for row in rows))
    ncols = _beside(legend, width)
    foot = (-(-len(legend) // ncols) + 1) * _LINE if legend else 0.0
    letters, pages = _letters(), []
    for page in _cut(rows, HEIGHT - foot):
        tall = sum(_tall(page, place) for place in range(len(page))) + foot
        fig = Figure(figsize=(width, min(tall, HEIGHT)), layout="constrained")
        FigureCanvasAgg(fig)
        fig.get_layout_engine().set(w_pad=0.02, h_pad=0.03, wspace=0.0, hspace=0.0)
        ratios = {"height_ratios": [row.height for row in page], "width_ratios": widths}
        grid = fig.add_gridspec(len(page), columns, **ratios)
        for place, row in enumerate(page):
            below = page[place + 1].panels if place + 1 < len(page) and page[place + 1].joined else []
            axes = [
                _panel(fig.add_subplot(grid[place, j]), row, j, next(letters), j < len(below) and below[j] is not None)
                for j, panel in enumerate(row.panels)
                if panel is not None
            ]
            if row.legend is not None:
                _beside_row(fig.add_subplot(grid[place, columns - 1]), row)
            if row.finish is not None:
                row.finish(fig, axes)
        if legend:
            fig.legend(handles=legend, loc="outside lower left", ncols=ncols, borderaxespad=0.6)
        pages.append(fig)
    return pages


def _headed(row: Row) -> Row:
    """The row with its heading at its first panel."""
    panels, first = list(row.panels), next(j for j, panel in enumerate(row.panels) if panel is not None)
    if row.heading:
        panels[first] = panels[first]._replace(heading=row.heading)
    return row._replace(panels=panels)


def _panel(ax: Axes, row: Row, place: int, letter: str, above_another: bool) -> Axes:
    panel = row.panels[place]
    first = next(j for j, other in enumerate(row.panels) if other is not None)
    panel.fill(ax)
    title = f"({letter})  {panel.title}".rstrip()
    text = ax.set_title("\n" * len(panel.heading.splitlines()) + title)
    if panel.heading:
        # In the room that the title leaves for it, not a part of it: a wide title would push the next panel away.
        ax.annotate(panel.heading, (0, 1), xycoords=text, va="top").set_in_layout(False)
    _small_ticks(ax, shown=not above_another)
    if above_another:
        ax.tick_params(labelbottom=False)
    elif panel.x_label:
        ax.set_xlabel(panel.x_label)
    if place == first:
        ax.set_ylabel(row.y_label)
    elif place % (row.together or len(row.panels)):
        ax.tick_params(labelleft=False)
    return ax


def _small_ticks(ax: Axes, *, shown: bool) -> None:
    """Minor ticks of the x axis as one line of marks: as ticks they would take as long as all else in a panel."""
    low, high = ax.get_xlim()
    places = [place for place in ax.xaxis.get_minorticklocs() if low <= place <= high]
    ax.xaxis.set_minor_locator(NullLocator())
    if shown and places:
        look = {"linestyle": "", "marker": TICKDOWN, "markersize": 1.4, "markeredgewidth": 0.4, "color": "black"}
        marks = Line2D(places, [0.0] * len(places), transform=ax.get_xaxis_transform(), **look)
        ax.figure.add_artist(marks).set_in_layout(False)


def _beside_row(ax: Axes, row: Row) -> None:
    """Legend of a row, as many entries below one another as it is high, in axes of its own that show nothing else."""
    ax.set_axis_off()
    title, handles = row.legend
    # Two columns beside the panels are what a page has room for.
    most = max(int(row.height / _LINE) - 1, -(-len(handles) // 2))
    look = {"loc": "upper left", "bbox_to_anchor": (1.03, 1.0), "alignment": "left"}
    ax.legend(handles=handles, title=title, ncols=-(-len(handles) // most), **look)


def _cut(rows: Sequence[Row], room: float) -> Iterator[list[Row]]:
    """Rows of each page; a row stays with those joined to it where all of them fit a page."""
    page: list[Row] = []
    filled, heading = 0.0, ""
    for place, row in enumerate(rows):
        heading = row.heading or heading
        needed = _tall(rows, place)
        if not row.joined:
            end = next((k for k in range(place + 1, len(rows)) if not rows[k].joined), len(rows))
            block = sum(_tall(rows[place:end], k) for k in range(end - place))
            needed = block if block <= room else needed
        if page and filled + needed > room:
            yield page
            page, filled = [], 0.0
            row = _headed(row._replace(joined=False, heading=row.heading or (heading and f"{heading}, continued")))
        page.append(row)
        filled += _tall(rows, place)
    yield page


def _tall(rows: Sequence[Row], place: int) -> float:
    """Inches that a row takes with its titles, and with the labels of its x axis where the next does not share it."""
    row = rows[place]
    panels = [panel for panel in row.panels if panel is not None]
    lines = 1 + max(panel.title.count("\n") + len(panel.heading.splitlines()) for panel in panels)
    shared = place + 1 < len(rows) and rows[place + 1].joined
    return row.height + lines * _LINE + (0.1 if shared else _AXIS)


def _letters() -> Iterator[str]:
    """a to z, aa to az, and so on."""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(string.ascii_lowercase, repeat=length))


def _beside(legend: Sequence[Line2D], width: float) -> int:
    """How many entries of a legend fit beside one another."""
    if not legend:
        return 1
    renderer, font = FigureCanvasAgg(Figure(dpi=72)).get_renderer(), FontProperties(size=style.FONT_SIZE)
    longest = max(renderer.get_text_width_height_descent(handle.get_label(), font, False)[0] for handle in legend)
    return min(len(legend), max(1, int(width / (longest / 72 + _HANDLE))))
