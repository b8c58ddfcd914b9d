"""The grammar of figures: rows of panels cut into pages, marks, axes, colours, captions, and how they are written."""

from latentgen.figures.page import axes, facets, layers, lines, sentences, spread, style
from latentgen.figures.page.by_layer import Measure, compose_layers
from latentgen.figures.page.drawing import Drawing, Reader
from latentgen.figures.page.lines import Curve
from latentgen.figures.page.pages import Legend, Panel, Row, compose
from latentgen.figures.page.strips import Strip, compose_strips

__all__ = [
    "Curve",
    "Drawing",
    "Legend",
    "Measure",
    "Panel",
    "Reader",
    "Row",
    "Strip",
    "axes",
    "compose",
    "compose_layers",
    "compose_strips",
    "facets",
    "layers",
    "lines",
    "sentences",
    "spread",
    "style",
]
