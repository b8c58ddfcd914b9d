"""What stands under the panels of a page: one legend for all of them, and sentences."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from latentgen.figures import style

#: Height of a line of text, in inches, on every page.
LINE = 0.125

#: Room in inches of a legend's handle with what is around it.
HANDLE = 0.45

#: How legends look and are placed, by their upper left corner.
LEGEND = {"loc": "upper left", "frameon": False, "handlelength": 2.0, "labelspacing": 0.3, "borderaxespad": 0}

_MARGIN = 0.1

#: Colour of what a reader must not miss.
_WARNING = "#a00000"


def beside(labels: Sequence[str], width: float) -> int:
    """How many entries of a legend fit beside one another on a page ``width`` inches wide."""
    return max(1, int((width - 2 * _MARGIN) / (HANDLE + max(map(style.text_width, labels)))))


def sentences(text: Sequence[str], width: float) -> list[str]:
    """Lines of text that fit a page ``width`` inches wide."""
    return style.wrap(text, width - 2 * _MARGIN)


def write(fig: Figure, lines: Sequence[str]) -> None:
    """Lines of text at the lower end of the page."""
    width, height = fig.get_size_inches()
    for k, line in enumerate(lines):
        y = (len(lines) - k - 0.4) * LINE
        fig.text(_MARGIN / width, y / height, line, va="center", color="0.25")


def below(fig: Figure, note: str) -> Bbox:
    """Write a sentence under the lower end of the page; returns the page with it, in inches."""
    width, height = fig.get_size_inches()
    lines = sentences([note], width)
    for k, line in enumerate(lines):
        fig.text(_MARGIN / width, -(k + 0.6) * LINE / height, line, va="center", color=_WARNING, size=style.FONT_SIZE)
    return Bbox.from_extents(0, -(len(lines) + 0.6) * LINE, width, height)


class Foot:
    """Legend and sentences under the panels of a page, in ``height`` inches.

    Parameters
    ----------
    handles : of the legend, ``columns`` beside one another
    text : sentences under it
    width : of the page, in inches
    **look : of the legend, where it differs from `LEGEND`
    """

    def __init__(self, handles: Sequence[Line2D], text: Sequence[str], width: float, columns: int, **look):
        self.handles, self.columns, self.look = handles, columns, look
        self.lines = sentences(text, width)
        self.height = (len(self.lines) + 0.6 + -(-len(handles) // columns) + 0.8) * LINE

    def draw(self, fig: Figure) -> None:
        """Draw both on a figure of that width."""
        if self.handles:
            look = {**LEGEND, "columnspacing": 1.2, "borderpad": 0, **self.look}
            width, height = fig.get_size_inches()
            place = (_MARGIN / width, self.height / height)
            fig.legend(handles=self.handles, bbox_to_anchor=place, ncols=self.columns, **look)
        write(fig, self.lines)
